//! The registry's HTTP API is lost and its DNS is there (complaints rows 1 and 2).

use super::*;
use crate::control::dns::fake::{Answer, Fake};
use crate::directory::Service;
use std::{
    net::SocketAddr,
    sync::{Mutex, atomic::AtomicUsize},
};

type Listed = Arc<Mutex<Vec<(&'static str, u16, u16)>>>;

/// A directory whose registry has a DNS server that lists, for every name, what the list holds.
async fn with_dns(listed: &Listed) -> (Rig, Fake) {
    let listed = listed.clone();
    let dns = Fake::start(move |_| match &*listed.lock().unwrap() {
        empty if empty.is_empty() => Answer::Code(hickory_resolver::proto::op::ResponseCode::NXDomain),
        instances => Answer::Instances(instances.clone()),
    })
    .await;
    let address = dns.addr.to_string();
    let rig = Rig::with(|config| {
        config.consul_dns = Some(address);
        config.cache_ttl = Duration::from_millis(50);
        config.negative_ttl = Duration::from_millis(50);
    })
    .await;
    (rig, dns)
}

fn list(instances: &[(&'static str, u16, u16)]) -> Listed {
    Arc::new(Mutex::new(instances.to_vec()))
}

/// Calls the service until the directory has it as wanted, as worker threads do when an entry is old.
async fn until(rig: &Rig, name: &str, want: impl Fn(&Service) -> bool) -> Arc<Service> {
    let calls = async {
        loop {
            rig.ask_service(name).await;
            let answer = rig.told(|update| match update {
                Update::Snapshot(directory) => Some(directory.services.get(name).cloned()),
                Update::LookupFailed(..) => Some(None),
                Update::Missing(..) => panic!("nothing says that {name} does not exist"),
                _ => None,
            });
            if let Some(service) = answer.await.filter(|service| want(service)) {
                return service;
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE * 6, calls).await.expect("the directory does not become so")
}

#[tokio::test]
async fn a_reachable_registry_is_never_asked_by_dns() {
    let (rig, dns) = with_dns(&list(&[("127.0.0.1", 9, 1)])).await;
    rig.register("agent-echo", 1).await;
    rig.ask_service("agent-echo").await;
    let service = rig.service("agent-echo", |service| service.fresh_until_ms == u64::MAX).await;
    assert_eq!(ports(&service), [1]);
    rig.ask_service("agent-nobody").await;
    assert_eq!(rig.missing().await, Lookup::Service("agent-nobody".into()));
    assert_eq!(dns.asked(), Vec::<String>::new());
    assert_eq!(rig.freshness.source(), "http");
}

#[tokio::test]
async fn without_http_an_unknown_service_is_found_by_dns_and_http_takes_over_again_when_it_is_back() {
    let listed = list(&[("127.0.0.1", 7, 3), ("127.0.0.1", 8, 1)]);
    let (mut rig, dns) = with_dns(&listed).await;
    let addr = rig.server.as_ref().unwrap().addr();
    rig.stop_registry().await;
    let service = until(&rig, "agent-echo", |_| true).await;
    assert_eq!(ports(&service), [7, 8]);
    assert_eq!((endpoint(&service, 7).weight, endpoint(&service, 7).version.as_deref()), (3, None));
    assert_eq!(rig.freshness.source(), "dns");
    assert_eq!(dns.asked()[0], "agent-echo.service.consul.");

    // A name that DNS does not list is not said to be unknown.
    listed.lock().unwrap().clear();
    rig.ask_service("agent-nobody").await;
    assert_eq!(rig.failed().await, Lookup::Service("agent-nobody".into()));

    rig.server = Some(Server::start(addr).await.unwrap());
    let version = |registration: &mut Registration| {
        registration.meta.insert("version".to_owned(), "v2".to_owned());
    };
    rig.register_with("agent-echo", 7, version).await;
    // By itself: the watch does it, whether or not anybody calls.
    let back = rig.service("agent-echo", |service| service.fresh_until_ms == u64::MAX).await;
    assert_eq!(ports(&back), [7]);
    assert_eq!(endpoint(&back, 7).version.as_deref(), Some("v2"));
    assert_eq!(rig.freshness.source(), "http");
}

#[tokio::test]
async fn what_http_knew_stays_until_dns_says_otherwise_and_keeps_its_meta() {
    let listed = list(&[]);
    let (mut rig, _dns) = with_dns(&listed).await;
    let version = |registration: &mut Registration| {
        registration.meta.insert("version".to_owned(), "v2".to_owned());
    };
    rig.register_with("agent-echo", 1, version).await;
    rig.register("agent-echo", 2).await;
    rig.ask_service("agent-echo").await;
    let before = rig.service("agent-echo", |service| service.fresh_until_ms == u64::MAX).await;
    rig.stop_registry().await;
    // The watch is blind: calls have the service read again, and an empty answer changes nothing.
    let blind = rig.service("agent-echo", |service| service.fresh_until_ms != u64::MAX).await;
    assert_eq!(ports(&blind), [1, 2]);
    let asked = rig.freshness.dns_lookups.load(Relaxed);
    let held = until(&rig, "agent-echo", |_| rig.freshness.dns_lookups.load(Relaxed) > asked + 2).await;
    assert_eq!(ports(&held), [1, 2]);

    *listed.lock().unwrap() = vec![("127.0.0.1", 1, 1), ("127.0.0.1", 3, 1)];
    let changed = until(&rig, "agent-echo", |service| ports(service) == [1, 3]).await;
    assert!(
        Arc::ptr_eq(&endpoint(&changed, 1), &endpoint(&before, 1)),
        "it is the same endpoint, with its meta"
    );
    assert_eq!(changed.known, 3);
    // The one that DNS did not list for a while is who it was.
    *listed.lock().unwrap() = vec![("127.0.0.1", 2, 1)];
    let back = until(&rig, "agent-echo", |service| ports(service) == [2]).await;
    assert_eq!(endpoint(&back, 2).instance, endpoint(&before, 2).instance);
    assert_eq!(back.known, 2);
}

/// An HTTP server that counts its requests and answers them with an error, or never.
async fn broken_registry(silent: bool) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let addr = listener.local_addr().unwrap();
    let requests: Arc<AtomicUsize> = Arc::default();
    let counted = requests.clone();
    let answer = move || {
        counted.fetch_add(1, Relaxed);
        async move {
            if silent {
                std::future::pending::<()>().await;
            }
            (axum::http::StatusCode::INTERNAL_SERVER_ERROR, "No cluster leader")
        }
    };
    let router = axum::Router::new().fallback(answer);
    tokio::spawn(async move { axum::serve(listener, router).await });
    (addr, requests)
}

fn reads_of(registry: SocketAddr, dns: &Fake) -> (Reads, Arc<Freshness>) {
    let any = ([127, 0, 0, 1], 0).into();
    let registry = switchboard_registry::Config::at(&registry.to_string()).unwrap();
    let mut config = Config::new(any, any, registry.clone());
    config.consul_dns = Some(dns.addr.to_string());
    let freshness = Arc::new(Freshness::new(Clock::start()));
    (Reads::new(Client::new(registry).unwrap(), freshness.clone(), &config), freshness)
}

#[tokio::test]
async fn a_silent_registry_costs_a_lookup_one_second_and_the_next_one_next_to_nothing() {
    let (registry, _) = broken_registry(true).await;
    let dns = Fake::start(|_| Answer::Instances(vec![("127.0.0.1", 7, 1)])).await;
    let (reads, freshness) = reads_of(registry, &dns);
    for (name, at_most) in [("agent-a", 4), ("agent-b", 1)] {
        let began = Instant::now();
        assert_eq!(reads.service_now(&name.into()).await.unwrap().len(), 1);
        // A call waits five seconds for it.
        assert!(began.elapsed() < Duration::from_secs(at_most), "{:?}", began.elapsed());
    }
    assert_eq!((freshness.source(), freshness.failing()), ("dns", true));
}

#[tokio::test]
async fn a_registry_that_answers_with_errors_is_not_hammered_for_known_services() {
    let (registry, requests) = broken_registry(false).await;
    let dns = Fake::start(|_| Answer::Instances(vec![("127.0.0.1", 7, 1)])).await;
    let (reads, _) = reads_of(registry, &dns);
    let name: Arc<str> = "agent-a".into();
    reads.remember(&name, &reads.service_now(&name).await.unwrap()).await;
    let before = requests.load(Relaxed);
    let began = Instant::now();
    for _ in 0..50 {
        reads.service_now(&name).await.unwrap();
    }
    let allowed = 1 + began.elapsed().as_secs() / 5;
    let asked = requests.load(Relaxed) - before;
    assert!(asked as u64 <= allowed, "{asked} requests, {allowed} allowed");
    assert_eq!(dns.asked().len(), 51);
}
