//! The body of a registration, decoded as strictly as Consul 1.8 does, with its limits. It changes no state.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::query::parse_duration;
use crate::instance::Status;

/// Consul's own limits of meta.
const MAX_META_PAIRS: usize = 64;
const MAX_META_KEY_BYTES: usize = 128;
const MAX_META_VALUE_BYTES: usize = 512;
/// Each check is a task of its own.
const MAX_CHECKS: usize = 8;
/// Consul raises lower values to this.
const MIN_DEREGISTER_AFTER: Duration = Duration::from_secs(60);
const DEFAULT_CHECK_TIMEOUT: Duration = Duration::from_secs(10);
/// Consul has no floor; a typing error must not become a busy loop.
const MIN_CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// What Consul 1.8 knows, in lower case without underscores: Go compares without regard to case, and Consul accepts
/// `snake_case` too.
const SERVICE_FIELDS: &[&str] = &[
    "kind",
    "id",
    "name",
    "tags",
    "address",
    "taggedaddresses",
    "meta",
    "port",
    "enabletagoverride",
    "check",
    "checks",
    "weights",
    "token",
    "proxy",
    "connect",
];
const CHECK_FIELDS: &[&str] = &[
    "id",
    "checkid",
    "name",
    "status",
    "notes",
    "serviceid",
    "scriptargs",
    "http",
    "header",
    "method",
    "body",
    "tcp",
    "interval",
    "dockercontainerid",
    "shell",
    "grpc",
    "grpcusetls",
    "tlsskipverify",
    "aliasnode",
    "aliasservice",
    "timeout",
    "ttl",
    "successbeforepassing",
    "failuresbeforecritical",
    "deregistercriticalserviceafter",
    "outputmaxsize",
    "token",
];

/// A service that passed every rule.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct NewService {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) address: String,
    pub(super) port: i64,
    pub(super) tags: Vec<String>,
    pub(super) meta: BTreeMap<String, String>,
    pub(super) weights: (i64, i64),
    pub(super) enable_tag_override: bool,
    pub(super) checks: Vec<NewCheck>,
}

/// A check that passed every rule.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct NewCheck {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) notes: String,
    pub(super) status: Status,
    pub(super) probe: Probe,
    pub(super) success_before_passing: u32,
    pub(super) failures_before_critical: u32,
    pub(super) deregister_after: Option<Duration>,
}

/// How a check finds out.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Probe {
    Grpc { target: String, tls: ProbeTls, interval: Duration, timeout: Duration },
    Tcp { target: String, interval: Duration, timeout: Duration },
    Ttl { ttl: Duration },
}

/// Whether a gRPC probe speaks TLS, and what it believes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProbeTls {
    Off,
    /// `TLSSkipVerify`: any certificate is good.
    Unverified,
    Verified,
}

