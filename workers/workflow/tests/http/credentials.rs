//! Who may call over HTTP, and what pages of other sites may not have a browser do.

use std::path::PathBuf;

use futures_util::StreamExt;
use reqwest::{Certificate, Identity, Method, RequestBuilder};
use serde_json::json;
use switchboard_backend::{Backend, ClientAuth, Mode, PolicySettings, ServerTls};
use switchboard_transport::authority::{Authority, Subject};
use tempfile::TempDir;
use tokio_tungstenite::{client_async, tungstenite::client::IntoClientRequest};
use workflow_worker::http::Settings;

use crate::support::{PATIENCE, Scene, answer, noop, test};

const CALLER: &str = "0123456789abcdef0123456789abcdef";
const ADMIN: &str = "fedcba9876543210fedcba9876543210";

/// Files of credentials.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// A caller and an admin by token, and these limits.
    fn settings(&self, limits: &str) -> PolicySettings {
        let token = |token, name| {
            format!("[[tokens]]\ntoken = \"{token}\"\nname = \"{name}\"\nroles = [\"{name}\"]\n")
        };
        PolicySettings {
            mode: Mode::Any,
            tokens: Some(self.write("tokens.toml", &(token(CALLER, "caller") + &token(ADMIN, "admin")))),
            policy: Some(self.write("policy.toml", limits)),
            ..PolicySettings::default()
        }
    }
}

async fn locked(files: &Files, limits: &str) -> Scene {
    let settings = files.settings(limits);
    Scene::of(Settings::default(), None, |backend: Backend| backend.policy(settings)).await
}

fn cookie(request: RequestBuilder, token: &str) -> RequestBuilder {
    request.header("cookie", format!("theme=dark; switchboard_token={token}"))
}

#[test]
fn whoever_has_no_credentials_is_told_which_to_bring() {
    test(async {
        let files = Files::new();
        let scene = locked(&files, "").await;
        for path in ["/api/v1/workflows", "/api/v1/workflows/x/events", "/status", "/ws/events"] {
            let refused = scene.get(path).await.is(401);
            assert_eq!(refused.at("/error/code"), "UNAUTHORIZED");
            assert!(refused.header("www-authenticate").starts_with("Bearer "), "{refused:?}");
        }
        let wrong = scene.request(Method::GET, "/api/v1/workflows").bearer_auth("x".repeat(32));
        answer(wrong).await.is(401);
        // Whoever looks after the process has none.
        scene.get("/health").await.is(200);
        scene.get("/ready").await.is(200);
    });
}

#[test]
fn a_token_has_the_rights_that_it_has_over_grpc() {
    test(async {
        let files = Files::new();
        let scene = locked(&files, "").await;
        let get = |path: &str, token: &str| answer(scene.request(Method::GET, path).bearer_auth(token));
        get("/api/v1/workflows", CALLER).await.is(200);
        get("/status", CALLER).await.is(200);
        let refused = get("/api/v1/admin/status", CALLER).await.is(403);
        assert_eq!(refused.at("/error/code"), "FORBIDDEN");
        get("/api/v1/admin/status", ADMIN).await.is(200);
        let submit = scene.request(Method::POST, "/api/v1/workflows").bearer_auth(CALLER).json(&noop());
        let done = answer(submit).await.is(201);
        let shown = get(&format!("/api/v1/workflows/{}", done.at("/workflow_id").as_str().unwrap()), CALLER);
        shown.await.is(200);
        // A router says who calls; a client does not.
        let claims =
            scene.request(Method::GET, "/api/v1/admin/status").header("x-switchboard-roles", "admin");
        let claims = claims.header("x-switchboard-principal", "root");
        answer(claims).await.is(401);
    });
}

#[test]
fn who_is_too_fast_is_told_when_to_come_back() {
    test(async {
        let files = Files::new();
        let scene = locked(&files, "[limits.principal]\nrate = \"1/m\"\nburst = 1\n").await;
        let get = || answer(scene.request(Method::GET, "/api/v1/workflows").bearer_auth(CALLER));
        get().await.is(200);
        let refused = get().await.is(429);
        let seconds: u64 = refused.header("retry-after").parse().unwrap();
        assert!((1..=60).contains(&seconds), "{refused:?}");
        assert_eq!(refused.at("/error/details/reason"), "RATE_LIMITED");
    });
}

