//! Follows one workflow's events: those that are kept, then each as it becomes durable, none twice and none left out.

use std::{collections::VecDeque, sync::Arc};

use workflow_machine::{Event, WorkflowId};
use workflow_store::{Store, StoreError, WorkflowId as StoreId};

use super::{
    Reach, StartError,
    hub::{Hub, Subscription},
    restore::event,
};

/// Events that are read at once: a screenful, and some 20 KB.
const READ_AT_ONCE: usize = 256;

/// Follows a workflow's events. It holds at most one reading of them, however far behind it is.
pub struct Watch {
    store: Arc<dyn Store>,
    id: StoreId,
    subscription: Subscription,
    /// Sequence of the last event that was given out.
    after: u64,
    buffered: VecDeque<Event>,
    /// The store has nothing behind `after` but what the subscription tells of.
    caught_up: bool,
}

/// Why a workflow's events cannot be followed from there.
#[derive(Debug, thiserror::Error)]
pub enum Gap {
    /// There is no such workflow.
    #[error("there is no such workflow")]
    NotFound,
    /// Nothing has that number yet.
    #[error("sequence {after} lies ahead: the newest event is {head}")]
    Future {
        /// What was asked for.
        after: u64,
        /// The newest.
        head: u64,
    },
    /// What followed is not kept any more.
    #[error("events behind sequence {after} are not kept any more: the oldest is {oldest}")]
    Expired {
        /// What was asked for.
        after: u64,
        /// The oldest.
        oldest: u64,
        /// The newest.
        head: u64,
    },
    /// The store cannot be read.
    #[error("the store cannot be read")]
    Unreadable(#[from] StartError),
}

impl From<StoreError> for Gap {
    fn from(error: StoreError) -> Self {
        Self::Unreadable(StartError::Store(error))
    }
}

impl Watch {
    pub(super) async fn begin(
        store: Arc<dyn Store>,
        hub: Arc<Hub>,
        reach: &Reach,
        id: WorkflowId,
        after: u64,
    ) -> Result<Self, Gap> {
        let stored = StoreId::new(id.as_str()).map_err(|_| Gap::NotFound)?;
        // Before the first reading: what comes between the two is told, and recognized by its number.
        let subscription = hub.subscribe(&id);
        let (summary, oldest) = blocking({
            let (store, id) = (store.clone(), stored.clone());
            move || Ok((store.summary(&id)?, store.events(&id, 0, 1)?.oldest))
        })
        .await?;
        let summary = summary.filter(|summary| reach.covers(&summary.owner)).ok_or(Gap::NotFound)?;
        let head = summary.last_seq;
        if after > head {
            return Err(Gap::Future { after, head });
        }
        if after + 1 < oldest {
            return Err(Gap::Expired { after, oldest, head });
        }
        let buffered = VecDeque::new();
        Ok(Self { store, id: stored, subscription, after, buffered, caught_up: false })
    }

    /// The next event. Pending for ever once the workflow has ended and nobody asks for another run; dropping the future
    /// loses nothing.
    ///
    /// # Errors
    /// If the store cannot be read, or the workflow was purged meanwhile ([`Gap::NotFound`]).
    pub async fn next(&mut self) -> Result<Event, Gap> {
        loop {
            if let Some(next) = self.buffered.pop_front() {
                self.after = next.seq;
                return Ok(next);
            }
            if !self.caught_up {
                self.read().await?;
                continue;
            }
            let head = self.subscription.head.borrow_and_update().clone();
            if head.seq <= self.after {
                // The sender lives as long as the subscription.
                let _ = self.subscription.head.changed().await;
                continue;
            }
            match head.recent.first() {
                Some(first) if first.seq <= self.after + 1 => {
                    let after = self.after;
                    self.buffered.extend(head.recent.iter().filter(|event| event.seq > after).cloned());
                }
                _ => self.caught_up = false,
            }
        }
    }

    /// Sequence of the last event that was given out.
    pub fn sequence(&self) -> u64 {
        self.after
    }

    async fn read(&mut self) -> Result<(), Gap> {
        let (store, id, after) = (self.store.clone(), self.id.clone(), self.after);
        let events = blocking(move || {
            let read = store.events(&id, after, READ_AT_ONCE)?;
            if read.items.is_empty() && store.summary(&id)?.is_none() {
                return Ok(None);
            }
            Ok(Some(read))
        })
        .await?
        .ok_or(Gap::NotFound)?;
        self.caught_up = events.items.len() < READ_AT_ONCE;
        for item in events.items {
            self.buffered.push_back(event(&self.id, &item)?);
        }
        Ok(())
    }
}

pub(super) async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Gap> {
    match tokio::task::spawn_blocking(read).await {
        Ok(read) => Ok(read?),
        Err(_) => Err(Gap::NotFound),
    }
}
