//! What the HTTP listener counts.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use axum::http::{Method, StatusCode};

use crate::executor::Gauge;

/// Verbs that are counted under their names; strangers may send any word.
const VERBS: [&str; 6] = ["DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"];
/// Requests that no route is for.
const NO_ROUTE: &str = "none";

/// Counters and gauges since the start.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Open connections, those of WebSockets among them.
    pub connections: Gauge,
    /// Open WebSockets.
    pub sockets: Gauge,
    /// As many entries as there are routes, verbs and statuses that were answered.
    requests: Mutex<BTreeMap<(String, &'static str, u16), Requests>>,
}

#[derive(Debug, Default)]
struct Requests {
    count: u64,
    took: Duration,
}

impl Metrics {
    /// Counts a request whose answer begins now. `route` is that of the table, not the path that was asked for.
    pub(super) fn answered(&self, route: Option<&str>, verb: &Method, status: StatusCode, took: Duration) {
        let verb = VERBS.into_iter().find(|known| *known == verb.as_str()).unwrap_or("other");
        let key = (route.unwrap_or(NO_ROUTE).to_owned(), verb, status.as_u16());
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let requests = requests.entry(key).or_default();
        requests.count += 1;
        requests.took += took;
    }

    /// Writes all of it in Prometheus' text format.
    pub fn render(&self) -> String {
        let mut text = String::new();
        for (name, gauge) in
            [("workflow_http_connections", &self.connections), ("workflow_http_sockets", &self.sockets)]
        {
            let _ = writeln!(text, "# TYPE {name} gauge\n{name} {}", gauge.get());
        }
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        for name in ["workflow_http_requests_total", "workflow_http_request_seconds_total"] {
            let _ = writeln!(text, "# TYPE {name} counter");
            for ((route, verb, status), requests) in &*requests {
                let _ = write!(text, "{name}{{route=\"{route}\",method=\"{verb}\",status=\"{status}\"}} ");
                let _ = match name {
                    "workflow_http_requests_total" => writeln!(text, "{}", requests.count),
                    _ => writeln!(text, "{}", requests.took.as_secs_f64()),
                };
            }
        }
        text
    }
}
