//! Tokens, keys and rules of a whole router: who may register, what changes without a restart, what is written down.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use axum::routing::get as route;
use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};
use switchboard_policy::{KeySource, Mode};
use switchboard_proto::agentplatform::{
    AgentInfo, ListAgentsRequest, agent_service_client::AgentServiceClient,
};
use switchboard_registry::embedded::Server;
use switchboard_router::{App, Config};
use switchboard_testkit::{Process, eventually, free_ports, get};
use tempfile::TempDir;
use tonic::{Code, Request, Status, transport::Channel};

const PATIENCE: Duration = Duration::from_secs(30);

fn any() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

/// A registry and the files of a router.
struct Rig {
    registry: Server,
    dir: TempDir,
}

impl Rig {
    async fn start() -> Self {
        let rig = Rig { registry: Server::start(any()).await.unwrap(), dir: TempDir::new().unwrap() };
        rig.tokens(&[("anna", "caller"), ("bob", "backend")]);
        rig.write("policy.toml", "");
        rig
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// Each token is its name and `-0123456789abcdef`.
    fn tokens(&self, tokens: &[(&str, &str)]) {
        let text: String = tokens
            .iter()
            .map(|(name, role)| {
                format!("[[tokens]]\ntoken = \"{name}-0123456789abcdef\"\nname = \"{name}\"\nroles = [\"{role}\"]\n")
            })
            .collect();
        self.write("tokens.toml", &text);
    }

    fn config(&self) -> Config {
        let registry = switchboard_registry::Config::at(&self.registry.addr().to_string()).unwrap();
        let mut config = Config::for_dev(any(), any(), registry);
        config.auth = Mode::Any;
        config.auth_tokens = Some(self.path("tokens.toml"));
        config.policy = Some(self.path("policy.toml"));
        config
    }
}

async fn agents(app: &App) -> AgentServiceClient<Channel> {
    AgentServiceClient::connect(format!("http://{}", app.grpc_addr())).await.unwrap()
}

fn with<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    request
}

async fn lists(client: &AgentServiceClient<Channel>, token: &str) -> Result<(), Status> {
    client.clone().list_agents(with(token, ListAgentsRequest::default())).await.map(drop)
}

async fn metric(app: &App, name: &str) -> u64 {
    let (_, text) = get(app.admin_addr(), "/metrics").await.unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
    value.unwrap_or_else(|| panic!("no {name} in\n{text}"))
}

