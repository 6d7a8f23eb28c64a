//! The same calls against the `h2` crate, in both roles, over an in-memory pipe: two implementations that were written
//! apart must agree.

mod our_client;
mod our_server;
mod pipe;
