//! Stage rate_limit: whether the caller may make this call now.

use super::{Caller, Stage};
use crate::{
    error::Error,
    plane::{CallKey, Plane},
};
use std::net::{IpAddr, Ipv4Addr};
use switchboard_policy::Keys;

impl Plane {
    /// Counts the call for its principal, source, ID and method, until it ends.
    pub(super) fn limit(&mut self, key: CallKey, id: &str, caller: &Caller) -> Result<(), Error> {
        let limits = self.policy.as_ref().and_then(|policy| policy.snapshot.limits.as_ref());
        let (Some(limits), Some(call)) = (limits, self.calls.get_mut(key)) else { return Ok(()) };
        let source = self.conns.get(call.down.0).and_then(|conn| conn.as_ref()?.source);
        let keys = Keys {
            principal: caller.principal.as_ref().map(|principal| &*principal.name),
            // A connection without an address is none of a client's.
            source: source.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            id,
            method: call.path(),
        };
        match limits.admit(&keys) {
            Ok(permit) => {
                call.permit = Some(Box::new(permit));
                Ok(())
            }
            Err(exceeded) => {
                self.rejected(key, Stage::RateLimit, exceeded.as_str(), Some(id));
                Err(Error::exceeded(&exceeded))
            }
        }
    }
}
