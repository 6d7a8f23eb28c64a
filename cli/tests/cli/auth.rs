//! `auth`: which rule decides, and what is wrong with the files.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::path::Path;

use crate::process::run;

const POLICY: &str = r#"
[[rules]]
name = "planners may call tools"
allow = ["role:planner"]
ids = ["*-tool"]
[[rules]]
name = "billing is closed"
deny = ["*"]
ids = ["billing-tool"]
"#;

fn file(dir: &Path, name: &str, content: &str) -> String {
    let path = dir.join(name);
    fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn explain_says_which_rule_decides_and_exits_like_the_call() {
    let dir = tempfile::tempdir().unwrap();
    let policy = file(dir.path(), "policy.toml", POLICY);
    let explain = |call: &str| {
        run(["auth", "explain", "--as", "ann", "--role", "planner", "--call", call, "--policy", &policy])
    };
    let allowed = explain("weather-tool@v2/ExecuteTool").output();
    assert!(
        allowed.contains("\"ann\" may call /agentplatform.ToolService/ExecuteTool of \"weather-tool\""),
        "{allowed}"
    );
    assert!(allowed.contains("decided by: the rule \"planners may call tools\""), "{allowed}");
    let denied = explain("billing-tool/agentplatform.ToolService/ExecuteTool");
    assert_eq!(denied.code, Some(7), "{denied:?}");
    assert!(denied.stdout.contains("deny \"billing is closed\": covers the call and decides"), "{denied:?}");
    assert!(denied.stderr.contains("PERMISSION_DENIED"), "{denied:?}");
    assert_eq!(explain("router/RegisterAgent").code, Some(7));
    for (call, said) in [("weather-tool", "ID/METHOD"), ("weather-tool/Fly", "no method \"Fly\"")] {
        let wrong = explain(call).failure(64);
        assert!(wrong.contains(said), "{wrong}");
    }
}

#[test]
fn check_takes_what_certs_init_makes() {
    let dir = tempfile::tempdir().unwrap();
    let certs = dir.path().join("certs");
    let made = run(["certs", "init", certs.to_str().unwrap()]);
    assert_eq!(made.code, Some(0), "{made:?}");
    let path = |name: &str| certs.join(name).to_str().unwrap().to_owned();
    let token = run(["certs", "token", certs.to_str().unwrap(), "--sub", "ann", "--role", "caller"]).output();
    let token = format!("@{}", file(dir.path(), "token", &token));
    let check = |more: &[&str]| {
        let (tokens, keys, policy) = (path("tokens.toml"), path("jwks.json"), path("policy.toml"));
        let files =
            ["--tokens", &tokens, "--jwt-keys", &keys, "--jwt-audience", "switchboard", "--policy", &policy];
        run(["auth", "check", "--auth", "any"].iter().chain(&files).chain(more))
    };
    let plain = check(&[]).output();
    assert!(plain.contains("auth: any\n") && plain.contains("policy: can be used"), "{plain}");
    let by_token = check(&["--caller-token", &token]).output();
    assert!(
        by_token.contains("caller: \"ann\", proved by jwt") && by_token.contains("\"caller\""),
        "{by_token}"
    );
    let client = path("client.pem");
    let by_certificate = check(&["--caller-cert", &client]).output();
    assert!(
        by_certificate.contains("caller: \"spiffe://switchboard/client/client\", proved by certificate"),
        "{by_certificate}"
    );
    let forged = format!("@{}", file(dir.path(), "forged", "no.such.token"));
    let refused = check(&["--caller-token", &forged]);
    assert!(refused.code == Some(16) && refused.stderr.contains("UNAUTHENTICATED"), "{refused:?}");
}

#[test]
fn check_names_what_is_wrong_and_takes_no_token_as_an_argument() {
    let dir = tempfile::tempdir().unwrap();
    let policy = file(dir.path(), "policy.toml", "[[rules]]\nalow = [\"*\"]\n");
    let said = run(["auth", "check", "--auth", "any", "--policy", &policy]).failure(64);
    assert!(said.contains("policy.toml: line 2: unknown field `alow`"), "{said}");
    let said = run(["auth", "check", "--jwt-keys", "k.pem", "--auth", "any"]).failure(64);
    assert!(said.contains("auth_jwt_audience"), "{said}");
    let said = run(["auth", "check", "--caller-token", "secret"]).failure(64);
    assert!(said.contains("@FILE"), "{said}");
}
