//! Consul's JSON: strict in what is sent (1.8 refuses unknown fields), lenient in what is read (nulls, new fields).

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::instance::{
    Check, FAILURES_BEFORE_CRITICAL, Instance, Registration, SUCCESS_BEFORE_PASSING, Status,
};

/// The body of a registration. Nothing but what Consul 1.8 knows, and nothing that is null.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct RegisterBody<'a> {
    #[serde(rename = "ID")]
    id: &'a str,
    name: &'a str,
    address: &'a str,
    port: u16,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    tags: &'a [String],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    meta: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    check: Option<CheckBody<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct CheckBody<'a> {
    #[serde(rename = "GRPC", skip_serializing_if = "Option::is_none")]
    grpc: Option<&'a str>,
    #[serde(rename = "GRPCUseTLS", skip_serializing_if = "std::ops::Not::not")]
    grpc_use_tls: bool,
    #[serde(rename = "TLSSkipVerify", skip_serializing_if = "std::ops::Not::not")]
    tls_skip_verify: bool,
    #[serde(rename = "TCP", skip_serializing_if = "Option::is_none")]
    tcp: Option<&'a str>,
    interval: String,
    timeout: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    success_before_passing: u32,
    failures_before_critical: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    deregister_critical_service_after: Option<String>,
}

impl<'a> RegisterBody<'a> {
    pub(crate) fn of(registration: &'a Registration) -> Self {
        let (grpc, tcp, interval, timeout, tls) = match &registration.check {
            Check::Grpc { target, interval, timeout, tls } => (Some(target), None, interval, timeout, *tls),
            Check::Tcp { target, interval, timeout } => (None, Some(target), interval, timeout, false),
            Check::None => (None, None, &Duration::ZERO, &Duration::ZERO, false),
        };
        let check = (grpc.is_some() || tcp.is_some()).then(|| CheckBody {
            grpc: grpc.map(String::as_str),
            grpc_use_tls: tls,
            tls_skip_verify: tls,
            tcp: tcp.map(String::as_str),
            interval: go_duration(*interval),
            timeout: go_duration(*timeout),
            status: registration.starts_passing.then_some(Status::Passing.as_str()),
            success_before_passing: SUCCESS_BEFORE_PASSING,
            failures_before_critical: FAILURES_BEFORE_CRITICAL,
            deregister_critical_service_after: registration.deregister_critical_after.map(go_duration),
        });
        Self {
            id: &registration.id,
            name: &registration.service,
            address: &registration.address,
            port: registration.port,
            tags: &registration.tags,
            meta: &registration.meta,
            check,
        }
    }
}

/// Writes a duration as Go reads it.
pub(crate) fn go_duration(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
}

/// One entry of `/v1/health/service/<name>`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct HealthEntry {
    node: Option<NodePart>,
    service: Option<ServicePart>,
    checks: Option<Vec<CheckPart>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NodePart {
    node: Option<String>,
    address: Option<String>,
}

