//! `/metrics`: the data plane's figures, and those of the directory and the registry.

use super::Shown;
use crate::{
    control::{discovery::View, probes::Found},
    directory::Load,
    observe::text::{self, Kind},
};
use std::{collections::BTreeMap, sync::atomic::Ordering::Relaxed};

/// Instances with a label of their own; further ones are in no figure but their service's.
const MAX_INSTANCES: usize = 1_000;

/// Renders everything in the Prometheus text format.
pub(super) fn render(shown: &Shown) -> String {
    let mut out = String::new();
    shown.metrics.render(&mut out);
    shown.certificates.render(&mut out);
    let view = shown.view.borrow().clone();
    let services = &view.directory.services;
    let healthy: usize = services.values().map(|service| service.endpoints.len()).sum();
    let known: usize = services.values().map(|service| service.known).sum();
    let counters = &shown.counters;
    let mut gauge =
        |name: &str, help: &str, value: f64| text::single(&mut out, name, Kind::gauge, help, value);
    let stale = "Age of what is known while the registry cannot be asked, else 0";
    gauge("registry_stale_seconds", stale, shown.freshness.stale_seconds());
    let reachable = "Whether the last request to the registry had an answer";
    gauge("registry_reachable", reachable, f64::from(u8::from(shown.freshness.reachable())));
    let hidden = "Whether Consul's ACLs hide all services from the router's token";
    gauge("registry_hidden", hidden, f64::from(u8::from(shown.freshness.hidden())));
    let dns = "Whether services are looked up by Consul's DNS instead of its HTTP API";
    gauge("registry_source_dns", dns, f64::from(u8::from(shown.freshness.source() == "dns")));
    let names = "Services registered, as far as they are known by name";
    gauge("registry_catalog_names", names, view.catalog.len() as f64);
    gauge("registry_watches", "Services followed by a watch", counters.watches.load(Relaxed) as f64);
    gauge("directory_services", "Services in the directory", services.len() as f64);
    gauge("directory_instances_known", "Instances in the directory", known as f64);
    gauge("directory_instances_healthy", "Instances in the directory that may be picked", healthy as f64);
    let left_out = shown.probes.left_out.load(Relaxed);
    gauge("probes_left_out", "Addresses that would be probed if there were not too many", left_out as f64);
    let admin = &shown.connections;
    gauge("admin_connections", "Connections of the admin port open now", admin.open.load(Relaxed) as f64);
    for (name, help, counter) in [
        (
            "admin_connections_cut_total",
            "Connections of the admin port that were too many, took too long or spoke no HTTP",
            &admin.cut,
        ),
        ("directory_snapshots_total", "Directories that were published", &counters.snapshots),
        ("registry_dns_lookups_total", "Look-ups of services by DNS", &shown.freshness.dns_lookups),
        (
            "registry_dns_failures_total",
            "Look-ups by DNS without a usable answer",
            &shown.freshness.dns_failures,
        ),
        ("lookups_total", "Look-ups of worker threads", &counters.lookups),
        ("lookups_missing_total", "Look-ups of names that nobody registered", &counters.missing),
        ("lookups_failed_total", "Look-ups that the registry did not answer", &counters.lookups_failed),
    ] {
        text::single(&mut out, name, Kind::counter, help, counter.load(Relaxed));
    }
    let made = shown.probes.made.load(Relaxed);
    text::single(&mut out, "probes_total", Kind::counter, "Probes of instances that do not pass", made);
    let help = "Addresses of instances that do not pass, by what their last probe found";
    text::family(&mut out, "probed_instances", Kind::gauge, help);
    let counts = shown.probes.count();
    for found in Found::ALL {
        let count = counts.get(found.as_str()).copied().unwrap_or(0);
        text::sample(&mut out, "probed_instances", &[("found", found.as_str())], count);
    }
    instances(&mut out, &view);
    out
}

/// Figures of the first instances by name, those that left and still have streams included.
fn instances(out: &mut String, view: &View) {
    let services: BTreeMap<_, _> = view.services.iter().collect();
    let mut loads = Vec::new();
    for (service, known) in services {
        let mut of_service: Vec<_> = known.loads.iter().collect();
        of_service.sort_unstable_by_key(|(key, _)| *key);
        loads.extend(
            of_service
                .into_iter()
                .map(|((instance, _), load)| ([("service", &**service), ("instance", &**instance)], load)),
        );
        if loads.len() >= MAX_INSTANCES {
            break;
        }
    }
    // An instance that moved to another address is one instance.
    loads.dedup_by(|next, first| next.0 == first.0);
    loads.truncate(MAX_INSTANCES);
    type Figure = fn(&Load) -> u64;
    let figures: [(&str, Kind, &str, Figure); 3] = [
        ("instance_open_streams", Kind::gauge, "Streams open at an instance", |load| load.open().into()),
        ("instance_calls_total", Kind::counter, "Attempts of calls that ended at an instance", |load| {
            load.served.calls()
        }),
        (
            "instance_failures_total",
            Kind::counter,
            "Those that failed there by no fault of the caller",
            |load| load.served.failures(),
        ),
    ];
    for (name, kind, help, figure) in figures {
        text::family(out, name, kind, help);
        for (labels, load) in &loads {
            text::sample(out, name, labels, figure(load));
        }
    }
}
