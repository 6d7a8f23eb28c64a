//! The fields of the embedded registry's answers: none that Consul has not, and each of the same type.

use serde_json::{Value, json};
use switchboard_testkit::eventually;

use crate::{SOON, Target};

/// Registers the same at both and compares every answer.
pub(crate) async fn compare(consul: &Target, embedded: &Target) {
    let body = json!({
        "Name": "shape", "ID": "shape-1", "Port": 5, "Address": "10.0.0.1", "Tags": ["t"], "Meta": { "k": "v" },
        "Check": { "TTL": "10m", "Notes": "n", "DeregisterCriticalServiceAfter": "1m" },
    });
    for target in [consul, embedded] {
        target.register(body.clone()).await;
        target.until("shape", |found| found.len() == 1).await;
    }
    for path in [
        "/v1/agent/service/shape-1",
        "/v1/agent/services",
        "/v1/agent/self",
        "/v1/health/service/shape",
        "/v1/catalog/service/shape",
        "/v1/catalog/services",
        "/v1/status/leader",
    ] {
        // Consul brings the catalogue up to date a moment after the agent.
        let same = async || {
            let (real, ours) = (consul.get(path).await, embedded.get(path).await);
            assert_eq!(real.0, ours.0, "{path}");
            let [real, ours]: [Value; 2] = [real.1, ours.1].map(|text| serde_json::from_str(&text).unwrap());
            fits(path, &ours, &real)
        };
        eventually(SOON, same).await.unwrap();
    }
    for target in [consul, embedded] {
        target.deregister("shape", &["shape-1"]).await;
    }
}

/// Tells where `ours` holds what `real` does not.
fn fits(at: &str, ours: &Value, real: &Value) -> Result<(), String> {
    match (ours, real) {
        (Value::Object(ours), Value::Object(real)) => {
            ours.iter().try_for_each(|(key, value)| match real.get(key) {
                Some(real) => fits(&format!("{at} {key}"), value, real),
                None => Err(format!("{at}: Consul has no {key}")),
            })
        }
        (Value::Array(ours), Value::Array(real)) if ours.len() == real.len() => {
            ours.iter().zip(real).try_for_each(|(ours, real)| fits(at, ours, real))
        }
        (Value::String(_), Value::String(_))
        | (Value::Number(_), Value::Number(_))
        | (Value::Bool(_), Value::Bool(_)) => Ok(()),
        _ => Err(format!("{at}: {ours} is not of the type of {real}")),
    }
}
