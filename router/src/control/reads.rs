//! Reads of the registry, remembered for seconds and never made twice at the same time.
//!
//! Lists, health and the search for gRPC services read through here, and the directory reads services afresh
//! through here, so that all of them share one memory and one bound on what the registry is asked. While the
//! registry cannot be asked the last answers stay in use (fail static), except in [`Reads::service_now`].

use super::{freshness::Freshness, instances::{Instances, Known}, offers::Offers, resolve::Resolver};
use crate::config::Config;
use futures_util::{StreamExt, stream};
use moka::{Expiry, future::Cache};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use switchboard_registry::{Client, Error, Instance, Query};
use tracing::debug;

/// Names of all services in the catalogue, sorted.
pub(crate) type Names = Arc<[Arc<str>]>;

/// Services that one list or search reads at the same time.
pub(crate) const SCAN_AT_ONCE: usize = 8;

/// Why the registry could not be read, fit for a client's eyes. Details are in the log.
pub(crate) type Reason = Arc<str>;

/// Reads with a memory.
#[derive(Debug)]
pub(crate) struct Reads {
    client: Client,
    freshness: Arc<Freshness>,
    resolver: Resolver,
    services: Cache<Arc<str>, Instances>,
    names: Cache<(), Names>,
    /// The last good answers, whatever their age.
    last_services: Cache<Arc<str>, Instances>,
    last_names: Mutex<Option<Names>>,
    offers: Cache<(), Arc<Offers>>,
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
            services: Cache::builder()
                .max_capacity(max_services)
                .expire_after(Remembered { usual: config.cache_ttl, unhealthy: config.negative_ttl })
                .build(),
            names: Cache::builder().max_capacity(1).time_to_live(config.negative_ttl).build(),
            last_services: Cache::builder().max_capacity(max_services).build(),
            last_names: Mutex::new(None),
            offers: Cache::builder().max_capacity(1).time_to_live(config.negative_ttl).build(),
            max_services: config.max_services,
        }
    }

    /// The registry's client, for what is not a read.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// When the registry last answered.
    pub(crate) fn freshness(&self) -> &Arc<Freshness> {
        &self.freshness
    }

    /// All instances of a service, at most `cache_ttl` old (`negative_ttl` if none is healthy). A service that
    /// the registry does not know has none.
    pub(crate) async fn service(&self, name: &Arc<str>) -> Result<Instances, Reason> {
        match self.services.try_get_with(name.clone(), self.ask(name)).await {
            Ok(instances) => Ok(instances),
            Err(reason) => self.last_services.get(name).await.ok_or_else(|| Reason::clone(&reason)),
        }
    }

    /// All instances of a service, asked for now.
    pub(crate) async fn service_now(&self, name: &Arc<str>) -> Result<Instances, Reason> {
        let instances = self.ask(name).await?;
        self.services.insert(name.clone(), instances.clone()).await;
        Ok(instances)
    }

    /// Takes over what a watch saw.
    pub(crate) async fn remember(&self, name: &Arc<str>, instances: &Instances) {
        self.services.insert(name.clone(), instances.clone()).await;
        self.last_services.insert(name.clone(), instances.clone()).await;
    }

    /// The names in the catalogue, at most `negative_ttl` old.
    pub(crate) async fn names(&self) -> Result<Names, Reason> {
        let ask = async {
            let answer = self.client.services(&Query::default()).await;
            let names = sorted_names(self.noted(answer)?.value.into_keys(), self.max_services);
            *self.last_names.lock().unwrap_or_else(PoisonError::into_inner) = Some(names.clone());
            Ok(names)
        };
        self.names.try_get_with((), ask).await.or_else(|reason: Arc<Reason>| {
            let last = self.last_names.lock().unwrap_or_else(PoisonError::into_inner);
            last.clone().ok_or_else(|| Reason::clone(&reason))
        })
    }

    /// Which service offers which gRPC service, at most `negative_ttl` old. `fresh` forgets the last answer
    /// first.
    pub(crate) async fn offers(&self, fresh: bool) -> Result<Arc<Offers>, Reason> {
        if fresh {
            self.offers.invalidate(&()).await;
        }
        let ask = async {
            let services = self.services_named(|_| true).await?;
            Ok(Arc::new(Offers::of(&services)))
        };
        self.offers.try_get_with((), ask).await.map_err(|reason: Arc<Reason>| Reason::clone(&reason))
    }

    /// All services whose name passes the filter, sorted by name; a few are read at a time, and the first that
    /// cannot be read ends it.
    pub(crate) async fn services_named(
        &self,
        filter: impl Fn(&str) -> bool,
    ) -> Result<Vec<(Arc<str>, Instances)>, Reason> {
        let names = self.names().await?;
        let wanted: Vec<Arc<str>> = names.iter().filter(|name| filter(name)).cloned().collect();
        let reads = wanted.into_iter().map(|name| async move {
            let instances = self.service(&name).await?;
            Ok((name, instances))
        });
        let answers: Vec<Result<_, Reason>> = stream::iter(reads).buffered(SCAN_AT_ONCE).collect().await;
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
    pub(crate) fn noted<T>(&self, answer: Result<T, Error>) -> Result<T, Reason> {
        match &answer {
            Ok(_) => self.freshness.answered(),
            Err(error) => self.freshness.failed(&super::chain(error)),
        }
        answer.map_err(|error| {
            debug!(error = super::chain(&error), "read of the registry failed");
            let reason = match error {
                Error::Timeout { .. } => "it did not answer in time",
                error if error.is_answer() => "it answered with an error",
                _ => "it cannot be reached",
            };
            reason.into()
        })
    }

    async fn ask(&self, name: &Arc<str>) -> Result<Instances, Reason> {
        let answer = self.noted(self.client.health(name, &Query::default()).await)?;
        let instances = self.resolved(&answer.value).await;
        self.last_services.insert(name.clone(), instances.clone()).await;
        Ok(instances)
    }
}

/// The catalogue's names as the directory holds them: sorted, and no more than `max`.
pub(crate) fn sorted_names(names: impl Iterator<Item = String>, max: usize) -> Names {
    let mut names: Vec<Arc<str>> = names.map(Arc::from).collect();
    names.sort_unstable();
    names.truncate(max);
    names.into()
}
