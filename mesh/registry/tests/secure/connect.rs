//! Certificates and intentions of a real Consul Connect.

use std::time::Duration;

use rustls::{ClientConfig, ServerConfig};
use serde_json::json;
use switchboard_registry::{Authorization, ConnectSource, Intentions};
use switchboard_testkit::{LockedConsul, eventually};
use switchboard_transport::authority::Authority;
use switchboard_transport::{ClientAuth, Loaded, PeerIdentity, Watched, service_name};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::{SOON, client, client_who, locked};

const CONNECT: &str = "connect { enabled = true }";
/// The agent spreads the renewals after a change of the authority over half a minute.
const RENEWED: Duration = Duration::from_secs(90);

/// A service that may do no more than be itself.
async fn source(consul: &LockedConsul, service: &str) -> ConnectSource {
    let rules = format!(r#"service "{service}" {{ policy = "write" }}"#);
    ConnectSource::start(client_who(consul, service, &rules).await, service)
}

/// Both directions of one service.
struct Member {
    source: ConnectSource,
    listener: Watched<Loaded<ServerConfig>>,
    towards: Watched<Loaded<ClientConfig>>,
}

impl Member {
    async fn start(consul: &LockedConsul, service: &str) -> Self {
        let source = source(consul, service).await;
        let listener = source.listener(ClientAuth::Required).await.unwrap();
        let towards = source.towards_services().await.unwrap();
        Self { source, listener, towards }
    }

    fn serial(&self) -> String {
        self.source.latest().unwrap().own().serial.clone()
    }
}

/// Connects `from` to `to` as if that were `service`; gives whom the listener has met.
async fn connect(from: &Member, to: &Member, service: &str) -> Result<PeerIdentity, String> {
    let (near, far) = tokio::io::duplex(1 << 16);
    let acceptor = TlsAcceptor::from(to.listener.newest().config.clone());
    let accepted = tokio::spawn(async move {
        let mut stream = acceptor.accept(far).await?;
        stream.write_all(b"!").await?;
        stream.flush().await?;
        let peer = stream.get_ref().1.peer_certificates().and_then(|chain| PeerIdentity::of(&chain[0]));
        std::io::Result::Ok(peer.unwrap())
    });
    let connector = TlsConnector::from(from.towards.newest().config.clone());
    let mut stream =
        connector.connect(service_name(service).unwrap(), near).await.map_err(|error| error.to_string())?;
    // A refused client hears of it only when it reads.
    stream.read_u8().await.map_err(|error| error.to_string())?;
    accepted.await.unwrap().map_err(|error| error.to_string())
}

#[tokio::test]
async fn members_prove_their_service_to_each_other() {
    let consul = locked(CONNECT).await;
    let router = Member::start(&consul, "router").await;
    let echo = Member::start(&consul, "agent-echo").await;
    let peer = connect(&router, &echo, "agent-echo").await.unwrap();
    let domain = echo.source.latest().unwrap().trust_domain().unwrap().to_owned();
    assert!(peer.is_service_of("router", &domain), "{peer:?}");
    assert!(!peer.is_service_of("router", "other.consul") && !peer.is_service_of("agent-echo", &domain));
    let error = connect(&router, &echo, "agent-admin").await.unwrap_err();
    assert!(error.contains("agent-admin"), "{error}");
    let days = echo.listener.newest().expires_in_s().unwrap() / 86_400;
    assert!((2..=3).contains(&days), "{days}");
    assert!(!format!("{:?} {:?}", echo.source, echo.source.latest()).contains("PRIVATE"));
}

#[tokio::test]
async fn no_handshake_fails_while_the_authority_is_replaced() {
    let consul = locked(CONNECT).await;
    let router = Member::start(&consul, "router").await;
    let echo = Member::start(&consul, "agent-echo").await;
    let before = (router.serial(), echo.serial());
    let key = Authority::new("next", Duration::from_secs(3600)).unwrap().issued().key.clone();
    let next = json!({ "Provider": "consul", "Config": { "PrivateKey": key } });
    consul.ask("PUT", "connect/ca/configuration", next).await.unwrap();
    let mut handshakes = 0;
    let both_renewed = async || {
        for (from, to, service) in [(&router, &echo, "agent-echo"), (&echo, &router, "router")] {
            connect(from, to, service).await.unwrap();
            handshakes += 1;
        }
        let (one, other) = (router.serial() != before.0, echo.serial() != before.1);
        if one && other { Ok(()) } else { Err((one, other, handshakes)) }
    };
    eventually(RENEWED, both_renewed).await.unwrap();
    // With the certificates of the new authority as well, and with a member who knows nothing of the old one.
    let fresh = Member::start(&consul, "tool-weather").await;
    connect(&fresh, &echo, "agent-echo").await.unwrap();
    connect(&router, &fresh, "tool-weather").await.unwrap();
    assert!(handshakes > 4, "{handshakes}");
    assert_eq!((router.source.failures(), echo.source.failures()), (0, 0));
}

#[tokio::test]
async fn intentions_are_honoured_and_their_last_word_outlives_consul() {
    let consul = locked(CONNECT).await;
    let router = source(&consul, "router").await.ready().await;
    let rules = r#"service "agent-echo" { policy = "write" }"#;
    let mut one_second = client_who(&consul, "echo", rules).await.config().clone();
    one_second.request_timeout = Duration::from_secs(1);
    let intentions = Intentions::new(switchboard_registry::Client::new(one_second).unwrap());
    let asked = async || intentions.authorize("agent-echo", router.own()).await;
    let until = async |authorized: bool| {
        let look = async || match asked().await {
            answer if answer.authorized == authorized => Ok(answer),
            answer => Err(answer),
        };
        eventually(SOON, look).await.unwrap()
    };
    let denied = asked().await;
    assert!(!denied.authorized && denied.reason.contains("ACLs"), "denied by default: {denied:?}");
    let intention = |action: &str| json!({ "SourceName": "router", "DestinationName": "agent-echo", "SourceType": "consul", "Action": action });
    let made = consul.ask("POST", "connect/intentions", intention("allow")).await.unwrap();
    until(true).await;
    // A member who has no intention of its own stays outside, and so does who has no SPIFFE ID.
    let other = source(&consul, "tool-weather").await.ready().await;
    assert!(!intentions.authorize("agent-echo", other.own()).await.authorized);
    assert!(!intentions.authorize("agent-echo", &PeerIdentity::default()).await.authorized);
    // Nor may a token ask for a service that is not its own.
    let Authorization { authorized, reason } = intentions.authorize("agent-admin", router.own()).await;
    assert!(!authorized && reason.contains(r#"service "agent-admin" { policy = "write" }"#), "{reason}");

    let id = made["ID"].as_str().unwrap();
    consul.ask("PUT", &format!("connect/intentions/{id}"), intention("deny")).await.unwrap();
    until(false).await;
    consul.ask("PUT", &format!("connect/intentions/{id}"), intention("allow")).await.unwrap();
    until(true).await;
    consul.consul().pause().await.unwrap();
    // The answer in memory has to become old first.
    let outlived = async || {
        assert!(asked().await.authorized, "the last answer counts");
        if intentions.unasked() > 0 { Ok(()) } else { Err("still fresh") }
    };
    eventually(SOON, outlived).await.unwrap();
    let uris = vec!["spiffe://x/ns/default/dc/dc1/svc/x".to_owned()];
    let stranger = PeerIdentity { uris, ..PeerIdentity::default() };
    let refused = intentions.authorize("agent-echo", &stranger).await;
    assert!(!refused.authorized && refused.reason.contains("cannot be asked"), "{refused:?}");
    consul.consul().resume().await.unwrap();
}

#[tokio::test]
async fn who_does_not_wait_for_a_certificate_is_closed_until_it_comes() {
    let consul = locked(CONNECT).await;
    let echo = Member::start(&consul, "agent-echo").await;
    let policy = consul.policy("router", r#"service "agent-other" { policy = "write" }"#).await.unwrap();
    let secret = consul.token_of(&policy).await.unwrap().secret;
    let source = ConnectSource::start(client(&consul, &secret), "router");
    let listener = source.listener_at_once(ClientAuth::Optional);
    let towards = source.towards_services_at_once();
    let router = Member { source, listener, towards };
    connect(&echo, &router, "router").await.expect_err("it has no certificate yet");
    connect(&router, &echo, "agent-echo").await.expect_err("it trusts nobody yet");
    consul.set_rules(&policy, "router", r#"service "router" { policy = "write" }"#).await.unwrap();
    let both = async || {
        connect(&echo, &router, "router").await?;
        connect(&router, &echo, "agent-echo").await.map(drop)
    };
    eventually(SOON, both).await.unwrap();
}

#[tokio::test]
async fn who_gets_no_certificate_is_told_why() {
    let consul = locked(CONNECT).await;
    let why = async |source: &ConnectSource| {
        let look = async || source.last_error().ok_or("no error yet");
        eventually(SOON, look).await.unwrap()
    };
    let rules = r#"service "agent-echo" { policy = "write" }"#;
    let echo = client_who(&consul, "echo", rules).await;
    let error = why(&ConnectSource::start(echo.clone(), "agent-admin")).await;
    assert!(error.contains(r#"service "agent-admin" { policy = "write" }"#), "{error}");
    // A right that comes later is enough.
    let policy = consul.policy("late", rules).await.unwrap();
    let late = client(&consul, &consul.token_of(&policy).await.unwrap().secret);
    let source = ConnectSource::start(late, "agent-admin");
    why(&source).await;
    consul.set_rules(&policy, "late", r#"service "agent-admin" { policy = "write" }"#).await.unwrap();
    let identity = tokio::time::timeout(SOON, source.ready()).await.unwrap();
    assert!(identity.own().is_service("agent-admin"));
    assert_eq!(source.failures() > 0, source.renewals() > 0);

    let off = locked("").await;
    let source = ConnectSource::start(client(&off, off.operator()), "router");
    assert!(why(&source).await.contains("Connect"), "{:?}", source.last_error());
    assert!(source.latest().is_none());
}
