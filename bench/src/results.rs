//! What `run` measured: the shape of `bench/results.json`.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The whole file.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Results {
    pub(crate) meta: Meta,
    /// By name, e.g. `unary-8x32`.
    pub(crate) scenarios: BTreeMap<String, Scenario>,
    /// By name, e.g. `services`.
    #[serde(default)]
    pub(crate) growth: BTreeMap<String, Growth>,
}

/// Where and how it was measured.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Meta {
    /// RFC 3339, UTC.
    pub(crate) date: String,
    pub(crate) machine: String,
    pub(crate) kernel: String,
    pub(crate) cores: usize,
    pub(crate) command: String,
    pub(crate) rounds: usize,
    /// Length of one measured window, seconds.
    pub(crate) seconds: f64,
    pub(crate) quick: bool,
    /// Version line by contender.
    pub(crate) versions: BTreeMap<String, String>,
}

/// One load.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Scenario {
    pub(crate) title: String,
    /// What `cpu_us` and `rps` count: `call`, `message` or `MB`.
    pub(crate) unit: String,
    /// By contender.
    pub(crate) contenders: BTreeMap<String, Figures>,
}

/// Medians over the rounds.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Figures {
    /// User and system time of the proxy per unit, us; absent for `direct`.
    pub(crate) cpu_us: Option<f64>,
    pub(crate) cpu_us_min: Option<f64>,
    pub(crate) cpu_us_max: Option<f64>,
    /// Units per second.
    pub(crate) rps: f64,
    /// Latency of a call.
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// Resident memory of the proxy's processes at the end of a window, and the most of it.
    pub(crate) rss_mib: Option<f64>,
    pub(crate) peak_mib: Option<f64>,
    /// Median of this contender's CPU over the router's (with TLS: over `router-tls`'s) of the same round.
    pub(crate) ratio: Option<f64>,
    /// What went wrong, if it could not be measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) failed: Option<String>,
}

/// One chart of growth.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Growth {
    pub(crate) title: String,
    /// What the x axis counts.
    pub(crate) x: String,
    /// What the y axis shows, e.g. `us CPU per call`.
    pub(crate) unit: String,
    /// Points (x, y) by contender.
    pub(crate) series: BTreeMap<String, Vec<(f64, f64)>>,
}
