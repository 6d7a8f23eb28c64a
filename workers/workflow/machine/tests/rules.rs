//! The rules of the state machine, one file each.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

#[path = "driver/driver.rs"]
mod driver;

#[path = "rules/attempts.rs"]
mod attempts;
#[path = "rules/cancel.rs"]
mod cancel;
#[path = "rules/failure.rs"]
mod failure;
#[path = "rules/for_each.rs"]
mod for_each;
#[path = "rules/graph.rs"]
mod graph;
#[path = "rules/history.rs"]
mod history;
#[path = "rules/retry.rs"]
mod retry;
#[path = "rules/saga.rs"]
mod saga;
#[path = "rules/signals.rs"]
mod signals;
#[path = "rules/submission.rs"]
mod submission;
#[path = "rules/templates.rs"]
mod templates;
#[path = "rules/waits.rs"]
mod waits;
