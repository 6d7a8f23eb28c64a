//! Watches and single requests over real sockets, against a registry that misbehaves as scripted.
//!
//! The timing rules themselves are tested under a stopped clock in `src/watch/tests.rs`; here is what only a socket
//! shows: requests as they are sent, dead connections, foreign answers, and the number of connections.

#![expect(clippy::unwrap_used, reason = "a test that fails here has shown what it should")]

mod answers;
mod connections;
mod fake;
mod leaderless;
mod requests;
