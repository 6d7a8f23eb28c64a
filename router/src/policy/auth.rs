//! Stage auth: credentials in, caller or refusal out.

use super::{Caller, Enforced, Stage};
use crate::{
    error::Error,
    plane::{CallKey, Plane},
};
use std::{
    fmt,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{SystemTime, UNIX_EPOCH},
};
use switchboard_policy::{Credentials, DenialKind, Mode};

/// The header of one call. The memory is used again for the next.
#[derive(Default)]
pub(super) struct Offered {
    value: Vec<u8>,
    headers: usize,
}

/// It is a secret.
impl fmt::Debug for Offered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Offered").field("headers", &self.headers).finish_non_exhaustive()
    }
}

impl Offered {
    pub(super) fn clear(&mut self) {
        self.value.clear();
        self.headers = 0;
    }

    pub(super) fn add(&mut self, value: &[u8]) {
        self.headers += 1;
        if self.headers == 1 {
            self.value.extend_from_slice(value);
        }
    }
}

impl Plane {
    /// Finds out who makes the call, whose headers were read just now.
    pub(crate) fn authenticate(&mut self, key: CallKey) -> Result<(), Error> {
        if self.policy.is_none() {
            return Ok(());
        }
        match self.identify(key) {
            Ok(caller) => {
                if let Some(call) = self.calls.get_mut(key) {
                    call.caller = Some(caller);
                }
                Ok(())
            }
            Err((why, error)) => {
                self.rejected(key, Stage::Auth, why, None);
                Err(error)
            }
        }
    }

    fn identify(&mut self, key: CallKey) -> Result<Arc<Caller>, (&'static str, Error)> {
        let lost = || ("connection_lost", Error::shutting_down());
        let Some(policy) = self.policy.as_deref_mut() else { return Err(lost()) };
        let Enforced { snapshot, callers, anonymous, offered, failures, .. } = policy;
        if snapshot.authenticator.mode() == Mode::None {
            return Ok(anonymous.clone());
        }
        let Some(call) = self.calls.get(key) else { return Err(lost()) };
        let Some(Some(conn)) = self.conns.get_mut(call.down.0) else { return Err(lost()) };
        let now_unix_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        if offered.headers <= 1
            && let Some(caller) = callers.get(&offered.value, conn.peer.as_ref(), now_unix_s)
        {
            return Ok(caller);
        }
        if call.is_health_check() {
            return Ok(anonymous.clone());
        }
        if offered.headers > 1 {
            return Err(("repeated_header", Error::repeated_credentials()));
        }
        let has_token = offered.headers == 1;
        if has_token && !conn.failed_tokens.may_look(*failures, self.now_ms) {
            return Err(("too_many_failures", Error::too_many_bad_credentials()));
        }
        let credentials = Credentials {
            peer: conn.peer.as_deref(),
            authorization: has_token.then_some(offered.value.as_slice()),
        };
        match snapshot.authenticator.authenticate(&credentials, now_unix_s) {
            Ok(found) => {
                let until = found.valid_until_unix_s;
                let caller = Caller::new(&snapshot.policy, found.principal, conn.peer.as_deref(), until);
                let caller = Arc::new(caller);
                callers.insert(&offered.value, conn.peer.clone(), caller.clone());
                Ok(caller)
            }
            Err(denial) => {
                if denial.kind == DenialKind::UnknownKey {
                    snapshot.unknown_key.store(true, Relaxed);
                }
                if has_token {
                    conn.failed_tokens.failed(failures, self.now_ms);
                }
                Err((denial.kind.as_str(), Error::unauthenticated(&denial)))
            }
        }
    }
}
