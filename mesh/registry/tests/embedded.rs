//! What the embedded registry adds to Consul: quick first checks, a page for people, bounds, and an orderly end.

#![expect(clippy::unwrap_used, reason = "a test that fails here has shown what it should")]

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use switchboard_registry::{Check, Client, Config, Error, Query, Registration, embedded};
use tokio::net::TcpListener;

async fn start() -> (embedded::Server, Client) {
    // Some tests come back to the address: not one that an outgoing connection may take in between.
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, switchboard_testkit::free_port()));
    let server = embedded::Server::start(addr).await.unwrap();
    let client = Client::new(Config::at(&server.addr().to_string()).unwrap()).unwrap();
    (server, client)
}

/// A check that nobody would wait for: its interval is a minute.
fn checked_every_minute(port: u16) -> Registration {
    let target = format!("127.0.0.1:{port}");
    let (interval, timeout) = (Duration::from_secs(60), Duration::from_secs(1));
    Registration {
        check: Check::Tcp { target, interval, timeout },
        starts_passing: false,
        ..Registration::new("agent-new", "127.0.0.1", port)
    }
}

async fn passes_within(client: &Client, limit: Duration) -> bool {
    let watch = client.watch("agent-new");
    let mut receiver = watch.receiver();
    let passing = receiver.wait_for(|snapshot| snapshot.passing().count() == 1);
    tokio::time::timeout(limit, passing).await.is_ok()
}

#[tokio::test]
async fn the_first_check_runs_at_once() {
    let (_server, client) = start().await;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    client.register(&checked_every_minute(listener.local_addr().unwrap().port())).await.unwrap();
    assert!(passes_within(&client, Duration::from_secs(5)).await, "long before the interval is over");
}

#[tokio::test]
async fn a_backend_that_begins_to_serve_after_it_registered_is_found_soon() {
    let (_server, client) = start().await;
    let port = switchboard_testkit::free_port();
    client.register(&checked_every_minute(port)).await.unwrap();
    let _listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.unwrap();
    assert!(passes_within(&client, Duration::from_secs(10)).await, "long before the interval is over");
}

#[tokio::test]
async fn the_page_lists_services_with_their_status() {
    let (server, client) = start().await;
    let page = async |path: &str| {
        let url = format!("http://{}{path}", server.addr());
        reqwest::get(url).await.unwrap().text().await.unwrap()
    };
    assert!(page("/").await.contains("Nothing is registered yet"));
    let mut registration = Registration::new("agent-echo", "10.0.0.1", 50_052);
    registration.check = Check::None;
    registration.tags = vec!["<script>".to_owned()];
    client.register(&registration).await.unwrap();
    let html = page("/ui").await;
    for part in ["agent-echo", "10.0.0.1:50052", "passing", "&lt;script&gt;"] {
        assert!(html.contains(part), "{part}: {html}");
    }
}

#[tokio::test]
async fn an_end_answers_blocked_reads_and_frees_the_port() {
    let (server, client) = start().await;
    let addr = server.addr();
    let index = client.health("x", &Query::default()).await.unwrap().index;
    let query = Query { index, wait: Some(Duration::from_secs(60)), ..Query::default() };
    let started = Instant::now();
    let (answer, ()) = tokio::join!(client.health("x", &query), server.shutdown());
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    match answer {
        // As Consul: an error while it ends, or the connection is cut.
        Err(Error::Status { status: 500, body, .. }) => assert_eq!(body, "No cluster leader"),
        Err(Error::Unreachable { .. }) => {}
        other => panic!("{other:?}"),
    }
    embedded::Server::start(addr).await.unwrap();
}

#[tokio::test]
async fn a_taken_address_is_named() {
    let (server, _client) = start().await;
    let error = embedded::Server::start(server.addr()).await.unwrap_err().to_string();
    assert!(error.contains(&server.addr().to_string()) && error.contains("another Consul"), "{error}");
}

#[tokio::test]
async fn a_body_beyond_any_registration_is_refused() {
    let (server, _client) = start().await;
    let url = format!("http://{}/v1/agent/service/register", server.addr());
    let body = format!(r#"{{"Name":"x","Tags":["{}"]}}"#, "x".repeat(300_000));
    let answer = reqwest::Client::new().put(url).body(body).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 413);
}
