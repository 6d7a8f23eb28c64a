//! Reads tokens, keys and rules again while the router runs.
//!
//! What the files hold is compared every few seconds; what has changed and is whole comes into force on all worker
//! threads, and what is broken leaves the old in force, with a line in the log and a count. A router that could not read
//! its policy would have to refuse everybody or nobody. Keys of a URL are fetched every five minutes, and soon after a
//! token with an unknown key.

use crate::{
    config::Config,
    link::{Update, WorkerLink},
    observe::Metrics,
    policy::PolicySnapshot,
};
use std::{
    fs::File,
    io::Read,
    path::Path,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};
use switchboard_policy::{KeySource, Refresh};
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval, sleep},
};
use tracing::{info, warn};

/// How often files are looked at: a revoked token is of use for this long at most.
const LOOK: Duration = Duration::from_secs(5);
/// Looks between two sweeps of what is remembered for the limits: a minute.
const SWEEP_LOOKS: u64 = 12;
/// How often it is asked whether a worker thread saw a token of an unknown key.
const UNKNOWN_KEY_LOOK: Duration = Duration::from_secs(1);
/// More than any of the files may have; what is longer is refused when it is loaded.
const MAX_COMPARED_BYTES: u64 = 4 << 20;

/// What the files held, one after the other; `None` of one that cannot be read.
type Contents = Vec<Option<Vec<u8>>>;

/// Keeps the policy current until the task is dropped. A change of `reload` asks for a look at once.
pub(super) async fn keep(
    config: Arc<Config>,
    policies: watch::Sender<Arc<PolicySnapshot>>,
    workers: Vec<WorkerLink>,
    metrics: Arc<Metrics>,
    mut reload: watch::Receiver<()>,
) {
    let url = config.policy_settings().jwks_url().map(str::to_owned);
    let mut keeper = Keeper { seen: contents(&config).await, jwks: None, config, policies, workers, metrics };
    let mut refresh = Refresh::new(Instant::now());
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut looks, mut reloads) = (0u64, true);
    loop {
        tokio::select! {
            _ = look.tick() => {
                looks += 1;
                keeper.look_after_limits(looks);
                keeper.look_at_files().await;
            }
            asked = reload.changed(), if reloads => {
                // Without a sender nobody can ask any more.
                reloads = asked.is_ok();
                if reloads {
                    refresh.unknown_key(Instant::now());
                    keeper.look_at_files().await;
                }
            }
            () = due(&mut refresh, &keeper.policies), if url.is_some() => {
                let fetched = keeper.fetch(url.as_deref().unwrap_or_default()).await;
                refresh.fetched(Instant::now(), fetched);
            }
        }
    }
}

/// Waits until the keys are to be fetched. Cancel-safe.
async fn due(refresh: &mut Refresh, policies: &watch::Sender<Arc<PolicySnapshot>>) {
    loop {
        if policies.borrow().saw_unknown_key() {
            refresh.unknown_key(Instant::now());
        }
        match refresh.wait(Instant::now()) {
            Duration::ZERO => return,
            wait => sleep(wait.min(UNKNOWN_KEY_LOOK)).await,
        }
    }
}

struct Keeper {
    config: Arc<Config>,
    policies: watch::Sender<Arc<PolicySnapshot>>,
    workers: Vec<WorkerLink>,
    metrics: Arc<Metrics>,
    /// What the files held when they were last looked at.
    seen: Contents,
    /// What the URL of keys gave last.
    jwks: Option<String>,
}

impl Keeper {
    fn look_after_limits(&self, looks: u64) {
        let limits = self.policies.borrow().limits.clone();
        if let Some(limits) = &limits
            && looks.is_multiple_of(SWEEP_LOOKS)
        {
            limits.sweep();
        }
        self.metrics.policy_limit_keys.store(limits.map_or(0, |limits| limits.keys() as u64), Relaxed);
    }

    async fn look_at_files(&mut self) {
        let now = contents(&self.config).await;
        if now != self.seen {
            self.seen = now;
            let loaded = self.load(self.jwks.clone()).await;
            self.enforce(loaded);
        }
    }

    /// Fetches the keys; false if that did not work.
    async fn fetch(&mut self, url: &str) -> bool {
        let body = match switchboard_policy::fetch(url).await {
            Ok(body) => body,
            Err(error) => {
                self.enforce(Err(switchboard_transport::chain(&error)));
                return false;
            }
        };
        if self.jwks.as_ref() == Some(&body) {
            return true;
        }
        let loaded = self.load(Some(body.clone())).await;
        if self.enforce(loaded) {
            self.jwks = Some(body);
            return true;
        }
        false
    }

    async fn load(&self, jwks: Option<String>) -> Result<PolicySnapshot, String> {
        let (config, before) = (self.config.clone(), self.policies.borrow().clone());
        let loaded = tokio::task::spawn_blocking(move || {
            let loaded = PolicySnapshot::load(&config, jwks.as_deref(), Some(&before));
            loaded.map_err(|error| switchboard_transport::chain(&error))
        });
        loaded.await.unwrap_or_else(|error| Err(error.to_string()))
    }

    /// Puts what was loaded in force; false if it cannot be used.
    fn enforce(&self, loaded: Result<PolicySnapshot, String>) -> bool {
        match loaded {
            Ok(snapshot) => {
                let snapshot = Arc::new(snapshot);
                for worker in &self.workers {
                    // One that has failed ends the router anyway.
                    let _failed = !worker.send(Update::Policy(snapshot.clone()));
                }
                self.policies.send_replace(snapshot);
                self.metrics.policy_reloads_total.fetch_add(1, Relaxed);
                info!("changed tokens, keys or rules are in force");
                true
            }
            Err(error) => {
                self.metrics.policy_reload_failures_total.fetch_add(1, Relaxed);
                warn!(error, "changed tokens, keys or rules cannot be used: the old ones stay in force");
                false
            }
        }
    }
}

async fn contents(config: &Arc<Config>) -> Contents {
    let config = config.clone();
    let read = tokio::task::spawn_blocking(move || {
        let keys = match &config.auth_jwt_keys {
            Some(KeySource::File(path)) => Some(path),
            Some(KeySource::Url(_)) | None => None,
        };
        let files = [config.auth_tokens.as_ref(), keys, config.policy.as_ref()];
        files.into_iter().flatten().map(|path| content(path)).collect()
    });
    read.await.unwrap_or_default()
}

fn content(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(MAX_COMPARED_BYTES).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}
