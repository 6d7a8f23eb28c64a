//! Which instance gets a call: few open streams, the version asked for, the owner of the task.

use crate::support::*;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};
use switchboard_proto::agentplatform::{TaskRequest, TaskResponse, TaskStatusRequest, TaskStatusResponse};

async fn hanging(count: usize) -> Vec<Backend> {
    let mut backends = Vec::new();
    for _ in 0..count {
        backends.push(Backend::start(Incoming::hang).await);
    }
    backends
}

async fn open(client: &Client, id: &str) -> Call {
    client.begin(EXECUTE_TASK, &[], &task(id, "x")).await
}

#[test]
fn open_streams_spread_evenly_over_two_instances() {
    run(async {
        let backends = hanging(2).await;
        let router = TestRouter::start().await;
        router.set("agent-echo", &[backends[0].addr, backends[1].addr]);
        let client = Client::connect(router.addr).await;
        let mut calls = Vec::new();
        for n in 1..=30 {
            calls.push(open(&client, "echo").await);
            until(n, || backends[0].open_streams() + backends[1].open_streams()).await;
        }
        assert_eq!((backends[0].open_streams(), backends[1].open_streams()), (15, 15));
        // A stream weighs until it ends: those that end make room where they were.
        for _ in 0..30 {
            drop(calls.remove(0));
        }
        router.settled().await;
    });
}

#[test]
fn streams_that_are_open_weigh_and_those_that_ended_do_not() {
    run(async {
        let backends = hanging(2).await;
        let router = TestRouter::start().await;
        let (a, b) = (Instance::new("a", backends[0].addr), Instance::new("b", backends[1].addr));
        router.set_instances("agent-echo", vec![a.clone()]);
        let client = Client::connect(router.addr).await;
        let mut calls = Vec::new();
        for _ in 0..10 {
            calls.push(open(&client, "echo").await);
        }
        until(10, || backends[0].open_streams()).await;
        assert_eq!(router.open_at("a", a.addr), 10);
        router.set_instances("agent-echo", vec![a.clone(), b]);
        // The next ten all go to the other.
        for _ in 0..10 {
            calls.push(open(&client, "echo").await);
        }
        until(10, || backends[1].open_streams()).await;
        // Those of the first end: the next ten go there.
        calls.drain(..10);
        until(0, || router.open_at("a", a.addr)).await;
        for _ in 0..10 {
            calls.push(open(&client, "echo").await);
        }
        until(10, || backends[0].open_streams()).await;
        assert_eq!(backends[1].open_streams(), 10);
    });
}

#[test]
fn open_streams_spread_over_three_instances() {
    run(async {
        let backends = hanging(3).await;
        let router = TestRouter::start().await;
        router.set("agent-echo", &backends.iter().map(|b| b.addr).collect::<Vec<_>>());
        let client = Client::connect(router.addr).await;
        let mut calls = Vec::new();
        for _ in 0..60 {
            calls.push(open(&client, "echo").await);
        }
        until(60, || backends.iter().map(Backend::open_streams).sum()).await;
        for backend in &backends {
            // Two choices keep the differences to a few streams, whatever the dice say.
            assert!((15..=25).contains(&backend.open_streams()), "{}", backend.open_streams());
        }
    });
}

#[test]
fn calls_one_after_the_other_reach_every_instance() {
    run(async {
        let backends = [Backend::echo("0").await, Backend::echo("1").await, Backend::echo("2").await];
        let router = TestRouter::start().await;
        router.set("agent-echo", &backends.each_ref().map(|b| b.addr));
        let client = Client::connect(router.addr).await;
        for _ in 0..600 {
            assert_eq!(client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await.status(), 0);
        }
        for backend in &backends {
            // 200 each on average; the bounds are over seven standard deviations wide.
            assert!((110..=290).contains(&backend.streams()), "{}", backend.streams());
        }
    });
}

#[test]
fn an_id_with_a_version_reaches_only_instances_of_that_version() {
    run(async {
        let (one, two) = (Backend::echo("v1").await, Backend::echo("v2").await);
        let router = TestRouter::start().await;
        let instances =
            vec![Instance::new("a", one.addr).version("v1"), Instance::new("b", two.addr).version("v2")];
        router.set_instances("agent-echo", instances);
        let client = Client::connect(router.addr).await;
        for _ in 0..20 {
            for (id, expected) in [("echo-agent@v2", "v2: x"), ("echo@v1", "v1: x")] {
                let answer = client.unary(EXECUTE_TASK, &[], &task(id, "x")).await;
                assert_eq!(answer.decode::<TaskResponse>().output, expected);
            }
        }
        let answer = client.unary(EXECUTE_TASK, &[], &task("echo@v3", "x")).await;
        assert_eq!((answer.status(), answer.reason().as_str()), (14, "NO_HEALTHY_INSTANCE"), "{answer:?}");
        assert!(answer.message().contains("none of its 2 instances is healthy and of version v3"));
        assert_eq!(router.lookups("agent-echo"), 1);
    });
}

