//! Watches and leases on a registry that behaves.

use std::time::Duration;

use switchboard_registry::{Check, Lease, LeaseState, Registration, View};

use crate::{SOON, Target};

pub(crate) async fn every_case(target: &Target) {
    a_watch_follows_its_service(target).await;
    a_watch_of_the_catalogue_follows_the_names(target).await;
    a_lease_registers_again_what_was_lost(target).await;
}

fn unchecked(service: &str, port: u16) -> Registration {
    Registration { check: Check::None, ..Registration::new(service, "127.0.0.1", port) }
}

async fn a_watch_follows_its_service(target: &Target) {
    let mut watch = target.client.watch("watched");
    let first = watch.loaded().await;
    assert!(first.instances.is_empty() && first.index > 0 && first.stale.is_none());
    let mut receiver = watch.receiver();
    let mut until = async |ports: &[u16]| {
        let seen =
            receiver.wait_for(|snapshot| snapshot.instances.iter().map(|i| i.port).eq(ports.iter().copied()));
        tokio::time::timeout(SOON, seen).await.expect("the watch sees the change").unwrap().index
    };
    let (one, two) = (unchecked("watched", 1), unchecked("watched", 2));
    target.client.register(&one).await.unwrap();
    let index = until(&[1]).await;
    target.client.register(&two).await.unwrap();
    assert!(until(&[1, 2]).await > index);
    target.client.deregister(&one.id).await.unwrap();
    until(&[2]).await;
    assert_eq!(watch.repairs(), 0);
    target.deregister("watched", &[&two.id]).await;
}

async fn a_watch_of_the_catalogue_follows_the_names(target: &Target) {
    let mut watch = target.client.watch_catalog();
    assert!(watch.loaded().await.index() > 0);
    let registration = unchecked("named", 1);
    let mut receiver = watch.receiver();
    target.client.register(&registration).await.unwrap();
    let seen = receiver.wait_for(|snapshot| snapshot.services.contains_key("named"));
    tokio::time::timeout(SOON, seen).await.expect("the watch sees the name").unwrap();
    target.deregister("named", &[&registration.id]).await;
}

async fn a_lease_registers_again_what_was_lost(target: &Target) {
    let registration = unchecked("leased", 1);
    let lease = Lease::keep(target.client.clone(), registration.clone());
    tokio::time::timeout(SOON, lease.registered()).await.expect("registered");
    target.until("leased", |found| found.len() == 1).await;
    let mut state = lease.state();
    target.client.deregister(&registration.id).await.unwrap();
    let lost = state.wait_for(|state| *state != LeaseState::Registered);
    tokio::time::timeout(Duration::from_secs(10), lost).await.expect("noticed").unwrap();
    tokio::time::timeout(Duration::from_secs(10), lease.registered()).await.expect("registered again");
    target.until("leased", |found| found.len() == 1).await;
    lease.deregister().await.unwrap();
    target.until("leased", <[_]>::is_empty).await;
}
