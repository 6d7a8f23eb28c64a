//! Rules (a) and (c): the header x-switchboard-target, and the name of the gRPC service.

use crate::support::*;
use switchboard_proto::agentplatform::{ListAgentsRequest, TaskResponse};

const TARGET: &str = "x-switchboard-target";

#[test]
fn the_header_names_the_backend_of_a_method_that_no_contract_knows() {
    run(async {
        let (a, b) = (Backend::echo("a").await, Backend::echo("b").await);
        let router = TestRouter::start().await;
        router.set("agent-a", &[a.addr]);
        router.set("tool-b", &[b.addr]);
        let client = Client::connect(router.addr).await;
        for (id, expected) in [("a-agent", "a: x"), ("b-tool", "b: x")] {
            let answer = client.unary("/demo.Any/Thing", &[(TARGET, id)], &task("whoever", "x")).await;
            assert_eq!(answer.decode::<TaskResponse>().output, expected);
        }
        // The header is the router's own and goes no further.
        assert!(!a.requests()[0].headers.contains_key(TARGET));
    });
}

#[test]
fn the_header_may_stand_for_an_id_that_the_message_does_not_carry() {
    run(async {
        let echo = Backend::echo("echo").await;
        let router = TestRouter::start().await;
        router.set("agent-echo", &[echo.addr]);
        let client = Client::connect(router.addr).await;
        for (header, body) in
            [("echo-agent", ""), ("echo", ""), ("echo-agent", "echo-agent"), ("echo-agent", "echo")]
        {
            let answer = client.unary(EXECUTE_TASK, &[(TARGET, header)], &task(body, "x")).await;
            assert_eq!(answer.status(), 0, "{header} {body}: {answer:?}");
        }
    });
}

#[test]
fn the_header_sends_a_method_of_the_router_itself_to_a_backend() {
    run(async {
        let backend =
            Backend::start(async |mut call: Incoming| call.trailers_only(&[("grpc-status", "0")])).await;
        let router = TestRouter::start().await;
        router.set("agent-echo", &[backend.addr]);
        let client = Client::connect(router.addr).await;
        let path = "/agentplatform.AgentService/ListAgents";
        let answer = client.unary(path, &[(TARGET, "echo-agent")], &ListAgentsRequest::default()).await;
        assert_eq!(answer.status(), 0);
        assert_eq!(backend.streams(), 1);
    });
}

#[test]
fn a_header_and_a_message_that_differ_are_refused() {
    run(async {
        let (echo, other) = (Backend::echo("echo").await, Backend::echo("other").await);
        let router = TestRouter::start().await;
        router.set("agent-echo", &[echo.addr]);
        router.set("agent-other", &[other.addr]);
        let client = Client::connect(router.addr).await;
        for (header, body) in [
            ("echo-agent", "other-agent"),
            ("other-agent", "echo"),
            ("echo-agent@v2", "echo-agent"),
            ("echo-tool", "echo"),
        ] {
            let answer = client.unary(EXECUTE_TASK, &[(TARGET, header)], &task(body, "x")).await;
            assert_eq!((answer.status(), answer.reason().as_str()), (3, "ID_MISMATCH"), "{header} {body}");
            assert!(answer.message().contains(header) && answer.message().contains(body));
        }
        assert_eq!(echo.streams() + other.streams(), 0);
    });
}

#[test]
fn an_ill_formed_header_is_an_invalid_argument() {
    run(async {
        let router = TestRouter::start().await;
        let client = Client::connect(router.addr).await;
        for (path, header) in
            [(EXECUTE_TASK, "No-agent"), ("/demo.Any/Thing", "nokind"), ("/demo.Any/Thing", "")]
        {
            let answer = client.unary(path, &[(TARGET, header)], &task("", "x")).await;
            assert_eq!((answer.status(), answer.reason().as_str()), (3, "ID_ILL_FORMED"), "{path} {header}");
            assert_eq!(answer.fact("field"), TARGET);
        }
    });
}

#[test]
fn two_target_headers_cannot_route_by_one_and_mean_the_other() {
    run(async {
        let (a, b) = (Backend::echo("a").await, Backend::echo("b").await);
        let router = TestRouter::start().await;
        router.set("agent-a", &[a.addr]);
        router.set("agent-b", &[b.addr]);
        let client = Client::connect(router.addr).await;
        let headers = [(TARGET, "a-agent"), (TARGET, "b-agent")];
        let answer = client.unary("/demo.Any/Thing", &headers, &task("x", "x")).await;
        assert_eq!(answer.status(), 3, "{answer:?}");
        assert_eq!(a.streams() + b.streams(), 0);
    });
}

#[test]
fn a_grpc_service_is_found_by_its_name() {
    run(async {
        let demo = Backend::echo("demo").await;
        let router = TestRouter::start().await;
        router.set("agent-x", &[demo.addr]);
        router.set_grpc("demo.Echo", "agent-x");
        let client = Client::connect(router.addr).await;
        for _ in 0..3 {
            let answer = client.unary("/demo.Echo/Unary", &[], &task("", "x")).await;
            assert_eq!(answer.decode::<TaskResponse>().output, "demo: x");
        }
        router.settled().await;
    });
}
