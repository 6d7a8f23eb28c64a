//! What is refused before it reaches a service.

use reqwest::Method;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use workflow_worker::http::Settings;

use crate::support::{Scene, answer, noop, test};

#[test]
fn another_verb_is_told_which_there_are() {
    test(async {
        let scene = Scene::start().await;
        let refused = answer(scene.request(Method::PUT, "/api/v1/workflows")).await.is(405);
        let mut allowed: Vec<_> = refused.header("allow").split(", ").collect();
        allowed.sort_unstable();
        assert_eq!(allowed, ["GET", "HEAD", "POST"]);
        assert_eq!(refused.at("/error/code"), "METHOD_NOT_ALLOWED");
        let nothing = scene.get("/api/v2").await.is(404);
        assert_eq!(nothing.at("/error/details/reason"), "NO_SUCH_PATH");
    });
}

#[test]
fn a_body_must_be_json_and_not_too_large() {
    test(async {
        let scene = Scene::with(Settings { max_body_bytes: 1_000, ..Settings::default() }).await;
        let form = scene.request(Method::POST, "/api/v1/workflows").body("name=x");
        let form = form.header("content-type", "application/x-www-form-urlencoded");
        assert_eq!(answer(form).await.is(415).at("/error/code"), "UNSUPPORTED_MEDIA_TYPE");
        let mut large = noop();
        large["metadata"] = serde_json::json!({ "k": "x".repeat(1_000) });
        let refused = scene.post("/api/v1/workflows", large.clone()).await.is(413);
        assert_eq!(refused.at("/error/code"), "PAYLOAD_TOO_LARGE");
        // One that the client is still sending.
        let again = Scene::start().await;
        large["metadata"]["k"] = "x".repeat(5 << 20).into();
        again.post("/api/v1/workflows", large).await.is(413);
        for body in [serde_json::json!([]), serde_json::json!("x"), serde_json::json!(null)] {
            scene.post("/api/v1/workflows", body).await.is(400);
        }
    });
}

#[test]
fn connections_above_the_limit_wait() {
    test(async {
        let scene = Scene::with(Settings { max_connections: 1, ..Settings::default() }).await;
        let mut first = TcpStream::connect(scene.addr).await.unwrap();
        let mut second = TcpStream::connect(scene.addr).await.unwrap();
        let head = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n";
        second.write_all(head).await.unwrap();
        first.write_all(head).await.unwrap();
        let mut buffer = [0; 12];
        first.read_exact(&mut buffer).await.unwrap();
        assert_eq!(&buffer, b"HTTP/1.1 200");
        drop(first);
        second.read_exact(&mut buffer).await.unwrap();
        assert_eq!(&buffer, b"HTTP/1.1 200");
    });
}
