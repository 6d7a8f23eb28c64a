//! One thread that turns many commits into few syncs.
//!
//! What is submitted while a sync is under way is the next batch; nothing waits for a batch to fill. After the sync each commit's
//! continuation runs, in the order of submission, on the committer's thread:
//!
//! ```text
//! submit ──► queue (bounded) ──► batch ──► Store::commit ──► continuations, in order
//!                 ▲                                               │
//!                 └──── fills while the batch is synced ◄─────────┘
//! ```
//!
//! A commit without writes is a read that waits: its continuation runs behind those of everything submitted before it, and
//! if nothing of that is unwritten, without a sync.

use std::{
    collections::VecDeque,
    io, mem,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use thiserror::Error;

use crate::{Commit, Gauges, Store, StoreError};

/// How long the committer waits before it asks a full disk again. Purges that free space take longer.
const FULL_RETRY: Duration = Duration::from_millis(100);

/// What bounds a committer.
#[derive(Clone, Debug)]
pub struct CommitterSettings {
    /// Most bytes of one batch; a larger commit goes alone. 4 MiB: beyond it the sync takes longer, and nothing gets cheaper.
    pub max_batch_bytes: usize,
    /// Most commits of one batch. 2,048: it bounds how long the first waits for the last one's continuation.
    pub max_batch_commits: usize,
    /// Most bytes that wait. 64 MiB: a second of what a disk writes.
    pub max_queue_bytes: usize,
    /// Most commits that wait. 65,536: some seconds of submissions.
    pub max_queue_commits: usize,
}

impl Default for CommitterSettings {
    fn default() -> Self {
        Self {
            max_batch_bytes: 4 << 20,
            max_batch_commits: 2_048,
            max_queue_bytes: 64 << 20,
            max_queue_commits: 65_536,
        }
    }
}

/// The committer does not take commits any more; the continuation was dropped and never runs.
#[derive(Clone, Debug, Error)]
pub enum Refused {
    /// It was stopped.
    #[error("the committer was stopped")]
    Stopped,
    /// A commit failed in a way that nothing can follow.
    #[error("the committer stopped when a commit failed")]
    Failed(#[source] Arc<StoreError>),
}

/// The thread that commits. Dropping it lets it finish what was submitted, and waits for that.
pub struct Committer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

type Then = Box<dyn FnOnce(Result<(), Arc<StoreError>>) + Send>;

struct Shared {
    store: Arc<dyn Store>,
    settings: CommitterSettings,
    queue: Mutex<Queue>,
    /// Something to do for the committer.
    work: Condvar,
    /// Room for those who submit.
    room: Condvar,
    /// Submitted, and the continuation has not returned.
    outstanding: AtomicU64,
    gauges: Arc<Gauges>,
}

#[derive(Default)]
struct Queue {
    entries: VecDeque<Entry>,
    bytes: usize,
    /// The committer waits for work, so it has to be woken.
    idle: bool,
    closed: Option<Refused>,
}

struct Entry {
    commit: Commit,
    size: usize,
    then: Then,
}

impl Committer {
    /// Starts the thread `committer`.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(store: Arc<dyn Store>, settings: CommitterSettings) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            store,
            settings,
            queue: Mutex::default(),
            work: Condvar::new(),
            room: Condvar::new(),
            outstanding: AtomicU64::new(0),
            gauges: Arc::default(),
        });
        let thread = thread::Builder::new().name("committer".to_owned()).spawn({
            let shared = shared.clone();
            move || shared.run()
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Hands over a commit; `then` runs on the committer's thread when it is durable and visible, or has failed.
    ///
    /// `then` must not block, least of all on whoever submits: all others wait behind it. [`StoreError::Rejected`] concerns this
    /// commit alone. After an error for which [`StoreError::is_fatal`] holds, every commit that waits gets the same error.
    ///
    /// Blocks while the queue is full. A disk that is full fills the queue: ask [`Store::space`] before taking new work, and
    /// [`has_room`](Self::has_room) where blocking is no choice.
    ///
    /// # Errors
    /// [`Refused`] once the committer was stopped or has failed; `then` is dropped.
    pub fn submit(
        &self,
        commit: Commit,
        then: impl FnOnce(Result<(), Arc<StoreError>>) + Send + 'static,
    ) -> Result<(), Refused> {
        let shared = &*self.shared;
        let entry = Entry { size: commit.size(), commit, then: Box::new(then) };
        let mut queue = shared.lock();
        if shared.is_full(&queue) && queue.closed.is_none() {
            shared.gauges.blocked.fetch_add(1, Ordering::Relaxed);
            while shared.is_full(&queue) && queue.closed.is_none() {
                queue = shared.room.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
        }
        if let Some(refused) = &queue.closed {
            return Err(refused.clone());
        }
        shared.outstanding.fetch_add(1, Ordering::AcqRel);
        queue.bytes += entry.size;
        queue.entries.push_back(entry);
        shared.show(&queue);
        if mem::take(&mut queue.idle) {
            drop(queue);
            shared.work.notify_one();
        }
        Ok(())
    }

    /// Whether everything that was submitted has been answered: then a read needs not wait for anything.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.shared.outstanding.load(Ordering::Acquire) == 0
    }

    /// Whether [`submit`](Self::submit) would not block, as long as nobody else submits.
    #[must_use]
    pub fn has_room(&self) -> bool {
        !self.shared.is_full(&self.shared.lock())
    }

    /// What the committer counts; the counters outlive it.
    #[must_use]
    pub fn gauges(&self) -> &Arc<Gauges> {
        &self.shared.gauges
    }

    /// Commits what was submitted, runs the continuations and ends the thread. If the disk is full, what waits for it
    /// fails with [`StoreError::Full`].
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.shared.close(Refused::Stopped);
        if let Some(thread) = self.thread.take() {
            // A continuation that panicked has ended the thread, and was reported by the panic hook.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // The queue is whole between any two lines that hold it.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_full(&self, queue: &Queue) -> bool {
        queue.bytes >= self.settings.max_queue_bytes || queue.entries.len() >= self.settings.max_queue_commits
    }

    fn show(&self, queue: &Queue) {
        self.gauges.queue_commits.store(queue.entries.len() as u64, Ordering::Relaxed);
        self.gauges.queue_bytes.store(queue.bytes as u64, Ordering::Relaxed);
    }

    fn close(&self, refused: Refused) {
        let mut queue = self.lock();
        queue.closed.get_or_insert(refused);
        drop(queue);
        self.work.notify_all();
        self.room.notify_all();
    }

    fn run(&self) {
        let unwinding = Unwinding(self);
        while let Some(batch) = self.next() {
            if let Err(error) = self.write(batch) {
                self.close(Refused::Failed(error.clone()));
                while let Some(batch) = self.next() {
                    batch.into_iter().for_each(|entry| self.answer(entry.then, Err(error.clone())));
                }
            }
        }
        mem::forget(unwinding);
    }

    /// Takes the next batch; `None` once the committer was closed and everything is taken.
    fn next(&self) -> Option<Vec<Entry>> {
        let mut queue = self.lock();
        while queue.entries.is_empty() {
            if queue.closed.is_some() {
                return None;
            }
            queue.idle = true;
            queue = self.work.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        queue.idle = false;
        let (mut count, mut bytes) = (0, 0);
        for entry in queue.entries.iter().take(self.settings.max_batch_commits) {
            if count > 0 && bytes + entry.size > self.settings.max_batch_bytes {
                break;
            }
            bytes += entry.size;
            count += 1;
        }
        queue.bytes -= bytes;
        let batch = queue.entries.drain(..count).collect();
        self.show(&queue);
        drop(queue);
        self.room.notify_all();
        Some(batch)
    }

    /// Commits one batch and answers it; the error is the one that ends everything.
    fn write(&self, batch: Vec<Entry>) -> Result<(), Arc<StoreError>> {
        let mut batch = batch.into_iter().peekable();
        // What these wait for is durable already.
        while let Some(read) = batch.next_if(|entry| entry.commit.writes.is_empty()) {
            self.gauges.reads.fetch_add(1, Ordering::Relaxed);
            self.answer(read.then, Ok(()));
        }
        let mut bytes = 0;
        let (mut commits, thens): (Vec<_>, Vec<_>) = batch
            .map(|entry| {
                bytes += entry.size as u64;
                (entry.commit, entry.then)
            })
            .unzip();
        if commits.is_empty() {
            return Ok(());
        }
        let mut rejected: Vec<Option<Arc<StoreError>>> = vec![None; commits.len()];
        let reads = commits.iter().filter(|commit| commit.writes.is_empty()).count() as u64;
        let outcome = self.commit(&mut commits, &mut rejected);
        let refusals = rejected.iter().flatten().count() as u64;
        if outcome.is_ok() {
            let commits = commits.len() as u64 - reads;
            self.gauges.batches.fetch_add(1, Ordering::Relaxed);
            self.gauges.batch_commits.record(commits);
            self.gauges.commits.fetch_add(commits - refusals, Ordering::Relaxed);
            self.gauges.bytes.fetch_add(bytes, Ordering::Relaxed);
        }
        self.gauges.reads.fetch_add(reads, Ordering::Relaxed);
        self.gauges.rejected.fetch_add(refusals, Ordering::Relaxed);
        // Dropped before the answers, so that whoever gets one finds the memory free.
        drop(commits);
        for (then, rejected) in thens.into_iter().zip(rejected) {
            self.answer(then, rejected.map_or_else(|| outcome.clone(), Err));
        }
        match outcome {
            Err(error) if error.is_fatal() => Err(error),
            _ => Ok(()),
        }
    }

    /// Commits until it succeeds, or fails for another reason than one commit or a lack of space.
    fn commit(
        &self,
        commits: &mut [Commit],
        rejected: &mut [Option<Arc<StoreError>>],
    ) -> Result<(), Arc<StoreError>> {
        loop {
            let start = Instant::now();
            let error = match self.store.commit(commits) {
                Ok(()) => {
                    self.gauges.sync_us.record(start.elapsed().as_micros().try_into().unwrap_or(u64::MAX));
                    return Ok(());
                }
                Err(error) => error,
            };
            match error {
                StoreError::Rejected { commit, .. } if rejected.get(commit).is_some_and(Option::is_none) => {
                    commits[commit].writes.clear();
                    rejected[commit] = Some(Arc::new(error));
                }
                StoreError::Full { .. } => {
                    self.gauges.full.fetch_add(1, Ordering::Relaxed);
                    let queue = self.lock();
                    let waited =
                        self.work.wait_timeout_while(queue, FULL_RETRY, |queue| queue.closed.is_none());
                    let (queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
                    if queue.closed.is_some() {
                        return Err(Arc::new(error));
                    }
                }
                error => return Err(Arc::new(error)),
            }
        }
    }

    fn answer(&self, then: Then, outcome: Result<(), Arc<StoreError>>) {
        then(outcome);
        self.outstanding.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Closes the committer if its thread unwinds, so that nobody waits for it forever.
struct Unwinding<'a>(&'a Shared);

impl Drop for Unwinding<'_> {
    fn drop(&mut self) {
        self.0.close(Refused::Stopped);
        self.0.lock().entries.clear();
    }
}
