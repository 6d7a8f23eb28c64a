//! Callers that are known by their certificates: alone where any proof is enough, beside a token where both are asked for.

use crate::support::{tls::*, *};
use switchboard_policy::Mode;
use switchboard_router::Config;
use switchboard_transport::{ClientAuth, authority::Subject};

const HEALTH: &str = "/grpc.health.v1.Health/Check";
const REGISTER: &str = "/agentplatform.AgentService/RegisterAgent";
const TOKEN: (&str, &str) = ("authorization", "Bearer anna-token-0123456789");

/// A certificate of the planner's, whose unit stands for a role.
fn planner() -> Subject {
    Subject { units: vec!["planner".to_owned()], ..Subject::service("agent-planner") }
}

async fn rig(rules: &str, mode: Mode) -> (PolicyFiles, Backend, TestRouter) {
    let files = PolicyFiles::new(rules);
    let echo = Backend::echo("echo").await;
    let router = tls_router(ClientAuth::Optional, |config: &mut Config| {
        files.any(config);
        config.auth = mode;
    })
    .await;
    router.set("agent-echo", &[echo.addr]);
    (files, echo, router)
}

#[test]
fn a_certificate_names_its_holder_and_its_units_are_roles() {
    run(async {
        let rules = "[[rules]]\nallow = [\"role:planner\"]\nids = [\"echo-agent\"]\n";
        let (_files, echo, router) = rig(rules, Mode::Any).await;
        let client = Client::secure(router.addr, PKI.client(Some(&planner()))).await;
        for _ in 0..3 {
            assert_eq!(client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await.status(), 0);
        }
        let name = echo.last_header("x-switchboard-principal");
        assert!(name.starts_with("spiffe://") && name.ends_with("/svc/agent-planner"), "{name}");
        assert_eq!(echo.last_header("x-switchboard-roles"), "planner");
        assert_eq!(echo.last_header("x-switchboard-services"), "", "for the router's own services only");
        let other = Client::secure(router.addr, PKI.client(Some(&Subject::service("agent-other")))).await;
        assert_eq!(other.unary(EXECUTE_TASK, &[], &task("echo", "x")).await.status(), 7);
        // Its own right to register is the router's to judge further; others have none.
        let nobody = Client::secure(router.addr, PKI.client(None)).await;
        assert_eq!(nobody.unary(REGISTER, &[], &task("", "")).await.status(), 16);
    });
}

#[test]
fn a_token_speaks_for_itself_beside_a_certificate_and_a_bad_one_is_refused() {
    run(async {
        let (_files, echo, router) = rig("", Mode::Any).await;
        let client = Client::secure(router.addr, PKI.client(Some(&planner()))).await;
        assert_eq!(client.unary(EXECUTE_TASK, &[TOKEN], &task("echo", "x")).await.status(), 0);
        assert_eq!(echo.last_header("x-switchboard-principal"), "anna");
        let bad = [("authorization", "Bearer wrong-token-0123456789")];
        assert_eq!(client.unary(EXECUTE_TASK, &bad, &task("echo", "x")).await.status(), 16);
        // The same connection without it is the certificate's again.
        assert_eq!(client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await.status(), 0);
        assert!(echo.last_header("x-switchboard-principal").ends_with("/svc/agent-planner"));
    });
}

#[test]
fn both_are_needed_where_both_are_asked_for_but_for_health() {
    run(async {
        let (_files, echo, router) = rig("", Mode::Both).await;
        let holder = Client::secure(router.addr, PKI.client(Some(&planner()))).await;
        let nobody = Client::secure(router.addr, PKI.client(None)).await;
        let answer = holder.unary(EXECUTE_TASK, &[], &task("echo", "x")).await;
        assert_eq!((answer.status(), answer.fact("problem").as_str()), (16, "no_token"));
        // The same token, believed on one connection, is worth nothing on another.
        assert_eq!(holder.unary(EXECUTE_TASK, &[TOKEN], &task("echo", "x")).await.status(), 0);
        assert_eq!(echo.last_header("x-switchboard-roles"), "caller,planner");
        let answer = nobody.unary(EXECUTE_TASK, &[TOKEN], &task("echo", "x")).await;
        assert_eq!((answer.status(), answer.fact("problem").as_str()), (16, "no_certificate"));
        assert_eq!(echo.streams(), 1);
        let nothing = task("", "");
        let (asked, served) = tokio::join!(nobody.begin(HEALTH, &[], &nothing), router.local_socket());
        drop((asked, served));
    });
}
