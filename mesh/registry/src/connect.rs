//! Certificate, key and authorities from Consul's own CA, kept fresh while the process runs.
//!
//! ```text
//!  blocking read of the roots ──┐
//!                               ├──► Identity ──► who listens, who connects
//!  blocking read of the leaf  ──┘
//!     ▲ answered when Consul has renewed it; asked from the start again at half of its life, then once a minute
//! ```
//!
//! What cannot be read or used changes nothing: the last good identity stays, and is tried again with a back-off of 0.5 to
//! 30 s. During a change of the CA Consul names both roots, and the new leaf carries an intermediate certificate of
//! the old one: whoever has heard of the change trusts whoever has not, and the other way round.

mod intentions;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rand::SeedableRng;
use rand::rngs::StdRng;
use rustls::{ClientConfig, ServerConfig};
use switchboard_transport::{
    ClientAuth, Identity, Loaded, Watched, closed_server_config, closed_service_config,
};
use tokio::sync::watch;
use tokio::task::JoinSet;

pub use self::intentions::Intentions;
use crate::client::{Client, ConnectLeaf, ConnectRoots, Indexed};
use crate::error::Error;
use crate::watch::pace::{Backoff, Pace};
use switchboard_transport::chain;

/// Names the source in errors.
const SOURCE: &str = "Consul Connect";
/// After half of a certificate's life it is read without waiting this often, should the blocking read have missed it.
const ASK_AGAIN: Duration = Duration::from_secs(60);

/// Follows the identity of one service. Dropping the last clone ends it.
#[derive(Debug, Clone)]
pub struct ConnectSource {
    identity: watch::Receiver<Option<Arc<Identity>>>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Arc<State>,
    /// The readers, who end with this.
    _tasks: Mutex<JoinSet<()>>,
}

#[derive(Debug, Default)]
struct State {
    renewals: AtomicU64,
    failures: AtomicU64,
    last_error: Mutex<Option<Arc<str>>>,
}

impl ConnectSource {
    /// Begins to follow the identity of `service`. Must be called within a tokio runtime.
    ///
    /// Errors are retried for ever; [`ConnectSource::last_error`] has the last.
    pub fn start(client: Client, service: impl Into<String>) -> Self {
        let (service, state) = (service.into(), Arc::new(State::default()));
        let (sender, identity) = watch::channel(None);
        let (roots_sender, roots) = watch::channel(None);
        let (leaf_sender, leaf) = watch::channel(None);
        let mut tasks = JoinSet::new();
        let roots_client = client.clone();
        tasks.spawn(follow(
            async move |index| roots_client.connect_roots(index).await,
            |_| None,
            roots_sender,
            state.clone(),
        ));
        tasks.spawn(follow(
            async move |index| client.connect_leaf(&service, index).await,
            half_life,
            leaf_sender,
            state.clone(),
        ));
        tasks.spawn(combine(roots, leaf, sender, state.clone()));
        Self { identity, shared: Arc::new(Shared { state, _tasks: Mutex::new(tasks) }) }
    }

    /// Waits for the first identity. Never ends while Consul gives none. Cancel safe.
    pub async fn ready(&self) -> Arc<Identity> {
        let mut identity = self.identity.clone();
        loop {
            if let Some(found) = identity.borrow_and_update().clone() {
                return found;
            }
            if identity.changed().await.is_err() {
                // The tasks live as long as this handle.
                std::future::pending::<()>().await;
            }
        }
    }

    /// The identity of this moment; `None` before the first.
    pub fn latest(&self) -> Option<Arc<Identity>> {
        self.identity.borrow().clone()
    }

    /// Follows the identity.
    pub fn receiver(&self) -> watch::Receiver<Option<Arc<Identity>>> {
        self.identity.clone()
    }

    /// The configuration of a listener, always of the latest identity. Waits for the first.
    ///
    /// # Errors
    /// TLS refuses the first identity. Later ones that it refuses are logged and leave the last good one.
    pub async fn listener(
        &self,
        auth: ClientAuth,
    ) -> Result<Watched<Loaded<ServerConfig>>, switchboard_transport::Error> {
        let make = move |identity: &Identity| identity.server_config(auth);
        let first = loaded(&*self.ready().await, &make)?;
        Ok(self.follow_from(first, make))
    }

