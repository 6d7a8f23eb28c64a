//! One workflow's log: keeps its lines, and follows them, first those that are kept, then each as it becomes durable.

use std::sync::Arc;

use prost::Message;
use workflow_machine::{Millis, WorkflowId};
use workflow_store::{Store, WorkflowId as StoreId, Write};

use super::{
    Reach,
    hub::{Hub, Subscription},
    run::Loop,
    turn::{Effect, Turn},
    watch::{Gap, blocking},
};
use crate::{
    attempt::{AttemptId, Untaken},
    log::Line,
};

/// Follows a workflow's log. It holds at most one reading; lines that the store lets go meanwhile are counted as dropped.
pub struct LogWatch {
    store: Arc<dyn Store>,
    id: StoreId,
    subscription: Subscription,
    /// Number of the last line that was given out.
    after: u64,
}

/// Some lines of a log, in order.
#[derive(Debug, Default)]
pub struct LogLines {
    /// Lines before them that are not kept any more.
    pub dropped: u64,
    /// The lines.
    pub lines: Vec<Line>,
}

impl LogWatch {
    pub(super) async fn begin(
        store: Arc<dyn Store>,
        hub: Arc<Hub>,
        reach: &Reach,
        id: WorkflowId,
        after: u64,
    ) -> Result<Self, Gap> {
        let stored = StoreId::new(id.as_str()).map_err(|_| Gap::NotFound)?;
        // Before the first reading, as for events.
        let subscription = hub.subscribe(&id);
        let known = blocking({
            let (store, id) = (store.clone(), stored.clone());
            move || store.summary(&id)
        });
        known.await?.filter(|summary| reach.covers(&summary.owner)).ok_or(Gap::NotFound)?;
        Ok(Self { store, id: stored, subscription, after })
    }

    /// At most `limit` lines that are kept behind those given out; none if there are none. Dropping the future loses nothing.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn kept(&mut self, limit: usize) -> Result<LogLines, Gap> {
        let (store, id, after) = (self.store.clone(), self.id.clone(), self.after);
        let items = blocking(move || store.logs(&id, after, limit)).await?.items;
        let Some((first, last)) = items.first().zip(items.last()) else { return Ok(LogLines::default()) };
        let dropped = first.seq - after - 1;
        self.after = last.seq;
        // A line that cannot be read is no reason to withhold the others.
        let lines = items.iter().filter_map(|item| Line::decode(item.data.clone()).ok()).collect();
        Ok(LogLines { dropped, lines })
    }

    /// Done when there may be lines behind those given out. Cancel safe.
    pub async fn changed(&mut self) {
        while self.subscription.head.borrow_and_update().log <= self.after {
            // The sender lives as long as the subscription.
            if self.subscription.head.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

impl Loop {
    /// Keeps a log line of an attempt that counts.
    pub(super) fn log(
        &mut self,
        turn: &mut Turn,
        attempt: &AttemptId,
        at: Millis,
        level: u8,
        message: String,
        fields: Vec<(String, String)>,
    ) -> Result<(), Untaken> {
        let Some(live) = self.live.get_mut(&attempt.workflow) else {
            return Err(Untaken::NotRunning(attempt.workflow.clone()));
        };
        let number = match live.log {
            Some(number) => number,
            None => self.store.logs(&live.id, u64::MAX, 1).map_err(|_| Untaken::Closed)?.newest,
        } + 1;
        live.log = Some(number);
        let line = Line {
            at,
            level: level.into(),
            task: attempt.task.clone(),
            message,
            fields: fields.into_iter().collect(),
        };
        turn.writes.push(Write::Log { id: live.id.clone(), seq: number, data: line.encode_to_vec().into() });
        turn.effects.push(Effect::PublishLog(attempt.workflow.clone(), number));
        Ok(())
    }
}
