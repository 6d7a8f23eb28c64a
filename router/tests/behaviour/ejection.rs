//! An instance whose calls go wrong is left out for a while, and comes back through one probe (complaints 53-55).

use crate::support::*;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering::SeqCst},
    },
    time::Duration,
};
use switchboard_proto::agentplatform::TaskRequest;
use tokio::sync::Semaphore;

/// A backend that answers with the status that it is told: 0 echoes, [`HANG`] never answers, [`STREAM`] sends one
/// message and goes on.
struct Moody {
    backend: Backend,
    status: Arc<AtomicU8>,
    /// Where it hangs, each permit lets one call go on to its answer.
    go_on: Arc<Semaphore>,
}

const HANG: u8 = 100;
const STREAM: u8 = 101;
/// Long enough that no ejection ends within a test.
const LONG: Duration = Duration::from_secs(120);

impl Moody {
    async fn start(status: u8) -> Self {
        Self::answering(status, false).await
    }

    async fn answering(status: u8, trailers_only: bool) -> Self {
        let (told, go_on) = (Arc::new(AtomicU8::new(status)), Arc::new(Semaphore::new(0)));
        let (mood, gate) = (told.clone(), go_on.clone());
        let backend = Backend::start(move |mut call: Incoming| {
            let (mood, gate) = (mood.clone(), gate.clone());
            async move {
                if mood.load(SeqCst) == HANG {
                    tokio::select! {
                        permit = gate.acquire() => permit.expect("it is not closed").forget(),
                        _ = call.reset_by_peer() => return,
                    }
                }
                if mood.load(SeqCst) == STREAM {
                    let mut out = call.begin(&[]);
                    let _ = out.send(b"first").await;
                    out.reset_by_peer().await;
                    return;
                }
                let status = mood.load(SeqCst).to_string();
                if status == "0" {
                    return call.echo("good").await;
                }
                // As servers do, the request is read first.
                let _ = call.messages.next().await;
                match trailers_only {
                    true => call.trailers_only(&[("grpc-status", &status)]),
                    false => call.begin(&[]).finish(&[("grpc-status", &status)]),
                }
            }
        })
        .await;
        Moody { backend, status: told, go_on }
    }

    fn streams(&self) -> usize {
        self.backend.streams()
    }

    fn tell(&self, status: u8) {
        self.status.store(status, SeqCst);
    }
}

async fn router(ejection_time: Duration) -> TestRouter {
    TestRouter::with(|config| config.ejection_time = ejection_time).await
}

async fn call(client: &Client) -> i32 {
    client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await.status()
}

/// Calls until the probe says so.
async fn call_until(client: &Client, mut probe: impl FnMut() -> bool) {
    while !probe() {
        call(client).await;
    }
}

fn ejections(router: &TestRouter) -> u64 {
    router.metric("switchboard_ejections_total")
}

#[test]
fn five_failures_in_a_row_in_trailers_or_headers_eject_the_instance() {
    run(async {
        // UNAVAILABLE, INTERNAL, UNKNOWN, DATA_LOSS.
        for (status, trailers_only) in [(14, false), (14, true), (13, false), (2, true), (15, false)] {
            let (bad, good) = (Moody::answering(status, trailers_only).await, Moody::start(0).await);
            let router = router(LONG).await;
            router.set("agent-echo", &[bad.backend.addr, good.backend.addr]);
            let client = Client::connect(router.addr).await;
            call_until(&client, || bad.streams() == 4).await;
            assert_eq!(ejections(&router), 0);
            call_until(&client, || bad.streams() == 5).await;
            assert_eq!(ejections(&router), 1);
            for _ in 0..50 {
                assert_eq!(call(&client).await, 0);
            }
            assert_eq!(bad.streams(), 5);
        }
    });
}

#[test]
fn a_success_between_failures_keeps_the_instance() {
    run(async {
        let (bad, good) = (Moody::start(14).await, Moody::start(0).await);
        let router = router(LONG).await;
        router.set("agent-echo", &[bad.backend.addr, good.backend.addr]);
        let client = Client::connect(router.addr).await;
        for round in 1..=4 {
            bad.tell(14);
            call_until(&client, || bad.streams() == round * 5 - 1).await;
            bad.tell(0);
            call_until(&client, || bad.streams() == round * 5).await;
        }
        assert_eq!(ejections(&router), 0);
        bad.tell(14);
        call_until(&client, || bad.streams() == 25).await;
        assert_eq!(ejections(&router), 1);
    });
}

#[test]
fn the_last_instance_is_never_ejected() {
    run(async {
        let bad = Moody::start(14).await;
        let router = router(LONG).await;
        router.set("agent-echo", &[bad.backend.addr]);
        let client = Client::connect(router.addr).await;
        for _ in 0..20 {
            assert_eq!(call(&client).await, 14);
        }
        assert_eq!((bad.streams(), ejections(&router)), (20, 0));
        bad.tell(0);
        assert_eq!(call(&client).await, 0);
    });
}

