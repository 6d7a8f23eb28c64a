//! Cancellation. Once asked for, it is how the workflow ends.

use super::{Decision, end::InFlight};
use crate::{
    CancelRequested, EventKind, Refusal,
    apply::after,
    error::cut,
    limits::{MAX_TEXT_BYTES, STOP_GRACE_MS},
    unit::Undo,
    workflow::Phase,
};

impl Decision<'_> {
    pub(super) fn cancel(&mut self, force: bool, mut reason: String) -> Result<(), Refusal> {
        if self.workflow.phase == Phase::Cancelled {
            return Ok(());
        }
        self.living()?;
        if self.workflow.cancel.as_ref().is_some_and(|cancel| cancel.force || !force) {
            return Ok(());
        }
        cut(&mut reason, MAX_TEXT_BYTES);
        let grace_until = after(self.now, STOP_GRACE_MS);
        self.emit(EventKind::CancelRequested(CancelRequested { force, reason, grace_until }));
        match self.workflow.phase {
            Phase::AwaitingCompensation => self.end(),
            Phase::Compensating if force => {
                if let Some(id) = self.workflow.undoing() {
                    self.clear_timer(id);
                    if self.unit(id).undo == Undo::Running {
                        self.stop(id, 0);
                    }
                }
                self.end();
            }
            // What is being undone is undone to the end.
            Phase::Compensating => self.undo(),
            _ => {
                self.end_all(if force { InFlight::Force } else { InFlight::Stop });
                self.set_grace();
            }
        }
        Ok(())
    }
}
