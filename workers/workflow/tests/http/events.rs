//! Server-sent events.

use std::time::Duration;

use reqwest::{Method, Response};
use serde_json::Value;
use workflow_worker::http::Settings;

use crate::support::{PATIENCE, Scene, noop, one_call, test};

/// One event, or a comment.
#[derive(Debug, Default)]
struct Event {
    name: String,
    id: String,
    data: Value,
    comment: String,
}

struct Events {
    response: Response,
    text: String,
}

impl Events {
    async fn open(scene: &Scene, path: &str, last: Option<&str>) -> Self {
        let mut request = scene.request(Method::GET, path);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, text: String::new() }
    }

    /// The next event; `None` when the stream is over.
    async fn next(&mut self) -> Option<Event> {
        while !self.text.contains("\n\n") {
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk())
                .await
                .expect("something comes")
                .unwrap();
            self.text.push_str(std::str::from_utf8(&chunk?).unwrap());
        }
        let (one, rest) = self.text.split_once("\n\n").unwrap();
        let mut event = Event::default();
        for line in one.lines() {
            match line.split_once(": ").unwrap_or((line.trim_end_matches(':'), "")) {
                ("event", name) => event.name = name.to_owned(),
                ("id", id) => event.id = id.to_owned(),
                ("data", data) => event.data = serde_json::from_str(data).unwrap(),
                (_, comment) => event.comment = comment.to_owned(),
            }
        }
        self.text = rest.to_owned();
        Some(event)
    }

    async fn rest(mut self) -> Vec<Event> {
        let mut all = Vec::new();
        while let Some(event) = self.next().await {
            all.push(event);
        }
        all
    }
}

#[test]
fn a_workflow_is_followed_to_its_end() {
    test(async {
        let mut scene = Scene::start().await;
        let id = scene.submit(one_call()).await;
        let mut events = Events::open(&scene, &format!("/api/v1/workflows/{id}/events"), None).await;
        let first = events.next().await.unwrap();
        assert_eq!(first.name, "workflow.state_changed");
        assert_eq!(first.data["workflow_id"], id.as_str());
        assert_eq!(first.id, first.data["sequence_number"].as_str().unwrap());
        scene.complete("1").await;
        let rest = events.rest().await;
        let [.., last, end] = &rest[..] else { panic!("{rest:?}") };
        assert_eq!(last.data["status"], "WORKFLOW_STATUS_COMPLETED");
        assert_eq!(end.name, "end");
        let ids: Vec<u64> = rest.iter().filter_map(|event| event.id.parse().ok()).collect();
        assert!(ids.is_sorted() && ids[0] > first.id.parse().unwrap(), "{ids:?}");
    });
}

#[test]
fn who_comes_back_gets_what_was_missed_and_then_nothing() {
    test(async {
        let mut scene = Scene::start().await;
        let id = scene.submit(one_call()).await;
        let path = format!("/api/v1/workflows/{id}/events");
        let first = Events::open(&scene, &path, None).await.next().await.unwrap();
        scene.complete("1").await;
        let all = Events::open(&scene, &path, Some(&first.id)).await.rest().await;
        let head = &all[all.len() - 2];
        assert_eq!(head.data["status"], "WORKFLOW_STATUS_COMPLETED");
        assert!(all.iter().all(|event| event.id != first.id), "{all:?}");
        // A browser would come back for ever; this tells it not to.
        let again = scene.request(Method::GET, &path).header("last-event-id", &head.id).send().await.unwrap();
        assert_eq!(again.status(), 204);
        // Where no header can be set.
        scene.get(&format!("{path}?last_event_id={}", head.id)).await.is(204);

        let future = scene.get(&format!("{path}?last_event_id=9999")).await.is(400);
        assert_eq!(future.at("/error/details/reason"), "SEQUENCE_IN_FUTURE");
        scene.get(&format!("{path}?last_event_id=x")).await.is(400);
    });
}

#[test]
fn tasks_are_followed_by_name() {
    test(async {
        let mut scene = Scene::start().await;
        let mut workflow = one_call();
        let tasks = workflow["tasks"].as_array_mut().unwrap();
        tasks.push(serde_json::json!({ "id": "b", "dependencies": ["a"] }));
        let id = scene.submit(workflow).await;
        let path = format!("/api/v1/workflows/{id}/tasks/events?task=b&terminal_only=true");
        let events = Events::open(&scene, &path, None).await;
        scene.complete("1").await;
        let all = events.rest().await;
        let tasks: Vec<_> = all.iter().filter(|event| event.name == "task.state_changed").collect();
        assert!(tasks.iter().all(|event| event.data["task_id"] == "b"), "{all:?}");
        assert_eq!(tasks.last().unwrap().data["status"], "TASK_STATUS_COMPLETED");
        let unknown = scene.get(&format!("/api/v1/workflows/{id}/tasks/events?task=x")).await.is(400);
        assert_eq!(unknown.at("/error/code"), "VALIDATION_FAILED");
    });
}

#[test]
fn the_log_is_followed_to_its_end() {
    test(async {
        let mut scene = Scene::start().await;
        let id = scene.submit(one_call()).await;
        let events = Events::open(&scene, &format!("/api/v1/workflows/{id}/logs?level=info"), None).await;
        scene.complete("1").await;
        let all = events.rest().await;
        assert_eq!(all.last().unwrap().name, "end");
        assert!(all.iter().any(|event| event.name == "log" && event.data["message"].is_string()), "{all:?}");
    });
}

#[test]
fn what_cannot_be_followed_is_said_before_it_begins() {
    test(async {
        let scene = Scene::start().await;
        for stream in ["events", "tasks/events", "logs"] {
            let missing = scene.get(&format!("/api/v1/workflows/none/{stream}")).await.is(404);
            assert_eq!(missing.at("/error/details/reason"), "WORKFLOW_NOT_FOUND");
        }
        let id = scene.submit(noop()).await;
        scene.get(&format!("/api/v1/workflows/{id}/logs?level=loud")).await.is(400);
    });
}

#[test]
fn a_silent_stream_shows_that_it_lives() {
    test(async {
        let scene = Scene::with(Settings { ping: Duration::from_millis(20), ..Settings::default() }).await;
        let id = scene.submit(one_call()).await;
        let mut events = Events::open(&scene, &format!("/api/v1/workflows/{id}/events"), None).await;
        while events.next().await.unwrap().comment != "ping" {}
    });
}
