//! What `run` measured: the shape of `bench/results.json`.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

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

impl Results {
    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read or is of another shape.
    pub(crate) fn load(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path)
            .with_context(|| format!("cannot read {}; `switchboard-bench run` writes it", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is no file of results", path.display()))
    }

    /// Writes a file, in one step.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn save(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        let beside = path.with_extension("json.new");
        fs::write(&beside, text)
            .and_then(|()| fs::rename(&beside, path))
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// What could not be measured and why, a line for each reason of a contender.
    pub(crate) fn failures(&self) -> Vec<String> {
        let mut found: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
        for (name, scenario) in &self.scenarios {
            for (contender, figures) in &scenario.contenders {
                if let Some(reason) = &figures.failed {
                    found.entry((contender, reason)).or_default().push(name);
                }
            }
        }
        found
            .into_iter()
            .map(|((contender, reason), scenarios)| {
                format!("{contender} under {}: {reason}", scenarios.join(", "))
            })
            .collect()
    }
}

/// Where and how it was measured.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Meta {
    /// RFC 3339, UTC.
    pub(crate) date: String,
    pub(crate) machine: String,
    pub(crate) kernel: String,
    pub(crate) cores: usize,
    /// Of this repository, with a plus if files were changed since.
    #[serde(default)]
    pub(crate) commit: String,
    pub(crate) command: String,
    pub(crate) rounds: usize,
    /// Length of one measured window, seconds.
    pub(crate) seconds: f64,
    /// Load before each window, seconds.
    #[serde(default)]
    pub(crate) warmup: f64,
    pub(crate) quick: bool,
    /// The machine's one-minute load before the start: above 0.5 something else was running.
    #[serde(default)]
    pub(crate) load: Option<f64>,
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
    /// What went wrong in a round that is left out of the figures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn results() -> Results {
        let measured = Figures { cpu_us: Some(2.5), rps: 1e5, ratio: Some(1.0), ..Figures::default() };
        let missing = Figures { failed: Some("no nginx on this machine".to_owned()), ..Figures::default() };
        let contenders = [("router".to_owned(), measured), ("nginx".to_owned(), missing)].into();
        let scenario = Scenario { title: "Unary".to_owned(), unit: "call".to_owned(), contenders };
        let series = [("router".to_owned(), vec![(1.0, 2.5), (1e5, 2.6)])].into();
        let growth = Growth { title: "Services".to_owned(), series, ..Growth::default() };
        Results {
            meta: Meta { rounds: 5, load: Some(0.1), ..Meta::default() },
            scenarios: [("unary-8x32".to_owned(), scenario)].into(),
            growth: [("services".to_owned(), growth)].into(),
        }
    }

    #[test]
    fn what_was_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.json");
        results().save(&path).unwrap();
        let read = Results::load(&path).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), serde_json::to_value(results()).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_missing_is_said_with_its_reason() {
        assert_eq!(results().failures(), ["nginx under unary-8x32: no nginx on this machine"]);
    }

    #[test]
    fn another_file_is_named_in_the_error() {
        let error = Results::load(Path::new("/nowhere/results.json")).unwrap_err();
        assert!(error.to_string().contains("/nowhere/results.json"), "{error}");
    }
}
