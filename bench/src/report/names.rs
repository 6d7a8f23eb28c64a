//! The order in which loads, contenders and growths are shown, and what they are called there.

use crate::results::{Growth, Results, Scenario};
use std::collections::BTreeMap;

/// Name, head of a column, and how a text speaks of it.
type Named = (&'static str, &'static str, &'static str);

/// Loads of small calls.
const CALLS: &[Named] = &[
    ("unary-8x32", "8 x 32", "saturated unary, 8 x 32"),
    ("unary-64x8", "64 x 8", "saturated unary, 64 x 8"),
    ("unary-1x1", "1 x 1", "one call at a time"),
    ("unary-4000rps", "4,000/s", "4,000 calls/s"),
    ("headers-8x32", "8 x 32, new headers", "unique headers, 8 x 32"),
];

/// Loads of messages and bytes.
const STREAMS: &[Named] = &[
    ("burst", "streamed message", "streamed message"),
    ("paced", "paced message", "paced message"),
    ("upload-1mb", "1 MB up", "1 MB up"),
    ("download-1mb", "1 MB down", "1 MB down"),
    ("upload-10mb", "10 MB up", "10 MB up"),
    ("download-10mb", "10 MB down", "10 MB down"),
];

/// Loads with TLS on both sides.
const TLS: &[Named] = &[
    ("tls-unary-8x32", "8 x 32", "TLS, saturated unary, 8 x 32"),
    ("tls-unary-1x1", "1 x 1", "TLS, one call at a time"),
    ("tls-burst", "streamed message", "TLS, streamed message"),
    ("tls-upload-1mb", "1 MB up", "TLS, 1 MB up"),
    ("tls-download-1mb", "1 MB down", "TLS, 1 MB down"),
];

const CONTENDERS: &[(&str, &str)] = &[
    ("router", "Switchboard router"),
    ("router-tls", "Switchboard router"),
    ("haproxy-tcp", "HAProxy tcp"),
    ("haproxy-http", "HAProxy http"),
    ("haproxy-tls", "HAProxy http"),
    ("hyper", "hyper proxy"),
    ("tonic", "tonic, typed"),
    ("nginx", "nginx grpc_pass"),
    ("nginx-tls", "nginx grpc_pass"),
    ("envoy", "Envoy"),
    ("envoy-tls", "Envoy"),
    ("direct", "no proxy"),
];

const GROWTH: &[&str] = &[
    "services",
    "called-services",
    "instances",
    "connections",
    "open-connections",
    "streams",
    "open-streams",
    "workers",
    "memory-idle-connection",
    "memory-used-connection",
    "memory-idle-stream",
    "memory-stalled-stream",
];

/// The columns of one table that were measured: name and head.
pub(super) struct Columns(pub(super) Vec<(String, String)>);

impl Columns {
    /// Small calls.
    pub(super) fn calls(results: &Results) -> Self {
        Self::of(results, CALLS)
    }

    /// Messages and bytes, and loads that this file does not know.
    pub(super) fn streams(results: &Results) -> Self {
        let mut columns = Self::of(results, STREAMS);
        let known = |name: &str| [CALLS, STREAMS, TLS].concat().iter().any(|row| row.0 == name);
        let unknown = results.scenarios.keys().filter(|name| !known(name));
        columns.0.extend(unknown.map(|name| (name.clone(), name.clone())));
        columns
    }

    /// With TLS.
    pub(super) fn tls(results: &Results) -> Self {
        Self::of(results, TLS)
    }

    /// The few of the README.
    pub(super) fn readme(results: &Results) -> Self {
        let few = ["unary-8x32", "unary-1x1", "unary-4000rps", "burst", "upload-1mb", "download-1mb"];
        let mut columns = Self::of(results, &[CALLS, STREAMS].concat());
        columns.0.retain(|(name, _)| few.contains(&name.as_str()));
        columns
    }

    fn of(results: &Results, rows: &[Named]) -> Self {
        let measured = rows.iter().filter(|row| results.scenarios.contains_key(row.0));
        Self(measured.map(|row| (row.0.to_owned(), row.1.to_owned())).collect())
    }
}

/// Every load that was measured, in order.
pub(super) fn scenarios(results: &Results) -> impl Iterator<Item = (&str, &Scenario)> {
    let order = |name: &str| {
        let known = CALLS.iter().chain(STREAMS).chain(TLS).position(|row| row.0 == name);
        known.unwrap_or(usize::MAX)
    };
    ordered(&results.scenarios, order)
}

/// Every growth that was measured, in order.
pub(super) fn growth(results: &Results) -> impl Iterator<Item = (&str, &Growth)> {
    ordered(&results.growth, |name| GROWTH.iter().position(|known| *known == name).unwrap_or(usize::MAX))
}

/// The keys of a map by contender, in order: the router first, then the rest as the peers stand in the tables.
pub(super) fn contenders<T>(by_name: &BTreeMap<String, T>) -> impl Iterator<Item = (&str, &T)> {
    ordered(by_name, |name| CONTENDERS.iter().position(|row| row.0 == name).unwrap_or(usize::MAX))
}

/// What a contender is called.
pub(super) fn contender(name: &str) -> &str {
    CONTENDERS.iter().find(|row| row.0 == name).map_or(name, |row| row.1)
}

/// How a text speaks of a load.
pub(super) fn scenario(name: &str) -> &str {
    CALLS.iter().chain(STREAMS).chain(TLS).find(|row| row.0 == name).map_or(name, |row| row.2)
}

/// Whether this is the router, with TLS or without.
pub(super) fn is_router(name: &str) -> bool {
    matches!(name, "router" | "router-tls")
}

fn ordered<T>(
    by_name: &BTreeMap<String, T>,
    order: impl Fn(&str) -> usize,
) -> impl Iterator<Item = (&str, &T)> {
    let mut all: Vec<_> = by_name.iter().map(|(name, value)| (name.as_str(), value)).collect();
    all.sort_by_key(|(name, _)| order(name));
    all.into_iter()
}
