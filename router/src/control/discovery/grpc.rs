//! Routing rule (c): the directory's index from gRPC services to the services that offer them.

use super::{CHANGES_COALESCED, Discovery, Event};
use crate::control::{
    instances::Instances,
    offers::Offers,
    reads::{Reads, Reason},
};
use std::sync::Arc;

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

    /// Starts one search for better offers, if any gRPC service is in use.
    pub(super) fn rescan(&mut self) {
        if !self.grpc.is_empty() && !self.rescanning {
            self.rescanning = true;
            let reads = self.reads.clone();
            self.tasks.spawn(async move { Event::Offers(reads.offers_now().await) });
        }
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
pub(super) async fn search(reads: &Reads, grpc: &str) -> Result<Option<(Arc<str>, Instances)>, Reason> {
    let offers = reads.offers_now().await?;
    match offers.service(grpc) {
        Some(service) => Ok(Some((service.clone(), reads.service(service).await?))),
        // Old answers do not prove that nobody offers it.
        None if !reads.freshness().reachable() => Err("it cannot be reached".into()),
        None => Ok(None),
    }
}
