//! What is registered is found as it was, and only as long as it is registered.

use serde_json::json;
use switchboard_registry::{Check, Query, Registration, Status};

use crate::Target;

pub(crate) async fn every_case(target: &Target) {
    what_is_registered_is_found(target).await;
    what_is_unknown_is_no_error(target).await;
    a_registration_under_the_same_id_replaces_the_other(target).await;
    odd_entries_are_read(target).await;
    ids_with_odd_characters_work(target).await;
    the_catalogue_lists_names_and_tags(target).await;
    assert!(target.client.leader().await.unwrap().is_some());
}

async fn what_is_registered_is_found(target: &Target) {
    let mut registration = Registration::new("agent-found", "10.1.2.3", 50_052);
    registration.tags = vec!["agent".to_owned(), "b".to_owned()];
    registration.meta = [("description".to_owned(), "é\"<".repeat(128))].into();
    registration.check = Check::None;
    target.client.register(&registration).await.unwrap();
    let found = target.until("agent-found", |found| found.len() == 1).await.remove(0);
    assert_eq!(found.id, "agent-found-10.1.2.3-50052");
    assert_eq!((found.service.as_str(), found.endpoint().as_str()), ("agent-found", "10.1.2.3:50052"));
    assert_eq!((&found.tags, &found.meta), (&registration.tags, &registration.meta));
    assert_eq!((found.status, found.weight), (Status::Passing, 1));
    assert!(found.create_index > 0 && found.modify_index >= found.create_index);
    assert!(!found.node.is_empty());
    let own = target.client.agent_service(&found.id).await.unwrap().unwrap();
    assert_eq!((own.endpoint(), own.meta), (found.endpoint(), found.meta));
    target.deregister("agent-found", &[&found.id]).await;
    assert_eq!(target.client.agent_service(&found.id).await.unwrap(), None);
}

async fn what_is_unknown_is_no_error(target: &Target) {
    target.client.deregister("no-such-id").await.unwrap();
    assert_eq!(target.client.agent_service("no-such-id").await.unwrap(), None);
    let read = target.client.health("no-such-service", &Query::passing()).await.unwrap();
    assert!(read.value.is_empty() && read.index > 0, "{read:?}");
}

async fn a_registration_under_the_same_id_replaces_the_other(target: &Target) {
    let mut registration = Registration::new("agent-replaced", "10.1.2.3", 1);
    registration.check = Check::None;
    target.client.register(&registration).await.unwrap();
    let old = target.until("agent-replaced", |found| found.len() == 1).await.remove(0);
    registration.port = 2;
    target.client.register(&registration).await.unwrap();
    let new = target.until("agent-replaced", |found| found[0].port == 2).await;
    assert_eq!((new.len(), new[0].create_index), (1, old.create_index));
    assert!(new[0].modify_index > old.modify_index);
    target.deregister("agent-replaced", &[&registration.id]).await;
}

async fn odd_entries_are_read(target: &Target) {
    target.register(json!({ "Name": "odd", "ID": "odd-none", "Tags": null, "Meta": null })).await;
    target
        .register(
            json!({ "name": "odd", "id": "odd-node", "port": 7, "weights": { "Passing": 9, "Warning": 1 } }),
        )
        .await;
    target.register(json!({ "Name": "odd", "ID": "odd-big", "Port": 70_000 })).await;
    // Without port there is nothing to call; without address it is the node's.
    let found = target.until("odd", |found| !found.is_empty()).await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].endpoint().as_str(), found[0].weight), ("127.0.0.1:7", 9));
    target.deregister("odd", &["odd-none", "odd-node", "odd-big"]).await;
}

async fn ids_with_odd_characters_work(target: &Target) {
    let mut registration = Registration::new("agent-odd-id", "::1", 9);
    registration.id = "a b%20?c#d&e=é".to_owned();
    registration.check = Check::None;
    target.client.register(&registration).await.unwrap();
    let found = target.until("agent-odd-id", |found| found.len() == 1).await;
    assert_eq!((found[0].id.as_str(), found[0].endpoint().as_str()), (registration.id.as_str(), "[::1]:9"));
    assert!(target.client.agent_service(&registration.id).await.unwrap().is_some());
    target.deregister("agent-odd-id", &[&registration.id]).await;
}

async fn the_catalogue_lists_names_and_tags(target: &Target) {
    target.register(json!({ "Name": "listed", "ID": "listed-1", "Port": 1, "Tags": ["b", "a"] })).await;
    target.register(json!({ "Name": "listed", "ID": "listed-2", "Port": 2, "Tags": ["c", "a"] })).await;
    target.until("listed", |found| found.len() == 2).await;
    let services = target.client.services(&Query::default()).await.unwrap();
    assert_eq!(services.value["listed"], ["a", "b", "c"]);
    assert!(services.value.contains_key("consul") && services.index > 0);
    target.deregister("listed", &["listed-1", "listed-2"]).await;
    let services = target.client.services(&Query::default()).await.unwrap();
    assert!(!services.value.contains_key("listed"));
}
