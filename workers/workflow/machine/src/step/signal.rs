//! Signals: for tasks that wait for a name, and for attempts that run.

use bytes::Bytes;

use super::Decision;
use crate::{
    Action, EventKind, Refusal, SignalKind, SignalReceived, TaskCompleted, TaskError, TaskFailed,
    TaskSignalled, codes,
    limits::{MAX_KEPT_SIGNAL_BYTES, MAX_KEPT_SIGNALS, STOP_GRACE_MS},
    unit::{State, UnitId},
};

impl Decision<'_> {
    /// A signal for the workflow: the first task that waits for the name takes it, or it is kept.
    pub(super) fn signal(&mut self, name: String, payload: Bytes) -> Result<(), Refusal> {
        self.living()?;
        let waiting = &self.workflow.signals.waiting;
        // Items of task 0 come first of all.
        let from = (name.as_str().into(), UnitId::of(0, 0));
        let first = waiting.range(from..).next().filter(|(waited, _)| **waited == *name);
        let taker = first.map(|(_, id)| *id);
        let (kept, bytes) = (self.workflow.signals.kept.len(), self.workflow.signals.bytes);
        let too_many = kept >= MAX_KEPT_SIGNALS || bytes + name.len() + payload.len() > MAX_KEPT_SIGNAL_BYTES;
        if taker.is_none() && too_many {
            return Err(Refusal::TooManySignals { kept, bytes });
        }
        self.emit(EventKind::SignalReceived(SignalReceived { name, payload }));
        if let Some(id) = taker {
            self.clear_timer(id);
            let (task, epoch) = (self.workflow.name(id), self.unit(id).epoch);
            let signal = self.workflow.seq;
            let completed = TaskCompleted { task, epoch, result: Bytes::new(), signal };
            self.conclude(id, EventKind::TaskCompleted(completed));
        }
        Ok(())
    }

    /// A signal for the attempt of a task.
    pub(super) fn signal_task(
        &mut self,
        task: &str,
        kind: SignalKind,
        payload: Bytes,
        graceful: bool,
        timeout_ms: u64,
    ) -> Result<(), Refusal> {
        self.living()?;
        let id = self.known(task)?;
        let unit = self.unit(id);
        let (epoch, state, detail) = (unit.epoch, unit.state, unit.detail());
        let not_running = Refusal::NotRunning { task: task.to_owned(), detail };
        match kind {
            SignalKind::Collect if state == State::Running => {}
            SignalKind::Steer if state == State::Running => {
                let (task, payload) = (task.to_owned(), payload.clone());
                let signalled = TaskSignalled { task, epoch, kind: kind.into(), payload, stop_at: 0 };
                self.emit(EventKind::TaskSignalled(signalled));
            }
            SignalKind::Interrupt if state == State::Running && graceful => {
                let grace_ms = if timeout_ms > 0 { timeout_ms } else { STOP_GRACE_MS };
                self.interrupt(id, grace_ms, payload);
                return Ok(());
            }
            SignalKind::Interrupt if state.is_active() || matches!(state, State::Ready | State::Retrying) => {
                self.clear_timer(id);
                if state == State::Running || self.is_child(id) {
                    self.stop(id, if graceful { STOP_GRACE_MS } else { 0 });
                }
                let error = Some(TaskError::permanent(codes::INTERRUPTED, "interrupted by a signal"));
                let failed = TaskFailed { task: task.to_owned(), epoch, error };
                self.conclude(id, EventKind::TaskFailed(failed));
                return Ok(());
            }
            _ => return Err(not_running),
        }
        self.act(Action::Signal { task: task.to_owned(), epoch, kind, payload });
        Ok(())
    }
}
