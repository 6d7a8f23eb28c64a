//! Connections are spread evenly over the worker threads, and each thread is a router of its own.

use crate::support::*;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};
use switchboard_proto::agentplatform::TaskResponse;

#[test]
fn connections_are_spread_evenly_over_two_workers() {
    run(async {
        let by_connection: Arc<Mutex<BTreeMap<usize, usize>>> = Arc::default();
        let counts = by_connection.clone();
        let backend = Backend::start(move |call: Incoming| {
            *counts.lock().unwrap().entry(call.connection).or_default() += 1;
            call.echo("echo")
        })
        .await;
        let router = TestRouter::with(|config| config.workers = 2).await;
        router.set("agent-echo", &[backend.addr]);
        let mut clients = Vec::new();
        for _ in 0..20 {
            let client = Client::connect(router.addr).await;
            let answer = client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await;
            assert_eq!(answer.decode::<TaskResponse>().output, "echo: x");
            clients.push(client);
        }
        // Each worker thread has one connection of its own to the backend, and half of the clients.
        let counts: Vec<usize> = by_connection.lock().unwrap().values().copied().collect();
        assert_eq!((backend.connections(), counts), (2, vec![10, 10]));
        assert_eq!(router.metric("switchboard_downstream_connections"), 20);
        // Either asked for the service once.
        assert_eq!(router.lookups("agent-echo"), 1 + usize::from(router.lookups("agent-echo") == 2));
        router.settled().await;
    });
}

#[test]
fn streams_count_over_all_workers_when_an_instance_is_picked() {
    run(async {
        let (a, b) = (Backend::start(Incoming::hang).await, Backend::start(Incoming::hang).await);
        let router = TestRouter::with(|config| config.workers = 2).await;
        router.set("agent-echo", &[a.addr, b.addr]);
        let mut calls = Vec::new();
        for n in 1..=20 {
            let client = Client::connect(router.addr).await;
            let call = client.begin(EXECUTE_TASK, &[], &task("echo", "x")).await;
            calls.push((client, call));
            until(n, || a.open_streams() + b.open_streams()).await;
        }
        assert_eq!((a.open_streams(), b.open_streams()), (10, 10));
    });
}

#[test]
fn an_update_reaches_every_worker() {
    run(async {
        let (a, b) = (Backend::echo("a").await, Backend::echo("b").await);
        let router = TestRouter::with(|config| config.workers = 3).await;
        router.set("agent-echo", &[a.addr]);
        let mut clients = Vec::new();
        for _ in 0..6 {
            clients.push(Client::connect(router.addr).await);
        }
        for (backend, name) in [(&a, "a: x"), (&b, "b: x")] {
            router.set_instances("agent-echo", vec![Instance::new(name, backend.addr)]);
            for client in &clients {
                let answer = client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await;
                assert_eq!(answer.decode::<TaskResponse>().output, name);
            }
        }
        until(0, || a.open_connections()).await;
    });
}
