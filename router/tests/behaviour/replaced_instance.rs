//! A call that cannot reach any instance has not been processed: it waits for one that can be reached, which the registry
//! is asked for afresh, and otherwise fails with the reason why nobody could be reached (complaints 1, 14, 56).

use crate::support::*;
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};
use switchboard_proto::agentplatform::TaskResponse;
use switchboard_router::Config;

fn patient(config: &mut Config) {
    config.no_endpoint_wait = Duration::from_secs(20);
}

/// A router whose registry has `agent-echo` at these addresses.
async fn knowing(addrs: &[SocketAddr], adjust: impl FnOnce(&mut Config)) -> (TestRouter, Client) {
    let router = TestRouter::with(adjust).await;
    router.set("agent-echo", addrs);
    let client = Client::connect(router.addr).await;
    (router, client)
}

#[test]
fn a_call_for_an_instance_that_was_replaced_reaches_its_successor() {
    run(async {
        let (router, client) = knowing(&[nowhere().await], patient).await;
        let b = Backend::echo("b").await;
        // The directory learns of it only when it is asked.
        let mut call = client.begin(EXECUTE_TASK, &[], &task("echo", "x")).await;
        until(2, || router.lookups("agent-echo")).await;
        router.set("agent-echo", &[b.addr]);
        call.half_close();
        assert_eq!(call.answer().await.unwrap().decode::<TaskResponse>().output, "b: x");
        router.settled().await;
    });
}

#[test]
fn the_fresh_read_alone_is_enough() {
    run(async {
        let dead = nowhere().await;
        let b = Backend::echo("b").await;
        let (router, client) = knowing(&[dead], patient).await;
        // Known as it was; the registry knows better by now.
        assert_eq!(
            client.unary(EXECUTE_TASK, &[("grpc-timeout", "50m")], &task("echo", "x")).await.status(),
            4
        );
        router.set_unseen("agent-echo", &[b.addr]);
        let answer = client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await;
        assert_eq!(answer.decode::<TaskResponse>().output, "b: x");
    });
}

#[test]
fn an_instance_that_comes_back_where_it_was_gets_the_call() {
    run(async {
        let addr = nowhere().await;
        let (router, client) = knowing(&[addr], patient).await;
        let mut call = client.begin(EXECUTE_TASK, &[], &task("echo", "x")).await;
        until(1, || router.metric("switchboard_calls_parked")).await;
        let back = Backend::again(addr, |call: Incoming| call.echo("back")).await;
        call.half_close();
        assert_eq!(call.answer().await.unwrap().decode::<TaskResponse>().output, "back: x");
        assert_eq!(back.streams(), 1);
        router.settled().await;
    });
}

#[test]
fn many_waiting_calls_cost_one_read_a_second_and_keep_the_connects_words() {
    run(async {
        let (router, client) =
            knowing(&[nowhere().await], |config| config.no_endpoint_wait = Duration::from_millis(700)).await;
        let began = Instant::now();
        let request = task("echo", "x");
        let calls = (0..60).map(|_| client.unary(EXECUTE_TASK, &[], &request));
        for answer in futures_util::future::join_all(calls).await {
            assert_eq!((answer.status(), answer.reason().as_str()), (14, "CONNECT_FAILED"), "{answer:?}");
            assert_eq!(answer.fact("instance"), "agent-echo-0");
            assert!(answer.message().contains("refused"), "{}", answer.message());
        }
        let took = began.elapsed();
        assert!(took >= Duration::from_millis(695), "{took:?}");
        // The first one, and one for each second that has begun.
        let most = 2 + usize::try_from(took.as_secs()).unwrap();
        assert!((2..=most).contains(&router.lookups("agent-echo")), "{}", router.lookups("agent-echo"));
        router.settled().await;
    });
}

#[test]
fn a_service_that_the_registry_no_longer_knows_is_not_waited_for() {
    run(async {
        let (router, client) = knowing(&[nowhere().await], patient).await;
        let mut call = client.begin(EXECUTE_TASK, &[], &task("echo", "x")).await;
        until(1, || router.metric("switchboard_calls_parked")).await;
        router.remove("agent-echo");
        call.half_close();
        let answer = call.answer().await.unwrap();
        assert_eq!((answer.status(), answer.reason().as_str()), (14, "CONNECT_FAILED"), "{answer:?}");
        router.settled().await;
    });
}

#[test]
fn the_wait_ends_with_the_deadline_and_with_the_client() {
    run(async {
        let (router, client) = knowing(&[nowhere().await], patient).await;
        let answer = client.unary(EXECUTE_TASK, &[("grpc-timeout", "300m")], &task("echo", "x")).await;
        assert_eq!(answer.status(), 4, "{answer:?}");
        let call = client.begin(EXECUTE_TASK, &[], &task("echo", "x")).await;
        until(1, || router.metric("switchboard_calls_parked")).await;
        drop(call);
        router.settled().await;
    });
}

#[test]
fn every_instance_is_tried_before_anybody_waits() {
    run(async {
        for round in 0..4 {
            let c = Backend::echo("c").await;
            let (router, client) = knowing(&[nowhere().await, nowhere().await, c.addr], |_| {}).await;
            let answer = client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await;
            assert_eq!(answer.decode::<TaskResponse>().output, "c: x", "round {round}");
            router.settled().await;
        }
    });
}
