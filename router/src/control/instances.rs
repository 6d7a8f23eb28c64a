//! One service as the registry has it: its instances with their health and the addresses they resolve to.
//!
//! The form in which reads, directory, lists, health and the admin port share the registry's answers.

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

    /// What the instance says of itself.
    pub(crate) fn description(&self) -> Description {
        Description::decode(&self.instance.service, &self.instance.meta, &self.instance.tags)
    }
}

/// All instances of a service, sorted by ID.
pub(crate) type Instances = Arc<[Known]>;

/// Meta key of an instance's version.
const VERSION_KEY: &str = "version";
