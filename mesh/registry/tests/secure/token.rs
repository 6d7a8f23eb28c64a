//! A token that is rotated under a running watch and lease.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use switchboard_registry::{Check, Client, Config, Lease, LeaseState, Query, Status};
use switchboard_testkit::{LockedConsul, eventually};
use tokio::net::TcpListener;

use crate::{READ_ALL, SOON, locked, register, unchecked};

fn from_file(consul: &LockedConsul, file: &Path) -> Client {
    let vars = [
        ("CONSUL_HTTP_ADDR", format!("http://{}", consul.http_addr())),
        ("CONSUL_HTTP_TOKEN_FILE", file.to_str().unwrap().to_owned()),
    ];
    let get = |name: &str| vars.iter().find(|(key, _)| *key == name).map(|(_, value)| value.clone());
    Client::new(Config::from_vars(get).unwrap()).unwrap()
}

#[tokio::test]
async fn a_token_is_rotated_and_no_instance_is_lost() {
    let locked = locked("").await;
    let rules = format!(r#"{READ_ALL} service "agent-echo" {{ policy = "write" }}"#);
    let policy = locked.policy("both", &rules).await.unwrap();
    let mut token = locked.token_of(&policy).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    std::fs::write(&file, &token.secret).unwrap();

    let client = from_file(&locked, &file);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut registration = unchecked("agent-echo", address.port());
    let (interval, timeout) = (Duration::from_millis(200), Duration::from_secs(1));
    registration.check = Check::Tcp { target: address.to_string(), interval, timeout };
    let lease = Lease::keep(client.clone(), registration.clone());
    lease.registered().await;
    let mut watch = client.watch("agent-echo");
    assert_eq!(watch.loaded().await.instances.len(), 1);
    // Everything that readers are ever shown.
    let mut seen = watch.receiver();
    let witness = tokio::spawn(async move {
        while seen.changed().await.is_ok() {
            assert!(!seen.borrow_and_update().instances.is_empty(), "the instance vanished");
        }
    });
    for round in 0..3 {
        let next = locked.token_of(&policy).await.unwrap();
        std::fs::write(&file, format!("{}\n", next.secret)).unwrap();
        locked.delete_token(&std::mem::replace(&mut token, next)).await.unwrap();
        // The very next request meets the deleted token, or has read the new one.
        let known = usize::from(round) + 1;
        assert_eq!(client.health("agent-echo", &Query::default()).await.unwrap().value.len(), known);
        // A change reaches the watch with the new token.
        register(&locked, "agent-echo", 10 + round..11 + round).await;
        let look = async || {
            let found = watch.latest();
            if found.instances.len() == known + 1 && found.stale.is_none() { Ok(()) } else { Err(found) }
        };
        eventually(SOON, look).await.unwrap();
        assert_eq!(*lease.state().borrow(), LeaseState::Registered);
    }
    // The agent was told of the new token as well: it still carries what its check finds out into the catalogue.
    drop(listener);
    let critical = async || {
        let found = client.health("agent-echo", &Query::default()).await.unwrap().value;
        let ours = found.iter().find(|instance| instance.id == registration.id).unwrap().status;
        if ours == Status::Critical { Ok(()) } else { Err(found) }
    };
    eventually(SOON, critical).await.unwrap();
    assert!(!witness.is_finished(), "{:?}", witness.await);
    lease.deregister().await.unwrap();
}

#[tokio::test]
async fn a_file_that_cannot_be_used_keeps_the_token() {
    let locked = locked("").await;
    let token = locked.token("reader", READ_ALL).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    std::fs::write(&file, &token).unwrap();
    let client = from_file(&locked, &file);
    for broken in ["", "\n", "two\nlines"] {
        std::fs::write(&file, broken).unwrap();
        // A refusal makes it look at once.
        assert!(client.register(&unchecked("agent-echo", 1)).await.is_err());
        client.services(&Query::default()).await.unwrap();
    }
    std::fs::remove_file(&file).unwrap();
    assert!(client.register(&unchecked("agent-echo", 1)).await.is_err());
    client.services(&Query::default()).await.unwrap();
    let shown = format!("{client:?} {:?}", client.config());
    assert!(!shown.contains(&token));
}
