//! One service as the registry has it: its instances with their health and the addresses they resolve to.
//!
//! The form in which reads, directory, lists, health and the admin port share the registry's answers.

use crate::directory::{Hedge, Limits, Strategy};
use std::{net::SocketAddr, sync::Arc};
use switchboard_registry::{Description, Instance, Status};

/// One instance, healthy or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    /// As registered.
    pub(crate) instance: Instance,
    /// Where it listens, or why its address cannot be used.
    pub(crate) addr: Result<SocketAddr, Arc<str>>,
}

impl Known {
    /// The address, if the instance may be picked: passing (as Consul's own `?passing`, a warning is not enough)
    /// and resolved.
    pub(crate) fn healthy(&self) -> Option<SocketAddr> {
        match (&self.instance.status, &self.addr) {
            (Status::Passing, Ok(addr)) => Some(*addr),
            _ => None,
        }
    }

    /// Meta `version`, which `echo-agent@v2` selects.
    pub(crate) fn version(&self) -> Option<&str> {
        self.instance.meta.get(VERSION_KEY).map(String::as_str)
    }

    /// Meta `max_concurrency`; 0 = no limit.
    pub(crate) fn capacity(&self) -> u32 {
        self.number("max_concurrency").unwrap_or(0)
    }

    /// Meta `weight`, else the registry's; at least 1.
    pub(crate) fn weight(&self) -> u32 {
        self.number("weight").unwrap_or(self.instance.weight).clamp(1, MAX_WEIGHT)
    }

    /// Meta `balance`: how the service's instances are picked.
    pub(crate) fn strategy(&self) -> Strategy {
        self.instance.meta.get("balance").map_or(Strategy::P2c, |text| Strategy::parse(text))
    }

    /// Meta `idempotent`: whether a call may be sent twice.
    pub(crate) fn idempotent(&self) -> bool {
        self.instance.meta.get("idempotent").is_some_and(|text| text.trim() == "true")
    }

    /// What the service's calls are held to.
    pub(crate) fn limits(&self) -> Limits {
        Limits::decode(&self.instance.meta).0
    }

    /// Keys of the meta whose values the router cannot use: they count as unset.
    pub(crate) fn broken_meta(&self) -> Vec<&'static str> {
        let mut broken = Limits::decode(&self.instance.meta).1;
        let mut check = |key: &'static str, is_fine: fn(&str) -> bool| {
            if self.instance.meta.get(key).is_some_and(|text| !is_fine(text.trim())) {
                broken.push(key);
            }
        };
        check("max_concurrency", |text| text.parse::<u32>().is_ok());
        check("weight", |text| text.parse::<u32>().is_ok());
        check("balance", |text| text == "p2c" || Strategy::parse(text) != Strategy::P2c);
        check("idempotent", |text| ["true", "false"].contains(&text));
        check("hedge", |text| text == "false" || text == "off" || Hedge::decode(text).is_some());
        broken
    }

    /// Meta `hedge`: when a slow call is sent to a second instance as well.
    pub(crate) fn hedge(&self) -> Option<Hedge> {
        Hedge::decode(self.instance.meta.get("hedge")?)
    }

    fn number(&self, key: &str) -> Option<u32> {
        self.instance.meta.get(key)?.trim().parse().ok()
    }

    /// What the instance says of itself.
    pub(crate) fn description(&self) -> Description {
        Description::decode(&self.instance.service, &self.instance.meta, &self.instance.tags)
    }
}

/// All instances of a service, sorted by ID.
pub(crate) type Instances = Arc<[Known]>;

/// Largest weight, Consul's own bound for SRV records.
const MAX_WEIGHT: u32 = 65_535;
/// Meta key of an instance's version.
const VERSION_KEY: &str = "version";