/// A service, in a health entry and in the answer of the agent.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ServicePart {
    #[serde(rename = "ID")]
    id: Option<String>,
    service: Option<String>,
    address: Option<String>,
    // Wider than a port, so that one odd entry does not fail the whole list.
    port: Option<i64>,
    tags: Option<Vec<String>>,
    meta: Option<BTreeMap<String, String>>,
    weights: Option<Weights>,
    modify_index: Option<u64>,
    create_index: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Weights {
    passing: Option<i64>,
    warning: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CheckPart {
    status: Option<String>,
}

impl HealthEntry {
    /// Gives the instance, or `None` if it has no address or port to be called at.
    pub(crate) fn instance(self) -> Option<Instance> {
        let status = self
            .checks
            .unwrap_or_default()
            .iter()
            .map(|check| Status::read(check.status.as_deref().unwrap_or_default()))
            .max()
            .unwrap_or(Status::Passing);
        let node = self.node.unwrap_or_default();
        self.service?.instance(node.node.unwrap_or_default(), node.address, status)
    }
}

impl ServicePart {
    /// Gives the instance, or `None` if it has no address or port to be called at.
    pub(crate) fn instance(
        self,
        node: String,
        node_address: Option<String>,
        status: Status,
    ) -> Option<Instance> {
        let port = u16::try_from(self.port?).ok().filter(|port| *port != 0)?;
        let address = self.address.filter(|address| !address.is_empty()).or(node_address)?;
        let weight = self.weights.and_then(|weights| match status {
            Status::Passing => weights.passing,
            _ => weights.warning,
        });
        Some(Instance {
            id: self.id?,
            service: self.service?,
            node,
            address: Some(address).filter(|address| !address.is_empty())?,
            port,
            tags: self.tags.unwrap_or_default(),
            meta: self.meta.unwrap_or_default(),
            status,
            weight: weight.and_then(|weight| u32::try_from(weight).ok()).unwrap_or(1),
            modify_index: self.modify_index.unwrap_or(0),
            create_index: self.create_index.unwrap_or(0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Vec<Instance> {
        let entries: Vec<HealthEntry> = serde_json::from_str(json).unwrap();
        entries.into_iter().filter_map(HealthEntry::instance).collect()
    }

    #[test]
    fn nulls_and_unknown_fields_are_read() {
        let found = read(
            r#"[{"Node":{"Node":"n","Address":"10.0.0.1","Meta":null,"PeerName":""},
                 "Service":{"ID":"a","Service":"agent-a","Address":"","Port":7,"Tags":null,"Meta":null,
                            "Weights":null,"Locality":{"Region":"x"},"Ports":[{"Name":"p"}]},
                 "Checks":null}]"#,
        );
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].endpoint(), "10.0.0.1:7");
        assert_eq!((found[0].weight, found[0].status), (1, Status::Passing));
    }

    #[test]
    fn entries_that_cannot_be_called_are_left_out() {
        let service = |rest: &str| {
            format!(r#"[{{"Node":{{"Node":"n"}},"Service":{{"ID":"a","Service":"s",{rest}}},"Checks":[]}}]"#)
        };
        for rest in [
            r#""Address":"a","Port":0"#,
            r#""Address":"a""#,
            r#""Address":"a","Port":70000"#,
            r#""Address":"a","Port":-1"#,
            r#""Address":"","Port":5"#,
        ] {
            assert_eq!(read(&service(rest)), [], "{rest}");
        }
        assert_eq!(read(r#"[{"Node":null,"Service":null}]"#), []);
    }

    #[test]
    fn the_worst_check_is_the_status_and_chooses_the_weight() {
        let with = |checks: &str| {
            read(&format!(
                r#"[{{"Service":{{"ID":"a","Service":"s","Address":"h","Port":1,"Weights":{{"Passing":9,"Warning":2}}}},
                     "Checks":[{checks}]}}]"#
            ))
            .remove(0)
        };
        let passing = with(r#"{"Status":"passing"}"#);
        assert_eq!((passing.status, passing.weight), (Status::Passing, 9));
        let warning = with(r#"{"Status":"passing"},{"Status":"warning"}"#);
        assert_eq!((warning.status, warning.weight), (Status::Warning, 2));
        assert_eq!(with(r#"{"Status":"warning"},{"Status":"critical"}"#).status, Status::Critical);
        assert_eq!(with(r#"{"Status":"maintenance"}"#).status, Status::Critical);
        assert_eq!(with(r#"{"Status":null}"#).status, Status::Critical);
    }

    #[test]
    fn a_registration_holds_no_null_and_nothing_newer_than_consul_1_8() {
        let mut registration = Registration::new("agent-a", "::1", 5);
        let json = serde_json::to_value(RegisterBody::of(&registration)).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "ID": "agent-a---1-5", "Name": "agent-a", "Address": "::1", "Port": 5,
                "Check": {
                    "GRPC": "[::1]:5", "Interval": "5000ms", "Timeout": "1000ms", "Status": "passing",
                    "SuccessBeforePassing": 1, "FailuresBeforeCritical": 3,
                    "DeregisterCriticalServiceAfter": "60000ms",
                },
            })
        );
        registration.check = Check::grpcs("[::1]:5");
        let json = serde_json::to_value(RegisterBody::of(&registration)).unwrap();
        assert_eq!(json["Check"]["GRPCUseTLS"], true);
        assert_eq!(json["Check"]["TLSSkipVerify"], true);
        registration.check = Check::None;
        let json = serde_json::to_value(RegisterBody::of(&registration)).unwrap();
        assert!(json.get("Check").is_none());
    }
}
