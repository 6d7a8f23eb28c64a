//! What an error tells of the call that it ended: gathered at the end, so that calls that end well pay nothing for it.

use super::Phase;
use crate::{
    error::{Code, Error},
    plane::{CallKey, Plane},
    route::Target,
};
use std::time::SystemTime;

impl Plane {
    /// Adds what is known of the call's service and instance to an error that is about them. An error that is the
    /// caller's own is left alone.
    pub(super) fn add_facts(&self, key: CallKey, error: &mut Error) {
        let Some(call) = self.calls.get(key) else { return };
        if !matches!(
            error.code,
            Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted | Code::Internal
        ) {
            return;
        }
        let mut named = None;
        match &call.target {
            Some(Target::Id { id, service, .. }) => {
                error.add("id", id);
                named = Some(service);
            }
            Some(Target::GrpcService(name)) => error.add("grpc_service", name),
            Some(Target::Local) | None => {}
        }
        if error.code == Code::DeadlineExceeded {
            error.add("waited_for", self.waited_for(key));
        }
        if call.attempts > 1 {
            error.add("attempts", call.attempts);
        }
        let Some(service) = call.service.as_ref().or(named) else { return };
        error.add("service", service);
        if let Some(pool) = call.pool.and_then(|pool| self.pools.get(&pool)) {
            error.add("instance", &pool.endpoint.instance);
        }
        let Some(known) = self.directory.services.get(service) else { return };
        let ejected = known.endpoints.iter().filter(|endpoint| endpoint.load.is_ejected()).count();
        error.add("instances_known", known.known);
        error.add("instances_healthy", known.endpoints.len());
        error.add("instances_ejected", ejected);
        let ago = |at| SystemTime::now().duration_since(at).map_or(0, |ago| ago.as_secs());
        match known.last_seen {
            _ if !known.endpoints.is_empty() => error.add("last_seen_seconds_ago", 0),
            Some(at) => error.add("last_seen_seconds_ago", ago(at)),
            None => {}
        }
    }

    /// What the call is waiting for, in words.
    fn waited_for(&self, key: CallKey) -> &'static str {
        let Some(call) = self.calls.get(key) else { return "" };
        match call.phase {
            Phase::Reading => "the first message",
            Phase::Parked if call.room.is_some() => "room at an instance",
            Phase::Parked if call.service.is_none() => "the registry",
            Phase::Parked => "a healthy instance",
            Phase::Backoff => "the next attempt",
            Phase::Queued => "a connection to the instance",
            Phase::Forwarding if !call.client_done => "the rest of the request or the response",
            Phase::Forwarding | Phase::Flushing => "the response",
        }
    }
}
