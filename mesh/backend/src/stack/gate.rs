//! Tokens, keys, rules and limits, as the files have them at the moment.

use super::callers::Callers;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use switchboard_policy::{Authenticator, Error, KeySource, Limits, Mode, Policy, Settings};
use switchboard_transport::Watched;

/// One state of the files, and who was believed by it.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(super) authenticator: Authenticator,
    pub(super) policy: Policy,
    pub(super) limits: Limits,
    /// Whether `authorization` is ours to judge: without keys and tokens it is the service's own business.
    pub(super) judges_tokens: bool,
    /// Whether callers have to prove who they are.
    pub(super) asks: bool,
    pub(super) callers: Callers,
}

impl Gate {
    /// Reads the files that the settings name, now and after every change.
    pub(crate) fn watch(settings: Settings, interval: Duration) -> Result<Watched<Self>, Error> {
        let keys = match settings.jwt.as_ref().map(|jwt| &jwt.keys) {
            Some(KeySource::Url(_)) => {
                let problem = "names a URL, which only routers fetch: give a backend the keys as a file, or let it \
                               believe the router (SWITCHBOARD_TLS_CLIENT_CA)";
                return Err(Error::Setting { setting: "auth_jwt_keys", problem: problem.to_owned() });
            }
            Some(KeySource::File(path)) => Some(path.clone()),
            None => None,
        };
        let paths = [settings.tokens.clone(), settings.policy.clone(), keys].into_iter().flatten().collect();
        let former = Mutex::new(None);
        Watched::start("tokens, keys and policy", paths, interval, move || Self::load(&settings, &former))
    }

    fn load(settings: &Settings, former: &Mutex<Option<Limits>>) -> Result<Self, Error> {
        let authenticator = Authenticator::load(settings, None)?;
        let policy = Policy::load(settings.policy.as_deref(), settings.mode)?;
        let mut former = former.lock().unwrap_or_else(PoisonError::into_inner);
        let limits = Limits::after(former.as_ref(), policy.limits());
        *former = Some(limits.clone());
        let judges_tokens = settings.tokens.is_some() || settings.jwt.is_some();
        let asks = settings.mode != Mode::None;
        Ok(Self { authenticator, policy, limits, judges_tokens, asks, callers: Callers::default() })
    }

    /// The rules.
    pub(crate) fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Forgets callers that were not heard of for a while, every minute, for ever.
    pub(crate) async fn sweep(gate: Watched<Self>) {
        loop {
            tokio::time::sleep(Duration::from_secs(60)).await;
            gate.newest().limits.sweep();
        }
    }
}
