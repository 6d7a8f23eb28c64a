//! TLS between members of the mesh: who is let in, who is taken for whom, and what a change of files does.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod channel;
mod fixture;
mod handshake;
mod reload;
