//! The operators' HTTP port of a whole router.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use serde_json::Value;
use std::{net::SocketAddr, time::Duration};
use switchboard_proto::agentplatform::{StatusRequest, agent_service_client::AgentServiceClient};
use switchboard_registry::{Check, Client, Registration, Secret, embedded::Server};
use switchboard_router::{App, Config, app};
use switchboard_testkit::{eventually, get};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tonic::transport::Endpoint;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

const PATIENCE: Duration = Duration::from_secs(10);

fn any() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

fn owned((key, value): (&str, &str)) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

async fn json(addr: SocketAddr, path: &str) -> Value {
    let (status, body) = get(addr, path).await.unwrap();
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).unwrap()
}

#[tokio::test]
async fn a_router_is_alive_at_once_and_ready_when_the_registry_has_answered() {
    let port = switchboard_testkit::free_port();
    let registry = switchboard_registry::Config::at(&format!("127.0.0.1:{port}")).unwrap();
    let app = App::start(Config::for_dev(any(), any(), registry)).unwrap();
    let admin = app.admin_addr();
    assert_eq!(get(admin, "/livez").await.unwrap().0, 200);
    let (status, body) = get(admin, "/readyz").await.unwrap();
    assert_eq!(status, 503);
    assert!(body.contains("registry"), "{body}");
    let probe = tokio::task::spawn_blocking(move || app::probe(admin)).await.unwrap();
    assert!(probe.unwrap_err().to_string().contains("registry"));

    let _registry = Server::start(([127, 0, 0, 1], port).into()).await.unwrap();
    assert!(tokio::time::timeout(PATIENCE, app.ready()).await.unwrap());
    assert_eq!(get(admin, "/readyz").await.unwrap(), (200, "ready\n".to_owned()));
    tokio::task::spawn_blocking(move || app::probe(admin)).await.unwrap().unwrap();
    app.shutdown().await;
}

#[tokio::test]
async fn endpoints_and_metrics_show_the_directory_and_outlive_the_registry() {
    let server = Server::start(any()).await.unwrap();
    let registry = switchboard_registry::Config::at(&server.addr().to_string()).unwrap();
    let client = Client::new(registry.clone()).unwrap();
    for (port, starts_passing) in [(1, true), (2, false)] {
        let check = if starts_passing { Check::None } else { Check::tcp("127.0.0.1:1") };
        let mut registration =
            Registration { check, starts_passing, ..Registration::new("agent-echo", "127.0.0.1", port) };
        registration.meta =
            [("timeout", "5s"), ("max_calls", "7"), ("max_queue", "many")].map(owned).into_iter().collect();
        client.register(&registration).await.unwrap();
    }
    let app = App::start(Config::for_dev(any(), any(), registry)).unwrap();
    let admin = app.admin_addr();
    assert!(app.ready().await);
    // Nothing listens there: the call fails, and the directory holds its service from then on.
    let mut agents = AgentServiceClient::connect(format!("http://{}", app.grpc_addr())).await.unwrap();
    let request = StatusRequest { agent_id: "echo-agent".to_owned() };
    assert_eq!(agents.get_status(request).await.unwrap_err().code(), tonic::Code::Unavailable);

    let shown = json(admin, "/endpoints").await;
    assert_eq!(shown["registry"]["reachable"], true);
    let service = &shown["services"][0];
    assert_eq!((&service["service"], &service["id"]), (&"agent-echo".into(), &"echo-agent".into()));
    assert_eq!((service["known"].as_u64(), service["healthy"].as_u64()), (Some(2), Some(1)));
    assert_eq!(service["watched"], true);
    assert_eq!(service["limits"], serde_json::json!({"timeout": "5s", "max_calls": "7"}));
    assert_eq!(service["calls"], 0);
    assert_eq!(service["instances"][0]["broken_meta"], serde_json::json!(["max_queue"]));
    let instances = service["instances"].as_array().unwrap();
    assert_eq!((&instances[0]["status"], &instances[0]["healthy"]), (&"passing".into(), &true.into()));
    assert_eq!((&instances[1]["status"], &instances[1]["healthy"]), (&"critical".into(), &false.into()));

    let (_, metrics) = get(admin, "/metrics").await.unwrap();
    for line in [
        "switchboard_registry_stale_seconds 0",
        "switchboard_registry_watches 1",
        "switchboard_directory_instances_known 2",
        "switchboard_directory_instances_healthy 1",
        "switchboard_instance_open_streams{service=\"agent-echo\",instance=\"agent-echo-127.0.0.1-1\"} 0",
    ] {
        assert!(metrics.lines().any(|one| one == line), "{line} in\n{metrics}");
    }

    server.shutdown().await;
    let stale = async || {
        let shown = json(admin, "/endpoints").await;
        let seconds = shown["registry"]["stale_seconds"].as_f64().unwrap();
        if seconds > 0.0 { Ok(shown) } else { Err(shown) }
    };
    let shown = eventually(PATIENCE, stale).await.unwrap();
    assert_eq!(shown["services"][0]["healthy"], 1, "fail static");
    assert_eq!(get(admin, "/readyz").await.unwrap().0, 200);
    app.shutdown().await;
}

