//! A real Consul with its doors locked: ACLs in default deny, TLS with client certificates, Connect.

#![expect(clippy::unwrap_used, reason = "a test that fails here has shown what it should")]

mod connect;
mod policies;
mod sight;
mod tls;
mod token;

use std::time::Duration;

use switchboard_registry::{Check, Client, Config, Registration, Secret};
use switchboard_testkit::LockedConsul;

/// For whatever takes milliseconds on an idle machine, and for what a watch or a lease looks at every few seconds.
const SOON: Duration = Duration::from_secs(20);
/// What a router may read.
const READ_ALL: &str = r#"service_prefix "" { policy = "read" } node_prefix "" { policy = "read" }"#;

async fn locked(extra: &str) -> LockedConsul {
    switchboard_transport::install_crypto();
    LockedConsul::start(extra).await.unwrap()
}

fn config(consul: &LockedConsul) -> Config {
    Config::at(&consul.http_addr().to_string()).unwrap()
}

/// A client with this token.
fn client(consul: &LockedConsul, token: &str) -> Client {
    Client::new(Config { token: Some(Secret::new(token)), ..config(consul) }).unwrap()
}

/// A client with a token that may do this.
async fn client_who(consul: &LockedConsul, name: &str, rules: &str) -> Client {
    client(consul, &consul.token(name, rules).await.unwrap())
}

/// Registers instances whom nobody checks, as the operator.
async fn register(consul: &LockedConsul, service: &str, ports: std::ops::Range<u16>) {
    let operator = client(consul, consul.operator());
    for port in ports {
        operator.register(&unchecked(service, port)).await.unwrap();
    }
}

fn unchecked(service: &str, port: u16) -> Registration {
    Registration { check: Check::None, ..Registration::new(service, "127.0.0.1", port) }
}
