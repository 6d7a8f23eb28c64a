//! How many connections a client holds, and large tables.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use switchboard_registry::{Check, Client, Config, Registration, embedded};
use switchboard_testkit::eventually;

use crate::fake::{Answer, Fake, instances};

#[tokio::test]
async fn five_hundred_watches_hold_fewer_than_128_requests_and_all_are_loaded() {
    let fake = Fake::start(|_, asked| match asked.index() {
        0 => Answer::With(200, 7, instances(&[1])),
        _ => Answer::Never,
    })
    .await;
    let mut config = fake.config();
    config.wait = Duration::from_secs(60);
    config.request_timeout = Duration::from_secs(20);
    let client = Client::new(config).unwrap();
    let mut watches: Vec<_> = (0..500).map(|n| client.watch(format!("agent-{n}"))).collect();
    for watch in &mut watches {
        tokio::time::timeout(Duration::from_secs(30), watch.loaded()).await.expect("each is loaded");
    }
    let blocking = async || match fake.asked().iter().filter(|asked| asked.index() > 0).count() {
        100.. => Ok(()),
        fewer => Err(fewer),
    };
    eventually(Duration::from_secs(10), blocking).await.unwrap();
    assert!(fake.most_open() < 128, "{} requests were open", fake.most_open());
}

#[tokio::test]
async fn three_hundred_instances_of_which_twenty_share_an_address_are_all_seen() {
    let server = embedded::Server::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
    let client = Client::new(Config::at(&server.addr().to_string()).unwrap()).unwrap();
    let watch = client.watch("agent-many");
    let mut expected = BTreeSet::new();
    for n in 0..300_u16 {
        let address =
            if n < 20 { "10.0.0.1".to_owned() } else { format!("10.0.{}.{}", n / 100 + 1, n % 100) };
        let mut registration = Registration::new("agent-many", address, 50_000 + n);
        registration.check = Check::None;
        client.register(&registration).await.unwrap();
        expected.insert(format!("{}:{}", registration.address, registration.port));
    }
    let mut receiver = watch.receiver();
    let all = receiver.wait_for(|snapshot| snapshot.instances.len() == 300);
    let all =
        tokio::time::timeout(Duration::from_secs(10), all).await.expect("all are seen").unwrap().clone();
    let seen: BTreeSet<_> = all.instances.iter().map(switchboard_registry::Instance::endpoint).collect();
    assert_eq!(seen, expected);
}
