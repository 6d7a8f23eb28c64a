//! What the registry knows: instances, and registrations of them. Data only; `wire` brings it into Consul's JSON.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Between two checks of an instance.
pub const CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// After which a check counts as failed.
pub const CHECK_TIMEOUT: Duration = Duration::from_secs(1);
/// A check that fails once in ten must not move the table.
pub const FAILURES_BEFORE_CRITICAL: u32 = 3;
/// One good answer is enough to be called again; the router's slow start limits the harm if it was luck.
pub const SUCCESS_BEFORE_PASSING: u32 = 1;
/// Consul's own minimum: lower values are raised to it.
pub const DEREGISTER_CRITICAL_AFTER: Duration = Duration::from_secs(60);

/// Ranks the health of an instance as Consul does: the worst of its checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Status {
    /// Every check passes.
    Passing,
    /// A check warns; not returned by a read for passing instances.
    Warning,
    /// A check fails, or the instance or its node is in maintenance.
    Critical,
}

impl Status {
    /// Gives Consul's own word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Status::Passing => "passing",
            Status::Warning => "warning",
            Status::Critical => "critical",
        }
    }

    /// Reads Consul's word; anything unknown (`maintenance`, words of later versions) is critical.
    pub(crate) fn read(text: &str) -> Self {
        match text {
            "passing" => Status::Passing,
            "warning" => Status::Warning,
            _ => Status::Critical,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Describes one instance of a service, as the registry has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Unique on its node: `agent-echo-<host>-<port>`.
    pub id: String,
    /// Name of the service.
    pub service: String,
    /// Name of the Consul node that checks it.
    pub node: String,
    /// IP address or host name; the node's if the service has none of its own.
    pub address: String,
    /// Port, never 0.
    pub port: u16,
    /// Tags, in the order of the registration.
    pub tags: Vec<String>,
    /// Meta, see [`crate::meta`].
    pub meta: BTreeMap<String, String>,
    /// The worst of its checks.
    pub status: Status,
    /// Weight for its present status, 1 if not set.
    pub weight: u32,
    /// Raft index of the last change.
    pub modify_index: u64,
    /// Raft index of its registration.
    pub create_index: u64,
}

impl Instance {
    /// Gives `address:port`, with an IPv6 address in brackets.
    pub fn endpoint(&self) -> String {
        host_port(&self.address, self.port)
    }
}

/// Joins a host and a port, with an IPv6 address in brackets.
pub(crate) fn host_port(host: &str, port: u16) -> String {
    if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// Says how the registry finds out whether an instance works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// Asks `grpc.health.v1.Health/Check`.
    Grpc {
        /// `host:port`, or `host:port/service` to ask for one service's health.
        target: String,
        /// Between two checks.
        interval: Duration,
        /// After which a check has failed.
        timeout: Duration,
        /// Whether the check speaks TLS. It believes any certificate: it proves that the instance lives, not who it is.
        tls: bool,
    },
    /// Opens a TCP connection.
    Tcp {
        /// `host:port`.
        target: String,
        /// Between two checks.
        interval: Duration,
        /// After which a check has failed.
        timeout: Duration,
    },
    /// Nothing is checked: the instance passes until it is deregistered.
    None,
}

impl Check {
    /// Makes the mesh's standard gRPC check of `host:port`: every 5 s, failed after 1 s, without TLS.
    pub fn grpc(target: impl Into<String>) -> Self {
        Check::Grpc { target: target.into(), interval: CHECK_INTERVAL, timeout: CHECK_TIMEOUT, tls: false }
    }

    /// Makes the standard gRPC check of a port that speaks TLS: every 5 s, failed after 1 s, any certificate is believed.
    pub fn grpcs(target: impl Into<String>) -> Self {
        Check::Grpc { target: target.into(), interval: CHECK_INTERVAL, timeout: CHECK_TIMEOUT, tls: true }
    }

    /// Makes the standard TCP check of `host:port`: every 5 s, failed after 1 s.
    pub fn tcp(target: impl Into<String>) -> Self {
        Check::Tcp { target: target.into(), interval: CHECK_INTERVAL, timeout: CHECK_TIMEOUT }
    }
}

/// Describes an instance that is to be registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// Unique on the node; [`Registration::new`] makes it of the service, address and port.
    pub id: String,
    /// Name of the service.
    pub service: String,
    /// IP address or host name at which the router reaches the instance.
    pub address: String,
    /// Port, not 0.
    pub port: u16,
    /// Tags.
    pub tags: Vec<String>,
    /// Meta, see [`crate::meta`].
    pub meta: BTreeMap<String, String>,
    /// How its health is found out.
    pub check: Check,
    /// Whether it counts as passing until its first check says otherwise.
    ///
    /// Consul spreads first checks over a whole interval, so that an instance would stay unreachable for up to 5 s.
    /// True is right for one who registers only once it serves, as a backend of the mesh does.
    pub starts_passing: bool,
    /// How long a critical instance stays in the catalogue; `None` keeps it for ever.
    pub deregister_critical_after: Option<Duration>,
}

impl Registration {
    /// Makes a registration with the mesh's defaults: the standard gRPC check of the address, passing from the start,
    /// removed after 60 s of being critical, no tags and no meta.
    pub fn new(service: impl Into<String>, address: impl Into<String>, port: u16) -> Self {
        let (service, address) = (service.into(), address.into());
        Self {
            // ':' of an IPv6 address would be legal, but is ugly in URLs and in DNS.
            id: format!("{service}-{}-{port}", address.replace([':', '[', ']'], "-")),
            check: Check::grpc(host_port(&address, port)),
            service,
            address,
            port,
            tags: Vec::new(),
            meta: BTreeMap::new(),
            starts_passing: true,
            deregister_critical_after: Some(DEREGISTER_CRITICAL_AFTER),
        }
    }
}