#[test]
fn at_most_half_of_the_instances_are_ejected() {
    run(async {
        for (count, most) in [(2, 1), (3, 1), (4, 2), (5, 2)] {
            let mut all = Vec::new();
            for _ in 0..count {
                all.push(Moody::start(14).await);
            }
            let router = router(LONG).await;
            router.set("agent-echo", &all.iter().map(|moody| moody.backend.addr).collect::<Vec<_>>());
            let client = Client::connect(router.addr).await;
            for _ in 0..100 {
                assert_eq!(call(&client).await, 14);
            }
            assert_eq!(ejections(&router), most, "of {count}");
            // Those that are out got five calls each, the others all the rest.
            let out = all.iter().filter(|moody| moody.streams() == 5).count();
            assert_eq!(out as u64, most, "of {count}");
            assert_eq!(all.iter().map(Moody::streams).sum::<usize>(), 100);
        }
    });
}

#[test]
fn where_every_instance_is_ejected_all_are_used() {
    run(async {
        let (bad, good) = (Moody::start(14).await, Moody::start(0).await);
        let router = router(LONG).await;
        router.set("agent-echo", &[bad.backend.addr, good.backend.addr]);
        let client = Client::connect(router.addr).await;
        call_until(&client, || ejections(&router) == 1).await;
        // The only one that was left leaves.
        router.set("agent-echo", &[bad.backend.addr]);
        let before = bad.streams();
        for _ in 0..10 {
            assert_eq!(call(&client).await, 14);
        }
        bad.tell(0);
        for _ in 0..10 {
            assert_eq!(call(&client).await, 0);
        }
        assert_eq!(bad.streams(), before + 20);
    });
}

#[test]
fn one_good_probe_brings_the_instance_back_slowly() {
    run(async {
        let (bad, good) = (Moody::start(14).await, Moody::start(0).await);
        let router = router(Duration::from_millis(100)).await;
        router.set("agent-echo", &[bad.backend.addr, good.backend.addr]);
        let client = Client::connect(router.addr).await;
        call_until(&client, || bad.streams() == 4).await;
        // Whatever comes after the fifth is the probe, and hangs.
        call_until(&client, || bad.streams() == 5).await;
        bad.tell(HANG);
        let mut calls = Vec::new();
        while bad.streams() == 5 {
            let sent = bad.streams() + good.streams();
            calls.push(client.begin(EXECUTE_TASK, &[], &task("echo", "x")).await);
            until(sent + 1, || bad.streams() + good.streams()).await;
        }
        let probe = calls.pop().expect("there was a probe");
        // One is enough: the others go to the other instance meanwhile.
        for _ in 0..30 {
            assert_eq!(call(&client).await, 0);
        }
        assert_eq!(bad.streams(), 6);
        bad.tell(0);
        bad.go_on.add_permits(1);
        assert_eq!(probe.answer().await.unwrap().status(), 0);
        // Its share begins at a tenth.
        for _ in 0..100 {
            assert_eq!(call(&client).await, 0);
        }
        assert!(bad.streams() <= 6 + 40, "{}", bad.streams());
        call_until(&client, || bad.streams() >= 10).await;
        assert_eq!(ejections(&router), 1);
    });
}

#[test]
fn a_bad_probe_ejects_at_once_and_an_abandoned_one_leaves_room_for_the_next() {
    run(async {
        let (bad, good) = (Moody::start(14).await, Moody::start(0).await);
        let router = router(Duration::from_millis(50)).await;
        router.set("agent-echo", &[bad.backend.addr, good.backend.addr]);
        let client = Client::connect(router.addr).await;
        for (ejected, streams) in [(1, 5), (2, 6), (3, 7)] {
            call_until(&client, || ejections(&router) == ejected).await;
            assert_eq!(bad.streams(), streams);
        }
        bad.tell(HANG);
        let mut calls = Vec::new();
        while bad.streams() == 7 {
            let sent = bad.streams() + good.streams();
            calls.push(client.begin(EXECUTE_TASK, &[], &task("echo", "x")).await);
            until(sent + 1, || bad.streams() + good.streams()).await;
        }
        drop(calls);
        until(0, || bad.backend.open_streams()).await;
        bad.tell(0);
        call_until(&client, || bad.streams() >= 9).await;
        assert_eq!(ejections(&router), 3);
    });
}

#[test]
fn a_stream_is_a_good_probe_with_its_first_message() {
    run(async {
        let (bad, good) = (Moody::start(14).await, Moody::start(0).await);
        let router = router(Duration::from_millis(50)).await;
        router.set("agent-echo", &[bad.backend.addr, good.backend.addr]);
        let client = Client::connect(router.addr).await;
        call_until(&client, || ejections(&router) == 1).await;
        bad.tell(STREAM);
        let mut streams = Vec::new();
        // The first of them at the instance is the probe, and goes on. Others follow all the same.
        while bad.streams() < 8 {
            let call = client.begin(EXECUTE_TASK, &[], &task("echo", "x")).await;
            let (request, mut response) = call.response().await.unwrap();
            assert!(response.messages.next().await.unwrap().is_some());
            streams.push((request, response));
        }
        assert_eq!(bad.backend.open_streams(), 3);
        drop(streams);
        router.settled().await;
    });
}

