//! Reads of the registry, remembered for seconds and never made twice at the same time.
//!
//! Lists, health and the search for gRPC services read through here, and the directory reads services afresh
//! through here, so that all of them share one memory and one bound on what the registry is asked. While the
//! registry cannot be asked the last answers stay in use (fail static), except in [`Reads::service_now`]. With a DNS
//! server to fall back to, services are then looked up there.

use super::{
    dns::{self, Dns},
    freshness::Freshness,
    instances::{Instances, Known},
    offers::{self, Offers},
    resolve::Resolver,
};
use crate::{config::Config, directory};
use futures_util::{StreamExt, stream};
use moka::{Expiry, future::Cache};
use std::{
    sync::{Arc, Mutex, PoisonError, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};
use switchboard_registry::{Client, ClientId, Error, Indexed, Instance, Kind, Query};
use tokio::{
    sync::Semaphore,
    time::{sleep, timeout},
};
use tracing::debug;

/// Names of all services in the catalogue, sorted.
pub(crate) type Names = Arc<[Arc<str>]>;

/// Names of the catalogue that are held, some 60 bytes each. Calls reach services beyond them as well.
const MAX_NAMES: usize = 200_000;
/// In a catalogue of that many names, what is near a name is searched on a thread of its own.
const MANY_NAMES: usize = 2_000;
/// Services that one list or search reads at the same time.
pub(crate) const SCAN_AT_ONCE: usize = 8;

/// How much earlier than DNS the HTTP API is asked: it knows more. A look-up waits for it that long at most.
const HEAD_START: Duration = Duration::from_secs(1);
/// The same while it fails: enough for an answer, should it be back.
const HEAD_START_FAILING: Duration = Duration::from_millis(50);

/// How often a router that starts looks whether DNS works.
const TRY_DNS: Duration = Duration::from_millis(500);
/// A service that every Consul has: itself.
const CONSUL: &str = "consul";

/// Why the registry could not be read, fit for a client's eyes. Details are in the log.
pub(crate) type Failed = Arc<str>;

/// Reads with a memory.
#[derive(Debug)]
pub(crate) struct Reads {
    client: Client,
    freshness: Arc<Freshness>,
    resolver: Resolver,
    dns: Option<Dns>,
    services: Cache<Arc<str>, Instances>,
    names: Cache<(), Names>,
    /// The last good answers, whatever their age.
    last_services: Cache<Arc<str>, Instances>,
    last_names: Mutex<Option<Names>>,
    /// The last search for offers, and when it began. The lock makes searches share one.
    offers: tokio::sync::Mutex<Option<(Instant, Arc<Offers>)>>,
    /// One search among many names at a time.
    searching: Semaphore,
    max_services: usize,
}

/// How long a service is remembered: one without a healthy instance may have one any moment.
struct Remembered {
    usual: Duration,
    unhealthy: Duration,
}

impl Expiry<Arc<str>, Instances> for Remembered {
    fn expire_after_create(&self, _: &Arc<str>, instances: &Instances, _: Instant) -> Option<Duration> {
        let healthy = instances.iter().any(|known| known.healthy().is_some());
        Some(if healthy { self.usual } else { self.unhealthy })
    }

    fn expire_after_update(
        &self,
        service: &Arc<str>,
        instances: &Instances,
        now: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        self.expire_after_create(service, instances, now)
    }
}

impl Reads {
    /// Creates an empty memory in front of `client`.
    pub(crate) fn new(client: Client, freshness: Arc<Freshness>, config: &Config) -> Self {
        let max_services = u64::try_from(config.max_services).unwrap_or(u64::MAX);
        Reads {
            client,
            freshness,
            resolver: Resolver::new(),
            dns: config.consul_dns.as_ref().map(|address| {
                Dns::new(address, &config.consul_dns_domain, config.registry.datacenter.as_deref())
            }),
            services: Cache::builder()
                .max_capacity(max_services)
                .expire_after(Remembered { usual: config.cache_ttl, unhealthy: config.negative_ttl })
                .build(),
            names: Cache::builder().max_capacity(1).time_to_live(config.negative_ttl).build(),
            last_services: Cache::builder().max_capacity(max_services).build(),
            last_names: Mutex::new(None),
            offers: tokio::sync::Mutex::new(None),
            searching: Semaphore::new(1),
            max_services: config.max_services,
        }
    }

    /// The registry's client, for what is not a read.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Whether services can be looked up by DNS while the HTTP API fails.
    pub(crate) fn has_dns(&self) -> bool {
        self.dns.is_some()
    }

    /// Finds out whether a router that starts while the HTTP API fails can look services up by DNS. Ends when either
    /// works.
    pub(crate) async fn try_dns(self: Arc<Self>) {
        let Some(dns) = &self.dns else { return };
        while !self.freshness.ready() {
            sleep(TRY_DNS).await;
            if self.freshness.failing() && dns.instances(CONSUL).await.is_ok_and(|found| !found.is_empty()) {
                self.freshness.dns_works();
            }
        }
    }

    /// When the registry last answered.
    pub(crate) fn freshness(&self) -> &Arc<Freshness> {
        &self.freshness
    }

    /// All instances of a service, at most `cache_ttl` old (`negative_ttl` if none is healthy). A service that
    /// the registry does not know has none.
    pub(crate) async fn service(&self, name: &Arc<str>) -> Result<Instances, Failed> {
        match self.services.try_get_with(name.clone(), self.ask(name)).await {
            Ok(instances) => Ok(instances),
            Err(reason) => self.last_services.get(name).await.ok_or_else(|| Failed::clone(&reason)),
        }
    }

    /// All instances of a service, asked for now.
    pub(crate) async fn service_now(&self, name: &Arc<str>) -> Result<Instances, Failed> {
        let instances = self.ask(name).await?;
        self.services.insert(name.clone(), instances.clone()).await;
        Ok(instances)
    }

    /// Takes over what a watch saw.
    pub(crate) async fn remember(&self, name: &Arc<str>, instances: &Instances) {
        self.services.insert(name.clone(), instances.clone()).await;
        self.last_services.insert(name.clone(), instances.clone()).await;
    }

    /// Takes over the names that the catalogue's watch saw.
    pub(crate) async fn remember_names(&self, names: &Names) {
        self.names.insert((), names.clone()).await;
        *self.last_names.lock().unwrap_or_else(PoisonError::into_inner) = Some(names.clone());
    }

    /// The names in the catalogue, at most `negative_ttl` old.
    pub(crate) async fn names(&self) -> Result<Names, Failed> {
        self.names.try_get_with((), self.ask_names()).await.or_else(|reason: Arc<Failed>| {
            let last = self.last_names.lock().unwrap_or_else(PoisonError::into_inner);
            last.clone().ok_or_else(|| Failed::clone(&reason))
        })
    }

    /// Which service offers which gRPC service, by a search of the catalogue that began after this call. Callers
    /// that wait for one another share a search, so that invented names cost one at a time.
    pub(crate) async fn offers_now(&self) -> Result<Arc<Offers>, Failed> {
        let asked = Instant::now();
        let mut last = self.offers.lock().await;
        if let Some((began, offers)) = &*last
            && *began >= asked
        {
            return Ok(offers.clone());
        }
        let began = Instant::now();
        let names = self.ask_names().await?;
        self.remember_names(&names).await;
        let names = offers::worth_reading(&names, self.max_services);
        let offers = Arc::new(Offers::of(&self.services_of(names).await?));
        *last = Some((began, offers.clone()));
        Ok(offers)
    }

    /// The client IDs of the catalogue that are near that of a service which nobody registered. `catalog` is what is
    /// known of it; it is read if that is nothing.
    pub(crate) async fn nearest(&self, service: &Arc<str>, catalog: Names) -> Arc<[String]> {
        let names = if catalog.is_empty() { self.names().await.unwrap_or_default() } else { catalog };
        if names.len() < MANY_NAMES {
            return directory::nearest(service, &names).into();
        }
        let _turn = self.searching.acquire().await;
        let service = service.clone();
        let found = tokio::task::spawn_blocking(move || directory::nearest(&service, &names)).await;
        found.unwrap_or_default().into()
    }

    /// The services of a kind, sorted.
    pub(crate) async fn names_of(&self, kind: Kind) -> Result<Vec<Arc<str>>, Failed> {
        let names = self.names().await?;
        let prefix = format!("{kind}-");
        let first = names.partition_point(|name| **name < *prefix);
        let of_kind = names[first..].iter().take_while(|name| name.starts_with(&prefix));
        Ok(of_kind.filter(|name| ClientId::from_service(name).is_some()).cloned().collect())
    }

    /// How many services one list may have read.
    pub(crate) fn max_services(&self) -> usize {
        self.max_services
    }

    /// These services in their order; a few are read at a time, and one that cannot be read fails all.
    pub(crate) async fn services_of(
        &self,
        names: Vec<Arc<str>>,
    ) -> Result<Vec<(Arc<str>, Instances)>, Failed> {
        let reads = names.into_iter().map(|name| async move {
            let instances = self.service(&name).await?;
            Ok((name, instances))
        });
        let answers: Vec<Result<_, Failed>> = stream::iter(reads).buffered(SCAN_AT_ONCE).collect().await;
        answers.into_iter().collect()
    }

    /// Resolves the addresses of what the registry answered, and sorts it by ID.
    pub(crate) async fn resolved(&self, instances: &[Instance]) -> Instances {
        let resolving = instances.iter().cloned().map(|instance| async move {
            let addr = self.resolver.resolve(&instance.address, instance.port).await;
            Known { instance, addr }
        });
        let mut known: Vec<Known> = stream::iter(resolving).buffered(SCAN_AT_ONCE).collect().await;
        known.sort_by(|a, b| (&a.instance.id, &a.instance.node).cmp(&(&b.instance.id, &b.instance.node)));
        known.into()
    }

    /// Notes the outcome of a request and turns its error into a reason.
    pub(crate) fn noted<T>(&self, answer: Result<T, Error>) -> Result<T, Failed> {
        match &answer {
            Ok(_) => self.freshness.answered(),
            Err(error @ Error::Hidden { .. }) => self.freshness.hides(&error.to_string()),
            Err(error) => self.freshness.failed(&switchboard_transport::chain(error)),
        }
        answer.map_err(|error| {
            debug!(error = switchboard_transport::chain(&error), "read of the registry failed");
            let reason = match error {
                Error::Timeout { .. } => "it did not answer in time",
                Error::Hidden { .. } => "its ACLs hide all services from the router's token",
                Error::Forbidden { .. } => "it refuses the router's token",
                Error::Handshake { .. } => "no TLS connection to it comes about",
                error if error.is_answer() => "it answered with an error",
                _ => "it cannot be reached",
            };
            reason.into()
        })
    }

    async fn ask_names(&self) -> Result<Names, Failed> {
        let answer = self.noted(self.client.services(&Query::default()).await)?;
        let names = sorted_names(answer.value.keys().map(String::as_str));
        *self.last_names.lock().unwrap_or_else(PoisonError::into_inner) = Some(names.clone());
        Ok(names)
    }

    async fn ask(&self, name: &Arc<str>) -> Result<Instances, Failed> {
        match &self.dns {
            None => self.take(name, self.client.health(name, &Query::default()).await).await,
            Some(dns) => self.ask_either(dns, name).await,
        }
    }

    /// Asks the HTTP API, and DNS if that is out of order or does not answer soon.
    ///
    /// An empty answer of DNS is no answer: it would mean that the service is unknown, or has no healthy instance,
    /// or is hidden by an ACL. What is known stays then, and what is not known stays so.
    async fn ask_either(&self, dns: &Dns, name: &Arc<str>) -> Result<Instances, Failed> {
        let last = self.last_services.get(name).await;
        let failing = self.freshness.failing();
        if failing && last.is_some() && !self.freshness.try_again() {
            return self.ask_dns(dns, name, last).await;
        }
        let query = Query::default();
        let http = self.client.health(name, &query);
        tokio::pin!(http);
        match timeout(if failing { HEAD_START_FAILING } else { HEAD_START }, &mut http).await {
            Ok(Err(error)) if is_outage(&error) => {
                let reason = self.noted::<()>(Err(error)).err();
                let found = self.ask_dns(dns, name, last).await;
                found.map_err(|by_dns| {
                    reason.map_or(by_dns.clone(), |http| format!("{http}, and {by_dns}").into())
                })
            }
            Ok(answer) => self.take(name, answer).await,
            Err(_) => {
                self.freshness.failed("it takes too long to answer");
                tokio::select! {
                    // An answer that is there counts for more than one that knows less.
                    biased;
                    answer = &mut http => self.take(name, answer).await,
                    // Without help from DNS the HTTP API gets all of its time.
                    Ok(found) = self.ask_dns(dns, name, last) => Ok(found),
                }
            }
        }
    }

    async fn ask_dns(
        &self,
        dns: &Dns,
        name: &Arc<str>,
        last: Option<Instances>,
    ) -> Result<Instances, Failed> {
        self.freshness.dns_lookups.fetch_add(1, Relaxed);
        let found = dns.instances(name).await.inspect_err(|_| {
            self.freshness.dns_failures.fetch_add(1, Relaxed);
        })?;
        if found.is_empty() {
            return Err("its DNS names no healthy instance, or its ACLs hide them".into());
        }
        self.freshness.answered_by_dns();
        // Always over the last answer of HTTP: what DNS adds is never kept.
        let merged = dns::merge(name, last.as_deref().unwrap_or_default(), &found);
        Ok(self.resolved(&merged).await)
    }

    /// Takes over an answer of the HTTP API.
    async fn take(
        &self,
        name: &Arc<str>,
        answer: Result<Indexed<Vec<Instance>>, Error>,
    ) -> Result<Instances, Failed> {
        let instances = self.resolved(&self.noted(answer)?.value).await;
        self.last_services.insert(name.clone(), instances.clone()).await;
        Ok(instances)
    }
}

/// Whether the HTTP API is out of order, rather than refusing this one request.
fn is_outage(error: &Error) -> bool {
    match error {
        Error::Unreachable { .. } | Error::Handshake { .. } | Error::Timeout { .. } => true,
        Error::Status { status, .. } => *status >= 500 || *status == 429,
        _ => false,
    }
}

/// The catalogue's names, which come sorted, as they are held.
pub(crate) fn sorted_names<'a>(names: impl Iterator<Item = &'a str>) -> Names {
    names.take(MAX_NAMES).map(Arc::from).collect()
}
