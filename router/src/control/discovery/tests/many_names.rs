//! A registry with 100,000 services: what a change of the catalogue, an unknown name and a search cost.

use super::*;
use axum::{
    Json, Router,
    extract::{Path, Query, State},
    response::{IntoResponse, Response},
    routing::get,
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::atomic::AtomicUsize,
};

const NAMES: usize = 100_000;

/// A Consul with that many services of one instance each.
struct Large {
    /// The catalogue's index; each makes one name more.
    index: watch::Sender<usize>,
    catalog_reads: AtomicUsize,
    service_reads: AtomicUsize,
}

impl Large {
    async fn start() -> (SocketAddr, Arc<Self>) {
        let (index, catalog_reads, service_reads) = (watch::Sender::new(1), 0.into(), 0.into());
        let large = Arc::new(Large { index, catalog_reads, service_reads });
        let router = Router::new()
            .route("/v1/catalog/services", get(catalog))
            .route("/v1/health/service/{name}", get(service))
            .with_state(large.clone());
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        (addr, large)
    }

    fn change(&self) {
        self.index.send_modify(|index| *index += 1);
    }

    fn catalog_reads(&self) -> usize {
        self.catalog_reads.load(Relaxed)
    }

    fn service_reads(&self) -> usize {
        self.service_reads.load(Relaxed)
    }
}

async fn catalog(
    State(large): State<Arc<Large>>,
    Query(query): Query<HashMap<String, String>>,
) -> impl IntoResponse {
    let seen: usize = query.get("index").map_or(0, |index| index.parse().unwrap());
    let index = *large.index.subscribe().wait_for(|index| *index > seen).await.unwrap();
    large.catalog_reads.fetch_add(1, Relaxed);
    let names: BTreeMap<String, [&str; 0]> =
        (0..NAMES - 1 + index).map(|n| (format!("agent-unit-{n:06}"), [])).collect();
    ([("X-Consul-Index", index.to_string())], Json(names))
}

async fn service(
    State(large): State<Arc<Large>>,
    Path(name): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    if query.contains_key("index") {
        std::future::pending::<()>().await;
    }
    large.service_reads.fetch_add(1, Relaxed);
    let known = name.strip_prefix("agent-unit-").is_some_and(|number| number.parse::<usize>().is_ok());
    let body = if known {
        format!(
            r#"[{{"Node":{{"Node":"n","Address":"127.0.0.1"}},"Service":{{"ID":"i","Service":"{name}","Port":9,"Meta":{{"grpc_services":"demo.Echo"}}}},"Checks":[]}}]"#
        )
    } else {
        "[]".to_owned()
    };
    ([("X-Consul-Index", "1")], body).into_response()
}

/// Waits until the catalogue has one name for each of the first names and each change.
async fn names_shown(rig: &Rig, changes: usize) {
    let mut view = rig.view.clone();
    let shown = view.wait_for(|view| view.catalog.len() == NAMES + changes);
    timeout(PATIENCE * 6, shown).await.expect("all names are shown").unwrap();
}

/// What a worker thread is told about an unknown name.
async fn hint(rig: &Rig, name: &str) -> Vec<String> {
    rig.ask_service(name).await;
    rig.told(|update| match update {
        Update::Missing(_, nearest) => Some(nearest.to_vec()),
        _ => None,
    })
    .await
}

#[tokio::test]
async fn a_change_among_100_000_names_is_no_snapshot_and_an_unknown_name_no_read_of_them() {
    let (addr, large) = Large::start().await;
    let rig = Rig::over(addr, |_| {});
    names_shown(&rig, 0).await;
    rig.ask_service("agent-unit-000007").await;
    rig.service("agent-unit-000007", |_| true).await;
    let snapshots = rig.counters.snapshots.load(Relaxed);

    large.change();
    names_shown(&rig, 1).await;
    for n in 0..8 {
        // The last of all names is found, and none is read again for it.
        let found = hint(&rig, &format!("agent-unjt-{NAMES}-{n}")).await;
        assert!(found.is_empty() || found[0].starts_with("unit-"), "{found:?}");
        assert_eq!(hint(&rig, &format!("agent-unt-{NAMES}")).await[0], format!("unit-{NAMES}-agent"));
    }
    assert_eq!(rig.counters.snapshots.load(Relaxed), snapshots, "calls see no catalogue");
    // The first, one for the change, and one look behind each waiting read.
    assert!((2..=4).contains(&large.catalog_reads()), "{}", large.catalog_reads());
    assert_eq!(rig.view.borrow().directory.services.len(), 1);
}

#[tokio::test]
async fn a_search_for_offers_reads_max_services_at_most_and_not_again_for_each_change() {
    let (addr, large) = Large::start().await;
    let rig = Rig::over(addr, |config| config.max_services = 500);
    names_shown(&rig, 0).await;
    rig.ask_grpc("demo.Echo").await;
    rig.mapped("demo.Echo", "agent-unit-000000").await;
    let first = large.service_reads();
    assert!((500..=502).contains(&first), "{first}");
    for changes in 1..=3 {
        large.change();
        names_shown(&rig, changes).await;
    }
    // Three changes in some two seconds, each read as often as the pause after a search allows.
    assert!(large.service_reads() <= first + 4 * 502, "{}", large.service_reads());
}
