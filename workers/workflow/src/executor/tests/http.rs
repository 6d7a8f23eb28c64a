//! HTTP requests: what goes out, what a result is, what a failure says, and where requests may not go.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use workflow_machine::{Http, Request, TaskError};

use super::web::{Web, answer};
use super::{Engine, NOWHERE, attempt, within};
use crate::attempt::Executor;
use crate::executor::Settings;
use crate::executor::http::{self, Allow};

fn engine() -> Engine {
    Engine::new(NOWHERE, Settings::default())
}

fn engine_with(http: http::Settings) -> Engine {
    Engine::new(NOWHERE, Settings { http, ..Settings::default() })
}

fn get(url: impl Into<String>) -> Request {
    Request::Http(Http { url: url.into(), ..Http::default() })
}

async fn failure(engine: &mut Engine, request: Request) -> TaskError {
    engine.executors.run(attempt("failing", request));
    let error = engine.outcome().await.unwrap_err();
    // So that the next one may have its name.
    let gone = async || {
        let metrics = engine.executors.metrics();
        if metrics.in_flight.get() == 0 { Ok(()) } else { Err("still there") }
    };
    switchboard_testkit::eventually(Duration::from_secs(20), gone).await.unwrap();
    error
}

#[tokio::test]
async fn request_carries_what_the_task_says_and_who_asks() {
    let web = Web::start(|_| answer("200 OK", "", "")).await;
    let mut engine = engine();
    let headers = BTreeMap::from([("Accept".to_owned(), "text/plain".to_owned())]);
    let body = Bytes::from_static(br#"{"city": "Rome"}"#);
    let put = Http { method: "PUT".to_owned(), url: web.url("/cities?x=1"), headers, body };
    engine.executors.run(attempt("a", Request::Http(put)));
    engine.outcome().await.unwrap();
    let text = Http { url: web.url("/say"), body: Bytes::from_static(br#""hello""#), ..Http::default() };
    engine.executors.run(attempt("b", Request::Http(text)));
    engine.outcome().await.unwrap();
    engine.executors.run(attempt("c", get(web.url("/"))));
    engine.outcome().await.unwrap();

    let asked = web.asked();
    let lines: Vec<_> = asked.iter().map(|asked| asked.line.as_str()).collect();
    assert_eq!(lines, ["PUT /cities?x=1", "POST /say", "GET /"]);
    assert_eq!((asked[0].body.as_str(), asked[1].body.as_str()), (r#"{"city": "Rome"}"#, "hello"));
    let header = |at: usize, name: &str| asked[at].headers.get(name).cloned().unwrap_or_default();
    assert_eq!(
        (header(0, "content-type"), header(0, "accept")),
        ("application/json".into(), "text/plain".into())
    );
    assert_eq!(header(1, "content-type"), "text/plain; charset=utf-8");
    assert_eq!((header(2, "idempotency-key"), header(2, "x-request-id")), ("wf/c".into(), "req-1".into()));
}

#[tokio::test]
async fn result_has_status_headers_and_body() {
    let web = Web::start(|path| match path {
        "/json" => {
            answer("201 Created", "content-type: application/json\r\nset-cookie: s=1\r\netag: v1\r\n", "[1]")
        }
        "/text" => answer("200 OK", "x-a: 1\r\nx-a: 2\r\n", "plain"),
        "/broken" => answer("200 OK", "content-type: application/json\r\n", "{"),
        _ => answer("200 OK", "content-type: image/png\r\n", [0x89, 0x50]),
    })
    .await;
    let mut engine = engine();
    let length = |length: u32| length.to_string();
    for (path, expected) in [
        (
            "/json",
            json!({"status": 201, "body": [1],
                "headers": {"content-type": "application/json", "content-length": length(3), "etag": "v1"}}),
        ),
        (
            "/text",
            json!({"status": 200, "body": "plain", "headers": {"content-length": length(5), "x-a": "1, 2"}}),
        ),
        (
            "/broken",
            json!({"status": 200, "body": "{",
                "headers": {"content-type": "application/json", "content-length": length(1)}}),
        ),
        (
            "/image",
            json!({"status": 200, "body": null, "body_base64": "iVA=",
                "headers": {"content-type": "image/png", "content-length": length(2)}}),
        ),
    ] {
        engine.executors.run(attempt(path, get(web.url(path))));
        assert_eq!(engine.outcome().await.unwrap(), expected, "{path}");
    }
}

#[tokio::test]
async fn status_says_whether_another_attempt_helps() {
    let web =
        Web::start(|path| answer(&path[1..].replace('-', " "), "retry-after: 2\r\n", "  try later ")).await;
    let mut engine = engine();
    for (path, code, retryable) in [
        ("/400-Bad", "HTTP_400", false),
        ("/404-Not-Found", "HTTP_404", false),
        ("/408-Slow", "HTTP_408", true),
        ("/425-Early", "HTTP_425", true),
        ("/429-Many", "HTTP_429", true),
        ("/500-Bug", "HTTP_500", true),
        ("/503-Down", "HTTP_503", true),
        ("/304-Same", "HTTP_304", false),
    ] {
        let error = failure(&mut engine, get(web.url(path) + "?key=secret")).await;
        assert_eq!((error.code.as_str(), error.retryable), (code, retryable), "{path}");
        assert_eq!(error.retry_after_ms, if retryable { 2_000 } else { 0 }, "{path}");
        let place = format!("GET {} answered", web.url(path));
        assert!(error.message.starts_with(&place), "{}", error.message);
        assert!(!error.message.contains("secret"), "{}", error.message);
    }
    let error = failure(&mut engine, get(web.url("/500-Bug"))).await;
    assert!(error.message.ends_with("500 Internal Server Error: try later"), "{}", error.message);
}

#[tokio::test]
async fn connection_that_fails_or_breaks_is_worth_another_attempt() {
    let web = Web::start(|path| match path {
        "/short" => Some(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc".to_vec()),
        _ => Some(Vec::new()),
    })
    .await;
    let mut engine = engine();
    for url in [format!("http://{NOWHERE}/"), web.url("/short"), web.url("/nothing")] {
        let error = failure(&mut engine, get(url.clone())).await;
        assert_eq!((error.code.as_str(), error.retryable), ("UNAVAILABLE", true), "{}", error.message);
        assert!(error.message.contains(&url), "{}", error.message);
    }
}

#[tokio::test]
async fn answer_that_does_not_come_ends_at_the_timeout() {
    let web = Web::start(|_| None).await;
    let mut engine = engine();
    engine.executors.run(within(attempt("t", get(web.url("/"))), Duration::from_millis(200)));
    let error = engine.outcome().await.unwrap_err();
    assert_eq!((error.code.as_str(), error.retryable), ("DEADLINE_EXCEEDED", true));
}

#[tokio::test]
async fn body_over_the_limit_is_refused_whole() {
    let web =
        Web::start(|path| answer("200 OK", "", "x".repeat(if path == "/fits" { 1_000 } else { 1_001 })))
            .await;
    let mut engine = engine_with(http::Settings { max_body_bytes: 1_000, ..http::Settings::default() });
    engine.executors.run(attempt("fits", get(web.url("/fits"))));
    assert!(engine.outcome().await.is_ok());
    let error = failure(&mut engine, get(web.url("/over"))).await;
    assert_eq!((error.code.as_str(), error.retryable), ("RESPONSE_TOO_LARGE", false));
}

#[tokio::test]
async fn redirects_are_followed_up_to_a_limit() {
    let web = Web::start(|path| {
        let left: u32 = path[1..].parse().unwrap();
        match left {
            0 => answer("200 OK", "", "here"),
            _ => answer("302 Found", &format!("location: /{}\r\n", left - 1), ""),
        }
    })
    .await;
    let mut engine = engine();
    engine.executors.run(attempt("t", get(web.url("/5"))));
    assert_eq!(engine.outcome().await.unwrap()["body"], "here");
    let error = failure(&mut engine, get(web.url("/6"))).await;
    assert_eq!((error.code.as_str(), error.retryable), ("TOO_MANY_REDIRECTS", false), "{}", error.message);
}

#[tokio::test]
async fn requests_go_only_where_they_may() {
    let web = Web::start(|path| match path {
        "/to-metadata" => answer("302 Found", "location: http://169.254.169.254/latest\r\n", ""),
        _ => answer("200 OK", "", "here"),
    })
    .await;
    let mut open = engine();
    let denied = |error: TaskError| {
        assert_eq!((error.code.as_str(), error.retryable), ("PERMISSION_DENIED", false), "{}", error.message);
        assert!(error.message.contains("http.allow"), "{}", error.message);
    };
    denied(failure(&mut open, get("http://169.254.169.254/latest/meta-data")).await);
    denied(failure(&mut open, get(web.url("/to-metadata"))).await);

    let allow = |entries: &[&str]| http::Settings {
        allow: Allow::new(entries).unwrap(),
        ..http::Settings::default()
    };
    let port = web.address.rsplit(':').next().unwrap();
    let by_name = format!("http://localhost:{port}/");
    let mut named = engine_with(allow(&["localhost"]));
    named.executors.run(attempt("t", get(by_name.clone())));
    assert_eq!(named.outcome().await.unwrap()["body"], "here");
    denied(failure(&mut named, get(web.url("/"))).await);

    // The name is judged by where it leads to.
    let mut elsewhere = engine_with(allow(&["10.0.0.0/8"]));
    denied(failure(&mut elsewhere, get(by_name)).await);
    assert_eq!(web.asked().len(), 2, "nobody was asked who should not be");
}

#[tokio::test]
async fn requests_that_cannot_be_sent_say_what_is_wrong_and_no_secret() {
    let mut engine = engine();
    let with = |name: &str, value: &str| {
        let headers = BTreeMap::from([(name.to_owned(), value.to_owned())]);
        Request::Http(Http { url: "http://127.0.0.1:1/".to_owned(), headers, ..Http::default() })
    };
    for (request, words) in [
        (get("nowhere"), "the task's URL is none"),
        (get("ftp://a/b"), "use http: or https:"),
        (with("authorization", "Bearer secret\n"), "authorization has a value with line breaks"),
        (with("content-length", "5"), "content-length is set by the client"),
        (with("a b", "secret"), "\"a b\" is no name"),
    ] {
        let error = failure(&mut engine, request).await;
        assert_eq!((error.code.as_str(), error.retryable), ("INVALID_ARGUMENT", false), "{}", error.message);
        assert!(error.message.contains(words), "{}", error.message);
        assert!(!error.message.contains("secret"), "{}", error.message);
    }
}
