//! Whether the caller may: decided on the ID that the call is routed by, before anything is looked up by it.

use crate::support::*;
use switchboard_router::link::Notice;

const LIST: &str = "/agentplatform.AgentService/ListAgents";
const REGISTER: &str = "/agentplatform.AgentService/RegisterAgent";
const ADMIN: &str = "/agentplatform.AdminService/SetLimits";

const RULES: &str = r#"
[[rules]]
name = "planners may call tools"
allow = ["role:planner"]
ids = ["*-tool"]
[[rules]]
name = "nobody erases"
deny = ["*"]
methods = ["/demo.Store/Erase"]
[[rules]]
name = "anna leaves the vault alone"
deny = ["anna"]
ids = ["vault-agent"]
"#;

struct Rig {
    files: PolicyFiles,
    router: TestRouter,
    client: Client,
    backend: Backend,
}

impl Rig {
    async fn start(rules: &str) -> Self {
        let files = PolicyFiles::new(rules);
        let backend =
            Backend::start(async |mut call: Incoming| call.trailers_only(&[("grpc-status", "0")])).await;
        let router = TestRouter::with(|config| files.any(config)).await;
        for service in ["agent-echo", "agent-vault", "tool-weather"] {
            router.set(service, &[backend.addr]);
        }
        let client = Client::connect(router.addr).await;
        Rig { files, router, client, backend }
    }

    async fn call(&self, who: &str, path: &str, id: &str) -> Answer {
        let token = bearer(&format!("{who}-token-0123456789"));
        let headers = [("authorization", &*token), ("x-switchboard-target", id)];
        let headers = if id.is_empty() { &headers[..1] } else { &headers[..] };
        self.client.unary(path, headers, &task(id, "x")).await
    }

    async fn may(&self, who: &str, path: &str, id: &str) -> bool {
        match self.call(who, path, id).await.status() {
            0 => true,
            7 => false,
            other => panic!("{who} {path} {id}: {other}"),
        }
    }
}

#[test]
fn rules_decide_by_principal_id_and_method_and_deny_wins() {
    run(async {
        let rig = Rig::start(RULES).await;
        for (who, path, id, expected) in [
            ("planner", EXECUTE_TOOL, "weather-tool", true),
            ("planner", "/demo.Any/Thing", "weather-tool", true),
            ("planner", "/demo.Any/Thing", "echo-agent", false),
            ("anna", "/demo.Any/Thing", "echo-agent", true),
            ("anna", "/demo.Any/Thing", "vault-agent", false),
            ("anna", "/demo.Any/Thing", "vault-agent@v2", false),
            ("anna", "/demo.Store/Erase", "echo-agent", false),
            ("ada", "/demo.Store/Erase", "echo-agent", false),
            ("ada", "/demo.Any/Thing", "vault-agent", true),
            ("olga", "/demo.Any/Thing", "echo-agent", false),
        ] {
            if path == EXECUTE_TOOL {
                let token = bearer("planner-token-0123456789");
                let answer = rig.client.unary(path, &[("authorization", &*token)], &tool("weather")).await;
                assert_eq!(answer.status(), 0);
                continue;
            }
            if id.contains('@') {
                assert_eq!(rig.call(who, path, id).await.status(), 7);
                continue;
            }
            assert_eq!(rig.may(who, path, id).await, expected, "{who} {path} {id}");
        }
        rig.router.settled().await;
    });
}

/// By its ID in the message as by its ID in the header.
#[test]
fn the_id_in_the_message_is_judged_like_the_one_in_the_header() {
    run(async {
        let rig = Rig::start(RULES).await;
        let token = bearer("anna-token-0123456789");
        let headers = [("authorization", &*token)];
        for id in ["vault", "vault-agent"] {
            let answer = rig.client.unary(EXECUTE_TASK, &headers, &task(id, "x")).await;
            assert_eq!((answer.status(), answer.reason().as_str()), (7, "PERMISSION_DENIED"));
            assert_eq!(answer.fact("id"), "vault-agent");
        }
        assert_eq!(rig.client.unary(EXECUTE_TASK, &headers, &task("echo", "x")).await.status(), 0);
        assert_eq!(rig.backend.streams(), 1);
    });
}

