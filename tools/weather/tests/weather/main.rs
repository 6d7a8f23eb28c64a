//! The weather tool called directly, as a router calls it. One module per source of its numbers.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod climatology;
mod fixture;
mod upstream;
