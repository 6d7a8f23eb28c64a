//! The Consul of the tests: frozen, killed and restarted on the same ports, with its data or without.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::time::Duration;
use switchboard_testkit::{Consul, eventually, get};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

const LIMIT: Duration = Duration::from_secs(20);

async fn put(consul: &Consul, path: &str, body: &str) {
    let mut stream = TcpStream::connect(consul.http_addr()).await.unwrap();
    let request = format!("PUT {path} HTTP/1.0\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains(" 200 "), "{answer}");
}

async fn knows(consul: &Consul, service: &str, expected: bool) {
    let probe = async || {
        let seen = get(consul.http_addr(), "/v1/catalog/services").await.map_err(|e| format!("{e:#}"))?;
        if seen.1.contains(service) == expected { Ok(()) } else { Err(format!("{seen:?}")) }
    };
    eventually(LIMIT, probe).await.unwrap();
}

#[tokio::test]
async fn data_stays_over_a_restart_unless_wiped() {
    let mut consul = Consul::start().await.unwrap();
    put(&consul, "/v1/agent/service/register", r#"{"Name":"agent-x","Port":1}"#).await;
    knows(&consul, "agent-x", true).await;

    consul.pause().await.unwrap();
    let frozen = timeout(Duration::from_millis(300), get(consul.http_addr(), "/v1/status/leader")).await;
    assert!(frozen.is_err(), "{frozen:?}");
    consul.resume().await.unwrap();
    knows(&consul, "agent-x", true).await;

    let addr = consul.http_addr();
    consul.kill().await.unwrap();
    assert!(get(addr, "/v1/status/leader").await.is_err());
    consul.restart(false).await.unwrap();
    assert_eq!(consul.http_addr(), addr);
    knows(&consul, "agent-x", true).await;

    consul.restart(true).await.unwrap();
    knows(&consul, "agent-x", false).await;
}
