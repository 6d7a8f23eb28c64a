//! The registry as the mesh sees it: a small Consul client, watches, leases, and the names and meta of backends.
//!
//! | module | what it does |
//! |---|---|
//! | [`Config`] | where Consul is and how it is asked |
//! | [`Client`] | one request each: register, deregister, health, catalogue, leader |
//! | [`WatchHandle`] | keeps a [`Snapshot`] of one service, or of the catalogue, current |
//! | [`Lease`] | keeps one [`Registration`] in the registry |
//! | [`ConnectSource`], [`Intentions`] | certificates of Consul Connect, and who may connect to whom |
//! | [`ids`] | `echo-agent` is the service `agent-echo` |
//! | [`meta`] | descriptions of backends in Consul's meta |
//! | [`quantity`] | durations and sizes as people write them |
//! | [`embedded`] | the same HTTP API in this process, for development and tests |
//!
//! It speaks the HTTP API of Consul 1.8 and later. It balances nothing and caches nothing: a watch is the cache.

mod client;
mod config;
mod connect;
pub mod embedded;
mod error;
pub mod ids;
mod instance;
mod lease;
pub mod meta;
pub mod quantity;
mod watch;
mod wire;

pub use client::{Authorization, Client, ConnectLeaf, ConnectRoots, Indexed, Query};
pub use config::{Config, Secret};
pub use connect::{ConnectSource, Intentions};
pub use error::Error;
pub use ids::{ClientId, IdError, Kind};
pub use instance::{
    CHECK_INTERVAL, CHECK_TIMEOUT, Check, DEREGISTER_CRITICAL_AFTER, FAILURES_BEFORE_CRITICAL, Instance,
    Registration, SUCCESS_BEFORE_PASSING, Status,
};
pub use lease::{Lease, LeaseState};
pub use meta::{Description, Hedge, Limits, Parameter};
pub use watch::{CatalogSnapshot, Snapshot, Stale, View, WatchHandle};
