//! Every call has a request ID: the client's if it is fit, else the router's.

use crate::support::*;
use std::collections::HashSet;

#[test]
fn a_call_without_an_id_gets_one_of_its_own() {
    run(async {
        let echo = Backend::echo("echo").await;
        let router = TestRouter::start().await;
        router.set("agent-echo", &[echo.addr]);
        let client = Client::connect(router.addr).await;
        for _ in 0..100 {
            client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await;
        }
        let ids: HashSet<String> = echo
            .requests()
            .iter()
            .map(|head| head.headers["x-request-id"].to_str().unwrap().to_owned())
            .collect();
        assert_eq!(ids.len(), 100);
        assert!(ids.iter().all(|id| id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit())), "{ids:?}");
    });
}

#[test]
fn the_clients_id_is_passed_on() {
    run(async {
        let echo = Backend::echo("echo").await;
        let router = TestRouter::start().await;
        router.set("agent-echo", &[echo.addr]);
        let client = Client::connect(router.addr).await;
        let longest = "x".repeat(128);
        for id in ["a", "4bf92f35-77b3/4da6:a3ce", &longest] {
            client.unary(EXECUTE_TASK, &[("x-request-id", id)], &task("echo", "x")).await;
            assert_eq!(echo.last_header("x-request-id"), id);
        }
    });
}

#[test]
fn an_id_that_is_not_fit_is_replaced() {
    run(async {
        let echo = Backend::echo("echo").await;
        let router = TestRouter::start().await;
        router.set("agent-echo", &[echo.addr]);
        let client = Client::connect(router.addr).await;
        let long = "x".repeat(129);
        for id in ["", "has space", "caf\u{e9}", &long] {
            client.unary(EXECUTE_TASK, &[("x-request-id", id)], &task("echo", "x")).await;
            let requests = echo.requests();
            let got: Vec<_> = requests.last().unwrap().headers.get_all("x-request-id").iter().collect();
            assert_eq!(got.len(), 1, "{id:?}: {got:?}");
            assert!(got[0].len() == 32 && got[0] != id, "{id:?} became {got:?}");
        }
    });
}

#[test]
fn of_several_ids_one_is_left() {
    run(async {
        let echo = Backend::echo("echo").await;
        let router = TestRouter::start().await;
        router.set("agent-echo", &[echo.addr]);
        let client = Client::connect(router.addr).await;
        let headers = [("x-request-id", "first"), ("x-request-id", "second")];
        client.unary(EXECUTE_TASK, &headers, &task("echo", "x")).await;
        let requests = echo.requests();
        let got: Vec<_> = requests[0].headers.get_all("x-request-id").iter().collect();
        assert_eq!(got, ["first"]);
    });
}

#[test]
fn an_error_names_the_id() {
    run(async {
        let router = TestRouter::start().await;
        let client = Client::connect(router.addr).await;
        let answer = client.unary(EXECUTE_TASK, &[("x-request-id", "mine")], &task("", "x")).await;
        assert_eq!(answer.fact("request_id"), "mine");
        let answer = client.unary(EXECUTE_TASK, &[], &task("", "x")).await;
        assert_eq!(answer.fact("request_id").len(), 32);
    });
}

#[test]
fn an_error_in_the_middle_of_a_stream_names_the_id() {
    run(async {
        let backend = Backend::start(async |mut call: Incoming| {
            let mut out = call.begin(&[]);
            out.send(b"part").await.unwrap();
            // Until the router gives it up.
            let _ = call.messages.next().await;
            let _ = out.reset_by_peer().await;
        })
        .await;
        let router = TestRouter::start().await;
        router.set("agent-echo", &[backend.addr]);
        let client = Client::connect(router.addr).await;
        let headers = [("x-request-id", "mine"), ("grpc-timeout", "100m")];
        let answer = client.unary(STREAM_TASK, &headers, &task("echo", "x")).await;
        assert_eq!((answer.status(), answer.messages.len()), (4, 1), "{answer:?}");
        assert_eq!(answer.fact("request_id"), "mine");
        router.settled().await;
    });
}