#[tokio::test]
async fn the_configuration_is_shown_without_secrets_and_the_page_links_all() {
    let server = Server::start(any()).await.unwrap();
    let mut registry = switchboard_registry::Config::at(&server.addr().to_string()).unwrap();
    registry.token = Some(Secret::new("s3cret"));
    let app = App::start(Config::for_dev(any(), any(), registry)).unwrap();
    let shown = json(app.admin_addr(), "/config").await;
    assert_eq!((&shown["reflection"], &shown["registry_token"]), (&"on".into(), &"(redacted)".into()));
    assert!(!shown.to_string().contains("s3cret"));
    let (status, page) = get(app.admin_addr(), "/").await.unwrap();
    assert_eq!(status, 200);
    for path in ["/endpoints", "/metrics", "/config", "/readyz", "/livez"] {
        assert!(page.contains(&format!("href=\"{path}\"")), "{path}");
        assert_ne!(get(app.admin_addr(), path).await.unwrap().0, 404, "{path}");
    }
    app.shutdown().await;
}

/// Slow-loris on the admin port, which health checks depend on.
#[tokio::test]
async fn connections_that_only_sit_there_keep_nobody_out_and_are_ended() {
    let server = Server::start(any()).await.unwrap();
    let registry = switchboard_registry::Config::at(&server.addr().to_string()).unwrap();
    let app = App::start(Config::for_dev(any(), any(), registry)).unwrap();
    let admin = app.admin_addr();
    assert!(app.ready().await);
    let metric = async |name: &str| -> u64 {
        let (_, text) = get(admin, "/metrics").await.unwrap();
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok()).unwrap()
    };
    assert_eq!(metric("switchboard_admin_connections").await, 1, "the one that asks");
    let mut held = Vec::new();
    for number in 0..200 {
        let mut socket = TcpStream::connect(admin).await.unwrap();
        // Some say nothing, some begin a request and do not go on.
        let words = if number % 2 == 0 { &b""[..] } else { b"GET /readyz HTTP/1.1\r\nhost: x\r\n" };
        socket.write_all(words).await.unwrap();
        held.push(socket);
    }
    for _ in 0..3 {
        assert_eq!(get(admin, "/readyz").await.unwrap().0, 200);
    }
    assert!(metric("switchboard_admin_connections").await <= 64);
    assert!(metric("switchboard_admin_connections_cut_total").await >= 136);
    // Those that the limit has not ended go when their time for a request is over.
    let ended = async |mut socket: TcpStream| {
        let mut rest = Vec::new();
        // A reset is an end as well.
        let _ = tokio::time::timeout(PATIENCE * 3, socket.read_to_end(&mut rest)).await.expect("it is ended");
    };
    for socket in held {
        ended(socket).await;
    }
    let gone = async || match metric("switchboard_admin_connections").await {
        1 => Ok(()),
        open => Err(open),
    };
    eventually(PATIENCE, gone).await.unwrap();
    // A head without end is refused, and each connection has one request.
    let mut endless = TcpStream::connect(admin).await.unwrap();
    let _ = endless.write_all(&[b'x'; 100_000]).await;
    ended(endless).await;
    let mut twice = TcpStream::connect(admin).await.unwrap();
    twice.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    twice.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("alive\n"), "{answer}");
    app.shutdown().await;
}

