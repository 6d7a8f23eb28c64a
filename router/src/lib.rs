//! The Switchboard router: one address for every agent, tool and worker.
//!
//! The steps of a call, in the order in which it passes them (`ARCHITECTURE.md` tells the same as a story):
//!
//! | step | file | does |
//! |---|---|---|
//! | 1 | `worker` | one event loop per thread: sockets, timers, wake-ups |
//! | 2 | `downstream` | a client's connection: HTTP/2 as server, drain |
//! | 3 | `call` | one call as a state machine |
//! | 4 | `policy` | who calls, whether it may, whether it may now |
//! | 5 | `route`, `peek` | method, header and first message -> client ID -> service |
//! | 6 | `directory` | immutable snapshot of services and instances |
//! | 7 | `balance` | picks an instance |
//! | 8 | `upstream` | an instance's connections: HTTP/2 as client, retry |
//! | 9 | `observe` | counts |
//!
//! `plane` holds steps 2 to 8 together without sockets, `link` is the way to `control`, the part that may wait:
//! discovery, the router's own services, the admin port. `error` makes every status. `app` starts and ends it all.
//! `steps` is there with the feature of that name only: the hot steps for benches.

pub mod app;
pub mod balance;
mod call;
pub mod config;
mod control;
pub mod directory;
mod downstream;
pub mod error;
mod keepalive;
pub mod link;
pub mod observe;
mod peek;
mod plane;
pub mod policy;
pub mod route;
#[cfg(feature = "steps")]
pub mod steps;
mod timers;
mod upstream;
pub mod worker;

pub use app::App;
pub use config::Config;