#[tokio::test]
async fn registering_takes_the_role_and_lists_take_a_name() {
    let rig = Rig::start().await;
    let app = App::start(rig.config()).unwrap();
    assert!(app.ready().await);
    let mut client = agents(&app).await;
    let info = || AgentInfo {
        agent_id: "echo-agent".to_owned(),
        endpoint: "127.0.0.1:50099".to_owned(),
        ..AgentInfo::default()
    };
    let status = client.register_agent(info()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    assert_eq!(status.metadata().get("www-authenticate").unwrap(), "Bearer");
    let status = client.register_agent(with("anna-0123456789abcdef", info())).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    assert!(status.message().contains("registering needs the role backend"), "{}", status.message());
    // What a client says of itself is worth nothing.
    let mut spoofed = with("anna-0123456789abcdef", info());
    for (name, value) in [
        ("x-switchboard-principal", "bob"),
        ("x-switchboard-roles", "backend"),
        ("x-switchboard-services", "agent-echo"),
    ] {
        spoofed.metadata_mut().insert(name, value.parse().unwrap());
    }
    assert_eq!(client.register_agent(spoofed).await.unwrap_err().code(), Code::PermissionDenied);
    assert!(client.register_agent(with("bob-0123456789abcdef", info())).await.unwrap().into_inner().success);
    lists(&client, "anna-0123456789abcdef").await.unwrap();
    assert_eq!(lists(&client, "nobody-0123456789abcdef").await.unwrap_err().code(), Code::Unauthenticated);
    // And the configuration shows where the secrets are, not what they are.
    let (_, shown) = get(app.admin_addr(), "/config").await.unwrap();
    assert!(shown.contains("tokens.toml") && shown.contains("\"auth\":\"any\""), "{shown}");
    assert!(!shown.contains("0123456789abcdef"));
    app.shutdown().await;
}

#[tokio::test]
async fn changed_files_come_into_force_without_a_restart_and_broken_ones_never() {
    let rig = Rig::start().await;
    let app = App::start(rig.config()).unwrap();
    assert!(app.ready().await);
    let client = agents(&app).await;
    lists(&client, "anna-0123456789abcdef").await.unwrap();

    // Broken in the middle of everything else: all of the old stays.
    rig.tokens(&[("carl", "caller")]);
    rig.write("policy.toml", "[[rules]]\nallow = \"everybody\"\n");
    app.reload();
    let failed =
        eventually(PATIENCE, async || match metric(&app, "switchboard_policy_reload_failures_total").await {
            0 => Err(()),
            _ => Ok(()),
        });
    failed.await.unwrap();
    lists(&client, "anna-0123456789abcdef").await.unwrap();
    assert_eq!(metric(&app, "switchboard_policy_reloads_total").await, 0);

    // Nobody asks for a look this time.
    rig.write("policy.toml", "");
    let known = eventually(PATIENCE, async || lists(&client, "carl-0123456789abcdef").await);
    known.await.unwrap();
    assert_eq!(lists(&client, "anna-0123456789abcdef").await.unwrap_err().code(), Code::Unauthenticated);
    assert_eq!(metric(&app, "switchboard_policy_reloads_total").await, 1);
    app.shutdown().await;
}

#[tokio::test]
async fn a_router_does_not_start_with_files_that_it_cannot_use() {
    let rig = Rig::start().await;
    rig.write("tokens.toml", "[[tokens]]\ntoken = \"s3cret-0123456789abcdef\"\nroles = 5\n");
    let error = App::start(rig.config()).unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(error.to_string().contains("who may call") && cause.contains("tokens.toml"), "{error}: {cause}");
    assert!(!cause.contains("s3cret"), "{cause}");
}

/// An issuer whose keys the test changes.
async fn issuer() -> (String, Arc<Mutex<String>>) {
    let body = Arc::new(Mutex::new(String::new()));
    let shown = body.clone();
    let pages = axum::Router::new().route("/jwks", route(async move || shown.lock().unwrap().clone()));
    let listener = tokio::net::TcpListener::bind(any()).await.unwrap();
    let url = format!("http://{}/jwks", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, pages).await });
    (url, body)
}

/// A key of the issuer: the set that holds it, and a token that it signed.
fn key(kid: &str) -> (String, String) {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let point = pair.public_key().as_ref();
    let (x, y) = (base64_url(&point[1..33]), base64_url(&point[33..65]));
    let jwks = serde_json::json!({"keys": [
        {"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": kid, "x": x, "y": y}
    ]});
    let exp = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs() + 600;
    let claims = serde_json::json!({"sub": "signed", "aud": "switchboard", "roles": "caller", "exp": exp});
    let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::ES256);
    header.kid = Some(kid.to_owned());
    let document = pair.to_pkcs8v1().unwrap();
    let key = jsonwebtoken::EncodingKey::from_ec_der(document.as_ref());
    (jwks.to_string(), jsonwebtoken::encode(&header, &claims, &key).unwrap())
}

/// Base64 for URLs, as JSON web keys are written.
fn base64_url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let word =
            chunk.iter().enumerate().fold(0u32, |word, (at, byte)| word | u32::from(*byte) << (16 - 8 * at));
        out.extend((0..=chunk.len()).map(|at| char::from(ALPHABET[(word >> (18 - 6 * at) & 63) as usize])));
    }
    out
}

#[tokio::test]
async fn keys_of_a_url_are_fetched_and_fetched_again_for_a_key_that_is_new() {
    let rig = Rig::start().await;
    let (url, served) = issuer().await;
    let ((old_keys, old), (new_keys, new)) = (key("old"), key("new"));
    *served.lock().unwrap() = old_keys;
    let mut config = rig.config();
    config.auth_jwt_keys = Some(KeySource::Url(url));
    config.auth_jwt_audience = vec!["switchboard".to_owned()];
    let app = App::start(config).unwrap();
    assert!(app.ready().await);
    let client = agents(&app).await;
    eventually(PATIENCE, async || lists(&client, &old).await).await.unwrap();
    assert_eq!(lists(&client, &new).await.unwrap_err().code(), Code::Unauthenticated);
    *served.lock().unwrap() = new_keys;
    eventually(PATIENCE, async || lists(&client, &new).await).await.unwrap();
    assert_eq!(lists(&client, &old).await.unwrap_err().code(), Code::Unauthenticated);
    app.shutdown().await;
}