    /// As [`ConnectSource::listener`], for who does not wait: until the first identity every handshake fails. Must be
    /// called within a tokio runtime.
    pub fn listener_at_once(&self, auth: ClientAuth) -> Watched<Loaded<ServerConfig>> {
        let closed = Loaded { config: Arc::new(closed_server_config()), own: None };
        self.follow_from(closed, move |identity| identity.server_config(auth))
    }

    /// The configuration towards instances, always of the latest identity. Waits for the first.
    ///
    /// # Errors
    /// As [`ConnectSource::listener`].
    pub async fn towards_services(
        &self,
    ) -> Result<Watched<Loaded<ClientConfig>>, switchboard_transport::Error> {
        let first = loaded(&*self.ready().await, &Identity::service_config)?;
        Ok(self.follow_from(first, Identity::service_config))
    }

    /// As [`ConnectSource::towards_services`], for who does not wait: until the first identity every handshake fails. Must
    /// be called within a tokio runtime.
    pub fn towards_services_at_once(&self) -> Watched<Loaded<ClientConfig>> {
        let closed = Loaded { config: Arc::new(closed_service_config()), own: None };
        self.follow_from(closed, Identity::service_config)
    }

    /// Identities taken over so far.
    pub fn renewals(&self) -> u64 {
        self.shared.state.renewals.load(Ordering::Relaxed)
    }

    /// Reads that failed, and identities that could not be used.
    pub fn failures(&self) -> u64 {
        self.shared.state.failures.load(Ordering::Relaxed)
    }

    /// Why the last read failed; `None` while reads succeed.
    pub fn last_error(&self) -> Option<Arc<str>> {
        self.shared.state.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn follow_from<C: Send + Sync + 'static>(
        &self,
        first: Loaded<C>,
        make: impl Fn(&Identity) -> Result<C, switchboard_transport::Error> + Send + 'static,
    ) -> Watched<Loaded<C>> {
        let mut identities = self.identity.clone();
        // There may be one that is newer than the first.
        identities.mark_changed();
        let (sender, newest) = watch::channel(Arc::new(first));
        // The follower keeps the source alive for as long as somebody uses what it makes.
        let source = self.clone();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = sender.closed() => break,
                    changed = identities.changed() => if changed.is_err() { break },
                }
                let Some(identity) = identities.borrow_and_update().clone() else { continue };
                match loaded(&identity, &make) {
                    Ok(loaded) => drop(sender.send_replace(Arc::new(loaded))),
                    Err(error) => source.shared.state.failed(&chain(&error)),
                }
            }
            drop(source);
        });
        Watched::of(newest)
    }
}

fn loaded<C>(
    identity: &Identity,
    make: &impl Fn(&Identity) -> Result<C, switchboard_transport::Error>,
) -> Result<Loaded<C>, switchboard_transport::Error> {
    Ok(Loaded { config: Arc::new(make(identity)?), own: Some(identity.own().clone()) })
}