#[test]
fn a_denial_teaches_and_says_the_same_whether_or_not_the_id_exists() {
    run(async {
        let rig = Rig::start(RULES).await;
        let there = rig.call("planner", "/demo.Any/Thing", "echo-agent").await;
        let absent = rig.call("planner", "/demo.Any/Thing", "none-agent").await;
        assert_eq!((there.status(), absent.status()), (7, 7));
        assert_eq!(there.message().replace("echo-agent", "none-agent"), absent.message());
        for part in [
            "planner-1 (roles planner,two words) may not call /demo.Any/Thing of echo-agent",
            "no rule allows it",
            "switchboard auth explain --as planner-1 --call echo-agent/demo.Any/Thing",
        ] {
            assert!(there.message().contains(part), "{part} in {}", there.message());
        }
        assert!(!there.message().contains("planners may call tools"), "rules are the operator's");
        assert_eq!(there.fact("principal"), "planner-1");
        assert_eq!(rig.router.lookups("agent-none"), 0, "nothing was looked up");
        assert_eq!(rig.router.lookups("agent-echo"), 0);
        let name = "switchboard_policy_rejections_total{stage=\"authorization\",reason=\"no_rule_allows\"}";
        until(2, || rig.router.metric(name)).await;
    });
}

#[test]
fn a_call_by_grpc_service_name_is_judged_by_whose_name_it_is() {
    run(async {
        let rig = Rig::start(RULES).await;
        rig.router.set_grpc("demo.Weather", "tool-weather");
        rig.router.set_grpc("demo.Vault", "agent-vault");
        for _ in 0..2 {
            assert!(rig.may("planner", "/demo.Weather/Now", "").await);
            assert!(!rig.may("planner", "/demo.Vault/Open", "").await);
            assert!(!rig.may("anna", "/demo.Vault/Open", "").await);
        }
        assert_eq!(rig.backend.streams(), 2);
    });
}

#[test]
fn the_router_s_own_methods_and_administration_need_their_roles() {
    run(async {
        let rig = Rig::start("").await;
        for (who, path, id, allowed) in [
            ("anna", REGISTER, "", false),
            ("olga", REGISTER, "", false),
            ("anna", ADMIN, "echo-agent", false),
            ("olga", ADMIN, "echo-agent", false),
            ("bob", ADMIN, "echo-agent", false),
            // Without a package.
            ("bob", "/AdminService/SetLimits", "echo-agent", false),
            ("ada", ADMIN, "echo-agent", true),
            ("olga", "/agentplatform.AdminService/ListLimits", "echo-agent", true),
        ] {
            assert_eq!(rig.may(who, path, id).await, allowed, "{who} {path}");
            let line = loop {
                if let Notice::Audited(line) = rig.router.notice().await {
                    break line;
                }
            };
            assert_eq!(line.allowed, allowed);
            assert_eq!(&*line.method, path);
            assert_eq!(line.principal.unwrap().name, who.into());
        }
        // Lists are allowed for those who are known, and the router's own services are told who asks.
        let call =
            rig.client.begin(LIST, &[("authorization", "Bearer bob-token-0123456789")], &task("", "")).await;
        let (served, _) = tokio::join!(rig.router.local_socket(), async { drop(call) });
        drop(served);
    });
}

#[test]
fn a_changed_policy_is_in_force_for_callers_that_were_known() {
    run(async {
        let rig = Rig::start("").await;
        assert!(rig.may("anna", "/demo.Any/Thing", "vault-agent").await);
        rig.files.set_policy(RULES);
        rig.router.reload_policy();
        assert!(!rig.may("anna", "/demo.Any/Thing", "vault-agent").await);
        rig.files.set_policy("");
        rig.router.reload_policy();
        assert!(rig.may("anna", "/demo.Any/Thing", "vault-agent").await);
    });
}

/// A backend that calls itself `router` is not the router: its health is nobody's business without credentials.
#[test]
fn a_service_named_router_has_none_of_the_router_s_exceptions() {
    run(async {
        let rig = Rig::start("[[rules]]\nallow = [\"role:planner\"]\nids = [\"router\"]\n").await;
        rig.router.set("router", &[rig.backend.addr]);
        rig.router.set_grpc("demo.Fake", "router");
        assert!(!rig.may("planner", "/demo.Fake/Call", "").await);
    });
}
