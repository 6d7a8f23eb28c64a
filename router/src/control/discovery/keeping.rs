//! What the directory keeps, and for how long.

use super::{CHANGES_COALESCED, Discovery, entry::Change};
use std::{sync::Arc, time::Duration};
use tracing::info;

/// A watch ends when no call has used its service for this long.
const WATCH_UNUSED_MS: u64 = 10 * 60 * 1_000;
/// A service without a watch is forgotten when no call has used it for this long.
const CACHED_UNUSED_MS: u64 = 60 * 1_000;

impl Discovery {
    /// Ends what is not used, and emptiness that has lasted.
    pub(super) fn sweep(&mut self) {
        self.retired.retain(|directory| Arc::strong_count(directory) > 1);
        self.start_rescan();
        let now_ms = self.clock.now_ms();
        let unused: Vec<Arc<str>> = self
            .entries
            .iter()
            .filter(|(name, entry)| {
                // Calls that still run want to know whether their instance leaves.
                !entry.has_streams()
                    && is_unused(entry.service.usage.last_ms(), now_ms, self.watches.contains_key(*name))
            })
            .map(|(name, _)| name.clone())
            .collect();
        for name in unused {
            info!(service = %name, "not called any more, no longer followed");
            self.forget(&name);
        }
        let mut changed = false;
        for entry in self.entries.values_mut() {
            changed |= entry.settle(now_ms) == Change::Some;
        }
        for (name, watch) in self.watches.iter_mut().filter(|(_, watch)| watch.emptied) {
            if self.entries.get(name).is_some_and(|entry| entry.is_down(now_ms)) {
                watch.emptied = false;
                watch.handle.report_failure();
            }
        }
        if changed {
            self.publish_within(Duration::ZERO);
        }
    }

    /// Makes room for one more service: the one that was not called for the longest time goes.
    pub(super) fn make_room(&mut self) {
        while self.entries.len() >= self.config.max_services {
            let oldest = self.entries.iter().min_by_key(|(name, entry)| {
                (self.watches.contains_key(*name), entry.service.usage.last_ms())
            });
            match oldest.map(|(name, _)| name.clone()) {
                Some(name) => self.forget(&name),
                None => return,
            }
        }
    }

    fn forget(&mut self, service: &Arc<str>) {
        self.entries.remove(service);
        self.grpc.retain(|_, of| of != service);
        self.watches.remove(service);
        self.count_watches();
        self.publish_within(CHANGES_COALESCED);
    }
}

/// Whether a service that was called last at `last_ms` is no longer worth its place at `now_ms`.
fn is_unused(last_ms: u64, now_ms: u64, watched: bool) -> bool {
    let limit_ms = if watched { WATCH_UNUSED_MS } else { CACHED_UNUSED_MS };
    now_ms.saturating_sub(last_ms) > limit_ms
}

#[cfg(test)]
mod tests {
    use super::is_unused;

    #[test]
    fn a_watch_lasts_ten_minutes_without_a_call_and_a_cached_service_one() {
        assert!(!is_unused(1_000, 601_000, true) && is_unused(1_000, 601_001, true));
        assert!(!is_unused(1_000, 61_000, false) && is_unused(1_000, 61_001, false));
        assert!(!is_unused(5_000, 1_000, false), "a worker's clock reading may be newer");
    }
}