/// Complaint 21: what drains is seen, with its streams, until they have ended.
#[tokio::test]
async fn instances_show_what_they_answered_and_drain_in_sight() {
    let server = Server::start(any()).await.unwrap();
    let registry = switchboard_registry::Config::at(&server.addr().to_string()).unwrap();
    let client = Client::new(registry.clone()).unwrap();
    let elsewhere = switchboard_backend::RegistryConfig::at("127.0.0.1:9").unwrap();
    // Its health is watched through the router, which is a stream without end.
    let backend =
        switchboard_backend::Backend::agent("echo").listen(any()).registry(elsewhere).start().await.unwrap();
    let meta = switchboard_registry::Description {
        grpc_services: vec!["grpc.health.v1.Health".into()],
        ..Default::default()
    };
    for port in [backend.addr().port(), switchboard_testkit::free_port()] {
        let registration = Registration {
            id: if port == backend.addr().port() { "echo-1".into() } else { "echo-2".into() },
            check: Check::None,
            meta: meta.encode(),
            ..Registration::new("agent-echo", "127.0.0.1", port)
        };
        client.register(&registration).await.unwrap();
    }
    let app = App::start(Config::for_dev(any(), any(), registry)).unwrap();
    let admin = app.admin_addr();
    assert!(app.ready().await);
    let channel =
        Endpoint::from_shared(format!("http://{}", app.grpc_addr())).unwrap().connect().await.unwrap();
    let mut health = HealthClient::new(channel);
    let asked = |service: &str| {
        let mut request = tonic::Request::new(HealthCheckRequest { service: service.to_owned() });
        request.metadata_mut().insert("x-switchboard-target", "echo-agent".parse().unwrap());
        request
    };
    for _ in 0..5 {
        // A retry finds the instance that lives, whichever is picked first.
        health.check(asked("")).await.unwrap();
    }
    assert_eq!(health.check(asked("nobody")).await.unwrap_err().code(), tonic::Code::NotFound);
    let mut watch = health.watch(asked("")).await.unwrap().into_inner();
    assert!(watch.message().await.unwrap().is_some());
    let instances = async || json(admin, "/endpoints").await["services"][0]["instances"].clone();
    let counted = async || {
        let rows = instances().await;
        let good = &rows[0];
        let streams: u64 =
            good["durations_us"].as_array().unwrap().iter().map(|one| one[1].as_u64().unwrap()).sum();
        // NOT_FOUND is an answer.
        let fine = (&good["calls"], &good["failures"], &good["open_streams"], streams)
            == (&6.into(), &0.into(), &1.into(), 6);
        // The dead one has failed at least once, unless it was never picked.
        if fine && rows[1]["calls"] == rows[1]["failures"] { Ok(()) } else { Err(rows) }
    };
    eventually(PATIENCE, counted).await.unwrap();
    let (_, metrics) = get(admin, "/metrics").await.unwrap();
    let line = "switchboard_instance_calls_total{service=\"agent-echo\",instance=\"echo-1\"} 6";
    assert!(metrics.lines().any(|one| one == line), "{metrics}");

    // The router's own health service refuses: nobody's backend has failed.
    let own = HealthCheckRequest { service: "nobody-agent".to_owned() };
    assert_eq!(health.check(own).await.unwrap_err().code(), tonic::Code::NotFound);
    let line = "switchboard_call_failures_total{reason=\"OWN_STATUS\",origin=\"router\",code=\"5\"} 1";
    let refused = async || {
        let (_, metrics) = get(admin, "/metrics").await.unwrap();
        if metrics.lines().any(|one| one == line) { Ok(()) } else { Err(metrics) }
    };
    eventually(PATIENCE, refused).await.unwrap();

    client.deregister("echo-1").await.unwrap();
    let draining = async || {
        let rows = instances().await;
        match rows.as_array().unwrap().iter().find(|row| row["id"] == "echo-1" && row["status"] == "gone") {
            Some(row) => Ok(row.clone()),
            None => Err(rows),
        }
    };
    let row = eventually(PATIENCE, draining).await.unwrap();
    assert_eq!(
        (&row["draining"], &row["healthy"], &row["open_streams"]),
        (&true.into(), &false.into(), &1.into())
    );
    assert_eq!(row["address"], backend.addr().to_string());
    drop(watch);
    let gone = async || {
        let rows = instances().await;
        if rows.as_array().unwrap().iter().all(|row| row["id"] != "echo-1") { Ok(()) } else { Err(rows) }
    };
    eventually(PATIENCE, gone).await.unwrap();
    app.shutdown().await;
}
