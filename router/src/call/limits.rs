//! What a call is held to: the router's settings, or what its service says instead (see [`Limits`]).

use super::Call;
use crate::{
    config::Config,
    directory::{Limits, Service, Usage},
    error::Error,
    plane::{CallKey, Plane, millis},
};
use std::{sync::Arc, time::Duration};

/// A place in the calls that a service lets be in flight; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place(Arc<Usage>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.ended();
    }
}

impl Plane {
    /// How many calls may wait beside this one.
    pub(crate) fn queue_max(&self, key: CallKey) -> usize {
        let most = self.config.queue_per_service;
        let own = |limits: &Limits| limits.max_queue.map(|calls| calls as usize);
        self.calls.get(key).map_or(most, |call| call.limit(own, most))
    }
}

impl Call {
    /// The call's service is known now: it is held to its limits from here on.
    pub(super) fn hold_to(&mut self, service: &Service) -> Result<(), Error> {
        let Some(limits) = &service.limits else { return Ok(()) };
        if let Some(most) = limits.max_calls {
            if !service.usage.begin(most) {
                return Err(Error::service_calls(&service.name, most));
            }
            self.place = Some(Place(service.usage.clone()));
        }
        if self.method.as_ref().is_some_and(|method| method.unary) {
            let began_ms = self.began_us / 1_000;
            if let (Some(timeout), false) = (limits.timeout, self.deadline_sent) {
                self.deadline_ms = began_ms + millis(timeout);
            }
            if let Some(longest) = limits.timeout_max {
                self.deadline_ms = self.deadline_ms.min(began_ms + millis(longest));
            }
        }
        if let Some(most) = limits.max_message_bytes {
            self.message_max = self.message_max.min(most);
        }
        self.limits = Some(limits.clone());
        self.check_request_length()
    }

    /// Whether it is counted for its service.
    #[cfg(test)]
    pub(crate) fn has_place(&self) -> bool {
        self.place.is_some()
    }

    fn limit<T>(&self, of: impl FnOnce(&Limits) -> Option<T>, otherwise: T) -> T {
        self.limits.as_deref().and_then(of).unwrap_or(otherwise)
    }

    /// How long it may pass no bytes; zero is for ever.
    pub(crate) fn stream_idle(&self, config: &Config) -> Duration {
        self.limit(|limits| limits.stream_idle, config.stream_idle)
    }

    /// Whether the client's messages are within the limit so far.
    pub(crate) fn check_request_length(&self) -> Result<(), Error> {
        self.check_length("the request", self.request_messages.longest())
    }

    /// Whether the instance's are.
    pub(crate) fn check_response_length(&self) -> Result<(), Error> {
        self.check_length("the response", self.response_messages.longest())
    }

    fn check_length(&self, of: &str, longest: u32) -> Result<(), Error> {
        match longest > self.message_max {
            true => Err(Error::message_too_long(of, longest, self.message_max, self.service.as_deref())),
            false => Ok(()),
        }
    }
}
