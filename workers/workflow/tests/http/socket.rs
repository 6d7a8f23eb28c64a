//! `/ws/events`.

use futures_util::{SinkExt, StreamExt};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};
use workflow_worker::http::Settings;

use crate::support::{PATIENCE, Scene, answer, one_call, test};

struct Socket(WebSocketStream<TcpStream>);

impl Socket {
    async fn open(scene: &Scene) -> Self {
        let stream = TcpStream::connect(scene.addr).await.unwrap();
        Self(client_async(format!("ws://{}/ws/events", scene.addr), stream).await.unwrap().0)
    }

    async fn say(&mut self, message: Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    /// The next message; `None` when the server closes.
    async fn hear(&mut self) -> Option<Value> {
        loop {
            match tokio::time::timeout(PATIENCE, self.0.next()).await.expect("something comes")?.unwrap() {
                Message::Text(text) => return Some(serde_json::from_str(&text).unwrap()),
                Message::Close(_) => return None,
                _ => {}
            }
        }
    }
}

#[test]
fn a_workflow_and_its_tasks_are_told_until_the_end() {
    test(async {
        let mut scene = Scene::start().await;
        let id = scene.submit(one_call()).await;
        let mut socket = Socket::open(&scene).await;
        socket.say(json!({ "type": "subscribe", "workflow_id": id })).await;
        assert_eq!(socket.hear().await.unwrap()["type"], "subscribed");
        scene.complete("1").await;
        let mut heard = Vec::new();
        loop {
            let message = socket.hear().await.unwrap();
            assert!(message["timestamp"].is_string(), "{message}");
            assert_eq!(message["payload"]["workflow_id"], id.as_str());
            if message["type"] == "unsubscribed" {
                break;
            }
            heard.push((message["type"].clone(), message["payload"]["status"].clone()));
        }
        assert!(
            heard.contains(&(json!("workflow.state_changed"), json!("WORKFLOW_STATUS_COMPLETED"))),
            "{heard:?}"
        );
        assert!(heard.contains(&(json!("task.state_changed"), json!("TASK_STATUS_COMPLETED"))), "{heard:?}");
    });
}

#[test]
fn what_is_wrong_is_said_and_the_socket_stays() {
    test(async {
        let scene = Scene::start().await;
        let mut socket = Socket::open(&scene).await;
        socket.say(json!({ "type": "shout" })).await;
        assert_eq!(socket.hear().await.unwrap()["payload"]["error"]["code"], "VALIDATION_FAILED");
        socket.say(json!({ "type": "subscribe", "workflow_id": "none" })).await;
        assert_eq!(socket.hear().await.unwrap()["type"], "subscribed");
        let error = socket.hear().await.unwrap();
        assert_eq!((&error["type"], &error["payload"]["workflow_id"]), (&json!("error"), &json!("none")));
        assert_eq!(error["payload"]["error"]["code"], "NOT_FOUND");
        assert_eq!(socket.hear().await.unwrap()["type"], "unsubscribed");

        let id = scene.submit(one_call()).await;
        for _ in 0..2 {
            socket.say(json!({ "type": "subscribe", "workflow_id": id })).await;
            while socket.hear().await.unwrap()["type"] != "subscribed" {}
            socket.say(json!({ "type": "unsubscribe", "workflow_id": id })).await;
            while socket.hear().await.unwrap()["type"] != "unsubscribed" {}
        }
    });
}

#[test]
fn sockets_are_counted_and_other_sites_have_none() {
    test(async {
        let scene = Scene::with(Settings { max_sockets: 1, ..Settings::default() }).await;
        scene.get("/ws/events").await.is(400);
        let elsewhere = scene.request(Method::GET, "/ws/events").header("origin", "http://elsewhere");
        answer(elsewhere).await.is(403);
        let _socket = Socket::open(&scene).await;
        let refused = scene.get("/ws/events").await.is(503);
        assert_eq!(refused.at("/error/details/reason"), "TOO_MANY_SOCKETS");
    });
}

#[test]
fn a_server_that_stops_says_goodbye() {
    test(async {
        let mut scene = Scene::start().await;
        let mut socket = Socket::open(&scene).await;
        socket.say(json!({ "type": "unsubscribe", "workflow_id": "x" })).await;
        assert_eq!(socket.hear().await.unwrap()["type"], "unsubscribed");
        scene.stop();
        assert_eq!(socket.hear().await, None);
        drop(socket);
        scene.ended().await;
    });
}
