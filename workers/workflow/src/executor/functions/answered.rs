//! Answers of workers, and which were taken: an answer that is repeated is taken again.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::Shared;
use crate::attempt::{AttemptId, Kept, Report, Untaken};

/// Answers that are remembered. A worker repeats one within seconds, if its connection broke.
const MAX_ANSWERED: usize = 10_000;

/// The answers that were taken last.
#[derive(Debug, Default)]
pub(super) struct Answered {
    answers: HashMap<AttemptId, Answer>,
    /// Oldest first.
    order: VecDeque<AttemptId>,
}

/// How an attempt was answered.
#[derive(Clone, Copy, Debug)]
struct Answer {
    completed: bool,
    taken: Kept,
}

impl Answered {
    fn remember(&mut self, id: &AttemptId, answer: Answer) {
        if self.answers.insert(id.clone(), answer).is_none() {
            self.order.push_back(id.clone());
        }
        if self.order.len() > MAX_ANSWERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.answers.remove(&oldest);
        }
    }

    fn again(&self, id: &AttemptId, completed: bool) -> Option<Kept> {
        self.answers.get(id).filter(|answer| answer.completed == completed).map(|answer| answer.taken)
    }
}

/// Reports an answer, waits until the engine has kept it, and settles the lease.
pub(super) async fn pass_on(shared: Arc<Shared>, id: AttemptId, report: Report) -> Result<Kept, Untaken> {
    let completed = matches!(report, Report::Completed { .. });
    if let Some(taken) = shared.table().answered.again(&id, completed) {
        return Ok(taken);
    }
    let answer = shared.reports.report(id.clone(), report).await;
    let mut table = shared.table();
    match &answer {
        Ok(taken) => {
            table.forget(&id);
            table.answered.remember(&id, Answer { completed, taken: *taken });
            let counter = if completed { &shared.metrics.completed } else { &shared.metrics.failed };
            counter.add(1);
        }
        Err(Untaken::Stale(_) | Untaken::NotRunning(_)) => {
            table.forget(&id);
            // The same answer may have come twice at once.
            if let Some(taken) = table.answered.again(&id, completed) {
                return Ok(taken);
            }
            shared.metrics.stale.add(1);
        }
        // The lease goes on: whoever answered may try again.
        Err(Untaken::Closed) => {}
    }
    answer
}
