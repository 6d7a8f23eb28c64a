//! One suite against a real Consul and the embedded registry: what the mesh uses must not tell them apart.
//!
//! Each target is started once and runs every case in turn. A case uses service names of its own and leaves nothing
//! behind. A failure names the case by its file and line. Without a Consul binary the suite fails: `make tools`.

#![expect(clippy::unwrap_used, reason = "a test that fails here has shown what it should")]

mod checks;
mod mesh;
mod refusals;
mod registrations;
mod shapes;
mod waiting;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context;
use switchboard_registry::{Client, Config, Instance, Query, embedded};
use switchboard_testkit::{Consul, eventually};

/// For whatever takes milliseconds on an idle machine.
const SOON: Duration = Duration::from_secs(15);

/// One registry under test.
struct Target {
    url: String,
    client: Client,
    http: reqwest::Client,
}

impl Target {
    fn new(address: SocketAddr) -> Self {
        let client = Client::new(Config::at(&address.to_string()).unwrap()).unwrap();
        Self { url: format!("http://{address}"), client, http: reqwest::Client::new() }
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let answer = self.http.get(format!("{}{path}", self.url)).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    async fn put(&self, path: &str, body: &str) -> (u16, String) {
        let answer = self.http.put(format!("{}{path}", self.url)).body(body.to_owned()).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// Registers a body as it is.
    async fn register(&self, body: serde_json::Value) {
        let answer = self.put("/v1/agent/service/register", &body.to_string()).await;
        assert_eq!(answer, (200, String::new()), "{body}");
    }

    /// Waits until the instances of a service, healthy or not, are as `wanted` says.
    async fn until(&self, service: &str, wanted: impl Fn(&[Instance]) -> bool) -> Vec<Instance> {
        let look = async || {
            let found = self.client.health(service, &Query::default()).await.unwrap().value;
            if wanted(&found) { Ok(found) } else { Err(found) }
        };
        eventually(SOON, look).await.with_context(|| service.to_owned()).unwrap()
    }

    async fn deregister(&self, service: &str, ids: &[&str]) {
        for id in ids {
            self.client.deregister(id).await.unwrap();
        }
        self.until(service, <[Instance]>::is_empty).await;
    }
}

async fn every_case(target: &Target) {
    registrations::every_case(target).await;
    refusals::every_case(target).await;
    waiting::every_case(target).await;
    checks::every_case(target).await;
    mesh::every_case(target).await;
}

async fn embedded_registry() -> embedded::Server {
    embedded::Server::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap()
}

#[tokio::test]
async fn the_embedded_registry_is_a_consul() {
    switchboard_transport::install_crypto();
    let server = embedded_registry().await;
    every_case(&Target::new(server.addr())).await;
}

#[tokio::test]
async fn consul_is_a_consul_and_the_embedded_registry_answers_in_its_shapes() {
    switchboard_transport::install_crypto();
    let consul = Consul::start().await.unwrap();
    let server = embedded_registry().await;
    let (real, embedded) = (Target::new(consul.http_addr()), Target::new(server.addr()));
    shapes::compare(&real, &embedded).await;
    every_case(&real).await;
}