impl State {
    fn failed(&self, error: &str) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let mut last = self.last_error.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_deref() != Some(error) {
            tracing::warn!(error, "Consul Connect: no new certificate; the last one stays in use");
        }
        *last = Some(error.into());
    }

    fn succeeded(&self) {
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Reads for ever, each time from the index of the last answer. `due` says when a value is asked for without waiting.
async fn follow<T, F>(
    read: F,
    due: fn(&T) -> Option<SystemTime>,
    newest: watch::Sender<Option<Arc<T>>>,
    state: Arc<State>,
) where
    T: PartialEq,
    F: AsyncFn(u64) -> Result<Indexed<T>, Error>,
{
    let mut rng = StdRng::from_rng(&mut rand::rng());
    let (mut pace, mut backoff) = (Pace::new(), Backoff::new());
    let mut index = 0;
    loop {
        tokio::time::sleep_until(pace.reserve(tokio::time::Instant::now())).await;
        let due_at = newest.borrow().as_deref().and_then(due);
        let due_in = due_at.map(|at| at.duration_since(SystemTime::now()).unwrap_or(ASK_AGAIN));
        let answer = tokio::select! {
            answer = read(index) => answer,
            // Once its time has come, the question that waits is given up for one that does not.
            () = tokio::time::sleep(due_in.unwrap_or(Duration::MAX)), if index != 0 && due_in.is_some() => {
                index = 0;
                continue;
            }
        };
        match answer {
            Ok(read) => {
                backoff.reset();
                state.succeeded();
                // A lower index is another Consul's, or one that lost its state.
                index = if read.index < index { 0 } else { read.index.max(1) };
                newest.send_if_modified(|known| {
                    let changed = known.as_deref() != Some(&read.value);
                    if changed {
                        *known = Some(Arc::new(read.value));
                    }
                    changed
                });
            }
            Err(error) => {
                index = 0;
                state.failed(&chain(&error));
                tokio::time::sleep(backoff.next(error.is_answer(), &mut rng)).await;
            }
        }
    }
}

/// When a certificate should have been renewed.
fn half_life(leaf: &ConnectLeaf) -> Option<SystemTime> {
    let (from, until) = switchboard_transport::validity(&leaf.chain)?;
    Some(UNIX_EPOCH + Duration::from_secs(u64::try_from(from.midpoint(until)).ok()?))
}

/// Makes an identity whenever one of its parts is new.
async fn combine(
    mut roots: watch::Receiver<Option<Arc<ConnectRoots>>>,
    mut leaf: watch::Receiver<Option<Arc<ConnectLeaf>>>,
    sender: watch::Sender<Option<Arc<Identity>>>,
    state: Arc<State>,
) {
    loop {
        let (trusted, own) = (roots.borrow_and_update().clone(), leaf.borrow_and_update().clone());
        if let (Some(trusted), Some(own)) = (trusted, own) {
            match identity(&trusted, &own) {
                Ok(identity) => {
                    state.renewals.fetch_add(1, Ordering::Relaxed);
                    tracing::info!(
                        id = own.uri,
                        serial = identity.own().serial,
                        "Consul Connect: new certificate"
                    );
                    sender.send_replace(Some(Arc::new(identity)));
                }
                Err(error) => state.failed(&chain(&error)),
            }
        }
        let changed = tokio::select! {
            changed = roots.changed() => changed,
            changed = leaf.changed() => changed,
        };
        if changed.is_err() {
            return;
        }
    }
}

fn identity(roots: &ConnectRoots, leaf: &ConnectLeaf) -> Result<Identity, switchboard_transport::Error> {
    let authorities = roots.roots.iter().map(String::as_str);
    let identity =
        Identity::from_pem(SOURCE, &leaf.chain, leaf.key.expose(), authorities, Some(&roots.trust_domain))?;
    // A key that does not fit is found here, not by the first peer.
    identity.service_config()?;
    Ok(identity)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use switchboard_transport::authority::{Authority, Subject};

    #[tokio::test(start_paused = true)]
    async fn a_certificate_past_half_of_its_life_is_asked_for_again_though_the_waiting_read_is_silent() {
        let (sender, mut newest) = watch::channel(None);
        let asked = AtomicUsize::new(0);
        let read = async move |index| match index {
            0 => Ok(Indexed { value: asked.fetch_add(1, Ordering::Relaxed), index: 7 }),
            _ => std::future::pending().await,
        };
        let following = tokio::spawn(follow(read, |_| Some(UNIX_EPOCH), sender, Arc::default()));
        newest.wait_for(|value| value.as_deref() == Some(&3)).await.unwrap();
        following.abort();
    }

    #[test]
    fn half_of_a_life_is_found_in_the_certificate() {
        let authority = Authority::new("test", Duration::from_secs(7200)).unwrap();
        let now = SystemTime::now();
        let mut subject = Subject::new("x");
        (subject.not_before, subject.lifetime) = (now - Duration::from_secs(60), Duration::from_secs(3600));
        let issued = authority.issue(&subject).unwrap();
        let leaf =
            ConnectLeaf { chain: issued.cert, key: crate::Secret::new(issued.key), uri: String::new() };
        let left = half_life(&leaf).unwrap().duration_since(now).unwrap();
        assert!((1768..=1772).contains(&left.as_secs()), "{left:?}");
    }
}
