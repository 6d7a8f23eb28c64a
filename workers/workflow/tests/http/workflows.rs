//! Workflows: submit, look, list, cancel, result; and what is told when it does not work.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use workflow_worker::http::Settings;

use crate::support::{Scene, answer, noop, one_call, test};

#[test]
fn who_submits_waits_for_the_end_and_gets_it() {
    test(async {
        let mut scene = Scene::start().await;
        let asked = scene.request(Method::POST, "/api/v1/workflows").json(&one_call());
        let asked = tokio::spawn(answer(asked));
        scene.complete(r#"{"said":"hi"}"#).await;
        let done = asked.await.unwrap().is(201);
        assert_eq!(done.at("/status"), "WORKFLOW_STATUS_COMPLETED");
        assert_eq!(done.at("/tasks/0/status"), "TASK_STATUS_COMPLETED");
        let id = done.at("/workflow_id").as_str().unwrap();
        assert_eq!(done.header("location"), format!("/api/v1/workflows/{id}"));

        let shown = scene.get(&format!("/api/v1/workflows/{id}")).await.is(200);
        assert_eq!(shown.body, done.body);
        let result = scene.get(&format!("/api/v1/workflows/{id}/tasks/a/result")).await.is(200);
        // The JSON itself, and its text as the contract has it.
        assert_eq!(result.at("/result"), &json!({ "said": "hi" }));
        assert_eq!(result.at("/result_data"), "eyJzYWlkIjoiaGkifQ==");
    });
}

#[test]
fn with_async_it_is_taken_and_goes_on() {
    test(async {
        let mut scene = Scene::start().await;
        let mut workflow = one_call();
        workflow["async"] = true.into();
        let taken = scene.post("/api/v1/workflows", workflow).await.is(201);
        assert_eq!(taken.at("/status"), "WORKFLOW_STATUS_PENDING");
        let id = taken.at("/workflow_id").as_str().unwrap().to_owned();
        // Bodies need not be there.
        let path = format!("/api/v1/workflows/{id}/cancel?force");
        let cancelled = answer(scene.request(Method::POST, &path)).await.is(200);
        assert_eq!(cancelled.at("/status"), "WORKFLOW_STATUS_CANCELLED");
        scene.attempt().await;
    });
}

#[test]
fn a_wait_ends_before_the_workflow() {
    test(async {
        let scene = Scene::with(Settings { wait: Duration::from_millis(1), ..Settings::default() }).await;
        let waited = scene.post("/api/v1/workflows", one_call()).await.is(202);
        assert_ne!(waited.at("/status"), "WORKFLOW_STATUS_COMPLETED");
        let id = waited.at("/workflow_id").as_str().unwrap();
        assert_eq!(waited.header("location"), format!("/api/v1/workflows/{id}"));
    });
}

#[test]
fn errors_name_the_field_the_reason_and_the_request() {
    test(async {
        let scene = Scene::start().await;
        for (body, field) in [
            (json!({ "name": "x", "tasks": [{ "id": "a", "taget": "y" }] }), "tasks[0].taget"),
            (
                json!({ "name": "x", "tasks": [{ "id": "a" }, { "id": "b", "priority": "high" }] }),
                "tasks[1].priority",
            ),
            (json!({ "name": 7, "tasks": [{ "id": "a" }] }), "name"),
            (json!({ "name": "x", "tasks": [{ "id": "a", "retry": { "max": 1 } }] }), "tasks[0].retry.max"),
            // This one the service refuses.
            (
                json!({ "name": "x", "tasks": [{ "id": "a", "dependencies": ["b"] }] }),
                "tasks[0].dependencies[0]",
            ),
        ] {
            let refused = scene.post("/api/v1/workflows", body).await.is(400);
            assert_eq!(refused.at("/error/code"), "VALIDATION_FAILED");
            assert_eq!(refused.at("/error/details/violations/0/field"), field, "{refused:?}");
            assert_eq!(refused.at("/error/request_id"), refused.header("x-request-id"));
        }
        let missing = scene.get("/api/v1/workflows/none").await.is(404);
        assert_eq!(missing.at("/error/code"), "NOT_FOUND");
        assert_eq!(missing.at("/error/details/reason"), "WORKFLOW_NOT_FOUND");

        let id = scene.submit(noop()).await;
        let missing = scene.get(&format!("/api/v1/workflows/{id}/tasks/none/result")).await.is(404);
        assert_eq!(missing.at("/error/details/reason"), "TASK_NOT_FOUND");

        let text =
            scene.request(Method::POST, "/api/v1/workflows").header("content-type", "application/json");
        let broken = answer(text.body("{\"name\":\n  oops}")).await.is(400);
        assert!(broken.at("/error/message").as_str().unwrap().contains("line 2 column"), "{broken:?}");
    });
}

#[test]
fn a_request_keeps_its_id() {
    test(async {
        let scene = Scene::start().await;
        let given = scene.request(Method::GET, "/api/v1/workflows/none").header("x-request-id", "abc-1");
        let given = answer(given).await.is(404);
        assert_eq!((given.header("x-request-id"), given.at("/error/request_id")), ("abc-1", &json!("abc-1")));
        let long = scene.request(Method::GET, "/health").header("x-request-id", "x".repeat(129));
        assert_eq!(answer(long).await.is(200).header("x-request-id").len(), 36);
    });
}

#[test]
fn a_repeated_submission_is_the_first_one() {
    test(async {
        let scene = Scene::start().await;
        let post = async |mut body: Value| {
            body["async"] = true.into();
            let request = scene.request(Method::POST, "/api/v1/workflows").header("Idempotency-Key", "k1");
            answer(request.json(&body)).await
        };
        let first = post(noop()).await.is(201);
        assert!(!first.headers.contains_key("idempotent-replayed"));
        let again = post(noop()).await.is(201);
        assert_eq!(again.body, first.body);
        assert_eq!(again.header("idempotent-replayed"), "true");
        let other = post(one_call()).await.is(409);
        assert_eq!(other.at("/error/code"), "CONFLICT");
        assert_eq!(other.at("/error/details/reason"), "IDEMPOTENCY_KEY_REUSED");
    });
}

#[test]
fn lists_know_filters_offsets_and_tokens() {
    test(async {
        let scene = Scene::start().await;
        let mut ids = Vec::new();
        for n in 0..5 {
            let mut workflow = noop();
            workflow["name"] = format!("w{n}").into();
            workflow["attributes"] = json!({ "parity": if n % 2 == 0 { "even" } else { "odd" } });
            // Waits for the end.
            let done = scene.post("/api/v1/workflows", workflow).await.is(201);
            ids.insert(0, done.at("/workflow_id").as_str().unwrap().to_owned());
        }
        let listed = async |query: &str| {
            let page = scene.get(&format!("/api/v1/workflows?{query}")).await.is(200);
            let ids = page.at("/workflows").as_array().unwrap().iter();
            let ids: Vec<String> = ids.map(|one| one["workflow_id"].as_str().unwrap().to_owned()).collect();
            (ids, page.at("/pagination").clone())
        };
        assert_eq!(listed("").await.0, ids);
        assert_eq!(listed("limit=2&offset=1").await.0, ids[1..3]);
        assert_eq!(listed("offset=4").await.0, ids[4..]);
        let (none, pagination) = listed("offset=5&limit=2").await;
        assert_eq!((none.len(), &pagination["total_count"]), (0, &json!(5)));
        let (first, pagination) = listed("limit=3").await;
        let token = pagination["next_page_token"].as_str().unwrap();
        assert_eq!(
            (first, listed(&format!("limit=3&page_token={token}")).await.0),
            (ids[..3].into(), ids[3..].into())
        );
        assert_eq!(listed("attribute.parity=odd").await.0, [ids[1].clone(), ids[3].clone()]);
        assert_eq!(listed("status=completed").await.0.len(), 5);
        assert_eq!(listed("status=WORKFLOW_STATUS_FAILED").await.0.len(), 0);
        assert_eq!(listed("name_prefix=w3").await.0, [ids[1].clone()]);

        for (query, field) in [("status=odd", "status"), ("offset=-1", "offset"), ("colour=red", "colour")] {
            let refused = scene.get(&format!("/api/v1/workflows?{query}")).await.is(400);
            assert_eq!(refused.at("/error/details/violations/0/field"), field);
        }
    });
}
