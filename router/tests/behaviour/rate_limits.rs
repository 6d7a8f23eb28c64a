//! Whether the caller may now: rates and calls in flight, by principal, source, ID and method.

use crate::support::*;

/// A rate whose next call is a day away, so that no test depends on time.
fn slow(dimension: &str, burst: u32) -> String {
    format!("[limits.{dimension}]\nrate = \"1/h\"\nburst = {burst}\n")
}

struct Rig {
    files: PolicyFiles,
    router: TestRouter,
    client: Client,
    backend: Backend,
}

impl Rig {
    async fn start(limits: &str, asked: bool) -> Self {
        let files = PolicyFiles::new(limits);
        let backend = Backend::echo("echo").await;
        let router =
            TestRouter::with(|config| if asked { files.any(config) } else { files.limits_only(config) })
                .await;
        router.set("agent-echo", &[backend.addr]);
        router.set("agent-other", &[backend.addr]);
        let client = Client::connect(router.addr).await;
        Rig { files, router, client, backend }
    }

    async fn status(&self, who: &str, path: &str, id: &str) -> i32 {
        let token = bearer(&format!("{who}-token-0123456789"));
        let headers = [("authorization", &*token), ("x-switchboard-target", id)];
        self.client.unary(path, &headers, &task(id, "x")).await.status()
    }
}

#[test]
fn a_principal_beyond_its_rate_is_told_when_to_come_back_and_others_go_on() {
    run(async {
        let rig = Rig::start(&slow("principal", 3), true).await;
        for _ in 0..3 {
            assert_eq!(rig.status("anna", EXECUTE_TASK, "echo-agent").await, 0);
        }
        let headers = [("authorization", "Bearer anna-token-0123456789")];
        let answer = rig.client.unary(EXECUTE_TASK, &headers, &task("echo", "x")).await;
        assert_eq!((answer.status(), answer.reason().as_str()), (8, "RATE_LIMITED"));
        assert_eq!(answer.fact("limit"), "principal_rate");
        let seconds: u64 = answer.trailers["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((3_500..=3_600).contains(&seconds), "{seconds}");
        let pause = answer.details().retry_after().unwrap();
        assert!((3_500..=3_600).contains(&pause.as_secs()), "{pause:?}");
        assert_eq!(rig.status("planner", EXECUTE_TASK, "echo-agent").await, 0);
        let name = "switchboard_policy_rejections_total{stage=\"rate_limit\",reason=\"principal_rate\"}";
        until(1, || rig.router.metric(name)).await;
        assert_eq!(rig.backend.streams(), 4);
    });
}

#[test]
fn sources_ids_and_methods_have_limits_of_their_own_with_nobody_asked() {
    run(async {
        for (dimension, other) in [
            ("id", Some((EXECUTE_TASK, "other-agent"))),
            ("method", Some(("/demo.Any/Thing", "echo-agent"))),
            ("source", None),
        ] {
            let rig = Rig::start(&slow(dimension, 2), false).await;
            for expected in [0, 0, 8, 8] {
                assert_eq!(rig.status("any", EXECUTE_TASK, "echo-agent").await, expected, "{dimension}");
            }
            match other {
                Some((path, id)) => assert_eq!(rig.status("any", path, id).await, 0, "{dimension}"),
                None => assert_eq!(rig.status("any", "/demo.Any/Thing", "other-agent").await, 8),
            }
            let name = format!(
                "switchboard_policy_rejections_total{{stage=\"rate_limit\",reason=\"{dimension}_rate\"}}"
            );
            until(if other.is_some() { 2 } else { 3 }, || rig.router.metric(&name)).await;
        }
    });
}

#[test]
fn health_checks_and_refused_calls_use_nothing_up() {
    run(async {
        let rig = Rig::start(&slow("source", 2), true).await;
        for _ in 0..20 {
            // Who proves nothing cannot use up what others of its address have.
            let refused = rig.client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await;
            assert_eq!(refused.status(), 16);
        }
        let mut checks = Vec::new();
        for _ in 0..5 {
            checks.push(rig.client.begin("/grpc.health.v1.Health/Check", &[], &task("", "")).await);
        }
        for expected in [0, 0, 8] {
            assert_eq!(rig.status("anna", EXECUTE_TASK, "echo-agent").await, expected);
        }
    });
}

#[test]
fn a_call_counts_as_in_flight_until_it_ends_however_it_ends() {
    run(async {
        let rig = Rig::start("[limits.principal]\nconcurrency = 2\n", true).await;
        let hang = Backend::start(async |call: Incoming| call.hang().await).await;
        rig.router.set("agent-hang", &[hang.addr]);
        let token = [("authorization", "Bearer anna-token-0123456789")];
        let first = rig.client.begin(EXECUTE_TASK, &token, &task("hang", "x")).await;
        let mut second = rig.client.begin(EXECUTE_TASK, &token, &task("hang", "x")).await;
        until(2, || hang.open_streams()).await;
        let answer = rig.client.unary(EXECUTE_TASK, &token, &task("echo", "x")).await;
        assert_eq!((answer.status(), answer.reason().as_str()), (8, "CONCURRENCY_LIMITED"));
        assert_eq!(answer.trailers["retry-after"], "1");
        assert_eq!(rig.status("planner", EXECUTE_TASK, "echo-agent").await, 0, "another principal");
        // One is given up by its client, the other one's instance dies.
        second.reset(h2::Reason::CANCEL);
        until(1, || hang.open_streams()).await;
        assert_eq!(rig.status("anna", EXECUTE_TASK, "echo-agent").await, 0);
        hang.cut();
        assert_eq!(first.answer().await.unwrap().status(), 14);
        rig.router.settled().await;
        for _ in 0..20 {
            assert_eq!(rig.status("anna", EXECUTE_TASK, "echo-agent").await, 0);
        }
    });
}

#[test]
fn what_was_used_survives_a_change_of_the_rules() {
    run(async {
        let rig = Rig::start(&slow("principal", 1), true).await;
        assert_eq!(rig.status("anna", EXECUTE_TASK, "echo-agent").await, 0);
        assert_eq!(rig.status("anna", EXECUTE_TASK, "echo-agent").await, 8);
        rig.files.set_tokens(
            "[[tokens]]\ntoken = \"anna-token-0123456789\"\nname = \"anna\"\nroles = [\"caller\"]\n",
        );
        rig.router.reload_policy();
        assert_eq!(rig.status("anna", EXECUTE_TASK, "echo-agent").await, 8);
    });
}
