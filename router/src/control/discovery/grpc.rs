//! Routing rule (c): the directory's index from gRPC services to the services that offer them.

use super::{CHANGES_COALESCED, Discovery, Event};
use crate::control::{
    instances::Instances,
    offers::Offers,
    reads::{Failed, Reads},
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// A search reads every service of the catalogue: after it the registry is left alone for this long per service, so
/// that a catalogue that always changes costs a thousand reads a second at most.
const PAUSE_PER_READ: Duration = Duration::from_millis(1);

/// When all offers are searched again.
#[derive(Debug, Default)]
pub(super) struct Rescan {
    wanted: bool,
    running: bool,
    not_before: Option<Instant>,
}

impl Discovery {
    /// Sends calls of a gRPC service to `service`.
    pub(super) fn map(&mut self, grpc: Arc<str>, service: &Arc<str>) {
        if self.grpc.len() >= self.config.max_services
            && let Some(any) = self.grpc.keys().next().cloned()
        {
            self.grpc.remove(&any);
        }
        self.grpc.insert(grpc, service.clone());
    }

    /// Has better offers searched for, if any gRPC service is in use.
    pub(super) fn rescan(&mut self) {
        self.rescan.wanted = true;
        self.start_rescan();
    }

    /// Starts the search that is wanted, once it may.
    pub(super) fn start_rescan(&mut self) {
        let early = self.rescan.not_before.is_some_and(|at| Instant::now() < at);
        if !self.rescan.wanted || self.rescan.running || early {
            return;
        }
        self.rescan.wanted = false;
        if !self.grpc.is_empty() {
            self.rescan.running = true;
            let reads = self.reads.clone();
            self.tasks.spawn(async move { Event::Offers(reads.offers_now().await) });
        }
    }

    /// A search has ended.
    pub(super) fn rescanned(&mut self) {
        self.rescan.running = false;
        let reads = self.catalog.len().min(self.config.max_services);
        let pause = PAUSE_PER_READ.saturating_mul(u32::try_from(reads).unwrap_or(u32::MAX));
        self.rescan.not_before = Some(Instant::now() + pause);
    }

    /// Forgets assignments that another service now deserves; the next call looks them up.
    pub(super) fn remap(&mut self, offers: &Offers) {
        let before = self.grpc.len();
        self.grpc.retain(|grpc, service| offers.service(grpc).is_none_or(|best| best == service));
        if self.grpc.len() != before {
            self.publish_within(CHANGES_COALESCED);
        }
    }
}

/// Finds the service that offers a gRPC service, with its instances.
pub(super) async fn search(reads: &Reads, grpc: &str) -> Result<Option<(Arc<str>, Instances)>, Failed> {
    let offers = reads.offers_now().await?;
    match offers.service(grpc) {
        Some(service) => Ok(Some((service.clone(), reads.service(service).await?))),
        // Old answers do not prove that nobody offers it.
        None if !reads.freshness().reachable() => Err("it cannot be reached".into()),
        None => Ok(None),
    }
}
