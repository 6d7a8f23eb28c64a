//! The whole process, as a supervisor and its clients see it: killed, asked to stop, without room on its disk.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up its scene has failed")]

mod engine;
mod full_disk;
mod keys;
mod kills;
mod stops;
