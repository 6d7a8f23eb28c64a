//! Who calls, whether it may, and whether it may now.
//!
//! The policy chain of the seed, and where each of its stages stands in the router. Each is a plain function; a call
//! passes them in the order of the data it needs, which is the chain's but for one thing: the ID is read before
//! authorization, because that decides on it.
//!
//! | stage | where | refuses with |
//! |---|---|---|
//! | recovery | `app.rs`: a worker thread that panics is seen within 500 ms, told, and ends the router in order; backends and other routers are untouched | - |
//! | request_id | `call/request.rs`: the client's if it is fit, else one of the router's | - |
//! | auth | `policy/auth.rs`, when a call's headers are read | UNAUTHENTICATED |
//! | validation | `call/request.rs` (method, path, timeout), `route.rs`, `peek.rs` (the ID) | INVALID_ARGUMENT |
//! | authorization | `policy/authorize.rs`, when the ID is known and before anything is looked up by it | PERMISSION_DENIED |
//! | rate_limit | `policy/limit.rs`, right after it | RESOURCE_EXHAUSTED |
//! | logging, metrics | `call/finish.rs`, `observe.rs`, once for each call; `policy/rejected.rs` for refusals | - |
//! | tracing | `traceparent` passes like every header; `x-request-id` ties the lines of all programs together | - |
//!
//! The decisions themselves are made by `switchboard_policy`, which backends use as well. A worker thread holds the
//! policy as an immutable snapshot and remembers callers that were believed; a new snapshot makes it forget them. Calls
//! under way are not judged again: neither by a new policy, nor when their token ends, nor by a retry or a hedge.
//!
//! With authentication off and nothing limited a worker thread holds none, and each stage costs one branch.

mod auth;
mod authorize;
mod caller;
#[cfg(test)]
mod cost;
mod failures;
mod limit;
mod rejected;

pub(crate) use caller::{Caller, services_of_header};
pub(crate) use failures::Failures;
pub use rejected::Stage;

use crate::config::Config;
use auth::Offered;
use caller::Callers;
use rejected::Samples;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};
use switchboard_policy::{Authenticator, Error, Limits, Mode, Policy};

/// Name of the caller, percent-encoded outside visible ASCII.
pub(crate) const PRINCIPAL_HEADER: &str = "x-switchboard-principal";
/// Its roles, likewise, with commas between them.
pub(crate) const ROLES_HEADER: &str = "x-switchboard-roles";
/// Its address.
pub(crate) const SOURCE_HEADER: &str = "x-switchboard-source";
/// The services of the registry that its certificate was made for; to the router's own services only.
pub(crate) const SERVICES_HEADER: &str = "x-switchboard-services";

/// What holds for all calls from now on; made by the control plane.
#[derive(Debug)]
pub struct PolicySnapshot {
    /// Keys and tokens.
    pub authenticator: Authenticator,
    /// Rules.
    pub policy: Policy,
    /// What is used of the limits, shared by all threads; `None` if nothing is limited.
    pub limits: Option<Limits>,
    /// Whether backends get the header `authorization`, which was for the router.
    pub forward_authorization: bool,
    /// A token named a key that is not known.
    unknown_key: AtomicBool,
}

impl PolicySnapshot {
    /// Reads the files that the configuration names. `jwks` is the body of the URL of keys, if they come from one. Limits
    /// that have not changed go on with what was used of `before`'s.
    ///
    /// # Errors
    /// A file cannot be read or does not hold what it should.
    pub fn load(config: &Config, jwks: Option<&str>, before: Option<&Self>) -> Result<Self, Error> {
        let settings = config.policy_settings();
        let policy = Policy::load(settings.policy.as_deref(), settings.mode)?;
        let used = before.and_then(|before| before.limits.as_ref());
        let limits = (!policy.limits().is_empty()).then(|| Limits::after(used, policy.limits()));
        Ok(PolicySnapshot {
            authenticator: Authenticator::load(&settings, jwks)?,
            policy,
            limits,
            forward_authorization: config.forward_authorization,
            unknown_key: AtomicBool::new(false),
        })
    }

    /// Whether a token named a key that is not known, since this was last asked.
    pub(crate) fn saw_unknown_key(&self) -> bool {
        self.unknown_key.swap(false, Relaxed)
    }

    /// Whether every call passes.
    fn is_off(&self) -> bool {
        self.authenticator.mode() == Mode::None && self.limits.is_none()
    }
}

/// The policy on one worker thread.
#[derive(Debug)]
pub(crate) struct Enforced {
    snapshot: Arc<PolicySnapshot>,
    callers: Callers,
    /// Whoever proved nothing.
    anonymous: Arc<Caller>,
    /// The `authorization` header of the call whose headers are being read.
    offered: Offered,
    /// Tokens that were looked at in vain, on all connections.
    failures: Failures,
    samples: Samples,
}

impl Enforced {
    /// `None` if there is nothing to enforce.
    pub(crate) fn of(snapshot: Arc<PolicySnapshot>) -> Option<Box<Self>> {
        if snapshot.is_off() {
            return None;
        }
        let anonymous = Arc::new(Caller::new(&snapshot.policy, None, None, u64::MAX));
        Some(Box::new(Enforced {
            snapshot,
            callers: Callers::default(),
            anonymous,
            offered: Offered::default(),
            failures: Failures::default(),
            samples: Samples::default(),
        }))
    }

    /// Begins with a new call's headers.
    pub(crate) fn begin(&mut self) {
        self.offered.clear();
    }

    /// Takes an `authorization` header; true if it goes no further.
    pub(crate) fn offer(&mut self, value: &[u8]) -> bool {
        if self.snapshot.authenticator.mode() == Mode::None {
            return false;
        }
        self.offered.add(value);
        !self.snapshot.forward_authorization
    }
}