#[test]
fn an_instance_whose_calls_all_have_a_key_is_probed_as_well() {
    run(async {
        let (bad, good) = (Moody::start(14).await, Moody::start(0).await);
        let router = router(Duration::from_millis(50)).await;
        router.set("worker-plan", &[bad.backend.addr, good.backend.addr]);
        let client = Client::connect(router.addr).await;
        let process = async |n: usize| {
            let request = TaskRequest { task_id: format!("task-{n}"), ..task("plan-worker", "x") };
            client.unary(PROCESS_TASK, &[], &request).await.status()
        };
        let mut n = 0;
        while ejections(&router) == 0 {
            n += 1;
            process(n).await;
        }
        bad.tell(0);
        while bad.streams() < 10 {
            n += 1;
            assert_eq!(process(n).await, 0);
        }
        assert_eq!(ejections(&router), 1);
    });
}

#[test]
fn answers_of_the_application_do_not_count() {
    run(async {
        // INVALID_ARGUMENT, NOT_FOUND, PERMISSION_DENIED, RESOURCE_EXHAUSTED, UNAUTHENTICATED.
        for status in [3, 5, 7, 8, 16] {
            let (strict, good) = (Moody::start(status).await, Moody::start(0).await);
            let router = router(LONG).await;
            router.set("agent-echo", &[strict.backend.addr, good.backend.addr]);
            let client = Client::connect(router.addr).await;
            call_until(&client, || strict.streams() == 12).await;
            assert_eq!((ejections(&router), status), (0, status));
        }
    });
}

#[test]
fn cancelled_calls_do_not_count() {
    run(async {
        let (a, b) = (Moody::start(HANG).await, Moody::start(HANG).await);
        let router = router(LONG).await;
        router.set("agent-echo", &[a.backend.addr, b.backend.addr]);
        let client = Client::connect(router.addr).await;
        let open = || a.backend.open_streams() + b.backend.open_streams();
        while a.streams() < 8 || b.streams() < 8 {
            let call = client.begin(EXECUTE_TASK, &[], &task("echo", "x")).await;
            until(1, open).await;
            drop(call);
            until(0, open).await;
        }
        assert_eq!(ejections(&router), 0);
        router.settled().await;
    });
}

#[test]
fn an_instance_that_lets_deadlines_pass_without_a_word_is_ejected() {
    run(async {
        let (mute, good) = (Moody::start(HANG).await, Moody::start(0).await);
        let router = router(LONG).await;
        router.set("agent-echo", &[mute.backend.addr, good.backend.addr]);
        let client = Client::connect(router.addr).await;
        while ejections(&router) == 0 {
            client.unary(EXECUTE_TASK, &[("grpc-timeout", "500m")], &task("echo", "x")).await;
        }
        assert!(mute.streams() >= 5);
        let before = mute.streams();
        for _ in 0..30 {
            assert_eq!(call(&client).await, 0);
        }
        assert_eq!(mute.streams(), before);
    });
}

#[test]
fn deadlines_that_are_too_short_for_any_instance_say_nothing_of_it() {
    run(async {
        let (a, b) = (Moody::start(HANG).await, Moody::start(HANG).await);
        let router = router(LONG).await;
        router.set("agent-echo", &[a.backend.addr, b.backend.addr]);
        let client = Client::connect(router.addr).await;
        while a.streams() < 7 || b.streams() < 7 {
            let answer = client.unary(EXECUTE_TASK, &[("grpc-timeout", "20m")], &task("echo", "x")).await;
            assert_eq!(answer.status(), 4);
        }
        assert_eq!(ejections(&router), 0);
    });
}

#[test]
fn deadlines_that_pass_before_the_request_is_complete_say_nothing_of_the_instance() {
    run(async {
        let (a, b) = (Moody::start(HANG).await, Moody::start(HANG).await);
        let router = router(LONG).await;
        router.set("agent-echo", &[a.backend.addr, b.backend.addr]);
        let client = Client::connect(router.addr).await;
        while a.streams() < 7 || b.streams() < 7 {
            let call = client.begin(EXECUTE_TASK, &[("grpc-timeout", "50m")], &task("echo", "x")).await;
            assert_eq!(call.answer().await.unwrap().status(), 4);
        }
        assert_eq!(ejections(&router), 0);
    });
}

#[test]
fn a_dead_instance_beside_a_live_one_costs_no_call() {
    run(async {
        let good = Moody::start(0).await;
        let nowhere = nowhere().await;
        let router = router(LONG).await;
        router.set("agent-echo", &[nowhere, good.backend.addr]);
        let client = Client::connect(router.addr).await;
        for _ in 0..1_000 {
            assert_eq!(call(&client).await, 0);
        }
        // It is tried again after 100 ms, 200 ms, ... 10 s: no more than that within the limit of a test.
        let tries = router.metric("switchboard_upstream_connect_failures_total");
        assert!((1..=12).contains(&tries), "{tries}");
    });
}
