//! The origin's words for workflows and tasks.

use serde_json::json;
use workflow_machine::Request;

use crate::support::{Scene, test};

#[test]
fn its_http_task_is_one_of_ours() {
    test(async {
        let mut scene = Scene::start().await;
        let id = scene
            .submit(json!({
                "name": "origin",
                "description": "as the origin has it",
                "metadata": { "team": "red" },
                "tasks": [
                    { "id": "first", "name": "First", "type": "http", "timeout": 7, "retries": 2, "depends_on": [],
                      "config": { "url": "http://127.0.0.1:1/x", "method": "POST", "headers": { "x-a": "b" }, "body": { "n": 1 } } },
                    { "id": "second", "depends_on": ["first"] },
                ],
            }))
            .await;
        let attempt = scene.attempt().await;
        let Request::Http(http) = &attempt.run.request else { panic!("{attempt:?}") };
        assert_eq!((http.method.as_str(), http.url.as_str()), ("POST", "http://127.0.0.1:1/x"));
        let shown = scene.get(&format!("/api/v1/workflows/{id}")).await.is(200);
        assert_eq!(shown.at("/metadata"), &json!({ "team": "red", "description": "as the origin has it" }));
        assert_eq!(shown.at("/tasks/0/max_attempts"), 3);
        assert_eq!(shown.at("/tasks/0/name"), "First");
        assert_eq!(shown.at("/tasks/1/dependencies"), &json!(["first"]));
    });
}

#[test]
fn its_bounds_hold_and_errors_are_in_its_words() {
    test(async {
        let scene = Scene::start().await;
        let http = json!({ "url": "http://x/", "colour": "red" });
        for (task, field) in [
            (json!({ "id": "a", "timeout": 3601 }), "tasks[0].timeout"),
            (json!({ "id": "a", "timeout": 0 }), "tasks[0].timeout"),
            (json!({ "id": "a", "retries": 6 }), "tasks[0].retries"),
            (json!({ "id": "a", "depends_on": [], "dependencies": [] }), "tasks[0].depends_on"),
            (json!({ "id": "a", "type": "http", "config": http }), "tasks[0].config.colour"),
            (json!({ "id": "a", "type": "script", "config": { "script": "true" } }), "tasks[0].type"),
        ] {
            let refused =
                scene.post("/api/v1/workflows", json!({ "name": "x", "tasks": [task] })).await.is(400);
            assert_eq!(refused.at("/error/details/violations/0/field"), field, "{refused:?}");
        }
        let long = json!({ "name": "x", "description": "d".repeat(501), "tasks": [{ "id": "a" }] });
        let refused = scene.post("/api/v1/workflows", long).await.is(400);
        assert_eq!(refused.at("/error/details/violations/0/field"), "description");
    });
}
