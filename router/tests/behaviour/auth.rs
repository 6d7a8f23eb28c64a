//! Who calls: nobody without credentials, nobody with bad ones, and backends are told who it was.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use crate::support::*;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use switchboard_policy::{KeySource, Mode};
use switchboard_router::{link::Notice, policy::Stage};

const HEALTH: &str = "/grpc.health.v1.Health/Check";

async fn rig(
    adjust: impl FnOnce(&mut switchboard_router::Config),
) -> (PolicyFiles, Backend, TestRouter, Client) {
    let files = PolicyFiles::new("");
    let echo = Backend::echo("echo").await;
    let router = TestRouter::with(|config| {
        files.any(config);
        adjust(config);
    })
    .await;
    router.set("agent-echo", &[echo.addr]);
    let client = Client::connect(router.addr).await;
    (files, echo, router, client)
}

fn rejections(router: &TestRouter, stage: &str, reason: &str) -> u64 {
    router.metric(&format!("switchboard_policy_rejections_total{{stage=\"{stage}\",reason=\"{reason}\"}}"))
}

#[test]
fn without_credentials_only_health_checks_pass() {
    run(async {
        let (_files, echo, router, client) = rig(|_| {}).await;
        for path in [EXECUTE_TASK, "/demo.Any/Thing", "/agentplatform.AgentService/ListAgents"] {
            let answer = client.unary(path, &[], &task("echo", "x")).await;
            assert_eq!((answer.status(), answer.reason().as_str()), (16, "CREDENTIALS_MISSING"), "{path}");
            assert_eq!(answer.trailers["www-authenticate"], "Bearer");
            assert!(answer.message().contains("authorization: Bearer"), "{}", answer.message());
        }
        // An ID that does not exist is answered in the same words.
        let same = client.unary(EXECUTE_TASK, &[], &task("nobody", "x")).await;
        assert_eq!((same.status(), same.reason().as_str()), (16, "CREDENTIALS_MISSING"));
        until(4, || rejections(&router, "auth", "no_credentials")).await;
        // Another's health is a call like any other.
        let target = [("x-switchboard-target", "echo-agent")];
        assert_eq!(client.unary(HEALTH, &target, &task("", "")).await.status(), 16);
        assert_eq!(echo.streams(), 0);
        let nothing = task("", "");
        let (asked, served) = tokio::join!(client.begin(HEALTH, &[], &nothing), router.local_socket());
        drop((asked, served));
    });
}

#[test]
fn a_good_token_passes_and_the_backend_learns_who_it_was() {
    run(async {
        let (_files, echo, _router, client) = rig(|_| {}).await;
        for (token, name, roles) in [
            ("anna-token-0123456789", "anna", "caller"),
            ("planner-token-0123456789", "planner-1", "planner,two%20words"),
        ] {
            for _ in 0..2 {
                let headers = [
                    ("authorization", &*bearer(token)),
                    ("x-switchboard-principal", "ada"),
                    ("x-switchboard-roles", "admin"),
                    ("x-switchboard-source", "10.1.2.3"),
                    ("x-switchboard-services", "agent-echo"),
                ];
                let answer = client.unary(EXECUTE_TASK, &headers, &task("echo", "x")).await;
                assert_eq!(answer.status(), 0, "{answer:?}");
                let requests = echo.requests();
                let got = &requests.last().unwrap().headers;
                let all = |name: &str| got.get_all(name).iter().collect::<Vec<_>>();
                assert_eq!(all("x-switchboard-principal"), [name]);
                assert_eq!(all("x-switchboard-roles"), [roles]);
                assert_eq!(all("x-switchboard-source"), ["127.0.0.1"]);
                assert!(all("x-switchboard-services").is_empty());
                assert!(all("authorization").is_empty(), "it was for the router");
            }
        }
    });
}

#[test]
fn the_token_is_forwarded_if_the_operator_says_so() {
    run(async {
        let (_files, echo, _router, client) = rig(|config| config.forward_authorization = true).await;
        let headers = [("authorization", &*bearer("anna-token-0123456789"))];
        assert_eq!(client.unary(EXECUTE_TASK, &headers, &task("echo", "x")).await.status(), 0);
        assert_eq!(echo.last_header("authorization"), "Bearer anna-token-0123456789");
    });
}

