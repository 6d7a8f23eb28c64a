//! The engine over a store in memory and a scripted executor: one file per behaviour.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up its scene has failed")]

mod cancel;
mod dag;
mod idempotency;
mod lanes;
mod logs;
mod restart;
mod retention;
mod scale;
mod schedules;
mod signals;
mod stale;
mod store_failure;
mod support;
mod watch;
