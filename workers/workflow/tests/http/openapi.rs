//! The OpenAPI document says what there is, and nothing else.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Scene, answer, test};

#[test]
fn every_documented_route_answers() {
    test(async {
        let scene = Scene::start().await;
        let document = scene.get("/openapi.json").await.is(200).body;
        let mut count = 0;
        for (path, verbs) in document["paths"].as_object().unwrap() {
            for (verb, operation) in verbs.as_object().unwrap() {
                let path: Vec<_> =
                    path.split('/').map(|part| if part.starts_with('{') { "x" } else { part }).collect();
                let verb = Method::from_bytes(verb.to_uppercase().as_bytes()).unwrap();
                let mut request = scene.request(verb, &path.join("/"));
                if operation.get("requestBody").is_some() {
                    request = request.json(&json!({}));
                }
                let answer = answer(request).await;
                assert_ne!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{path:?} {answer:?}");
                let reason = answer.body.pointer("/error/details/reason");
                assert_ne!(reason.and_then(Value::as_str), Some("NO_SUCH_PATH"), "{path:?} {answer:?}");
                count += 1;
            }
        }
        assert!(count > 40, "{count}");
    });
}

#[test]
fn the_routes_that_clients_know_are_documented() {
    test(async {
        let scene = Scene::start().await;
        let document = scene.get("/openapi.json").await.is(200).body;
        for (path, verbs) in [
            ("/api/v1/workflows", &["get", "post"][..]),
            ("/api/v1/workflows/{workflow_id}", &["get"]),
            ("/api/v1/workflows/{workflow_id}/cancel", &["post"]),
            ("/api/v1/workflows/{workflow_id}/tasks/{task_id}/result", &["get"]),
            ("/api/v1/workflows/{workflow_id}/events", &["get"]),
            ("/api/v1/workflows/{workflow_id}/tasks/events", &["get"]),
            ("/api/v1/workflows/{workflow_id}/logs", &["get"]),
            ("/api/v1/workflows/{workflow_id}/retry", &["post"]),
            ("/api/v1/workflows/{workflow_id}/pause", &["post"]),
            ("/api/v1/workflows/{workflow_id}/resume", &["post"]),
            ("/api/v1/workflows/{workflow_id}/batch/results", &["post"]),
            ("/api/v1/batch/workflows", &["post"]),
            ("/api/v1/batch/workflows/status", &["post"]),
            ("/api/v1/batch/workflows/cancel", &["post"]),
            ("/api/v1/admin/status", &["get"]),
            ("/api/v1/admin/config", &["patch"]),
            ("/api/v1/admin/cluster/nodes", &["get", "post", "delete"]),
            ("/api/v1/admin/pause", &["post"]),
            ("/api/v1/admin/resume", &["post"]),
            ("/api/v1/admin/purge", &["post"]),
            ("/api/v1/admin/lanes", &["get"]),
            ("/api/v1/admin/lanes/{lane_name}", &["get"]),
            ("/api/v1/admin/metrics", &["get"]),
            ("/api/v1/admin/debug/{type}", &["get"]),
            ("/api/v1/sagas", &["get", "post"]),
            ("/api/v1/sagas/{saga_id}", &["get"]),
            ("/api/v1/sagas/{saga_id}/compensate", &["post"]),
            ("/api/v1/signals", &["post"]),
            ("/api/v1/schedules", &["get", "post"]),
            ("/api/v1/schedules/{schedule_id}", &["get", "delete"]),
            ("/api/v1/schedules/{schedule_id}/pause", &["post"]),
            ("/api/v1/schedules/{schedule_id}/resume", &["post"]),
            ("/api/v1/schedules/{schedule_id}/trigger", &["post"]),
            ("/health", &["get"]),
            ("/ready", &["get"]),
            ("/status", &["get"]),
            ("/openapi.json", &["get"]),
            ("/ws/events", &["get"]),
        ] {
            for verb in verbs {
                assert!(document["paths"][path][verb].is_object(), "{verb} {path}");
            }
        }
    });
}

#[test]
fn every_reference_leads_somewhere() {
    test(async {
        let scene = Scene::start().await;
        let document = scene.get("/openapi.json").await.is(200).body;
        let mut found = 0;
        let mut left = vec![&document];
        while let Some(value) = left.pop() {
            match value {
                Value::Object(fields) => {
                    if let Some(Value::String(reference)) = fields.get("$ref") {
                        let target = document.pointer(reference.strip_prefix('#').unwrap());
                        assert!(target.is_some_and(Value::is_object), "{reference}");
                        found += 1;
                    }
                    left.extend(fields.values());
                }
                Value::Array(items) => left.extend(items),
                _ => {}
            }
        }
        assert!(found > 100, "{found}");
    });
}