#[test]
fn bad_credentials_are_refused_and_told_apart_without_being_repeated() {
    run(async {
        let (_files, echo, router, _) = rig(|_| {}).await;
        let huge = bearer(&"x".repeat(20_000));
        for (value, problem) in [
            ("Bearer wr0ng-s3cret", "bad_token"),
            ("Basic YW5uYTphbm5h", "bad_header"),
            ("anna-token-0123456789", "bad_header"),
            ("Bearer", "bad_header"),
            ("", "bad_header"),
            (huge.as_str(), "too_long"),
        ] {
            let client = Client::connect(router.addr).await;
            let answer = client.unary(EXECUTE_TASK, &[("authorization", value)], &task("echo", "x")).await;
            assert_eq!(answer.status(), 16, "{value:.40}");
            assert_eq!(answer.reason(), "CREDENTIALS_INVALID");
            assert_eq!(answer.fact("problem"), problem, "{value:.40}");
            assert!(!format!("{answer:?}{}", answer.message()).contains("s3cret"));
        }
        let client = Client::connect(router.addr).await;
        let twice = [
            ("authorization", "Bearer anna-token-0123456789"),
            ("authorization", "Bearer ada-token-0123456789"),
        ];
        let answer = client.unary(EXECUTE_TASK, &twice, &task("echo", "x")).await;
        assert_eq!((answer.status(), answer.fact("problem").as_str()), (16, "repeated_header"));
        let same = [
            ("authorization", "Bearer anna-token-0123456789"),
            ("authorization", "Bearer anna-token-0123456789"),
        ];
        assert_eq!(client.unary(EXECUTE_TASK, &same, &task("echo", "x")).await.status(), 16);
        assert_eq!(echo.streams(), 0);
        until(1, || rejections(&router, "auth", "too_long")).await;
    });
}

/// A signed token that ends in so many seconds.
fn signed(secret: &[u8], ends_in_s: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = serde_json::json!({
        "sub": "signed-anna", "aud": "switchboard", "roles": ["caller"], "exp": now + ends_in_s,
    });
    let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
    bearer(&jsonwebtoken::encode(&header, &claims, &jsonwebtoken::EncodingKey::from_secret(secret)).unwrap())
}

#[test]
fn a_signed_token_is_refused_when_it_ends_though_it_was_known() {
    run(async {
        let secret = "0123456789abcdef0123456789abcdef";
        let keys = PolicyFiles::new("");
        let (_files, echo, _router, client) = rig(|config| {
            config.auth_jwt_keys = Some(KeySource::File(keys.file("jwt.secret", secret)));
            config.auth_jwt_audience = vec!["switchboard".to_owned()];
            config.auth_jwt_leeway = Duration::ZERO;
        })
        .await;
        let (short, long) = (signed(secret.as_bytes(), 3), signed(secret.as_bytes(), 3_600));
        let short = [("authorization", &*short)];
        assert_eq!(client.unary(EXECUTE_TASK, &short, &task("echo", "x")).await.status(), 0);
        assert_eq!(echo.last_header("x-switchboard-principal"), "signed-anna");
        let ended = switchboard_testkit::eventually(Duration::from_secs(10), async || {
            let answer = client.unary(EXECUTE_TASK, &short, &task("echo", "x")).await;
            if answer.status() == 0 { Err(()) } else { Ok(answer) }
        });
        let answer = ended.await.unwrap();
        assert_eq!((answer.status(), answer.reason().as_str()), (16, "CREDENTIALS_EXPIRED"));
        let long = [("authorization", &*long)];
        assert_eq!(client.unary(EXECUTE_TASK, &long, &task("echo", "x")).await.status(), 0);
        let forged = signed(b"fedcba9876543210fedcba9876543210", 3_600);
        let answer = client.unary(EXECUTE_TASK, &[("authorization", &*forged)], &task("echo", "x")).await;
        assert_eq!((answer.status(), answer.reason().as_str()), (16, "CREDENTIALS_INVALID"));
    });
}

#[test]
fn where_both_are_asked_for_a_token_alone_is_not_enough() {
    run(async {
        let (_files, echo, _router, client) = rig(|config| config.auth = Mode::Both).await;
        let headers = [("authorization", &*bearer("anna-token-0123456789"))];
        let answer = client.unary(EXECUTE_TASK, &headers, &task("echo", "x")).await;
        assert_eq!((answer.status(), answer.fact("problem").as_str()), (16, "no_certificate"));
        assert_eq!(echo.streams(), 0);
    });
}

#[test]
fn a_token_that_was_revoked_is_refused_though_it_was_known() {
    run(async {
        let (files, _echo, router, client) = rig(|_| {}).await;
        let headers = [("authorization", &*bearer("anna-token-0123456789"))];
        assert_eq!(client.unary(EXECUTE_TASK, &headers, &task("echo", "x")).await.status(), 0);
        files.set_tokens(
            "[[tokens]]\ntoken = \"new-token-0123456789\"\nname = \"anna\"\nroles = [\"caller\"]\n",
        );
        router.reload_policy();
        let refused = client.unary(EXECUTE_TASK, &headers, &task("echo", "x")).await;
        assert_eq!((refused.status(), refused.reason().as_str()), (16, "CREDENTIALS_INVALID"));
        let new = [("authorization", &*bearer("new-token-0123456789"))];
        assert_eq!(client.unary(EXECUTE_TASK, &new, &task("echo", "x")).await.status(), 0);
    });
}

