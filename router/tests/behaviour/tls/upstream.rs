//! TLS towards instances: each has to prove that it is of the service that was called.

use crate::support::{tls::*, *};
use std::sync::Arc;
use switchboard_proto::agentplatform::TaskResponse;
use switchboard_router::link::Certificates;
use switchboard_transport::{ClientAuth, authority::Subject};

/// A router with TLS towards instances only.
async fn router() -> TestRouter {
    TestRouter::secured(Certificates { server: None, client: Some(PKI.upstream()) }, |config| {
        config.upstream_tls_ca = Some(PKI.ca());
    })
    .await
}

/// What a call to the only instance gets.
async fn answer_of(backend: &Backend) -> Answer {
    let router = router().await;
    router.set_instances("agent-echo", vec![Instance::new("echo-7", backend.addr)]);
    let answer = Client::connect(router.addr).await.unary(EXECUTE_TASK, &[], &task("echo", "hi")).await;
    assert_eq!(backend.streams(), usize::from(answer.status() == 0), "nothing is sent before the proof");
    router.settled().await;
    answer
}

async fn is_refused(server: Arc<rustls::ServerConfig>, why: &str) {
    let answer = answer_of(&Backend::secure_echo(server, "echo").await).await;
    assert_eq!((answer.status(), answer.reason().as_str()), (14, "INSTANCE_UNVERIFIED"), "{answer:?}");
    assert_eq!((answer.fact("service").as_str(), answer.fact("instance").as_str()), ("agent-echo", "echo-7"));
    let message = answer.message();
    assert!(message.contains(why) && message.contains("agent-echo (instance echo-7)"), "{message}");
}

#[test]
fn an_instance_with_a_certificate_of_its_service_is_called() {
    run(async {
        for subject in [
            Subject::service("agent-echo"),
            Subject { hosts: vec!["agent-echo".to_owned()], ..Subject::new("x") },
            Subject {
                uris: vec!["spiffe://dc1/ns/default/dc/dc1/svc/agent-echo".to_owned()],
                ..Subject::new("x")
            },
        ] {
            let backend = Backend::secure_echo(PKI.server_of(&subject, ClientAuth::Required), "echo").await;
            assert_eq!(answer_of(&backend).await.decode::<TaskResponse>().output, "echo: hi");
        }
    });
}

#[test]
fn an_instance_of_another_service_is_not_called_and_the_error_says_whose_it_is() {
    run(async {
        let other = PKI.server("tool-weather", ClientAuth::None);
        is_refused(other, "its certificate names spiffe://switchboard/svc/tool-weather, tool-weather").await;
        let localhost = Subject { hosts: vec!["localhost".to_owned()], ..Subject::new("agent-echo") };
        is_refused(PKI.server_of(&localhost, ClientAuth::None), "names localhost, not agent-echo").await;
    });
}

#[test]
fn an_instance_of_an_unknown_authority_or_out_of_date_is_not_called() {
    run(async {
        let stranger = STRANGER.server("agent-echo", ClientAuth::None);
        is_refused(stranger, "its certificate is of no known authority").await;
        let old = PKI.server_of(&expired(Subject::service("agent-echo")), ClientAuth::None);
        is_refused(old, "its certificate has expired").await;
    });
}

#[test]
fn an_instance_in_clear_is_not_called() {
    run(async {
        let answer = answer_of(&Backend::echo("echo").await).await;
        assert_eq!((answer.status(), answer.reason().as_str()), (14, "CONNECT_FAILED"), "{answer:?}");
    });
}

#[test]
fn an_instance_that_does_not_accept_the_router_says_so() {
    run(async {
        let strict = STRANGER.issue(&Subject::service("router"));
        let files =
            switchboard_transport::ClientTls { ca: PKI.ca(), cert: Some(strict.cert), key: Some(strict.key) };
        let client = Some(Arc::new(files.service_config().unwrap()));
        let router = TestRouter::secured(Certificates { server: None, client }, |config| {
            config.upstream_tls_ca = Some(PKI.ca());
        })
        .await;
        let backend = Backend::secure_echo(PKI.server("agent-echo", ClientAuth::Required), "echo").await;
        router.set("agent-echo", &[backend.addr]);
        let answer = Client::connect(router.addr).await.unary(EXECUTE_TASK, &[], &task("echo", "hi")).await;
        assert_eq!((answer.status(), answer.reason().as_str()), (14, "CONNECT_FAILED"), "{answer:?}");
        assert!(answer.message().contains("alert"), "{}", answer.message());
    });
}

#[test]
fn calls_go_to_the_instances_that_prove_themselves() {
    run(async {
        let good = Backend::secure_echo(PKI.server("agent-echo", ClientAuth::None), "echo").await;
        let bad = Backend::secure_echo(PKI.server("tool-weather", ClientAuth::None), "spy").await;
        let clear = Backend::echo("clear").await;
        let router = router().await;
        router.set("agent-echo", &[bad.addr, good.addr, clear.addr]);
        let client = Client::connect(router.addr).await;
        for _ in 0..50 {
            let answer = client.unary(EXECUTE_TASK, &[], &task("echo", "hi")).await;
            assert_eq!(answer.decode::<TaskResponse>().output, "echo: hi");
        }
        assert_eq!((good.streams(), bad.streams(), clear.streams()), (50, 0, 0));
        let failed = |reason| {
            router.metric(&format!("switchboard_tls_failures_total{{role=\"upstream\",reason=\"{reason}\"}}"))
        };
        assert!(failed("certificate") > 0);
    });
}

#[test]
fn an_instance_that_never_finishes_the_handshake_fails_within_the_connect_timeout() {
    run(async {
        let silent = Peer::start().await;
        let router =
            TestRouter::secured(Certificates { server: None, client: Some(PKI.upstream()) }, |config| {
                config.upstream_tls_ca = Some(PKI.ca());
                config.connect_timeout = std::time::Duration::from_millis(50);
            })
            .await;
        router.set("agent-echo", &[silent.addr]);
        let client = Client::connect(router.addr).await;
        let request = task("echo", "hi");
        let (_wire, answer) = tokio::join!(silent.accept(), client.unary(EXECUTE_TASK, &[], &request));
        assert_eq!((answer.status(), answer.reason().as_str()), (14, "CONNECT_FAILED"), "{answer:?}");
        until(true, || {
            router.metric("switchboard_tls_failures_total{role=\"upstream\",reason=\"timeout\"}") > 0
        })
        .await;
    });
}

#[test]
fn connections_to_the_routers_own_services_stay_in_clear() {
    run(async {
        let router = router().await;
        let client = Client::connect(router.addr).await;
        let asked = tokio::spawn(async move {
            client.send_all("/grpc.health.v1.Health/Check", &[], frame(b"")).await.is_ok()
        });
        let mut socket = router.local_socket().await;
        let mut preface = [0; 24];
        tokio::io::AsyncReadExt::read_exact(&mut socket, &mut preface).await.unwrap();
        assert_eq!(&preface, switchboard_http2::frame::PREFACE);
        asked.abort();
    });
}
