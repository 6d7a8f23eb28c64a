//! Keeps one instance registered. It registers, looks every 4 s whether the agent still knows it, and registers again.
//!
//! ```text
//!   Registering ── success ──► Registered ── own entry gone or different, new token ──► Registering
//!        └── error: back-off 500 ms -> 5 s, jitter
//! ```
//!
//! It does not check the instance's health: that is the registry's work.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::client::Client;
use crate::error::Error;
use crate::instance::{Instance, Registration};

/// A registry that lost its state has everything back within 10 s, see also the back-off below. Less than the 5 s for
/// which readers hold what vanished: one that comes back empty at once, before any request failed, is no outage.
const VERIFY_INTERVAL: Duration = Duration::from_secs(4);
/// A registry that does not answer may come back empty; readers hold what vanished back for 5 s only.
const VERIFY_AGAIN: Duration = Duration::from_secs(1);
const BACKOFF_FIRST: Duration = Duration::from_millis(500);
const BACKOFF_LAST: Duration = Duration::from_secs(5);
/// A backend that stops does not wait longer for a registry that is down; its check removes the instance.
const DEREGISTER_TIMEOUT: Duration = Duration::from_secs(5);

/// Says how far a lease has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeaseState {
    /// Not in the registry, as far as is known.
    Registering {
        /// Attempts that failed since it was last in the registry.
        failures: u32,
        /// The last attempt's error.
        error: Option<Arc<str>>,
    },
    /// In the registry when last looked.
    Registered,
}

/// Keeps an instance in the registry until it is dropped or deregistered.
///
/// Dropping it only stops the looking: the instance stays until the registry's check removes it.
#[derive(Debug)]
pub struct Lease {
    client: Client,
    id: String,
    state: watch::Receiver<LeaseState>,
    task: AbortHandle,
}

impl Lease {
    /// Begins to keep `registration`. Must be called within a tokio runtime.
    ///
    /// Errors are retried for ever, also refusals: each is logged, and [`Lease::state`] has the last.
    pub fn keep(client: Client, registration: Registration) -> Self {
        let (sender, state) = watch::channel(LeaseState::Registering { failures: 0, error: None });
        let id = registration.id.clone();
        let task = tokio::spawn(keep(client.clone(), registration, sender)).abort_handle();
        Self { client, id, state, task }
    }

    /// Gives the instance's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Gives a receiver of the state.
    pub fn state(&self) -> watch::Receiver<LeaseState> {
        self.state.clone()
    }

    /// Waits until the instance is registered. Cancel safe.
    pub async fn registered(&self) {
        // The task ends with the lease only, so that an error is impossible here.
        let _ = self.state.clone().wait_for(|state| *state == LeaseState::Registered).await;
    }

    /// Takes the instance out of the registry, within 5 s. Whatever happens, the lease is over.
    ///
    /// # Errors
    /// The registry cannot be reached or refuses; its check will remove the instance in time.
    pub async fn deregister(self) -> Result<(), Error> {
        self.task.abort();
        let after = DEREGISTER_TIMEOUT;
        match tokio::time::timeout(after, self.client.deregister(&self.id)).await {
            Ok(result) => result,
            Err(_) => Err(Error::Timeout {
                address: self.client.config().address.clone(),
                path: "/v1/agent/service/deregister".to_owned(),
                after,
            }),
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn keep(client: Client, registration: Registration, state: watch::Sender<LeaseState>) {
    let mut failures: u32 = 0;
    loop {
        let generation = client.token_generation();
        match client.register(&registration).await {
            Ok(()) => {
                failures = 0;
                tracing::info!(id = registration.id, service = registration.service, "registered");
                state.send_replace(LeaseState::Registered);
                if until_due(&client, &registration, generation).await == Due::Lost {
                    tracing::warn!(
                        id = registration.id,
                        "the registry lost this instance; registering again"
                    );
                    state.send_replace(LeaseState::Registering { failures: 0, error: None });
                }
            }
            Err(error) => {
                let most = BACKOFF_FIRST.saturating_mul(1 << failures.min(8)).min(BACKOFF_LAST);
                failures = failures.saturating_add(1);
                tracing::debug!(id = registration.id, failures, %error, "cannot register");
                let error = Some(error.to_string().into());
                state.send_replace(LeaseState::Registering { failures, error });
                tokio::time::sleep(most.mul_f64(rand::random())).await;
            }
        }
    }
}

/// Why an instance is registered again.
#[derive(Debug, PartialEq, Eq)]
enum Due {
    /// The agent does not know it as registered.
    Lost,
    /// The agent carries changes into the catalogue with the token that the instance was registered with. Once that is
    /// deleted, readers would no longer hear of them.
    NewToken,
}

/// Waits for a reason to register again. An agent that is down gives none.
async fn until_due(client: &Client, registration: &Registration, generation: u64) -> Due {
    let mut pause = VERIFY_INTERVAL;
    loop {
        tokio::time::sleep(pause).await;
        pause = VERIFY_INTERVAL;
        match client.agent_service(&registration.id).await {
            Ok(Some(found)) if is_ours(&found, registration) => {}
            Ok(_) => return Due::Lost,
            Err(error) => {
                tracing::debug!(id = registration.id, %error, "cannot verify the registration");
                pause = VERIFY_AGAIN;
            }
        }
        if client.token_generation() != generation {
            return Due::NewToken;
        }
    }
}

fn is_ours(found: &Instance, registration: &Registration) -> bool {
    found.service == registration.service
        && found.address == registration.address
        && found.port == registration.port
        && found.meta == registration.meta
}