/// The stream was allowed when it began; Envoy sees it likewise.
#[test]
fn a_stream_goes_on_when_its_token_is_revoked() {
    run(async {
        let (files, _echo, router, client) = rig(|_| {}).await;
        let slow = Backend::start(async |mut call: Incoming| {
            let first: switchboard_proto::agentplatform::TaskRequest = call.decode().await;
            let mut out = call.begin(&[]);
            out.send(first.input.as_bytes()).await.unwrap();
            while let Ok(Some(next)) = call.messages.next().await {
                out.send(&next).await.unwrap();
            }
            out.finish(&[("grpc-status", "0")]);
        })
        .await;
        router.set("agent-slow", &[slow.addr]);
        let headers = [("authorization", &*bearer("anna-token-0123456789"))];
        let mut call = client.begin(STREAM_TASK, &headers, &task("slow", "one")).await;
        until(1, || slow.streams()).await;
        files.set_tokens("");
        router.reload_policy();
        let refused = client.unary(EXECUTE_TASK, &headers, &task("slow", "x")).await;
        assert_eq!(refused.status(), 16);
        call.send(b"two").await.unwrap();
        call.half_close();
        let (_, response) = call.response().await.unwrap();
        let answer = response.finish().await.unwrap();
        assert_eq!((answer.status(), answer.messages), (0, vec!["one".into(), "two".into()]));
    });
}

#[test]
fn a_flood_of_bad_tokens_is_not_looked_at_and_keeps_nobody_else_out() {
    run(async {
        let (_files, _echo, router, known) = rig(|_| {}).await;
        let good = bearer("anna-token-0123456789");
        assert_eq!(
            known.unary(EXECUTE_TASK, &[("authorization", &*good)], &task("echo", "x")).await.status(),
            0
        );
        let flood = Client::connect(router.addr).await;
        let mut reasons = Vec::new();
        for i in 0..40 {
            let bad = bearer(&format!("eyJhbGciOiJFUzI1NiJ9.e30.{i}"));
            let answer = flood.unary(EXECUTE_TASK, &[("authorization", &*bad)], &task("echo", "x")).await;
            reasons.push(answer.reason());
            if answer.reason() == "TOO_MANY_BAD_CREDENTIALS" {
                assert_eq!((answer.status(), answer.trailers["retry-after"].to_str().unwrap()), (8, "1"));
            }
        }
        assert!(reasons[..10].iter().all(|reason| reason == "CREDENTIALS_INVALID"), "{reasons:?}");
        let unseen = reasons.iter().filter(|reason| *reason == "TOO_MANY_BAD_CREDENTIALS").count();
        assert!(unseen >= 20, "{reasons:?}");
        // Not even on the flooding connection, if the token is known already; and another connection has its own count.
        assert_eq!(
            flood.unary(EXECUTE_TASK, &[("authorization", &*good)], &task("echo", "x")).await.status(),
            0
        );
        let other = Client::connect(router.addr).await;
        let new = bearer("planner-token-0123456789");
        assert_eq!(
            other.unary(EXECUTE_TASK, &[("authorization", &*new)], &task("echo", "x")).await.status(),
            0
        );
        let late = bearer("ada-token-0123456789");
        let answer = flood.unary(EXECUTE_TASK, &[("authorization", &*late)], &task("echo", "x")).await;
        assert_eq!(answer.reason(), "TOO_MANY_BAD_CREDENTIALS");
        // A second later it is looked at.
        let again = switchboard_testkit::eventually(Duration::from_secs(5), async || {
            match flood.unary(EXECUTE_TASK, &[("authorization", &*late)], &task("echo", "x")).await.status() {
                0 => Ok(()),
                other => Err(other),
            }
        });
        again.await.unwrap();
    });
}

#[test]
fn a_refusal_is_told_with_who_what_and_whence_and_a_flood_of_them_once() {
    run(async {
        let (_files, _echo, router, client) = rig(|_| {}).await;
        for _ in 0..20 {
            let headers = [("x-request-id", "r-1"), ("authorization", "Bearer s3cret")];
            client.unary(EXECUTE_TASK, &headers, &task("echo", "x")).await;
        }
        let Notice::Refused(refused) = router.notice().await else { panic!("nothing was administered") };
        assert_eq!((refused.stage, &*refused.request_id), (Stage::Auth, &b"r-1"[..]));
        assert_eq!((&*refused.method, refused.source), (EXECUTE_TASK, Some([127, 0, 0, 1].into())));
        assert!(!format!("{refused:?}").contains("s3cret"));
        let told = || router.metric("switchboard_policy_notices_lost_total");
        assert_eq!(told(), 0);
    });
}

#[test]
fn with_nobody_asked_everything_passes_as_it_is() {
    run(async {
        let echo = Backend::echo("echo").await;
        let router = TestRouter::start().await;
        router.set("agent-echo", &[echo.addr]);
        let client = Client::connect(router.addr).await;
        let twice = [("authorization", "Bearer one"), ("authorization", "Basic two")];
        assert_eq!(client.unary(EXECUTE_TASK, &twice, &task("echo", "x")).await.status(), 0);
        let requests = echo.requests();
        let got: Vec<_> = requests[0].headers.get_all("authorization").iter().collect();
        assert_eq!(got, ["Bearer one", "Basic two"]);
        assert!(!requests[0].headers.contains_key("x-switchboard-source"));
    });
}
