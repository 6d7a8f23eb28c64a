//! Whether routers may send a call a second time. It is registered with each instance; all should say the same, because a
//! router goes by the first healthy one.

use super::Backend;
use std::time::Duration;
use switchboard_registry::Hedge;

impl Backend {
    /// Declares that every call may be executed twice with no more effect than once. Routers then send a call again that
    /// failed with UNAVAILABLE or with its connection before its first message, within a budget. Methods that say so
    /// themselves (`idempotency_level` in the proto) need no declaration.
    pub fn idempotent(mut self) -> Self {
        self.description.idempotent = true;
        self
    }

    /// Has routers send slow calls to a second instance as well, and take the answer that comes first: when a call takes
    /// longer than 19 of 20 others. Only calls that are declared idempotent, by [`Backend::idempotent`] or by their
    /// method, and whose instance is not chosen by an affinity key; one second attempt, paid from the retry budget.
    pub fn hedge(mut self) -> Self {
        self.description.hedge = Some(Hedge::Tracked);
        self
    }

    /// As [`Backend::hedge`], but after a fixed time without an answer, above zero and at most 24 h.
    pub fn hedge_after(mut self, delay: Duration) -> Self {
        self.description.hedge = Some(Hedge::After(delay));
        self
    }
}
