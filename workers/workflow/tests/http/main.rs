//! The API over HTTP, on a real listener, over an engine whose attempts the test makes.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up its scene has failed")]

mod credentials;
mod events;
mod limits;
mod openapi;
mod origin;
mod process;
mod reach;
mod schedules;
mod shutdown;
mod socket;
mod support;
mod ui;
mod workflows;