impl Probe {
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Probe::Grpc { .. } => "grpc",
            Probe::Tcp { .. } => "tcp",
            Probe::Ttl { .. } => "ttl",
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawService {
    id: Option<String>,
    name: Option<String>,
    address: Option<String>,
    port: Option<i64>,
    tags: Option<Vec<String>>,
    meta: Option<BTreeMap<String, String>>,
    enabletagoverride: Option<bool>,
    weights: Option<RawWeights>,
    check: Option<Value>,
    checks: Option<Vec<Value>>,
}

#[derive(Deserialize)]
struct RawWeights {
    #[serde(rename = "Passing", alias = "passing", default)]
    passing: i64,
    #[serde(rename = "Warning", alias = "warning", default)]
    warning: i64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawCheck {
    checkid: Option<String>,
    id: Option<String>,
    name: Option<String>,
    notes: Option<String>,
    status: Option<String>,
    grpc: Option<String>,
    grpcusetls: Option<bool>,
    tlsskipverify: Option<bool>,
    tcp: Option<String>,
    http: Option<String>,
    interval: Option<Value>,
    timeout: Option<Value>,
    ttl: Option<Value>,
    successbeforepassing: Option<u32>,
    failuresbeforecritical: Option<u32>,
    deregistercriticalserviceafter: Option<Value>,
}

/// Reads the body of a registration.
///
/// # Errors
/// The text that Consul answers with 400.
pub(super) fn parse(body: &[u8]) -> Result<NewService, String> {
    let value: Value =
        serde_json::from_slice(body).map_err(|error| format!("Request decode failed: {error}"))?;
    let raw: RawService = decode(value, SERVICE_FIELDS)?;
    let name = raw.name.filter(|name| !name.is_empty()).ok_or("Missing service name")?;
    let id = raw.id.filter(|id| !id.is_empty()).unwrap_or_else(|| name.clone());
    let meta = raw.meta.unwrap_or_default();
    check_meta(&meta).map_err(|reason| format!("Invalid Service Meta: {reason}"))?;
    let weights = raw.weights.map_or((1, 1), |weights| (weights.passing, weights.warning));
    if weights.0 < 1 {
        return Err("Invalid Weights: Passing must be greater than 0".to_owned());
    }
    if !(0..=65_535).contains(&weights.1) || weights.0 > 65_535 {
        return Err("Invalid Weights: DNS Weight must be between 0 and 65535".to_owned());
    }
    let mut bodies = raw.checks.unwrap_or_default();
    let single = bodies.is_empty();
    bodies.extend(raw.check.filter(|check| !check.is_null()));
    if bodies.len() > MAX_CHECKS {
        return Err(format!("Invalid check: this registry runs at most {MAX_CHECKS} checks per service"));
    }
    let mut checks = Vec::new();
    for (position, body) in bodies.into_iter().enumerate() {
        let default_id =
            if single { format!("service:{id}") } else { format!("service:{id}:{}", position + 1) };
        checks.extend(parse_check(decode(body, CHECK_FIELDS)?, default_id, &name)?);
    }
    Ok(NewService {
        id,
        name,
        address: raw.address.unwrap_or_default(),
        port: raw.port.unwrap_or(0),
        tags: raw.tags.unwrap_or_default(),
        meta,
        weights,
        enable_tag_override: raw.enabletagoverride.unwrap_or(false),
        checks,
    })
}

/// Decodes an object whose keys are compared as Go and Consul do; an unknown key is an error.
fn decode<T: DeserializeOwned>(value: Value, known: &[&str]) -> Result<T, String> {
    let Value::Object(fields) = value else {
        return Err("Request decode failed: json: the body is no object".to_owned());
    };
    let mut folded = Map::new();
    for (key, value) in fields {
        let name = key.to_ascii_lowercase().replace('_', "");
        if !known.contains(&name.as_str()) {
            return Err(format!("Request decode failed: json: unknown field {key:?}"));
        }
        folded.insert(name, value);
    }
    serde_json::from_value(Value::Object(folded)).map_err(|error| format!("Request decode failed: {error}"))
}

fn parse_check(raw: RawCheck, default_id: String, service: &str) -> Result<Option<NewCheck>, String> {
    let text = |field: Option<String>| field.filter(|text| !text.is_empty());
    let (interval, timeout) = (duration(raw.interval)?, duration(raw.timeout)?);
    let ttl = duration(raw.ttl)?;
    let status = match raw.status.as_deref() {
        None | Some("" | "critical") => Status::Critical,
        Some("passing") => Status::Passing,
        Some("warning") => Status::Warning,
        Some(_) => return Err("Status for checks must 'passing', 'warning', 'critical'".to_owned()),
    };
    let timeout = timeout.unwrap_or(DEFAULT_CHECK_TIMEOUT);
    let paced = || {
        let interval =
            interval.ok_or("Invalid check: Interval must be > 0 for Script, HTTP, or TCP checks")?;
        Ok::<_, String>(interval.max(MIN_CHECK_INTERVAL))
    };
    let probe = match (text(raw.grpc), text(raw.tcp), ttl) {
        _ if text(raw.http).is_some() => {
            return Err("Invalid check: this registry runs gRPC, TCP and TTL checks only".to_owned());
        }
        (Some(target), ..) => {
            let tls = match (raw.grpcusetls.unwrap_or(false), raw.tlsskipverify.unwrap_or(false)) {
                (false, _) => ProbeTls::Off,
                (true, true) => ProbeTls::Unverified,
                (true, false) => ProbeTls::Verified,
            };
            Probe::Grpc { target, tls, interval: paced()?, timeout }
        }
        (None, Some(target), _) => Probe::Tcp { target, interval: paced()?, timeout },
        (None, None, Some(ttl)) => Probe::Ttl { ttl },
        (None, None, None) if interval.is_none() => return Ok(None),
        (None, None, None) => return Err("Invalid check: TTL must be > 0 for TTL checks".to_owned()),
    };
    Ok(Some(NewCheck {
        id: text(raw.checkid).or(text(raw.id)).unwrap_or(default_id),
        name: text(raw.name).unwrap_or_else(|| format!("Service '{service}' check")),
        notes: raw.notes.unwrap_or_default(),
        status,
        probe,
        success_before_passing: raw.successbeforepassing.unwrap_or(0),
        failures_before_critical: raw.failuresbeforecritical.unwrap_or(0),
        deregister_after: duration(raw.deregistercriticalserviceafter)?
            .map(|after| after.max(MIN_DEREGISTER_AFTER)),
    }))
}

/// Reads a duration as Go writes it, or as nanoseconds; zero and absent are the same.
fn duration(value: Option<Value>) -> Result<Option<Duration>, String> {
    let found = match value {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) if text.is_empty() => None,
        Some(Value::String(text)) => Some(
            parse_duration(&text)
                .ok_or_else(|| format!("Request decode failed: time: invalid duration {text:?}"))?,
        ),
        Some(Value::Number(number)) => number.as_u64().map(Duration::from_nanos),
        Some(other) => return Err(format!("Request decode failed: time: invalid duration {other}")),
    };
    Ok(found.filter(|duration| !duration.is_zero()))
}

fn check_meta(meta: &BTreeMap<String, String>) -> Result<(), String> {
    if meta.len() > MAX_META_PAIRS {
        return Err(format!("Node metadata cannot contain more than {MAX_META_PAIRS} key/value pairs"));
    }
    for (key, value) in meta {
        let reason = if key.is_empty() {
            "Key cannot be blank".to_owned()
        } else if !key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) {
            "Key contains invalid characters".to_owned()
        } else if key.len() > MAX_META_KEY_BYTES {
            format!("Key is too long (limit: {MAX_META_KEY_BYTES} characters)")
        } else if key.starts_with("consul-") {
            "Key prefix 'consul-' is reserved for internal use".to_owned()
        } else if value.len() > MAX_META_VALUE_BYTES {
            format!("Value is too long (limit: {MAX_META_VALUE_BYTES} characters)")
        } else {
            continue;
        };
        return Err(format!("Couldn't load metadata pair ('{key}', '{value}'): {reason}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_without_regard_to_case() {
        // As a common Python client writes them.
        let found = parse(
            br#"{"name":"agent-echo","id":"e1","port":50052,"tags":["agent"],
                 "check":{"tcp":"h:1","interval":"10s","deregister_critical_service_after":"5s"}}"#,
        )
        .unwrap();
        assert_eq!((found.id.as_str(), found.port), ("e1", 50052));
        let check = &found.checks[0];
        assert_eq!(check.id, "service:e1");
        assert_eq!(check.deregister_after, Some(Duration::from_secs(60)), "raised to the minimum");
    }

    #[test]
    fn a_null_is_an_absent_field() {
        let found = parse(br#"{"Name":"x","Port":null,"Tags":null,"Meta":null,"Check":null,"Checks":null}"#);
        let found = found.unwrap();
        assert_eq!((found.id.as_str(), found.port, found.checks.len()), ("x", 0, 0));
    }
}
