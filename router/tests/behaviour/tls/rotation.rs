//! Certificates that are replaced while calls run.

use crate::support::{tls::*, *};
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
};
use switchboard_router::link::{Certificates, Update};
use switchboard_transport::{ClientAuth, authority::Subject};

#[test]
fn ten_new_sets_of_certificates_fail_no_call() {
    run(async {
        let backend = Backend::secure_echo(PKI.server("agent-echo", ClientAuth::Required), "echo").await;
        let router = Arc::new(secure_router(|_| {}).await);
        router.set("agent-echo", &[backend.addr]);
        let (stop, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let config = Arc::new(PKI.client(Some(&Subject::new("caller"))));
        // One keeps its connection, one makes a new one for each call.
        let (addr, ended, count) = (router.addr, stop.clone(), calls.clone());
        let kept = Client::secure(addr, config.clone()).await;
        let callers = tokio::spawn(async move {
            while !ended.load(SeqCst) {
                let fresh = Client::secure(addr, config.clone()).await;
                for client in [&kept, &fresh] {
                    let answer = client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await;
                    assert_eq!(answer.status(), 0, "{answer:?}");
                }
                count.fetch_add(1, SeqCst);
            }
            kept
        });
        for _ in 0..10 {
            let before = calls.load(SeqCst);
            let server = Some(PKI.server("router", ClientAuth::Optional));
            let next = Certificates { server, client: Some(PKI.upstream()) };
            router.send(|| Update::Certificates(next.clone()));
            // Connections to instances are made anew as well.
            backend.go_away();
            until(true, || calls.load(SeqCst) > before + 2).await;
        }
        stop.store(true, SeqCst);
        callers.await.unwrap();
    });
}

#[test]
fn the_next_connection_sees_the_new_certificate_and_the_old_connection_lives_on() {
    run(async {
        let router = tls_router(ClientAuth::None, |_| {}).await;
        let old = Client::secure(router.addr, PKI.client(None)).await;
        let serial = async || {
            let socket = handshake(router.addr, PKI.client(None)).await.unwrap();
            socket.get_ref().1.peer_certificates().unwrap()[0].clone()
        };
        let before = serial().await;
        let server = Some(PKI.server("router", ClientAuth::None));
        router.send(|| Update::Certificates(Certificates { server: server.clone(), client: None }));
        // The update is behind no connection: it is read before the next is accepted, or a little later.
        for _ in 0..1_000 {
            if serial().await != before {
                break;
            }
        }
        assert!(serial().await != before);
        assert_eq!(old.unary(EXECUTE_TASK, &[], &task("nobody", "x")).await.status(), 5);
    });
}
