//! What passes between HTTP and the services, over services that the tests make.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use axum::http::{HeaderMap, HeaderValue, Request, Response};
use reqwest::Method;
use serde_json::{Value, json};
use tonic::body::Body;
use workflow_worker::http::{Calls, Settings};

use crate::support::{Scene, answer, one_call, test};

/// Services that refuse everything with this status, and remember what they were told.
async fn refusing(code: &'static str) -> (Scene, Arc<Mutex<HeaderMap>>) {
    let told: Arc<Mutex<HeaderMap>> = Arc::default();
    let keep = told.clone();
    let service = tower::service_fn(move |request: Request<Body>| {
        *keep.lock().unwrap() = request.headers().clone();
        let mut response = Response::new(Body::empty());
        response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
        response.headers_mut().insert("grpc-status", HeaderValue::from_static(code));
        response.headers_mut().insert("grpc-message", HeaderValue::from_static("because"));
        std::future::ready(Ok::<_, Infallible>(response))
    });
    (Scene::serving(Settings::default(), Some(Calls::new(service))).await, told)
}

#[test]
fn every_code_has_its_status_and_word() {
    test(async {
        for (code, status, word) in [
            ("1", 499, "CLIENT_CLOSED_REQUEST"),
            ("3", 400, "BAD_REQUEST"),
            ("4", 504, "GATEWAY_TIMEOUT"),
            ("5", 404, "NOT_FOUND"),
            ("6", 409, "CONFLICT"),
            ("7", 403, "FORBIDDEN"),
            ("8", 429, "TOO_MANY_REQUESTS"),
            ("9", 409, "CONFLICT"),
            ("10", 409, "CONFLICT"),
            ("11", 400, "BAD_REQUEST"),
            ("12", 501, "NOT_IMPLEMENTED"),
            ("13", 500, "INTERNAL_SERVER_ERROR"),
            ("14", 503, "SERVICE_UNAVAILABLE"),
            ("15", 500, "INTERNAL_SERVER_ERROR"),
            ("16", 401, "UNAUTHORIZED"),
        ] {
            let (scene, _) = refusing(code).await;
            for path in ["/api/v1/admin/status", "/api/v1/workflows/x/events"] {
                let refused = scene.get(path).await.is(status);
                assert_eq!(
                    (refused.at("/error/code"), refused.at("/error/message")),
                    (&json!(word), &json!("because"))
                );
                assert_eq!(refused.headers.contains_key("retry-after"), code == "14");
            }
        }
    });
}

#[test]
fn headers_that_mean_something_reach_the_service_and_no_others() {
    test(async {
        let (scene, told) = refusing("16").await;
        let request = scene
            .request(Method::GET, "/api/v1/admin/status")
            .header("authorization", "Bearer t")
            .header("x-request-id", "r1")
            .header("traceparent", "00-1-2-01")
            // The router's word, in a client's mouth.
            .header("x-switchboard-principal", "root");
        answer(request).await.is(401);
        let told = told.lock().unwrap().clone();
        assert_eq!(
            (&told["authorization"], &told["x-request-id"], &told["traceparent"]),
            (
                &HeaderValue::from_static("Bearer t"),
                &HeaderValue::from_static("r1"),
                &HeaderValue::from_static("00-1-2-01"),
            )
        );
        assert!(!told.contains_key("x-switchboard-principal"), "{told:?}");
    });
}

#[test]
fn batches_and_sagas_are_taken() {
    test(async {
        let scene = Scene::start().await;
        let batch =
            scene.post("/api/v1/batch/workflows", json!({ "workflows": [one_call(), one_call()] })).await;
        let batch = batch.is(200);
        let ids: Vec<&Value> = (0..2).map(|n| batch.at(&format!("/results/{n}/workflow_id"))).collect();
        let shown =
            scene.post("/api/v1/batch/workflows/status", json!({ "workflow_ids": ids })).await.is(200);
        assert_eq!(shown.at("/results/1/status/name"), "trip");
        let cancel = json!({ "workflow_ids": ids, "force": true });
        let cancelled = scene.post("/api/v1/batch/workflows/cancel", cancel).await.is(200);
        assert_eq!(cancelled.at("/results/0/success"), true);
        let results = format!("/api/v1/workflows/{}/batch/results", ids[0].as_str().unwrap());
        let results = scene.post(&results, json!({})).await.is(200);
        assert_eq!(results.at("/results/0/result/status"), "TASK_STATUS_CANCELLED");

        let saga = json!({ "name": "s", "input": { "n": 1 }, "steps": [{ "id": "a" }] });
        let saga = scene.post("/api/v1/sagas", saga).await.is(201);
        let id = saga.at("/saga_id").as_str().unwrap();
        assert_eq!(scene.get(&format!("/api/v1/sagas/{id}")).await.is(200).at("/name"), "s");
        assert_eq!(scene.get("/api/v1/sagas?limit=1").await.is(200).at("/sagas/0/saga_id"), id);
    });
}

