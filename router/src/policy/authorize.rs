//! Stage authorization: whether the caller may make this call, decided on the ID that the call is routed by.
//!
//! An ID that the client named is judged before it is looked up: whether it exists is told to nobody who may not call it.
//! A call by gRPC service name is judged as soon as the directory says whose name it is.

use super::Stage;
use crate::{
    error::Error,
    plane::{CallKey, Plane},
    route::Target,
};
use switchboard_policy::{ROUTER_ID, Reason, is_administrative};
use switchboard_registry::ClientId;

impl Plane {
    /// Judges a call whose target is known now, unless that names no ID yet.
    pub(crate) fn authorize(&mut self, key: CallKey) -> Result<(), Error> {
        if self.policy.is_none() {
            return Ok(());
        }
        let Some(call) = self.calls.get(key) else { return Ok(()) };
        match call.target.clone() {
            Some(Target::Id { id, .. }) => {
                // A version is a choice among instances, not another ID.
                self.permit(key, id.split('@').next().unwrap_or_default())
            }
            Some(Target::Local) => self.permit(key, ROUTER_ID),
            Some(Target::GrpcService(_)) | None => Ok(()),
        }
    }

    /// Judges a call by gRPC service name, which the directory says is of this service of the registry.
    pub(crate) fn authorize_service(&mut self, key: CallKey, service: &str) -> Result<(), Error> {
        if self.policy.is_none() || self.calls.get(key).is_none_or(|call| call.permitted) {
            return Ok(());
        }
        match ClientId::from_service(service) {
            Some(id) => self.permit(key, &id.to_string()),
            // Of no kind that has IDs. Whoever registers it as `router` does not become the router by that.
            None if service == ROUTER_ID => self.permit(key, "service:router"),
            None => self.permit(key, service),
        }
    }

    fn permit(&mut self, key: CallKey, id: &str) -> Result<(), Error> {
        let Some(call) = self.calls.get(key) else { return Ok(()) };
        // Absent if limits came into force while its message was read. Who has to prove anything has from the start.
        let Some(caller) = call.caller.clone() else { return Ok(()) };
        let decision = caller.grants.decide(id, call.path());
        let (allowed, reason) = (decision.allowed, decision.reason);
        if caller.principal.is_some() && is_administrative(id, call.path()) {
            self.audit(key, id, decision);
        }
        if !allowed {
            self.rejected(key, Stage::Authorization, reason.as_str(), Some(id));
            let Some(call) = self.calls.get(key) else { return Ok(()) };
            return Err(match &caller.principal {
                Some(principal) => Error::permission_denied(principal, id, call.path(), reason),
                None => Error::not_for_the_anonymous(call.path()),
            });
        }
        if reason != Reason::Health {
            self.limit(key, id, &caller)?;
        }
        let Some(call) = self.calls.get_mut(key) else { return Ok(()) };
        let source = self.conns.get(call.down.0).and_then(|conn| conn.as_ref()?.source);
        if let Some(source) = source {
            caller.tell(source, call.target == Some(Target::Local), &mut call.request);
        }
        call.permitted = true;
        Ok(())
    }
}
