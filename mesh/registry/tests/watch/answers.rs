//! Answers that are late, wrong, too large or absent.

use std::time::{Duration, Instant};

use switchboard_registry::{Error, Lease, LeaseState, Query, Registration, Stale};

use crate::fake::{Answer, Fake, instances};

#[tokio::test]
async fn instant_answers_of_index_zero_do_not_make_a_watch_spin() {
    let fake =
        Fake::start(|number, _| Answer::With(200, 0, instances(if number < 8 { &[1] } else { &[2] }))).await;
    let started = Instant::now();
    let watch = fake.client().watch("s");
    let mut receiver = watch.receiver();
    let seen = receiver.wait_for(|snapshot| snapshot.instances.iter().any(|instance| instance.port == 2));
    tokio::time::timeout(Duration::from_secs(10), seen).await.expect("the next change is seen").unwrap();
    let most = 2 + started.elapsed().as_millis() / 100;
    assert!(fake.asked().len() as u128 <= most + 1, "{} reads, {most} allowed", fake.asked().len());
}

#[tokio::test]
async fn a_black_hole_is_noticed_after_the_read_timeout_and_the_table_stays() {
    let fake = Fake::start(|number, _| match number {
        0 => Answer::With(200, 7, instances(&[1])),
        1..=3 => Answer::Never,
        _ => Answer::With(200, 8, instances(&[1, 2])),
    })
    .await;
    let mut watch = fake.client().watch("s");
    watch.loaded().await;
    let started = Instant::now();
    let mut receiver = watch.receiver();
    let stale = receiver.wait_for(|snapshot| snapshot.stale.is_some());
    let stale =
        tokio::time::timeout(Duration::from_secs(10), stale).await.expect("it is noticed").unwrap().clone();
    // wait + wait/16 + the request timeout.
    assert!(started.elapsed() >= Duration::from_millis(600), "{:?}", started.elapsed());
    let Some(Stale::Failed(reason)) = &stale.stale else { panic!("{:?}", stale.stale) };
    assert!(reason.contains("did not answer /v1/health/service/s within"), "{reason}");
    assert_eq!(stale.instances.len(), 1, "what was known is kept");
    let again = receiver.wait_for(|snapshot| snapshot.instances.len() == 2 && snapshot.stale.is_none());
    tokio::time::timeout(Duration::from_secs(30), again).await.expect("it reconnects").unwrap();
}

#[tokio::test]
async fn errors_name_the_address_the_status_and_what_to_do() {
    let fake = Fake::start(|_, asked| match asked.path.rsplit('/').next().unwrap() {
        "forbidden" => Answer::With(403, 0, format!("ACL not found{}", "x".repeat(100_000))),
        "busy" => Answer::With(429, 0, String::new()),
        "headless" => Answer::With(500, 0, "No cluster leader".to_owned()),
        "foreign" => Answer::With(200, 0, "<html>It works!</html>".to_owned()),
        "large" => Answer::With(200, 0, "x".repeat(40 << 20)),
        "moved" => Answer::With(302, 0, String::new()),
        _ => Answer::Never,
    })
    .await;
    let mut config = fake.config();
    config.request_timeout = Duration::from_secs(5);
    let client = switchboard_registry::Client::new(config).unwrap();
    let cases: [(&str, &[&str]); 6] = [
        ("forbidden", &["403", "ACL not found", "CONSUL_HTTP_TOKEN"]),
        ("busy", &["429", "http_max_conns_per_client"]),
        ("headless", &["500", "No cluster leader"]),
        ("foreign", &["is not Consul's", "another server"]),
        ("large", &["larger than 33554432 bytes"]),
        ("moved", &["302"]),
    ];
    for (service, parts) in cases {
        let text = client.health(service, &Query::default()).await.unwrap_err().to_string();
        for part in parts.iter().chain([&fake.addr.to_string().as_str()]) {
            assert!(text.contains(part), "{service}: {text}");
        }
        assert!(text.len() < 1_000, "{service}: {} bytes", text.len());
    }
    let error = fake.client().health("silent", &Query::default()).await.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
    let closed = switchboard_testkit::free_port();
    let config = switchboard_registry::Config::at(&format!("127.0.0.1:{closed}")).unwrap();
    let error = switchboard_registry::Client::new(config).unwrap().leader().await.unwrap_err();
    assert!(error.to_string().contains("CONSUL_HTTP_ADDR"), "{error}");
}

#[tokio::test]
async fn a_lease_retries_until_the_registry_takes_it_and_says_why_it_did_not() {
    let fake = Fake::start(|number, _| match number {
        0 | 1 => Answer::With(500, 0, "No cluster leader".to_owned()),
        _ => Answer::With(200, 0, String::new()),
    })
    .await;
    let lease = Lease::keep(fake.client(), Registration::new("agent-echo", "127.0.0.1", 1));
    let mut state = lease.state();
    let refused =
        state.wait_for(|state| matches!(state, LeaseState::Registering { failures: 1.., .. })).await;
    let LeaseState::Registering { error: Some(error), .. } = refused.unwrap().clone() else {
        panic!("no error")
    };
    assert!(error.contains("No cluster leader"), "{error}");
    tokio::time::timeout(Duration::from_secs(10), lease.registered()).await.expect("registered");
    assert_eq!(fake.asked().len(), 3);
    drop(lease);
    assert!(
        fake.asked().iter().all(|asked| !asked.path.contains("deregister")),
        "a dropped lease says nothing"
    );
}

#[tokio::test]
async fn a_lease_ends_within_its_time_when_the_registry_is_silent() {
    let fake = Fake::start(|number, _| match number {
        0 => Answer::With(200, 0, String::new()),
        _ => Answer::Never,
    })
    .await;
    let lease = Lease::keep(fake.client(), Registration::new("agent-echo", "127.0.0.1", 1));
    lease.registered().await;
    let error = lease.deregister().await.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
}
