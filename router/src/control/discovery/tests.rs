//! The directory against the embedded registry: what worker threads ask and what they are told.

mod by_dns;
mod many_names;

use super::*;
use crate::directory::Service;
use crate::{control::freshness::Freshness, directory::Endpoint};
use std::{
    net::SocketAddr,
    sync::mpsc::{Receiver, channel},
};
use switchboard_registry::{Check, Client, Description, Registration, embedded::Server};
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};

/// Far above what any step takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// A directory's author with one worker thread's ends of the links.
struct Rig {
    server: Option<Server>,
    client: Client,
    ask: mpsc::Sender<Lookup>,
    updates: Receiver<Update>,
    view: watch::Receiver<Arc<View>>,
    counters: Arc<Counters>,
    freshness: Arc<Freshness>,
    clock: Clock,
    _poll: mio::Poll,
    _task: Task,
}

/// The author's task, which ends with the rig.
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Rig {
    async fn start() -> Self {
        Rig::with(|_| {}).await
    }

    async fn with(adjust: impl FnOnce(&mut Config)) -> Self {
        let server = Server::start(([127, 0, 0, 1], 0).into()).await.unwrap();
        let addr = server.addr();
        Rig { server: Some(server), ..Rig::over(addr, adjust) }
    }

    /// Over a registry that is somebody else's.
    fn over(registry: SocketAddr, adjust: impl FnOnce(&mut Config)) -> Self {
        let registry = switchboard_registry::Config::at(&registry.to_string()).unwrap();
        let client = Client::new(registry.clone()).unwrap();
        let any = ([127, 0, 0, 1], 0).into();
        let mut config = Config::new(any, any, registry);
        adjust(&mut config);
        let clock = Clock::start();
        let freshness = Arc::new(Freshness::new(clock));
        let reads = Arc::new(Reads::new(client.clone(), freshness.clone(), &config));
        let poll = mio::Poll::new().unwrap();
        let waker = Arc::new(mio::Waker::new(poll.registry(), mio::Token(0)).unwrap());
        let (sender, updates) = channel();
        let (ask, lookups) = mpsc::channel(16);
        let link = WorkerLink { updates: sender, waker };
        let (discovery, view, counters) = Discovery::new(Arc::new(config), clock, reads, vec![link], lookups);
        let task = tokio::spawn(discovery.run());
        let task = Task(task);
        Rig { server: None, client, ask, updates, view, counters, freshness, clock, _poll: poll, _task: task }
    }

    /// Registers an instance that passes without checks.
    async fn register(&self, service: &str, port: u16) -> Registration {
        self.register_with(service, port, |_| {}).await
    }

    async fn register_with(
        &self,
        service: &str,
        port: u16,
        adjust: impl FnOnce(&mut Registration),
    ) -> Registration {
        let mut registration = Registration::new(service, "127.0.0.1", port);
        registration.check = Check::None;
        adjust(&mut registration);
        self.client.register(&registration).await.unwrap();
        registration
    }

    async fn stop_registry(&mut self) {
        self.server.take().unwrap().shutdown().await;
    }

    async fn ask_service(&self, name: &str) {
        self.ask.send(Lookup::Service(name.into())).await.unwrap();
    }

    async fn ask_grpc(&self, name: &str) {
        self.ask.send(Lookup::GrpcService(name.into())).await.unwrap();
    }

    /// Waits for an update that the function takes.
    async fn told<T>(&self, mut take: impl FnMut(Update) -> Option<T>) -> T {
        let wait = async {
            loop {
                while let Ok(update) = self.updates.try_recv() {
                    if let Some(found) = take(update) {
                        return found;
                    }
                }
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(PATIENCE, wait).await.expect("the update does not come")
    }

    /// Waits for a snapshot in which the service is as the function wants it.
    async fn service(&self, name: &str, want: impl Fn(&Service) -> bool) -> Arc<Service> {
        self.told(|update| match update {
            Update::Snapshot(directory) => directory.services.get(name).filter(|it| want(it)).cloned(),
            _ => None,
        })
        .await
    }

    async fn missing(&self) -> Lookup {
        self.told(|update| match update {
            Update::Missing(lookup, _) => Some(lookup),
            _ => None,
        })
        .await
    }

    async fn failed(&self) -> Lookup {
        self.told(|update| match update {
            Update::LookupFailed(lookup, _) => Some(lookup),
            _ => None,
        })
        .await
    }

    /// Waits until calls of a gRPC service go to `service`.
    async fn mapped(&self, grpc: &str, service: &str) {
        self.told(|update| match update {
            Update::Snapshot(directory) => {
                directory.grpc_services.get(grpc).filter(|it| ***it == *service).cloned()
            }
            _ => None,
        })
        .await;
    }
}

fn ports(service: &Service) -> Vec<u16> {
    service.endpoints.iter().map(|endpoint| endpoint.addr.port()).collect()
}

fn endpoint(service: &Service, port: u16) -> Arc<Endpoint> {
    service.endpoints.iter().find(|endpoint| endpoint.addr.port() == port).unwrap().clone()
}

fn offering(grpc: &str) -> impl FnOnce(&mut Registration) {
    let meta = Description { grpc_services: vec![grpc.to_owned()], ..Description::default() }.encode();
    |registration| registration.meta = meta
}

#[tokio::test]
async fn a_registered_service_is_answered_with_its_instances() {
    let rig = Rig::start().await;
    let version = |registration: &mut Registration| {
        registration.meta.insert("version".to_owned(), "v2".to_owned());
    };
    rig.register("agent-echo", 1).await;
    rig.register_with("agent-echo", 2, version).await;
    rig.ask_service("agent-echo").await;
    let service = rig.service("agent-echo", |_| true).await;
    assert_eq!(ports(&service), [1, 2]);
    assert_eq!((service.known, service.fresh_until_ms), (2, u64::MAX));
    assert_eq!(endpoint(&service, 2).version.as_deref(), Some("v2"));
    assert!(service.last_seen.is_some() && service.usage.last_ms() > 0);
}

#[tokio::test]
async fn a_name_that_nobody_registered_is_missing_until_somebody_does() {
    // Longer than the test: only the catalogue's change can end it.
    let rig = Rig::with(|config| config.negative_ttl = Duration::from_secs(600)).await;
    rig.ask_service("agent-late").await;
    assert_eq!(rig.missing().await, Lookup::Service("agent-late".into()));
    rig.register("agent-late", 1).await;
    let found = async {
        loop {
            rig.ask_service("agent-late").await;
            let answer = rig.told(|update| match update {
                Update::Missing(..) => Some(false),
                Update::Snapshot(directory) if directory.services.contains_key("agent-late") => Some(true),
                _ => None,
            });
            if answer.await {
                return;
            }
        }
    };
    timeout(Duration::from_secs(1), found).await.expect("callable within a second of its registration");
}

#[tokio::test]
async fn a_missing_name_is_remembered_and_not_asked_for_again() {
    let mut rig = Rig::with(|config| config.negative_ttl = Duration::from_secs(600)).await;
    // The catalogue's first answer would make it forget.
    rig.view.clone().wait_for(|view| !view.catalog.is_empty()).await.unwrap();
    rig.ask_service("agent-nobody").await;
    rig.missing().await;
    rig.stop_registry().await;
    rig.ask_service("agent-nobody").await;
    assert_eq!(rig.missing().await, Lookup::Service("agent-nobody".into()), "without asking the registry");
    rig.ask_service("agent-other").await;
    assert_eq!(rig.failed().await, Lookup::Service("agent-other".into()));
}

#[tokio::test]
async fn a_watch_brings_changes_and_load_survives_them() {
    let rig = Rig::start().await;
    rig.register("agent-echo", 1).await;
    rig.ask_service("agent-echo").await;
    let before = endpoint(&*rig.service("agent-echo", |_| true).await, 1);
    before.load.opened();

    let second = rig.register("agent-echo", 2).await;
    let both = rig.service("agent-echo", |service| ports(service) == [1, 2]).await;
    assert!(Arc::ptr_eq(&endpoint(&both, 1), &before), "an unchanged instance is the same endpoint");

    rig.client.deregister(&second.id).await.unwrap();
    let alone = rig.service("agent-echo", |service| ports(service) == [1]).await;
    assert_eq!(endpoint(&alone, 1).load.open(), 1);
    assert!(Arc::ptr_eq(&alone.usage, &both.usage));
}

#[tokio::test]
async fn an_instance_that_comes_back_finds_its_open_streams() {
    let rig = Rig::start().await;
    let first = rig.register("agent-echo", 1).await;
    rig.register("agent-echo", 2).await;
    rig.ask_service("agent-echo").await;
    let load = endpoint(&*rig.service("agent-echo", |_| true).await, 1).load.clone();
    load.opened();
    rig.client.deregister(&first.id).await.unwrap();
    rig.service("agent-echo", |service| ports(service) == [2]).await;
    rig.client.register(&first).await.unwrap();
    let back = rig.service("agent-echo", |service| ports(service) == [1, 2]).await;
    assert!(Arc::ptr_eq(&endpoint(&back, 1).load, &load));
}

#[tokio::test]
async fn an_unhealthy_instance_is_known_but_not_picked() {
    let rig = Rig::start().await;
    let critical = |registration: &mut Registration| {
        registration.check = Check::tcp("127.0.0.1:1");
        registration.starts_passing = false;
    };
    rig.register_with("agent-sick", 1, critical).await;
    rig.ask_service("agent-sick").await;
    let service = rig.service("agent-sick", |_| true).await;
    assert_eq!((service.known, service.endpoints.len()), (1, 0));
    assert_eq!(service.last_seen, None);
}

#[tokio::test]
async fn host_names_are_resolved_and_bad_ones_left_out() {
    let rig = Rig::start().await;
    rig.register_with("agent-named", 1, |registration| registration.address = "localhost".to_owned()).await;
    rig.register_with("agent-named", 2, |registration| registration.address = "no such host".to_owned())
        .await;
    rig.ask_service("agent-named").await;
    let service = rig.service("agent-named", |_| true).await;
    assert_eq!((ports(&service), service.known), (vec![1], 2));
    let view = rig.view.borrow().clone();
    let problems: Vec<_> =
        view.services["agent-named"].instances.iter().filter_map(|known| known.addr.as_ref().err()).collect();
    assert_eq!(problems.len(), 1);
}

#[tokio::test]
async fn services_beyond_the_last_watch_are_read_again_when_they_are_old() {
    let rig = Rig::with(|config| {
        config.max_watches = 1;
        config.cache_ttl = Duration::from_millis(50);
    })
    .await;
    rig.register("agent-a", 1).await;
    rig.register("agent-b", 2).await;
    rig.ask_service("agent-a").await;
    assert_eq!(rig.service("agent-a", |_| true).await.fresh_until_ms, u64::MAX);
    rig.ask_service("agent-b").await;
    let cached = rig.service("agent-b", |_| true).await;
    assert!(cached.fresh_until_ms < rig.clock.now_ms() + 100);

    rig.register("agent-b", 3).await;
    let clock = rig.clock;
    let old = async {
        while clock.now_ms() < cached.fresh_until_ms {
            sleep(Duration::from_millis(1)).await;
        }
    };
    old.await;
    rig.ask_service("agent-b").await;
    let again = rig.service("agent-b", |service| ports(service) == [2, 3]).await;
    assert!(again.fresh_until_ms > cached.fresh_until_ms);
    assert!(Arc::ptr_eq(&endpoint(&again, 2), &endpoint(&cached, 2)));
}

#[tokio::test]
async fn a_service_none_of_whose_instances_can_be_reached_is_read_again_however_fresh_it_is() {
    let rig = Rig::with(|config| {
        config.max_watches = 0;
        config.cache_ttl = Duration::from_secs(600);
    })
    .await;
    let first = rig.register("agent-echo", 1).await;
    rig.ask_service("agent-echo").await;
    let known = rig.service("agent-echo", |service| ports(service) == [1]).await;
    rig.register("agent-echo", 2).await;
    rig.client.deregister(&first.id).await.unwrap();
    rig.ask_service("agent-echo").await;
    let fresh = rig.service("agent-echo", |_| true).await;
    assert_eq!(ports(&fresh), [1], "a read in vain: calls reach it");
    endpoint(&known, 1).load.connect_failed(rig.clock.now_ms() + 600_000);
    rig.ask_service("agent-echo").await;
    rig.service("agent-echo", |service| ports(service) == [2]).await;
}

#[tokio::test]
async fn the_directory_is_bounded_and_forgets_what_was_not_called_for_the_longest_time() {
    let rig = Rig::with(|config| {
        config.max_watches = 1;
        config.max_services = 2;
    })
    .await;
    for (name, port) in [("agent-a", 1), ("agent-b", 2), ("agent-c", 3)] {
        rig.register(name, port).await;
        rig.ask_service(name).await;
        rig.service(name, |_| true).await;
    }
    let view = rig.view.borrow().clone();
    let mut held: Vec<&str> = view.directory.services.keys().map(|name| &**name).collect();
    held.sort_unstable();
    assert_eq!(held, ["agent-a", "agent-c"], "the watched one stays, the unwatched older one goes");
}

#[tokio::test]
async fn losing_the_registry_costs_known_services_nothing() {
    let mut rig = Rig::with(|config| {
        config.max_watches = 1;
        config.cache_ttl = Duration::from_millis(1);
    })
    .await;
    rig.register("agent-watched", 1).await;
    rig.register("agent-cached", 2).await;
    for name in ["agent-watched", "agent-cached"] {
        rig.ask_service(name).await;
        rig.service(name, |_| true).await;
    }
    assert!(rig.freshness.reachable());
    assert_eq!(rig.freshness.stale_seconds(), 0.0);
    rig.stop_registry().await;

    rig.ask_service("agent-unknown").await;
    assert_eq!(rig.failed().await, Lookup::Service("agent-unknown".into()));
    let stale = async {
        while rig.freshness.stale_seconds() == 0.0 {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, stale).await.expect("its age shows");
    for (name, port) in [("agent-watched", 1), ("agent-cached", 2)] {
        rig.ask_service(name).await;
        assert_eq!(ports(&*rig.service(name, |_| true).await), [port]);
    }
    rig.ask_grpc("demo.Nobody").await;
    assert_eq!(rig.failed().await, Lookup::GrpcService("demo.Nobody".into()));
}

#[tokio::test]
async fn a_grpc_service_goes_to_the_service_that_offers_it() {
    let rig = Rig::start().await;
    rig.register("agent-other", 1).await;
    rig.register_with("demo-echo", 2, offering("demo.Echo")).await;
    rig.ask_grpc("demo.Echo").await;
    let directory = rig
        .told(|update| match update {
            Update::Snapshot(directory) if directory.grpc_services.contains_key("demo.Echo") => {
                Some(directory)
            }
            _ => None,
        })
        .await;
    assert_eq!(&*directory.grpc_services["demo.Echo"], "demo-echo");
    assert_eq!(ports(&directory.services["demo-echo"]), [2], "the service comes with it");
    rig.ask_grpc("demo.Nobody").await;
    assert_eq!(rig.missing().await, Lookup::GrpcService("demo.Nobody".into()));
}

#[tokio::test]
async fn of_several_offers_all_routers_take_the_same() {
    let rig = Rig::start().await;
    let sick = |registration: &mut Registration| {
        offering("demo.Echo")(registration);
        registration.check = Check::tcp("127.0.0.1:1");
        registration.starts_passing = false;
    };
    rig.register_with("agent-echo", 1, offering("demo.Echo")).await;
    rig.register_with("demo-a", 2, sick).await;
    rig.register_with("demo-c", 3, offering("demo.Echo")).await;
    rig.ask_grpc("demo.Echo").await;
    rig.mapped("demo.Echo", "demo-c").await;

    // A better offer appears: the assignment is dropped, and the next call finds it.
    rig.register_with("demo-b", 4, offering("demo.Echo")).await;
    rig.told(|update| match update {
        Update::Snapshot(directory) => (!directory.grpc_services.contains_key("demo.Echo")).then_some(()),
        _ => None,
    })
    .await;
    rig.ask_grpc("demo.Echo").await;
    rig.mapped("demo.Echo", "demo-b").await;
}

#[tokio::test]
async fn the_catalogue_is_shown_sorted() {
    let rig = Rig::start().await;
    rig.register("tool-b", 1).await;
    rig.register("agent-a", 2).await;
    let mut view = rig.view.clone();
    let both = view.wait_for(|view| *view.catalog == ["agent-a".into(), "consul".into(), "tool-b".into()]);
    timeout(PATIENCE, both).await.expect("all names are shown").unwrap();
}
