//! The gRPC services over an engine in this process, with a real server and a real client: one file per service.
//!
//! A test named `defect_<n>_…` shows that the n-th known defect of the origin is not one of ours.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up its scene has failed")]

mod admin;
mod batch;
mod control;
mod logs;
mod operator;
mod owners;
mod saga;
mod scene;
mod schedule;
mod signal;
mod slow;
mod watch;
mod workflow;
