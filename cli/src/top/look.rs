//! One look at one router: its `/endpoints` and `/metrics` of about the same moment.

use std::time::Instant;

use serde::Deserialize;

use super::admin::{self, Address, Problem};
use super::prometheus::{self, Calls, Figures};

/// What a router showed.
#[derive(Clone, Debug)]
pub(super) struct Look {
    pub(super) at: Instant,
    pub(super) endpoints: Endpoints,
    pub(super) figures: Figures,
}

/// `/endpoints`, as far as it is shown. Fields that an older router lacks have their defaults.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Endpoints {
    pub(super) registry: Registry,
    pub(super) services: Vec<Service>,
}

/// How the router stands with the registry.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Registry {
    pub(super) address: String,
    pub(super) reachable: bool,
    pub(super) stale_seconds: f64,
}

/// A service that the router holds.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Service {
    pub(super) service: String,
    pub(super) id: Option<String>,
    pub(super) known: u64,
    pub(super) healthy: u64,
    pub(super) instances: Vec<Instance>,
}

/// An instance, as this router sees it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Instance {
    pub(super) id: String,
    pub(super) node: String,
    pub(super) address: String,
    pub(super) status: String,
    pub(super) version: Option<String>,
    pub(super) healthy: bool,
    pub(super) problem: Option<String>,
    pub(super) open_streams: u64,
    /// Streams that it takes at the same time; `None` without a limit.
    pub(super) capacity: Option<u64>,
    /// Average time to the first of a response; `None` if nothing is known.
    pub(super) latency_us: Option<f64>,
    /// Attempts of calls that ended there since it joined; `None` from a router that does not count them.
    pub(super) calls: Option<u64>,
    pub(super) failures: u64,
    /// Streams that ended by upper bound of their duration, each counted once.
    pub(super) durations_us: Vec<(Option<u64>, u64)>,
    pub(super) down: bool,
    /// What the router found when it asked an instance that does not pass.
    pub(super) probe: Option<Probe>,
    pub(super) ejected: bool,
    /// No new call goes there, and streams are open still.
    pub(super) draining: bool,
}

/// What a router found when it asked.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Probe {
    pub(super) found: String,
}

impl Instance {
    /// Its counters, if the router has some.
    pub(super) fn counters(&self) -> Option<Calls> {
        let durations = self.durations_us.iter().map(|&(bound, count)| (bound.unwrap_or(u64::MAX), count));
        Some(Calls { ended: self.calls?, errors: self.failures, durations: durations.collect() })
    }
}

/// Looks at a router. Cancel-safe.
///
/// # Errors
/// It cannot be reached, is too slow, or is no router.
pub(super) async fn at(address: &Address) -> Result<Look, Problem> {
    let (endpoints, metrics) =
        tokio::try_join!(admin::get(address, "/endpoints"), admin::get(address, "/metrics"))?;
    let at = Instant::now();
    let endpoints = serde_json::from_str(&endpoints).map_err(|error| Problem::Strange(error.to_string()))?;
    let figures = prometheus::parse(&metrics).map_err(Problem::Strange)?;
    Ok(Look { at, endpoints, figures })
}

/// What is known of a router: its last two good looks, and what is wrong with it now.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    pub(super) before: Option<Look>,
    pub(super) last: Option<Look>,
    pub(super) problem: Option<Problem>,
}

impl History {
    /// Notes the outcome of a look.
    pub(super) fn note(&mut self, outcome: Result<Look, Problem>) {
        match outcome {
            Ok(look) => {
                self.problem = None;
                self.before = self.last.replace(look);
            }
            Err(problem) => self.problem = Some(problem),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_of_older_and_newer_routers_are_read() {
        let text = r#"{"registry":{"address":"http://c:8500","reachable":true,"stale_seconds":0.0},
            "services":[{"service":"agent-echo","id":"echo-agent","known":2,"healthy":1,"new":1,"instances":
            [{"id":"a","node":"n","address":"10.0.0.1:1","status":"passing","version":null,"healthy":true,
            "problem":null,"open_streams":3,"down":false}]}],"grpc_services":{},"catalog":["agent-echo"]}"#;
        let read: Endpoints = serde_json::from_str(text).unwrap();
        let instance = &read.services[0].instances[0];
        assert!(!instance.ejected && instance.latency_us.is_none() && instance.open_streams == 3);
        assert_eq!(instance.counters(), None);
        assert!(serde_json::from_str::<Endpoints>("{}").is_err(), "this is no router's answer");
    }

    #[test]
    fn counters_of_an_instance_are_read_with_their_open_bucket() {
        let text = r#"{"calls":5,"failures":1,"durations_us":[[1000,2],[null,3]],"probe":{"found":"serving","age_seconds":1}}"#;
        let instance: Instance = serde_json::from_str(text).unwrap();
        let durations = [(1_000, 2), (u64::MAX, 3)].into();
        assert_eq!(instance.counters(), Some(Calls { ended: 5, errors: 1, durations }));
        assert_eq!(instance.probe.unwrap().found, "serving");
    }

    #[test]
    fn a_failed_look_keeps_the_last_good_one() {
        let look =
            || Look { at: Instant::now(), endpoints: Endpoints::default(), figures: Figures::default() };
        let mut history = History::default();
        history.note(Ok(look()));
        history.note(Err(Problem::Slow));
        assert!(history.last.is_some() && history.before.is_none() && history.problem == Some(Problem::Slow));
        history.note(Ok(look()));
        assert!(history.before.is_some() && history.problem.is_none());
    }
}
