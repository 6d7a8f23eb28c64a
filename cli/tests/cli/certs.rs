//! `certs`: what it makes is good for what it says, and is kept from others.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConnection, ServerConnection};
use switchboard_transport::{ClientAuth, ClientTls, PeerIdentity, ServerTls, service_name};
use tempfile::TempDir;

use crate::process::run;

struct Made {
    dir: TempDir,
}

impl Made {
    fn new(flags: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let made = Self { dir };
        let path = made.dir.path().to_str().unwrap().to_owned();
        run(["certs", "init", &path].iter().chain(flags)).output();
        made
    }

    fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    fn dir(&self) -> &str {
        self.dir.path().to_str().unwrap()
    }

    fn identity(&self, name: &str) -> PeerIdentity {
        let der = CertificateDer::from_pem_file(self.path(&format!("{name}.pem"))).unwrap();
        PeerIdentity::of(&der).unwrap()
    }

    /// A TLS handshake between two of them; who the server and the client turn out to be.
    fn handshake(
        &self,
        server: &str,
        client: Option<&str>,
        name: ServerName<'static>,
    ) -> Result<(PeerIdentity, Option<PeerIdentity>), rustls::Error> {
        let file = |name: &str, ending: &str| self.path(&format!("{name}.{ending}"));
        let tls = ServerTls {
            cert: file(server, "pem"),
            key: file(server, "key"),
            client_ca: Some(self.path("ca.pem")),
            client_auth: ClientAuth::Optional,
        };
        let asked = ClientTls {
            ca: self.path("ca.pem"),
            cert: client.map(|client| file(client, "pem")),
            key: client.map(|client| file(client, "key")),
        };
        let consul = name.to_str().ends_with(".service.consul");
        let asked = if consul { asked.service_config() } else { asked.client_config() };
        let mut near = ClientConnection::new(Arc::new(asked.unwrap()), name).unwrap();
        let mut far = ServerConnection::new(Arc::new(tls.server_config().unwrap().0)).unwrap();
        while near.is_handshaking() || far.is_handshaking() {
            let mut bytes = Vec::new();
            near.write_tls(&mut bytes).unwrap();
            far.read_tls(&mut bytes.as_slice()).unwrap();
            far.process_new_packets()?;
            bytes.clear();
            far.write_tls(&mut bytes).unwrap();
            near.read_tls(&mut bytes.as_slice()).unwrap();
            near.process_new_packets()?;
        }
        let identity = |chain: &[CertificateDer<'_>]| PeerIdentity::of(&chain[0]).unwrap();
        Ok((identity(near.peer_certificates().unwrap()), far.peer_certificates().map(identity)))
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn every_certificate_is_good_at_both_ends_of_a_connection() {
    let made = Made::new(&["--service", "agent-poet", "--host", "mesh.example.org"]);
    let services =
        ["router", "agent-echo", "tool-weather", "worker-itinerary", "worker-workflow", "agent-poet"];
    for service in services {
        let (server, client) =
            made.handshake(service, Some("router"), service_name(service).unwrap()).unwrap();
        assert!(server.is_service(service) && client.unwrap().is_service("router"), "{service}");
        for host in ["localhost", "127.0.0.1", "mesh.example.org"] {
            let (server, client) =
                made.handshake(service, None, ServerName::try_from(host).unwrap()).unwrap();
            assert!(server.is_service(service) && client.is_none(), "{service} at {host}");
        }
    }
    let wrong = made.handshake("agent-echo", None, service_name("tool-weather").unwrap());
    assert!(wrong.is_err(), "an agent is no tool");
    let consul = ServerName::try_from("server.dc1.consul").unwrap();
    assert!(made.handshake("consul", Some("agent-echo"), consul).is_ok());
    assert!(made.handshake("router", None, ServerName::try_from("example.org").unwrap()).is_err());
}

#[test]
fn clients_have_a_name_and_roles_and_are_no_service() {
    let made = Made::new(&[]);
    run(["certs", "issue", made.dir(), "--client", "ci", "--role", "operator"]).output();
    for (client, roles) in [("client", vec!["caller"]), ("admin", vec!["admin"]), ("ci", vec!["operator"])] {
        let (_, seen) = made.handshake("router", Some(client), service_name("router").unwrap()).unwrap();
        let seen = seen.unwrap();
        let name = format!("spiffe://switchboard/client/{client}");
        assert_eq!(
            (seen.name(), &seen.units),
            (Some(&*name), &roles.iter().map(|r| (*r).to_owned()).collect())
        );
        assert!(!seen.is_service(client));
    }
}

#[test]
fn only_the_owner_reads_keys_and_tokens() {
    let made = Made::new(&[]);
    let mut secrets = 0;
    for entry in fs::read_dir(made.dir.path()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let secret = name.ends_with(".key") || name.ends_with(".token") || name == "tokens.toml";
        assert_eq!(mode(&path), if secret { 0o600 } else { 0o644 }, "{name}");
        assert!(!name.starts_with('.'), "left behind: {name}");
        secrets += usize::from(secret);
    }
    assert_eq!(secrets, 8 + 4, "8 certificates, ca.key, jwt.key, client.token, tokens.toml");
    let token = fs::read_to_string(made.path("client.token")).unwrap();
    assert_eq!(token.trim().len(), 64, "256 bits");
    assert!(fs::read_to_string(made.path("tokens.toml")).unwrap().contains(token.trim()));
}

#[test]
fn an_authority_is_never_overwritten() {
    let made = Made::new(&[]);
    let before = fs::read(made.path("ca.pem")).unwrap();
    let said = run(["certs", "init", made.dir()]).failure(1);
    assert!(said.contains("authority already") && said.contains("certs issue"), "{said}");
    assert_eq!(fs::read(made.path("ca.pem")).unwrap(), before);
    fs::remove_file(made.path("ca.key")).unwrap();
    let said = run(["certs", "issue", made.dir(), "--service", "agent-poet"]).failure(1);
    assert!(said.contains("ca.key") && said.contains("certs init"), "{said}");
    assert!(!made.path("agent-poet.pem").exists());
}

#[test]
fn a_start_that_was_cut_short_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("router.key"), "half").unwrap();
    run(["certs", "init", dir.path().to_str().unwrap()]).output();
    assert!(fs::read_to_string(dir.path().join("router.key")).unwrap().starts_with("-----BEGIN"));
}

#[test]
fn renewed_certificates_have_new_keys_and_the_same_names() {
    let made = Made::new(&["--service", "agent-poet", "--host", "10.1.2.3"]);
    let (before, key) = (made.identity("agent-poet"), fs::read(made.path("agent-poet.key")).unwrap());
    let said = run(["certs", "renew", made.dir()]).output();
    assert_eq!(said.lines().count(), 9, "{said}");
    let after = made.identity("agent-poet");
    assert_ne!(key, fs::read(made.path("agent-poet.key")).unwrap());
    assert_ne!(before.serial, after.serial);
    assert_eq!((before.uris, before.dns, before.units), (after.uris, after.dns, after.units));
    let address = ServerName::try_from("10.1.2.3").unwrap();
    made.handshake("agent-poet", Some("router"), address).unwrap();
    assert_eq!(mode(&made.path("agent-poet.key")), 0o600);
}

#[test]
fn an_authority_is_replaced_in_three_steps_and_each_one_works() {
    let made = Made::new(&[]);
    let works = |step: &str| {
        let shaken = made.handshake("agent-echo", Some("router"), service_name("agent-echo").unwrap());
        assert!(shaken.is_ok(), "{step}: {shaken:?}");
    };
    let authorities = || fs::read_to_string(made.path("ca.pem")).unwrap().matches("BEGIN").count();
    let old = Made::new(&[]);
    for file in fs::read_dir(made.dir.path()).unwrap().map(|entry| entry.unwrap().path()) {
        fs::copy(&file, old.path(file.file_name().unwrap().to_str().unwrap())).unwrap();
    }
    let old_trusts = |trusted: bool| {
        // A process that still has the old certificates, at one that has the new ones.
        for file in ["client.pem", "client.key"] {
            fs::copy(old.path(file), made.path(&format!("old-{file}"))).unwrap();
        }
        let shaken = made.handshake("router", Some("old-client"), service_name("router").unwrap());
        assert_eq!(shaken.is_ok(), trusted, "{shaken:?}");
        for file in ["client.pem", "client.key"] {
            fs::remove_file(made.path(&format!("old-{file}"))).unwrap();
        }
    };
    run(["certs", "renew", made.dir(), "--next-ca"]).output();
    assert_eq!(authorities(), 2);
    works("both are trusted");
    run(["certs", "renew", made.dir()]).output();
    works("the new one signs");
    old_trusts(true);
    run(["certs", "renew", made.dir(), "--forget-old-ca"]).output();
    assert_eq!(authorities(), 1);
    works("the old one is forgotten");
    old_trusts(false);
}

#[test]
fn tokens_are_signed_by_the_key_of_the_key_set() {
    let made = Made::new(&[]);
    let asked = ["certs", "token", made.dir(), "--sub", "me", "--role", "caller", "--role", "operator"];
    let token = run(asked.iter().chain(&["--ttl", "15m"])).output();
    let keys: JwkSet = serde_json::from_slice(&fs::read(made.path("jwks.json")).unwrap()).unwrap();
    let header = jsonwebtoken::decode_header(token.trim()).unwrap();
    let key = keys.find(&header.kid.unwrap()).expect("the token names its key");
    let mut wanted = Validation::new(Algorithm::ES256);
    wanted.set_audience(&["switchboard"]);
    wanted.set_issuer(&["switchboard"]);
    let claims = jsonwebtoken::decode::<serde_json::Value>(
        token.trim(),
        &DecodingKey::from_jwk(key).unwrap(),
        &wanted,
    )
    .unwrap()
    .claims;
    assert_eq!(
        (&claims["sub"], &claims["roles"]),
        (&"me".into(), &serde_json::json!(["caller", "operator"]))
    );
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 15 * 60);
    assert!(!fs::read_to_string(made.path("jwks.json")).unwrap().contains("\"d\""), "the public half alone");
}

