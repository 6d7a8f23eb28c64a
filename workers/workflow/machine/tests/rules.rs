//! The rules of the state machine, one file each.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

#[path = "driver/driver.rs"]
mod driver;

#[path = "rules/attempts.rs"]
mod attempts;
#[path = "rules/graph.rs"]
mod graph;
