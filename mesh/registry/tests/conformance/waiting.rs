//! Blocking reads: what wakes them, what does not, and for how long they wait.

use std::time::{Duration, Instant};

use serde_json::json;
use switchboard_registry::{Indexed, Instance, Query};

use crate::{SOON, Target};

const WAIT: Duration = Duration::from_millis(800);

pub(crate) async fn every_case(target: &Target) {
    a_read_waits_as_long_as_asked_and_a_sixteenth_more(target).await;
    an_index_of_the_future_waits_too(target).await;
    a_change_of_the_service_wakes(target).await;
    what_changes_nothing_wakes_nobody(target).await;
    a_waiting_read_of_an_unknown_service_sees_its_first_instance(target).await;
    the_catalogue_wakes(target).await;
}

/// Reads after `index` and gives how long it took.
async fn read(
    target: &Target,
    service: &str,
    index: u64,
    wait: Duration,
) -> (Indexed<Vec<Instance>>, Duration) {
    let started = Instant::now();
    let query = Query { index, wait: Some(wait), ..Query::default() };
    (target.client.health(service, &query).await.unwrap(), started.elapsed())
}

fn ttl(id: &str) -> serde_json::Value {
    json!({ "Name": "waiting", "ID": id, "Port": 1, "Check": { "TTL": "10m", "Status": "passing" } })
}

async fn index(target: &Target, service: &str) -> u64 {
    target.client.health(service, &Query::default()).await.unwrap().index
}

async fn a_read_waits_as_long_as_asked_and_a_sixteenth_more(target: &Target) {
    target.register(ttl("waiting-1")).await;
    target.until("waiting", |found| found.len() == 1).await;
    let before = index(target, "waiting").await;
    let (answer, took) = read(target, "waiting", before, WAIT).await;
    assert_eq!((answer.index, answer.value.len()), (before, 1));
    assert!(took >= WAIT && took < WAIT * 17 / 16 + Duration::from_secs(2), "{took:?}");
    let (_, took) = read(target, "waiting", 0, SOON).await;
    assert!(took < SOON / 2, "index 0 does not wait: {took:?}");
    let (_, took) = read(target, "waiting", before - 1, SOON).await;
    assert!(took < SOON / 2, "an index of the past does not wait: {took:?}");
}

async fn an_index_of_the_future_waits_too(target: &Target) {
    let (answer, took) = read(target, "waiting", 99_999_999, WAIT).await;
    assert!(answer.index < 99_999_999 && took >= WAIT, "{took:?}");
}

async fn a_change_of_the_service_wakes(target: &Target) {
    let changes: [(&str, &str, serde_json::Value); 4] = [
        ("a check fails", "/v1/agent/check/fail/service:waiting-1", json!(null)),
        ("a check passes", "/v1/agent/check/pass/service:waiting-1", json!(null)),
        ("an instance comes", "/v1/agent/service/register", ttl("waiting-2")),
        ("an instance goes", "/v1/agent/service/deregister/waiting-2", json!(null)),
    ];
    for (what, path, body) in changes {
        let before = index(target, "waiting").await;
        let (blocked, body) = (read(target, "waiting", before, SOON), body.to_string());
        let change = target.put(path, &body);
        let ((answer, took), (status, text)) = tokio::join!(blocked, change);
        assert_eq!(status, 200, "{what}: {text}");
        assert!(answer.index > before && took < SOON / 2, "{what}: {} {took:?}", answer.index);
    }
}

async fn what_changes_nothing_wakes_nobody(target: &Target) {
    let quiet = [
        ("another output", "/v1/agent/check/pass/service:waiting-1?note=x", json!(null)),
        ("another service", "/v1/agent/service/register", json!({ "Name": "waiting-other", "Port": 1 })),
    ];
    for (what, path, body) in quiet {
        let before = index(target, "waiting").await;
        let body = body.to_string();
        let (answer, change) = tokio::join!(read(target, "waiting", before, WAIT), target.put(path, &body));
        assert_eq!((change.0, answer.0.index), (200, before), "{what}");
        assert!(answer.1 >= WAIT, "{what}: {:?}", answer.1);
    }
    target.until("waiting-other", |found| found.len() == 1).await;
    let same = json!({ "Name": "waiting-other", "Port": 1 });
    let before = index(target, "waiting-other").await;
    let (answer, ()) = tokio::join!(read(target, "waiting-other", before, WAIT), target.register(same));
    assert!(answer.0.index == before && answer.1 >= WAIT, "an identical registration");
    target.deregister("waiting-other", &["waiting-other"]).await;
    target.deregister("waiting", &["waiting-1"]).await;
}

async fn a_waiting_read_of_an_unknown_service_sees_its_first_instance(target: &Target) {
    let before = index(target, "waiting-first").await;
    assert!(before > 0);
    let register = target.register(json!({ "Name": "waiting-first", "Port": 1 }));
    let ((answer, took), ()) = tokio::join!(read(target, "waiting-first", before, SOON), register);
    assert!(took < SOON / 2 && answer.index > before, "{took:?}");
    assert_eq!(answer.value.len(), 1);
    target.deregister("waiting-first", &["waiting-first"]).await;
}

async fn the_catalogue_wakes(target: &Target) {
    for come in [true, false] {
        let before = target.client.services(&Query::default()).await.unwrap().index;
        let query = Query { index: before, wait: Some(SOON), ..Query::default() };
        let change = async {
            if come {
                target.register(json!({ "Name": "waiting-listed", "Port": 1 })).await;
            } else {
                target.client.deregister("waiting-listed").await.unwrap();
            }
        };
        let (answer, ()) = tokio::join!(target.client.services(&query), change);
        let answer = answer.unwrap();
        assert!(answer.index > before && answer.value.contains_key("waiting-listed") == come);
    }
}
