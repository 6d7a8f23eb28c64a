//! Signed tokens: what is believed, and every way to forge one.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod algorithms;
mod claims;
mod forged;
mod issuer;
mod keys;
mod never_panics;
