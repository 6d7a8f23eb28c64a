//! The token: sent with every call where that is safe, and nowhere else.

use std::fs;
use std::time::Duration;

use switchboard_client::{Client, Config, Error, Token};
use switchboard_transport::authority::Subject;

use crate::scripted::Scripted;
use crate::tls::{Pki, with};

const NONE: [(&str, &str); 0] = [];

fn token() -> Option<Token> {
    Some(Token::new("s3cret").unwrap())
}

#[tokio::test]
async fn every_call_carries_the_token_over_tls_and_on_this_machine() {
    let (pki, server) = (Pki::new(), Scripted::default());
    let secure = server.start_tls(pki.server(&Subject::service("router"))).await;
    let config = Config { token: token(), ..with(pki.trust()) };
    Client::connect_lazy_with(secure.to_string(), config)
        .unwrap()
        .execute("echo-agent", "x", NONE)
        .await
        .unwrap();
    let plain = server.start().await;
    let config = Config { token: token(), ..Config::default() };
    let client = Client::connect_lazy_with(plain, config).unwrap();
    client.list_agents("").await.unwrap();
    assert!(!format!("{client:?}").contains("s3cret"), "{client:?}");
    let own = client.with_header("authorization", "Basic abc").unwrap();
    own.list_agents("").await.unwrap();
    let sent: Vec<_> = server
        .seen()
        .iter()
        .map(|headers| {
            let all: Vec<_> =
                headers.get_all("authorization").iter().map(|v| v.to_str().unwrap().to_owned()).collect();
            all.join("|")
        })
        .collect();
    assert_eq!(sent, ["Bearer s3cret", "Bearer s3cret", "Basic abc"]);
}

#[tokio::test]
async fn a_token_is_not_sent_in_clear_to_another_machine() {
    let config = Config { token: token(), ..Config::default() };
    for address in [
        "router:50051",
        "http://192.0.2.7:1",
        "http://127.0.0.1.example.org:1",
        "http://[::ffff:192.0.2.7]:1",
    ] {
        let error = Client::connect_lazy_with(address, config.clone()).unwrap_err();
        assert!(matches!(error, Error::TokenInClear { .. }), "{address}: {error:?}");
        assert!(!error.to_string().contains("s3cret"));
        assert!(error.next_step().unwrap().contains("https://"));
        let allowed = Config { token_in_clear: true, ..config.clone() };
        Client::connect_lazy_with(address, allowed).unwrap();
    }
    for address in ["localhost:1", "127.0.0.2:1", "[::1]:1"] {
        Client::connect_lazy_with(address, config.clone()).unwrap();
    }
}

#[tokio::test]
async fn a_token_file_is_read_anew() {
    let server = Scripted::default();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    fs::write(&path, "first\n").unwrap();
    let config = Config { token: Some(Token::file(&path).unwrap()), ..Config::default() };
    let client = Client::connect_with(server.start().await, config).await.unwrap();
    client.list_agents("").await.unwrap();
    assert_eq!(server.seen()[0].get("authorization").unwrap(), "Bearer first");
    fs::write(&path, "second\n").unwrap();
    let end = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        client.list_agents("").await.unwrap();
        if server.seen().last().unwrap().get("authorization").unwrap() == "Bearer second" {
            break;
        }
        assert!(tokio::time::Instant::now() < end, "the new token is sent in time");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
