//! The shipped HAProxy configuration: routers come from Consul's DNS, a check must find them serving, new
//! connections are spread over them, and a frozen Consul changes nothing.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::{net::SocketAddr, time::Duration};
use switchboard_testkit::{Consul, Haproxy, eventually, get};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// Consul's DNS is read every second, and two checks 2 s apart make a server UP.
const LIMIT: Duration = Duration::from_secs(20);

/// Listens like a router whose health service says SERVING, and names itself to every other connection.
async fn router(name: u8) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut first = [0_u8; 3];
                stream.read_exact(&mut first).await.unwrap();
                let answer: &[u8] = if &first == b"PRI" { &[0, 0, 0, 0, 2, 8, 1] } else { &[name] };
                stream.write_all(answer).await.unwrap();
                // Held until the other side closes.
                let _ = stream.read_to_end(&mut Vec::new()).await;
            });
        }
    });
    addr
}

async fn register(consul: &Consul, id: &str, addr: SocketAddr) {
    let body = format!(r#"{{"ID":"{id}","Name":"router","Address":"{}","Port":{}}}"#, addr.ip(), addr.port());
    let length = body.len();
    let mut stream = TcpStream::connect(consul.http_addr()).await.unwrap();
    let head = format!("PUT /v1/agent/service/register HTTP/1.0\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all((head + &body).as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains(" 200 "), "{answer}");
}

async fn who_answers(haproxy: &Haproxy) -> u8 {
    let mut stream = TcpStream::connect(haproxy.grpc_addr()).await.unwrap();
    stream.write_all(b"who").await.unwrap();
    stream.read_u8().await.unwrap()
}

#[tokio::test]
async fn registered_and_serving_routers_share_the_connections() {
    let consul = Consul::start().await.unwrap();
    let haproxy = Haproxy::start(consul.dns_addr()).await.unwrap();
    assert_eq!(get(haproxy.ops_addr(), "/healthz").await.unwrap().0, 503, "no router yet");
    assert_eq!(haproxy.routers().await.unwrap().len(), 10);

    // Registered, but nothing listens: must not stay UP.
    register(&consul, "router-3", SocketAddr::from(([127, 0, 0, 1], 1))).await;
    let down = async || {
        let slots = haproxy.routers().await.unwrap();
        if slots.iter().any(|slot| slot.status.starts_with("DOWN")) { Ok(()) } else { Err(slots) }
    };
    eventually(LIMIT, down).await.unwrap();
    // On one address, as several routers of one host are.
    register(&consul, "router-1", router(1).await).await;
    register(&consul, "router-2", router(2).await).await;
    haproxy.wait_for_routers(2, LIMIT).await.unwrap();
    assert_eq!(get(haproxy.ops_addr(), "/healthz").await.unwrap().0, 200);
    let metrics = get(haproxy.ops_addr(), "/metrics").await.unwrap().1;
    assert!(metrics.contains("haproxy_server_status{proxy=\"routers\""), "{metrics}");

    let mut answers = Vec::new();
    for _ in 0..10 {
        answers.push(who_answers(&haproxy).await);
    }
    assert_eq!(answers.iter().filter(|&&name| name == 1).count(), 5, "{answers:?}");
    assert_eq!(answers.iter().filter(|&&name| name == 2).count(), 5, "{answers:?}");

    consul.pause().await.unwrap();
    assert!(matches!(who_answers(&haproxy).await, 1 | 2));
    haproxy.wait_for_routers(2, LIMIT).await.unwrap();
}