#[test]
fn inputs_are_kept_to_the_digit_and_as_deep_as_they_are() {
    test(async {
        let scene = Scene::start().await;
        let mut deep = json!(9_007_199_254_740_993_u64);
        for _ in 0..60 {
            deep = json!([deep]);
        }
        let mut workflow = one_call();
        workflow["input"] = deep.clone();
        let id = scene.submit(workflow).await;
        let shown = scene.get(&format!("/api/v1/workflows/{id}?include_input")).await.is(200);
        assert_eq!(shown.at("/input"), &deep);

        // Elsewhere it would be more than the decoders take.
        let items = json!({ "name": "x", "tasks": [{ "id": "a", "for_each": { "items": [deep] } }] });
        let refused = scene.post("/api/v1/workflows", items).await.is(400);
        assert!(refused.at("/error/message").as_str().unwrap().contains("30 levels"), "{refused:?}");
    });
}

#[test]
fn a_page_of_another_site_can_have_nothing_done() {
    test(async {
        let scene = Scene::start().await;
        let post = |origin: String| {
            let request = scene.request(Method::POST, "/api/v1/workflows").header("origin", origin);
            answer(request.json(&json!({ "name": "x", "tasks": [{ "id": "a" }] })))
        };
        let refused = post("http://elsewhere".to_owned()).await.is(403);
        assert_eq!(refused.at("/error/details/reason"), "CROSS_ORIGIN");
        post(format!("http://{}", scene.addr)).await.is(201);
    });
}

#[test]
fn one_workflow_is_paused_signalled_and_looked_into() {
    test(async {
        let scene = Scene::start().await;
        let wait = json!({ "id": "w", "type": "wait_signal", "target": "go" });
        let id = scene
            .submit(json!({ "name": "waits", "tasks": [wait, { "id": "b", "dependencies": ["w"] }] }))
            .await;
        let at = |what: &str| format!("/api/v1/workflows/{id}/{what}");
        let paused = scene.post(&at("pause"), json!({})).await.is(200);
        assert_eq!(paused.at("/detail"), "WORKFLOW_DETAIL_PAUSED");
        scene.post(&at("resume"), json!({})).await.is(200);
        let followed = scene.request(Method::GET, &at("events")).send().await.unwrap();
        let woken = scene.post(&at("signals"), json!({ "name": "go", "input": { "n": 1 } })).await.is(202);
        assert_eq!(woken.at("/task_id"), "w");
        // The stream ends with the workflow.
        followed.text().await.unwrap();
        assert_eq!(scene.get(&at("tasks/w/result")).await.is(200).at("/result"), &json!({ "n": 1 }));
        let history = scene.get(&at("history?limit=1")).await.is(200);
        assert_eq!(history.at("/events/0/type"), "workflow_submitted");
        let refused = scene.post(&at("retry"), json!({})).await.is(409);
        assert_eq!(refused.at("/error/details/reason"), "NOT_RETRYABLE");
    });
}

#[test]
fn the_engine_is_administered() {
    test(async {
        let scene = Scene::start().await;
        assert_eq!(scene.get("/api/v1/admin/status").await.is(200).at("/healthy"), true);
        scene.post("/api/v1/admin/pause", json!({})).await.is(409);
        scene.post("/api/v1/admin/pause", json!({ "confirmation": true })).await.is(200);
        let refused = scene.post("/api/v1/workflows", one_call()).await.is(409);
        assert_eq!(refused.at("/error/details/reason"), "ENGINE_PAUSED");
        assert_eq!(scene.get("/ready").await.is(200).at("/status"), "paused");
        scene.post("/api/v1/admin/resume", json!({})).await.is(200);
        let lane = json!({ "lane": { "name": "slow", "workers": 1, "capacity": 10 } });
        scene.post("/api/v1/admin/lanes", lane).await.is(201);
        assert_eq!(scene.get("/api/v1/admin/lanes/slow").await.is(200).at("/lanes/0/worker_count"), 1);
        scene.get("/api/v1/admin/lanes/none").await.is(404);
        scene.post("/api/v1/admin/purge", json!({ "age_threshold_hours": 1, "dry_run": true })).await.is(200);
        scene.get("/api/v1/admin/metrics?format=prometheus").await.is(200);
        scene.get("/api/v1/admin/cluster/nodes").await.is(200);
        scene.get("/api/v1/admin/debug/none").await.is(400);
    });
}
