//! What is read from files, and read anew when they change: certificates, tokens, policies.
//!
//! Files are compared by their content, not by their dates: a mounted secret is a link that is exchanged, and a date may
//! go backwards. A change is read only once the files have stayed the same for a moment, because a pair of certificate
//! and key is never written at one instant. What cannot be read changes nothing: the last good state stays.

use std::collections::hash_map::DefaultHasher;
use std::error::Error as StdError;
use std::fs::File;
use std::hash::{Hash, Hasher};
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tracing::{info, warn};

/// Between two looks at the files: a rotated certificate has minutes, and five small reads cost nothing.
pub const RELOAD_INTERVAL: Duration = Duration::from_secs(5);
/// How long changed files must stay the same before they are read.
const SETTLE: Duration = Duration::from_millis(500);
/// What of a file is compared. The largest bundles of authorities have a quarter of it.
const MAX_COMPARED_BYTES: u64 = 1 << 20;

/// The newest good state of something that files describe.
///
/// Clones share it. The watching ends by itself when the last clone and the last receiver are gone.
#[derive(Debug)]
pub struct Watched<T> {
    newest: watch::Receiver<Arc<T>>,
    look: Arc<Notify>,
    counts: Arc<Counts>,
}

impl<T> Clone for Watched<T> {
    fn clone(&self) -> Self {
        Self { newest: self.newest.clone(), look: self.look.clone(), counts: self.counts.clone() }
    }
}

#[derive(Debug, Default)]
struct Counts {
    reloads: AtomicU64,
    failures: AtomicU64,
}

impl<T: Send + Sync + 'static> Watched<T> {
    /// Loads once, and again whenever the content of one of `paths` changes. `what` names it in the log.
    ///
    /// The files are looked at every `interval` (normally [`RELOAD_INTERVAL`]), off the runtime's threads. Each change
    /// is one line in the log, whether it could be loaded or not. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// The first load's: there is no good state to keep then.
    pub fn start<E>(
        what: &'static str,
        paths: Vec<PathBuf>,
        interval: Duration,
        load: impl Fn() -> Result<T, E> + Send + Sync + 'static,
    ) -> Result<Self, E>
    where
        E: StdError + Send + 'static,
    {
        // Before the load: what changes between the two is then loaded once more, and not missed.
        let seen = fingerprint(&paths);
        let (sender, newest) = watch::channel(Arc::new(load()?));
        let watched = Self { newest, look: Arc::default(), counts: Arc::default() };
        let follower = Follower {
            what,
            paths: paths.into(),
            load: Arc::new(load),
            look: watched.look.clone(),
            counts: watched.counts.clone(),
        };
        tokio::spawn(follower.follow(sender, seen, interval));
        Ok(watched)
    }

    /// States that come from elsewhere than files, for example from Consul's certificate authority.
    pub fn of(newest: watch::Receiver<Arc<T>>) -> Self {
        Self { newest, look: Arc::default(), counts: Arc::default() }
    }

    /// The newest good state.
    pub fn newest(&self) -> Arc<T> {
        self.newest.borrow().clone()
    }

    /// Follows the states. The newest counts as seen.
    pub fn receiver(&self) -> watch::Receiver<Arc<T>> {
        let mut receiver = self.newest.clone();
        receiver.mark_unchanged();
        receiver
    }

    /// Looks at the files now, for example after SIGHUP: who sends it has finished writing.
    pub fn trigger(&self) {
        self.look.notify_one();
    }

    /// How many changes were loaded.
    pub fn reloads(&self) -> u64 {
        self.counts.reloads.load(Ordering::Relaxed)
    }

    /// How many changes could not be loaded. It counts states of the files, not looks at them.
    pub fn failures(&self) -> u64 {
        self.counts.failures.load(Ordering::Relaxed)
    }
}

struct Follower<F> {
    what: &'static str,
    paths: Arc<[PathBuf]>,
    load: Arc<F>,
    look: Arc<Notify>,
    counts: Arc<Counts>,
}

impl<F> Follower<F> {
    async fn follow<T, E>(self, sender: watch::Sender<Arc<T>>, mut seen: u64, interval: Duration)
    where
        F: Fn() -> Result<T, E> + Send + Sync + 'static,
        T: Send + Sync + 'static,
        E: StdError + Send + 'static,
    {
        let settle = SETTLE.min(interval);
        // Has a change been noticed that has not stayed for a moment yet?
        let mut unsettled = None;
        loop {
            let wait = if unsettled.is_some() { settle } else { interval };
            let asked = tokio::select! {
                () = sender.closed() => return,
                () = self.look.notified() => true,
                () = tokio::time::sleep(wait) => false,
            };
            let Some(now) = self.off_the_runtime(|(paths, _)| fingerprint(&paths)).await else { return };
            if now == seen {
                unsettled = None;
                continue;
            }
            if !asked && unsettled != Some(now) {
                unsettled = Some(now);
                continue;
            }
            (seen, unsettled) = (now, None);
            match self.off_the_runtime(|(_, load)| load()).await {
                Some(Ok(state)) => {
                    self.counts.reloads.fetch_add(1, Ordering::Relaxed);
                    info!("{}: changed, and loaded anew", self.what);
                    sender.send_replace(Arc::new(state));
                }
                Some(Err(error)) => {
                    self.counts.failures.fetch_add(1, Ordering::Relaxed);
                    warn!(
                        error = crate::chain(&error),
                        "{}: changed, but cannot be used; the former state stays in force", self.what
                    );
                }
                None => return,
            }
        }
    }

    /// Reads files where that may block. `None` when the runtime ends.
    async fn off_the_runtime<R: Send + 'static>(
        &self,
        read: impl FnOnce((Arc<[PathBuf]>, Arc<F>)) -> R + Send + 'static,
    ) -> Option<R>
    where
        F: Send + Sync + 'static,
    {
        let parts = (self.paths.clone(), self.load.clone());
        tokio::task::spawn_blocking(move || read(parts)).await.ok()
    }
}

/// Tells two contents of the files apart. A file that cannot be read is a content of its own.
fn fingerprint(paths: &[PathBuf]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for path in paths {
        let mut bytes = Vec::new();
        let read = File::open(path).and_then(|file| file.take(MAX_COMPARED_BYTES).read_to_end(&mut bytes));
        read.map_err(|error| error.kind()).hash(&mut hasher);
        bytes.hash(&mut hasher);
    }
    hasher.finish()
}
