//! Waiting for the next change that a watch of the registry sees.
//!
//! Each wait is one task of the directory's author and ends in one event, which hands the watch back.

use super::Event;
use crate::control::{
    instances::Instances,
    reads::{Reads, sorted_names},
    resolve,
};
use std::{net::IpAddr, sync::Arc};
use switchboard_registry::{CatalogSnapshot, Instance, Snapshot, Stale, View, WatchHandle};
use tokio::{sync::watch, time::timeout};

/// The next change of one service.
pub(super) struct Service(watch::Receiver<Arc<Snapshot>>);

/// The next change of the catalogue's names.
pub(super) struct Catalog(watch::Receiver<Arc<CatalogSnapshot>>);

impl Service {
    pub(super) fn of(handle: &WatchHandle) -> Self {
        Service(handle.receiver())
    }

    /// Waits for a change, or until host names among the addresses have to be looked up again.
    pub(super) async fn changed(mut self, service: Arc<str>, watch: u64, reads: Arc<Reads>) -> Event {
        loop {
            let changed = timeout(resolve::KEPT, next(&mut self.0, &reads)).await.ok();
            let waited = changed.is_some();
            let snapshot = changed.unwrap_or_else(|| self.0.borrow().clone());
            let named = |one: &Instance| one.address.parse::<IpAddr>().is_err();
            if waited || (snapshot.index > 0 && snapshot.instances.iter().any(named)) {
                let instances: Instances = reads.resolved(&snapshot.instances).await;
                return Event::Watched { service, watch, next: self, snapshot, instances };
            }
        }
    }
}

impl Catalog {
    pub(super) fn of(handle: &WatchHandle<CatalogSnapshot>) -> Self {
        Catalog(handle.receiver())
    }

    /// Waits for a change.
    pub(super) async fn changed(mut self, reads: Arc<Reads>) -> Event {
        let snapshot = next(&mut self.0, &reads).await;
        let names = sorted_names(snapshot.services.keys().map(String::as_str));
        Event::Catalog { next: self, names }
    }
}

/// Waits until a watch publishes something that was read, and notes how the registry is. Cancel-safe.
async fn next<V: View>(receiver: &mut watch::Receiver<Arc<V>>, reads: &Reads) -> Arc<V> {
    loop {
        if receiver.changed().await.is_err() {
            // The watch lives as long as its receivers.
            std::future::pending::<()>().await;
        }
        let snapshot = receiver.borrow_and_update().clone();
        match snapshot.stale() {
            Some(Stale::Failed(error)) => reads.freshness().failed(error),
            Some(Stale::Hidden(error)) => reads.freshness().hides(error),
            Some(Stale::NeverRead) => {}
            Some(Stale::Emptied) | None => reads.freshness().answered(),
        }
        if snapshot.index() > 0 {
            return snapshot;
        }
    }
}
