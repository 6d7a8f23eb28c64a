//! The second source: SRV look-ups at Consul's DNS port, for services while the HTTP API cannot be asked.
//!
//! DNS says where healthy instances are, and nothing else: no meta (so no version, capacity, balance or gRPC
//! services), no unhealthy instances, no catalogue, and no difference between a name that is unknown, one whose
//! instances are all critical, and one that an ACL hides. [`merge`] therefore lays its answer over what HTTP said last.
//!
//! Questions go over TCP only: Consul cuts its UDP answers, and by default without saying so (`enable_truncate`). An
//! answer that does not fit TCP's 64 KiB either, some 600 instances, is an error, never a shorter table.

use super::{instances::Known, reads::Failed};
use hickory_resolver::{
    Resolver, TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolverConfig},
    net::{NetError, runtime::TokioRuntimeProvider},
    proto::rr::{Name, RData, Record, RecordType},
};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::IpAddr,
    time::Duration,
};
use switchboard_registry::{Instance, Registration, Status};
use tokio::{
    net::lookup_host,
    sync::{Mutex, Semaphore},
    time::timeout,
};
use tracing::debug;

/// Consul's DNS answers from memory; what takes longer than this is dead, and a call waits for it.
const PATIENCE: Duration = Duration::from_secs(2);
/// Questions at the same time, on one connection.
const AT_ONCE: usize = 16;
/// Longest label of a name, RFC 1035.
const MAX_LABEL: usize = 63;

/// Asks one DNS server. It remembers no answer.
#[derive(Debug)]
pub(crate) struct Dns {
    /// `host:port`.
    address: String,
    /// What follows a service's name: `.service.consul.`
    suffix: String,
    slots: Semaphore,
    /// Made anew, and the host looked up again, after a question that got no answer.
    resolver: Mutex<Option<TokioResolver>>,
}

/// One instance as DNS knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// IP address, or the host name that was registered.
    host: String,
    port: u16,
    weight: u16,
}

impl Dns {
    /// Takes the server's `host:port`, Consul's DNS domain, and the datacenter if it is not the agent's own.
    pub(crate) fn new(address: &str, domain: &str, datacenter: Option<&str>) -> Self {
        let datacenter = datacenter.map(|name| format!(".{name}")).unwrap_or_default();
        Dns {
            address: address.to_owned(),
            suffix: format!(".service{datacenter}.{}.", domain.trim_matches('.')),
            slots: Semaphore::new(AT_ONCE),
            resolver: Mutex::new(None),
        }
    }

