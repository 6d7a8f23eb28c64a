//! Real processes for tests: Consul, HAProxy and any binary, each on its own ports and stopped on drop; and a workflow
//! engine that plays what a test wrote down, for those who call one.
//!
//! A dev-dependency only. Nothing here runs in production, so errors are `anyhow` texts for a person who
//! reads a failed test. Scripted HTTP/2 peers are not here: they stand beside the tests that need them.

mod binary;
mod consul;
pub mod engine;
mod eventually;
mod haproxy;
mod http;
mod port;
mod process;

pub use binary::workspace_root;
pub use consul::{Consul, LockedConsul, Token};
pub use eventually::eventually;
pub use haproxy::{Haproxy, ServerState};
pub use http::get;
pub use port::{free_port, free_ports};
pub use process::{Process, Signal};