/// Starts the binary and makes it write a line of each kind.
async fn written(rig: &Rig, format: &str, admin_ip: &str) -> String {
    let [grpc, admin] = free_ports();
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_switchboard-router"));
    command
        .args(["--grpc", &format!("127.0.0.1:{grpc}"), "--admin", &format!("{admin_ip}:{admin}")])
        .args(["--registry", &rig.registry.addr().to_string(), "--log-format", format])
        .env("SWITCHBOARD_ACCESS_LOG", "on")
        .env("SWITCHBOARD_AUTH", "any")
        .env("SWITCHBOARD_AUTH_TOKENS", rig.path("tokens.toml"))
        .env("SWITCHBOARD_DRAIN_ACCEPT", "0ms")
        .env("SWITCHBOARD_DRAIN_GOAWAY_GAP", "0ms");
    let process = Process::spawn("router", command).unwrap();
    let ready = async || match get(([127, 0, 0, 1], admin).into(), "/readyz").await {
        Ok((200, _)) => Ok(()),
        other => Err(format!("{other:?} {}", process.output())),
    };
    eventually(PATIENCE, ready).await.unwrap();
    let mut client = AgentServiceClient::connect(format!("http://127.0.0.1:{grpc}")).await.unwrap();
    let info = |id: &str| AgentInfo {
        agent_id: id.to_owned(),
        endpoint: "127.0.0.1:50099".to_owned(),
        name: "a\r\nforged line".to_owned(),
        ..AgentInfo::default()
    };
    assert!(client.register_agent(with("anna-0123456789abcdef", info("echo-agent"))).await.is_err());
    assert!(client.register_agent(with("s3cret-0123456789abcdef", info("echo-agent"))).await.is_err());
    assert!(client.register_agent(with("bob-0123456789abcdef", info("a\r\nforged line"))).await.is_err());
    client.register_agent(with("bob-0123456789abcdef", info("echo-agent"))).await.unwrap();
    let done = async || {
        let output = process.output().to_string();
        let whole = ["administration", "call refused by the policy", "registered on request", "duration_us"];
        let missing = whole.iter().any(|part| !output.contains(part));
        if missing { Err(output) } else { Ok(output) }
    };
    eventually(PATIENCE, done).await.unwrap()
}

#[tokio::test]
async fn what_is_written_down_names_the_caller_and_holds_no_secret_and_no_forged_line() {
    let rig = Rig::start().await;
    for format in ["text", "json"] {
        let output = written(&rig, format, "127.0.0.1").await;
        assert!(!output.contains("0123456789abcdef"), "{output}");
        for line in output.lines() {
            assert!(!line.trim_start().starts_with("forged line"), "{line}");
            assert!(!line.chars().any(|c| c.is_control() && c != '\u{1b}'), "{line:?}");
            if format == "json" {
                assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line}");
            }
        }
        let audited: Vec<&str> = output.lines().filter(|line| line.contains("administration")).collect();
        assert!(audited.iter().any(|line| line.contains("anna") && line.contains("false")), "{output}");
        assert!(audited.iter().any(|line| line.contains("bob") && line.contains("true")), "{output}");
        let refused = output.lines().find(|line| line.contains("call refused by the policy")).unwrap();
        assert!(refused.contains("127.0.0.1") && refused.contains("RegisterAgent"), "{refused}");
        assert!(output.lines().any(|line| line.contains("duration_us") && line.contains("bob")), "{output}");
        assert!(!output.contains("can be reached from other machines"), "{output}");
    }
}

#[tokio::test]
async fn an_admin_port_that_others_can_reach_is_warned_of_and_none_is_by_default() {
    assert!(switchboard_router::config::DEFAULT_ADMIN.ip().is_loopback());
    let rig = Rig::start().await;
    let output = written(&rig, "text", "0.0.0.0").await;
    assert!(output.contains("the admin port can be reached from other machines"), "{output}");
}
