//! Who is let in, and who is taken for whom.

use crate::fixture::{DAY, Met, Pki, meet};
use rustls::pki_types::ServerName;
use std::time::{Duration, SystemTime};
use switchboard_transport::authority::Subject;
use switchboard_transport::{ClientAuth, TlsFailure, service_name};

/// As Consul Connect names the holders of its certificates: by nothing but a URI.
fn connect_subject(service: &str) -> Subject {
    let uri = format!("spiffe://11111111-2222-3333-4444-555555555555.consul/ns/default/dc/dc1/svc/{service}");
    Subject { uris: vec![uri], ..Subject::new("") }
}

fn failure(met: &Met) -> TlsFailure {
    TlsFailure::of(met.client.as_ref().unwrap_err()).expect("a failure of TLS")
}

/// A client that asks for `agent-echo` meets a server of this subject.
async fn ask_for_echo(pki: &Pki, subject: &Subject) -> Met {
    let (server, _) = pki.server(subject, ClientAuth::None).server_config().unwrap();
    meet(server, pki.client(None).service_config().unwrap(), service_name("agent-echo").unwrap()).await
}

#[tokio::test]
async fn an_instance_of_the_service_that_was_meant_is_accepted() {
    let pki = Pki::new();
    for subject in [Subject::service("agent-echo"), connect_subject("agent-echo")] {
        let met = ask_for_echo(&pki, &subject).await;
        met.client.unwrap();
        met.server.unwrap();
    }
    let by_dns = Subject { hosts: vec!["agent-echo.service.consul".to_owned()], ..Subject::new("x") };
    ask_for_echo(&pki, &by_dns).await.client.unwrap();
}

#[tokio::test]
async fn an_instance_of_another_service_is_refused() {
    let pki = Pki::new();
    for other in [
        Subject::service("agent-billing"),
        connect_subject("agent-billing"),
        connect_subject("agent-echo2"),
        connect_subject("x-agent-echo"),
        // The common name and addresses prove no service.
        Subject { hosts: vec!["localhost".to_owned()], ..Subject::new("agent-echo") },
        // Neither does a URI that is no SPIFFE ID, nor a service in the middle of one.
        Subject { uris: vec!["https://x/svc/agent-echo".to_owned()], ..Subject::new("x") },
        Subject { uris: vec!["spiffe://x/svc/agent-echo/svc/other".to_owned()], ..Subject::new("x") },
    ] {
        let met = ask_for_echo(&pki, &other).await;
        assert!(matches!(failure(&met), TlsFailure::WrongName(_)), "{other:?}: {met:?}");
    }
}

#[tokio::test]
async fn a_server_of_an_unknown_authority_is_refused() {
    let (pki, other) = (Pki::new(), Pki::new());
    let server = other.server(&Subject::service("agent-echo"), ClientAuth::None).server_config().unwrap().0;
    let client = pki.client(None).service_config().unwrap();
    let met = meet(server, client, service_name("agent-echo").unwrap()).await;
    assert_eq!(failure(&met), TlsFailure::UnknownAuthority);
}

#[tokio::test]
async fn an_expired_certificate_is_refused_on_either_side() {
    let pki = Pki::new();
    let expired = Subject {
        not_before: SystemTime::now() - 2 * DAY,
        lifetime: Duration::ZERO,
        ..Subject::service("agent-echo")
    };
    assert_eq!(failure(&ask_for_echo(&pki, &expired).await), TlsFailure::Expired);

    let (server, _) =
        pki.server(&Subject::service("agent-echo"), ClientAuth::Optional).server_config().unwrap();
    let client = pki.client(Some(&expired)).service_config().unwrap();
    let met = meet(server, client, service_name("agent-echo").unwrap()).await;
    assert_eq!(failure(&met), TlsFailure::CertificateRefused);
    met.server.unwrap_err();
}

#[tokio::test]
async fn a_certificate_that_begins_tomorrow_is_refused() {
    let pki = Pki::new();
    let early =
        Subject { not_before: SystemTime::now() + DAY, lifetime: 2 * DAY, ..Subject::service("agent-echo") };
    assert_eq!(failure(&ask_for_echo(&pki, &early).await), TlsFailure::NotYetValid);
}

#[tokio::test]
async fn host_names_are_verified_where_no_service_is_meant() {
    let pki = Pki::new();
    for (host, good) in [("localhost", true), ("127.0.0.1", true), ("router", true), ("example.org", false)] {
        let (server, _) = pki.server(&Subject::service("router"), ClientAuth::None).server_config().unwrap();
        let mut client = pki.client(None).client_config().unwrap();
        client.alpn_protocols = vec![b"h2".to_vec()];
        let met = meet(server, client, ServerName::try_from(host).unwrap()).await;
        assert_eq!(met.client.is_ok(), good, "{host}: {met:?}");
    }
}

#[tokio::test]
async fn the_server_learns_the_names_of_its_client() {
    let pki = Pki::new();
    let (server, own) =
        pki.server(&Subject::service("agent-echo"), ClientAuth::Required).server_config().unwrap();
    assert!(own.is_service("agent-echo") && !own.is_service("router"));
    let router = Subject { units: vec!["operator".to_owned()], ..Subject::service("router") };
    let client = pki.client(Some(&router)).service_config().unwrap();
    let met = meet(server, client, service_name("agent-echo").unwrap()).await;
    let peer = met.server.unwrap().expect("a certificate");
    assert!(peer.is_service("router") && !peer.is_service("agent-echo"));
    assert_eq!(peer.name(), Some("spiffe://switchboard/svc/router"));
    assert_eq!(
        (peer.units.as_slice(), peer.common_name.as_deref()),
        (&["operator".to_owned()][..], Some("router"))
    );
}

#[tokio::test]
async fn a_client_without_certificate_is_let_in_unless_one_is_required() {
    let pki = Pki::new();
    for (auth, good) in
        [(ClientAuth::None, true), (ClientAuth::Optional, true), (ClientAuth::Required, false)]
    {
        let (server, _) = pki.server(&Subject::service("agent-echo"), auth).server_config().unwrap();
        let client = pki.client(None).service_config().unwrap();
        let met = meet(server, client, service_name("agent-echo").unwrap()).await;
        if good {
            assert_eq!(met.server.unwrap(), None, "{auth:?}");
        } else {
            assert_eq!(failure(&met), TlsFailure::CertificateRequired, "{auth:?}");
        }
    }
}

#[tokio::test]
async fn a_client_of_an_unknown_authority_is_refused_even_where_none_is_required() {
    let (pki, other) = (Pki::new(), Pki::new());
    let (server, _) =
        pki.server(&Subject::service("agent-echo"), ClientAuth::Optional).server_config().unwrap();
    let mut tls = other.client(Some(&Subject::service("router")));
    tls.ca = pki.path("ca.pem");
    let met = meet(server, tls.service_config().unwrap(), service_name("agent-echo").unwrap()).await;
    assert_eq!(failure(&met), TlsFailure::CertificateRefused);
    met.server.unwrap_err();
}

#[tokio::test]
async fn a_key_that_belongs_to_another_certificate_is_refused_with_the_file() {
    let pki = Pki::new();
    let mut tls = pki.server(&Subject::service("agent-echo"), ClientAuth::None);
    tls.key = pki.write("other", &pki.authority.issue(&Subject::new("other")).unwrap()).1;
    let error = tls.server_config().unwrap_err();
    assert!(error.to_string().contains("server.pem"), "{error}");
}