/// A worker that knows the tasks that it processed.
async fn worker() -> Backend {
    let known: Arc<Mutex<HashMap<String, String>>> = Arc::default();
    Backend::start(move |mut call: Incoming| {
        let known = known.clone();
        async move {
            if call.head.uri.path() == PROCESS_TASK {
                let request = call.decode::<TaskRequest>().await;
                known.lock().expect("no handler panics").insert(request.task_id, request.input);
                call.reply(&TaskResponse { success: true, ..TaskResponse::default() }).await;
            } else {
                let request = call.decode::<TaskStatusRequest>().await;
                let result = known.lock().expect("no handler panics").get(&request.task_id).cloned();
                match result {
                    Some(result) => {
                        call.reply(&TaskStatusResponse { result, ..TaskStatusResponse::default() }).await;
                    }
                    None => call.trailers_only(&[("grpc-status", "5")]),
                }
            }
        }
    })
    .await
}

fn process(i: usize) -> TaskRequest {
    TaskRequest { task_id: format!("task-{i}"), ..task("plan-worker", &format!("input-{i}")) }
}

fn status(i: usize, worker_id: &str) -> TaskStatusRequest {
    TaskStatusRequest { task_id: format!("task-{i}"), worker_id: worker_id.to_owned() }
}

#[test]
fn calls_about_a_task_reach_the_instance_that_ran_it_through_any_router() {
    run(async {
        let workers = [worker().await, worker().await, worker().await];
        let instances: Vec<_> =
            workers.iter().enumerate().map(|(i, w)| Instance::new(&format!("w{i}"), w.addr)).collect();
        let routers = [TestRouter::start().await, TestRouter::start().await];
        routers[0].set_instances("worker-plan", instances.clone());
        // The registry's order is no part of the answer.
        routers[1].set_instances("worker-plan", instances.iter().rev().cloned().collect());
        let clients = [Client::connect(routers[0].addr).await, Client::connect(routers[1].addr).await];
        for i in 0..60 {
            assert_eq!(clients[i % 2].unary(PROCESS_TASK, &[], &process(i)).await.status(), 0);
        }
        assert!(workers.iter().all(|worker| worker.streams() > 5));
        for i in 0..60 {
            let answer = clients[(i + 1) % 2].unary(TASK_STATUS, &[], &status(i, "plan")).await;
            assert_eq!(answer.decode::<TaskStatusResponse>().result, format!("input-{i}"));
            // Or with the header in place of our own field.
            let headers = [("x-switchboard-target", "plan-worker")];
            let answer = clients[i % 2].unary(TASK_STATUS, &headers, &status(i, "")).await;
            assert_eq!(answer.decode::<TaskStatusResponse>().result, format!("input-{i}"));
        }
    });
}

#[test]
fn the_loss_of_an_instance_moves_only_its_own_tasks() {
    run(async {
        let workers = [worker().await, worker().await, worker().await];
        let instances: Vec<_> =
            workers.iter().enumerate().map(|(i, w)| Instance::new(&format!("w{i}"), w.addr)).collect();
        let router = TestRouter::start().await;
        router.set_instances("worker-plan", instances.clone());
        let client = Client::connect(router.addr).await;
        for i in 0..60 {
            assert_eq!(client.unary(PROCESS_TASK, &[], &process(i)).await.status(), 0);
        }
        let lost = workers[1].streams();
        router.set_instances("worker-plan", vec![instances[0].clone(), instances[2].clone()]);
        let mut unknown = 0;
        for i in 0..60 {
            match client.unary(TASK_STATUS, &[], &status(i, "plan")).await.status() {
                0 => {}
                5 => unknown += 1,
                other => panic!("status {other}"),
            }
        }
        assert_eq!(unknown, lost);
    });
}

#[test]
fn a_task_status_without_worker_is_the_routers_own_business() {
    run(async {
        let router = TestRouter::start().await;
        let client = Client::connect(router.addr).await;
        let call = tokio::spawn(async move { client.unary(TASK_STATUS, &[], &status(1, "")).await });
        let socket = router.local_socket().await;
        let mut connection = h2::server::handshake(socket).await.unwrap();
        let (request, mut respond) = connection.accept().await.unwrap().unwrap();
        assert_eq!(request.uri().path(), TASK_STATUS);
        let mut response = http::Response::new(());
        response.headers_mut().insert("grpc-status", "5".parse().unwrap());
        respond.send_response(response, true).unwrap();
        tokio::spawn(async move { while connection.accept().await.is_some() {} });
        assert_eq!(call.await.unwrap().status(), 5);
    });
}
