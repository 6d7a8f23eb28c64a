//! `/metrics`: the data plane's figures, and those of the directory and the registry.

use super::Shown;
use std::{
    fmt::Write,
    sync::{Arc, atomic::Ordering::Relaxed},
};

/// Instances with a label of their own; further ones are in no figure but their service's.
const MAX_INSTANCES: usize = 1_000;

/// Renders everything in the Prometheus text format.
pub(super) fn render(shown: &Shown) -> String {
    let mut out = String::new();
    shown.metrics.render(&mut out);
    let view = shown.view.borrow().clone();
    let services = &view.directory.services;
    let healthy: usize = services.values().map(|service| service.endpoints.len()).sum();
    let known: usize = services.values().map(|service| service.known).sum();
    let counters = &shown.counters;
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Relaxed).to_string();
    for (name, kind, help, value) in [
        (
            "registry_stale_seconds",
            "gauge",
            "Age of what is known while the registry cannot be asked, else 0",
            shown.freshness.stale_seconds().to_string(),
        ),
        (
            "registry_reachable",
            "gauge",
            "Whether the last request to the registry had an answer",
            u8::from(shown.freshness.reachable()).to_string(),
        ),
        ("registry_watches", "gauge", "Services followed by a watch", count(&counters.watches)),
        ("directory_services", "gauge", "Services in the directory", services.len().to_string()),
        ("directory_instances_known", "gauge", "Instances in the directory", known.to_string()),
        (
            "directory_instances_healthy",
            "gauge",
            "Instances in the directory that may be picked",
            healthy.to_string(),
        ),
        (
            "directory_snapshots_total",
            "counter",
            "Directories that were published",
            count(&counters.snapshots),
        ),
        ("lookups_total", "counter", "Look-ups of worker threads", count(&counters.lookups)),
        (
            "lookups_missing_total",
            "counter",
            "Look-ups of names that nobody registered",
            count(&counters.missing),
        ),
        (
            "lookups_failed_total",
            "counter",
            "Look-ups that the registry did not answer",
            count(&counters.lookups_failed),
        ),
    ] {
        let _ = writeln!(
            out,
            "# HELP switchboard_{name} {help}.\n# TYPE switchboard_{name} {kind}\nswitchboard_{name} {value}"
        );
    }
    let _ = writeln!(
        out,
        "# HELP switchboard_instance_open_streams Streams open at an instance.\n# TYPE switchboard_instance_open_streams gauge"
    );
    let mut names: Vec<&Arc<str>> = services.keys().collect();
    names.sort_unstable();
    let endpoints = names.into_iter().flat_map(|name| &services[name].endpoints);
    for endpoint in endpoints.take(MAX_INSTANCES) {
        let (service, instance) = (escaped(&endpoint.service), escaped(&endpoint.instance));
        let open = endpoint.load.open();
        let _ = writeln!(
            out,
            "switchboard_instance_open_streams{{service=\"{service}\",instance=\"{instance}\"}} {open}"
        );
    }
    out
}

/// A label's value: the text format escapes backslash, quote and line feed.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    #[test]
    fn labels_cannot_break_the_format() {
        assert_eq!(super::escaped("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
    }
}
