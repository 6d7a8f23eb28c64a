//! How the server is, and how it ends.

use std::time::Duration;

use reqwest::Method;
use switchboard_backend::Backend;
use workflow_worker::http::Settings;

use crate::support::{PATIENCE, Scene, answer, noop, one_call, test};

#[test]
fn health_and_figures_are_shown() {
    test(async {
        let scene = Scene::start().await;
        assert_eq!(scene.get("/health").await.is(200).at("/status"), "ok");
        assert_eq!(scene.get("/ready").await.is(200).at("/status"), "ready");
        scene.submit(noop()).await;
        assert_eq!(scene.get("/status").await.is(200).at("/workflows/submitted"), 1);
    });
}

#[test]
fn who_waits_is_answered_when_the_server_stops() {
    test(async {
        let mut scene = Scene::start().await;
        let asked = scene.request(Method::POST, "/api/v1/workflows").json(&one_call());
        let asked = tokio::spawn(answer(asked));
        // It is taken.
        scene.attempt().await;
        scene.stop();
        let answer = asked.await.unwrap().is(202);
        assert_eq!(answer.at("/name"), "trip");
        assert!(scene.ended().await, "nothing was cut");
    });
}

#[test]
fn streams_end_when_the_server_stops() {
    test(async {
        let mut scene = Scene::start().await;
        let id = scene.submit(one_call()).await;
        let stream =
            scene.request(Method::GET, &format!("/api/v1/workflows/{id}/events")).send().await.unwrap();
        scene.stop();
        let text = tokio::time::timeout(PATIENCE, stream.text()).await.unwrap().unwrap();
        assert!(text.contains("event: error") && text.contains("SERVICE_UNAVAILABLE"), "{text}");
        scene.ended().await;
    });
}

#[test]
fn what_does_not_end_is_cut() {
    test(async {
        let short = |backend: Backend| backend.drain(Duration::ZERO, Duration::from_millis(50));
        let mut scene = Scene::of(Settings::default(), None, short).await;
        // Has begun a request, and says no more.
        let stream = tokio::net::TcpStream::connect(scene.addr).await.unwrap();
        stream.writable().await.unwrap();
        stream
            .try_write(b"POST /api/v1/workflows HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{")
            .unwrap();
        scene.get("/health").await.is(200);
        scene.stop();
        assert!(!scene.ended().await);
    });
}