    /// The healthy instances of a service; none if the server has no such name.
    ///
    /// # Errors
    /// The server did not answer in time, answered with an error, or with what is no answer; or the service's name is
    /// none that DNS can carry.
    pub(crate) async fn instances(&self, service: &str) -> Result<Vec<Found>, Failed> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if service.is_empty() || service.len() > MAX_LABEL || !service.bytes().all(fits) {
            return Err("its name cannot be asked for by DNS".into());
        }
        let name = Name::from_ascii(format!("{service}{}", self.suffix))
            .map_err(|error| format!("its name cannot be asked for by DNS: {error}"))?;
        let _slot = self.slots.acquire().await.expect("the semaphore is never closed");
        match timeout(PATIENCE, self.ask(&name)).await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(error)) => {
                self.forget().await;
                debug!(service, error, "DNS look-up failed");
                Err("its DNS answered with an error".into())
            }
            Err(_) => {
                self.forget().await;
                debug!(service, "DNS look-up had no answer");
                Err("its DNS did not answer in time".into())
            }
        }
    }

    async fn ask(&self, name: &Name) -> Result<Vec<Found>, String> {
        let resolver = self.connected().await?;
        match resolver.lookup(name.clone(), RecordType::SRV).await {
            Ok(answer) => Ok(read(name, answer.answers(), answer.additionals())),
            Err(error) if error.is_no_records_found() => Ok(Vec::new()),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn connected(&self) -> Result<TokioResolver, String> {
        let mut kept = self.resolver.lock().await;
        if let Some(resolver) = &*kept {
            return Ok(resolver.clone());
        }
        let mut found = lookup_host(&self.address).await.map_err(|error| error.to_string())?;
        let addr = found.next().ok_or("its host name has no address")?;
        let mut connection = ConnectionConfig::tcp();
        connection.port = addr.port();
        let server = NameServerConfig::new(addr.ip(), true, vec![connection]);
        let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
        let mut builder = Resolver::builder_with_config(config, TokioRuntimeProvider::default());
        let options = builder.options_mut();
        options.timeout = PATIENCE;
        options.cache_size = 0;
        options.max_active_requests = AT_ONCE;
        // SRV targets must not be taken for aliases.
        options.preserve_intermediates = true;
        let resolver = builder.build().map_err(|error: NetError| error.to_string())?;
        Ok(kept.insert(resolver).clone())
    }

    async fn forget(&self) {
        *self.resolver.lock().await = None;
    }
}

/// Reads the SRV records of `name`; addresses are in the additional section, or the target is a registered host name.
fn read(name: &Name, answers: &[Record], additionals: &[Record]) -> Vec<Found> {
    let mut addresses: HashMap<&Name, IpAddr> = HashMap::new();
    for record in additionals {
        let ip = match &record.data {
            RData::A(ip) => IpAddr::V4(ip.0),
            RData::AAAA(ip) => IpAddr::V6(ip.0),
            _ => continue,
        };
        addresses.entry(&record.name).or_insert(ip);
    }
    let (mut found, mut seen) = (Vec::new(), HashSet::new());
    for record in answers.iter().filter(|record| record.name == *name) {
        let RData::SRV(srv) = &record.data else { continue };
        let host = match addresses.get(&srv.target) {
            Some(ip) if ip.is_unspecified() || ip.is_multicast() => continue,
            Some(ip) => ip.to_string(),
            None => srv.target.to_ascii().trim_end_matches('.').to_owned(),
        };
        if srv.port != 0 && !host.is_empty() && seen.insert(place(&host, srv.port)) {
            found.push(Found { host, port: srv.port, weight: srv.weight.max(1) });
        }
    }
    found
}

/// Lays what DNS found over what HTTP said last.
///
/// An instance that both know keeps its registration; one that DNS does not list is critical or gone, and is not picked;
/// one that only DNS knows has no meta. A warning stays one: whether Consul lists such in DNS is a setting of Consul's.
pub(crate) fn merge(service: &str, last: &[Known], found: &[Found]) -> Vec<Instance> {
    let mut left: HashMap<_, &Found> =
        found.iter().map(|found| (place(&found.host, found.port), found)).collect();
    let mut instances: Vec<Instance> = last.iter().map(|known| known.instance.clone()).collect();
    for instance in &mut instances {
        let listed = left.remove(&place(&instance.address, instance.port)).is_some();
        instance.status = match (listed, instance.status) {
            (false, _) => Status::Critical,
            (true, Status::Warning) => Status::Warning,
            (true, _) => Status::Passing,
        };
    }
    instances.extend(left.into_values().map(|found| found.instance(service)));
    instances
}

/// Where an instance listens, in one spelling.
fn place(host: &str, port: u16) -> (String, u16) {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    let host = bare.parse().map_or_else(|_| host.to_ascii_lowercase(), |ip: IpAddr| ip.to_string());
    (host, port)
}

impl Found {
    fn instance(&self, service: &str) -> Instance {
        Instance {
            // DNS has none; the place makes one that stays the same from answer to answer.
            id: Registration::new(service, self.host.clone(), self.port).id,
            service: service.to_owned(),
            node: "(DNS)".to_owned(),
            address: self.host.clone(),
            port: self.port,
            tags: Vec::new(),
            meta: BTreeMap::new(),
            status: Status::Passing,
            weight: self.weight.into(),
            modify_index: 0,
            create_index: 0,
        }
    }
}

#[cfg(test)]
pub(super) mod fake;
#[cfg(test)]
mod tests;
