//! `/explain`: where a call would go, which instances would not get it, and why.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use serde_json::Value;
use std::{collections::BTreeMap, net::SocketAddr, time::Duration};
use switchboard_backend::{Backend, RegistryConfig};
use switchboard_registry::{Check, Client, Registration, embedded::Server as Registry};
use switchboard_router::{App, Config};
use switchboard_testkit::{eventually, free_port, get};
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

const PATIENCE: Duration = Duration::from_secs(20);

fn any() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

struct Rig {
    _server: Registry,
    registry: Client,
    app: App,
    health: HealthClient<Channel>,
}

impl Rig {
    async fn start() -> Self {
        let server = Registry::start(any()).await.unwrap();
        let config = switchboard_registry::Config::at(&server.addr().to_string()).unwrap();
        let registry = Client::new(config.clone()).unwrap();
        let mut config = Config::for_dev(any(), any(), config);
        config.no_endpoint_wait = Duration::from_millis(100);
        config.probe_interval = Duration::from_millis(200);
        let app = App::start(config).unwrap();
        assert!(app.ready().await);
        let channel = Endpoint::from_shared(format!("http://{}", app.grpc_addr())).unwrap();
        let health = HealthClient::new(channel.connect().await.unwrap());
        Rig { _server: server, registry, app, health }
    }

    async fn register(&self, id: &str, port: u16, check: Check, meta: &[(&str, &str)]) {
        let text = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let registration = Registration {
            id: id.to_owned(),
            starts_passing: check == Check::None,
            check,
            meta: meta.iter().map(text).collect::<BTreeMap<_, _>>(),
            ..Registration::new("agent-echo", "127.0.0.1", port)
        };
        self.registry.register(&registration).await.unwrap();
    }

    /// A call of the health of a backend, by its ID.
    async fn call(&self, id: &str) -> Result<(), tonic::Status> {
        let mut request = tonic::Request::new(HealthCheckRequest::default());
        request.metadata_mut().insert("x-switchboard-target", id.parse().unwrap());
        self.health.clone().check(request).await.map(|_| ())
    }

    async fn explain(&self, query: &str) -> Value {
        let (status, body) = get(self.app.admin_addr(), &format!("/explain?{query}")).await.unwrap();
        assert_eq!(status, 200, "{query}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    /// Waits until an instance is explained like this.
    async fn reason(&self, query: &str, id: &str, picked: bool, why: &str) -> Value {
        let look = async || {
            let explained = self.explain(query).await;
            let rows = explained["instances"].as_array().unwrap().clone();
            let like_this = |row: &&Value| {
                row["id"] == id && row["picked"] == picked && row["why"].as_str().unwrap().contains(why)
            };
            if rows.iter().any(|row| like_this(&row)) { Ok(explained) } else { Err(explained) }
        };
        eventually(PATIENCE, look).await.unwrap()
    }
}

#[tokio::test]
async fn each_instance_is_explained_by_what_decides_the_pick() {
    let rig = Rig::start().await;
    let elsewhere = || RegistryConfig::at("127.0.0.1:9").unwrap();
    let well = Backend::agent("echo").listen(any()).registry(elsewhere()).start().await.unwrap();
    let ill = Backend::agent("echo").listen(any()).registry(elsewhere()).start().await.unwrap();
    rig.register("1-well", well.addr().port(), Check::None, &[("version", "v1")]).await;
    rig.register("2-dead", free_port(), Check::None, &[("version", "v1")]).await;
    rig.register("3-wrong", ill.addr().port(), Check::tcp("127.0.0.1:1"), &[]).await;

    let before = rig.explain("id=echo-agent").await;
    assert!(before["instances"].as_array().unwrap().is_empty(), "{before}");
    // Which of the two is picked is chance; the dead one is found within some calls, for longer each time.
    let query = "id=echo-agent&key=task-1";
    let found = async || {
        rig.call("echo-agent").await.unwrap();
        let explained = rig.explain(query).await;
        let rows = explained["instances"].as_array().unwrap();
        let down = rows.iter().any(|row| row["id"] == "2-dead" && row["picked"] == false);
        if down { Ok(explained) } else { Err(explained) }
    };
    let explained = eventually(PATIENCE, found).await.unwrap();
    assert_eq!((&explained["answer"], &explained["service"]), (&"one instance".into(), &"agent-echo".into()));
    assert_eq!(explained["owner"], "1-well");
    let explained = rig.reason(query, "1-well", true, "").await;
    assert!(explained["strategy"].as_str().unwrap().starts_with("p2c"), "{explained}");
    rig.reason(query, "3-wrong", false, "critical in the registry, though it answers SERVING").await;
    // Of another version nothing is picked, and it is said what a call would get.
    let other = rig.reason("id=echo-agent@v2", "1-well", false, "version v1").await;
    assert!(other["answer"].as_str().unwrap().contains("NO_HEALTHY_INSTANCE"), "{other}");
    let status = rig.call("echo-agent@v2").await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unavailable, "as explained");
    rig.app.shutdown().await;
}

#[tokio::test]
async fn names_that_nobody_registered_are_explained_and_broken_questions_refused() {
    let rig = Rig::start().await;
    rig.register("1", 1, Check::None, &[]).await;
    let known = async || {
        let explained = rig.explain("id=ehco-agent").await;
        if explained["nearest"][0] == "echo-agent" { Ok(explained) } else { Err(explained) }
    };
    let explained = eventually(PATIENCE, known).await.unwrap();
    assert!(explained["answer"].as_str().unwrap().contains("ID_UNKNOWN"), "{explained}");
    let unused = rig.explain("id=echo-agent").await;
    assert!(unused["answer"].as_str().unwrap().contains("not in use"), "{unused}");
    let grpc = rig.explain("grpc_service=demo.Nobody").await;
    assert!(grpc["answer"].as_str().unwrap().contains("GRPC_SERVICE_UNKNOWN"), "{grpc}");
    for broken in ["", "id=Not+An+ID", "id=a-agent&grpc_service=b"] {
        let (status, body) = get(rig.app.admin_addr(), &format!("/explain?{broken}")).await.unwrap();
        assert!(status == 400 && !body.is_empty(), "{broken}: {status} {body}");
    }
    rig.app.shutdown().await;
}