#[test]
fn a_cookie_counts_for_pages_of_this_site_alone() {
    test(async {
        let files = Files::new();
        let scene = locked(&files, "").await;
        let get = || cookie(scene.request(Method::GET, "/api/v1/workflows"), CALLER);
        let post = || cookie(scene.request(Method::POST, "/api/v1/workflows"), CALLER).json(&noop());
        let here = format!("http://{}", scene.addr);
        answer(get()).await.is(200);
        answer(get().header("sec-fetch-site", "same-origin")).await.is(200);
        answer(get().header("sec-fetch-site", "same-site")).await.is(401);
        answer(post().header("origin", &here)).await.is(201);
        answer(post()).await.is(403);
        let elsewhere = answer(post().header("origin", "http://127.0.0.1:1")).await.is(403);
        assert_eq!(elsewhere.at("/error/details/reason"), "CROSS_ORIGIN");

        let open = async |origin: &str| {
            let mut request = format!("ws://{}/ws/events", scene.addr).into_client_request().unwrap();
            let headers = request.headers_mut();
            headers.insert("cookie", format!("switchboard_token={CALLER}").parse().unwrap());
            headers.insert("origin", origin.parse().unwrap());
            let stream = tokio::net::TcpStream::connect(scene.addr).await.unwrap();
            client_async(request, stream).await.map(|(mut socket, _)| drop(socket.next()))
        };
        open(&here).await.unwrap();
        open("http://elsewhere").await.unwrap_err();
    });
}

#[test]
fn without_credentials_a_name_that_a_page_could_have_chosen_is_refused() {
    test(async {
        let settings = Settings { hosts: vec!["flows.example.com".to_owned()], ..Settings::default() };
        let scene = Scene::with(settings).await;
        let named = |path: &str, host: &str| answer(scene.request(Method::GET, path).header("host", host));
        let refused = named("/api/v1/workflows", "rebound.example:8080").await.is(403);
        assert_eq!(refused.at("/error/details/reason"), "UNKNOWN_HOST");
        assert!(refused.at("/error/message").as_str().unwrap().contains("--http-host"), "{refused:?}");
        named("/no/such/path", "rebound.example").await.is(403);
        named("/api/v1/workflows", "flows.example.com").await.is(200);
        named("/api/v1/workflows", "localhost:8080").await.is(200);
        named("/health", "rebound.example").await.is(200);

        // Whoever has to prove who he is proves it under any name.
        let files = Files::new();
        let locked = locked(&files, "").await;
        let known = locked.request(Method::GET, "/api/v1/workflows").bearer_auth(CALLER);
        answer(known.header("host", "any.example")).await.is(200);
    });
}

#[test]
fn over_tls_a_certificate_says_who_calls() {
    test(async {
        let authority = Authority::new("test authority", PATIENCE * 100).unwrap();
        let files = Files::new();
        let server = authority.issue(&Subject::service("worker-workflow")).unwrap();
        let tls = ServerTls {
            cert: files.write("server.pem", &server.cert),
            key: files.write("server.key", &server.key),
            client_ca: Some(files.write("ca.pem", &authority.issued().cert)),
            client_auth: ClientAuth::Optional,
        };
        let settings = PolicySettings { mode: Mode::Any, ..PolicySettings::default() };
        let change = |backend: Backend| backend.tls(tls).policy(settings);
        let scene = Scene::of(Settings::default(), None, change).await;

        let client = |own: Option<Subject>| {
            let root = Certificate::from_pem(authority.issued().cert.as_bytes()).unwrap();
            let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).tls_certs_only([root]);
            let client = match own.map(|own| authority.issue(&own).unwrap()) {
                Some(own) => client.identity(Identity::from_pem((own.cert + &own.key).as_bytes()).unwrap()),
                None => client,
            };
            client.build().unwrap()
        };
        let url = |path: &str| format!("https://{}{path}", scene.addr);
        answer(client(None).get(url("/health"))).await.is(200);
        answer(client(None).get(url("/api/v1/workflows"))).await.is(401);
        let admin = Subject { units: vec!["admin".to_owned()], ..Subject::new("ann") };
        for (own, status) in [(Subject::new("bob"), 403), (admin, 200)] {
            let known = client(Some(own));
            answer(known.get(url("/api/v1/workflows"))).await.is(200);
            answer(known.get(url("/api/v1/admin/status"))).await.is(status);
        }
        // In clear nothing is said.
        assert!(reqwest::Client::new().get(format!("http://{}/health", scene.addr)).send().await.is_err());
        let seen = answer(client(None).post(url("/api/v1/workflows")).json(&json!({}))).await.is(401);
        assert!(seen.headers.contains_key("x-request-id"), "{seen:?}");
    });
}