#[test]
fn a_directory_without_an_authority_is_told_how_to_get_one() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().to_str().unwrap();
    for command in [
        vec!["certs", "issue", dir, "--service", "agent-poet"],
        vec!["certs", "renew", dir],
        vec!["certs", "token", dir, "--sub", "me"],
    ] {
        let said = run(&command).failure(1);
        assert!(said.contains("no authority") && said.contains("certs init"), "{command:?}: {said}");
    }
    let said = run(["certs", "issue", dir]).failure(64);
    assert!(said.contains("--service"), "{said}");
}

#[test]
fn names_that_cannot_stand_are_told_before_anything_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("new");
    let path = path.to_str().unwrap();
    for (flag, name) in [("--service", "../x"), ("--service", "ca"), ("--host", "http://x")] {
        let said = run(["certs", "init", path, flag, name]).failure(64);
        assert!(said.contains(flag) && said.contains(name), "{said}");
    }
    assert!(!Path::new(path).join("ca.pem").exists());
    assert!(run(["certs", "init", path, "--days", "0"]).failure(64).contains("--days"));
}

#[test]
fn the_text_says_how_to_use_it_and_holds_no_secret() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("it's here");
    let text = run(["certs", "init", path.to_str().unwrap()]).output();
    for words in [
        "SWITCHBOARD_TLS_CERT",
        "SWITCHBOARD_UPSTREAM_TLS_CA",
        "SWITCHBOARD_AUTH_JWT_KEYS",
        "SWITCHBOARD_CA",
        "SWITCHBOARD_TOKEN_FILE",
        "ssl_channel_credentials",
        "certs issue",
        r"it'\''s here",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    for secret in ["client.token", "jwt.key", "ca.key"] {
        let secret = fs::read_to_string(path.join(secret)).unwrap();
        for line in secret.lines().filter(|line| !line.starts_with("---")) {
            assert!(!text.contains(line), "{text}");
        }
    }
}
