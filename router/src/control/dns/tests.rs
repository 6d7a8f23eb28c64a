//! Look-ups by DNS against a scripted server and a real Consul (complaints rows 1 and 2), and how answers are merged.

use super::{
    fake::{Answer, Fake},
    *,
};
use hickory_resolver::proto::op::ResponseCode;
use std::{collections::BTreeSet, time::Instant};
use switchboard_registry::{Check, Client, Config};
use switchboard_testkit::{Consul, eventually};

async fn asked(answer: impl Fn() -> Answer + Send + Sync + 'static) -> Result<Vec<Found>, Failed> {
    let fake = Fake::start(move |_| answer()).await;
    Dns::new(&fake.addr.to_string(), "consul", None).instances("agent-echo").await
}

fn places(found: &[Found]) -> BTreeSet<(String, u16)> {
    found.iter().map(|found| (found.host.clone(), found.port)).collect()
}

#[tokio::test]
async fn hosts_ports_and_weights_are_read_and_what_is_none_is_left_out() {
    let instances = vec![
        ("10.0.0.1", 1, 5),
        ("10.0.0.1", 2, 0),
        ("10.0.0.1", 2, 7),
        ("2001:db8::1", 3, 1),
        ("db.example", 4, 1),
        ("10.0.0.2", 0, 1),
        ("0.0.0.0", 5, 1),
        ("224.0.0.1", 6, 1),
    ];
    let found = asked(move || Answer::Instances(instances.clone())).await.unwrap();
    let found: Vec<_> = found.iter().map(|found| (&*found.host, found.port, found.weight)).collect();
    assert_eq!(found, [("10.0.0.1", 1, 5), ("10.0.0.1", 2, 1), ("2001:db8::1", 3, 1), ("db.example", 4, 1)]);
}

#[tokio::test]
async fn a_name_that_is_not_there_has_no_instance_and_an_answer_to_another_question_counts_for_nothing() {
    assert_eq!(asked(|| Answer::Code(ResponseCode::NXDomain)).await, Ok(Vec::new()));
    assert_eq!(asked(|| Answer::Code(ResponseCode::NoError)).await, Ok(Vec::new()));
    assert_eq!(asked(|| Answer::Stranger(vec![("10.0.0.1", 1, 1)])).await, Ok(Vec::new()));
}

#[tokio::test]
async fn what_is_no_answer_is_an_error_within_the_patience() {
    let no_answers: [fn() -> Answer; 5] = [
        || Answer::Code(ResponseCode::ServFail),
        || Answer::Code(ResponseCode::Refused),
        || Answer::Cut(vec![("10.0.0.1", 1, 1)]),
        || Answer::Garbage,
        || Answer::Close,
    ];
    for answer in no_answers {
        asked(answer).await.expect_err("no answer");
    }
    let started = Instant::now();
    assert_eq!(asked(|| Answer::Silence).await.unwrap_err(), "its DNS did not answer in time".into());
    assert!(started.elapsed() < PATIENCE * 3, "{:?}", started.elapsed());
    let closed = switchboard_testkit::free_port();
    Dns::new(&format!("127.0.0.1:{closed}"), "consul", None).instances("a").await.unwrap_err();
}

#[tokio::test]
async fn questions_name_service_datacenter_and_domain_and_nothing_else_gets_into_them() {
    let fake = Fake::start(|_| Answer::Code(ResponseCode::NXDomain)).await;
    let addr = fake.addr.to_string();
    Dns::new(&addr, "consul", None).instances("agent-echo").await.unwrap();
    Dns::new(&addr, "mesh.example.", Some("dc2")).instances("tool_x").await.unwrap();
    let here = Dns::new(&addr, "consul", None);
    let long = "x".repeat(64);
    for name in ["", "demo.Echo", "a b", "a.", "..", "\u{e9}", &long] {
        here.instances(name).await.unwrap_err();
    }
    assert_eq!(fake.asked(), ["agent-echo.service.consul.", "tool_x.service.dc2.mesh.example."]);
}

#[tokio::test]
async fn a_server_that_closes_its_connections_is_asked_again() {
    let fake = Fake::start(|name| match name {
        "bad.service.consul." => Answer::Close,
        _ => Answer::Instances(vec![("10.0.0.1", 1, 1)]),
    })
    .await;
    let dns = Dns::new(&fake.addr.to_string(), "consul", None);
    for _ in 0..3 {
        assert_eq!(dns.instances("good").await.unwrap().len(), 1);
        dns.instances("bad").await.unwrap_err();
    }
}

#[test]
fn dns_decides_who_is_healthy_and_http_who_they_are() {
    let found = |host: &str, port| Found { host: host.to_owned(), port, weight: 3 };
    let known = |id: &str, address: &str, status| {
        let meta = BTreeMap::from([("version".to_owned(), "v2".to_owned())]);
        let instance = found(address, 1).instance("agent-echo");
        let instance = Instance { id: id.to_owned(), status, meta, weight: 1, ..instance };
        Known { instance, addr: Err("not resolved".into()) }
    };
    let last = [
        known("stays", "10.0.0.1", Status::Passing),
        known("goes", "10.0.0.2", Status::Passing),
        known("heals", "2001:DB8::1", Status::Critical),
        known("warns", "db.example", Status::Warning),
    ];
    let found = [found("10.0.0.1", 1), found("10.0.0.1", 2), found("2001:db8::1", 1), found("DB.example", 1)];
    let merged = merge("agent-echo", &last, &found);
    let rows: Vec<_> = merged.iter().map(|one| (&*one.id, one.status, one.meta.len(), one.weight)).collect();
    assert_eq!(
        rows,
        [
            ("stays", Status::Passing, 1, 1),
            ("goes", Status::Critical, 1, 1),
            ("heals", Status::Passing, 1, 1),
            ("warns", Status::Warning, 1, 1),
            ("agent-echo-10.0.0.1-2", Status::Passing, 0, 3),
        ]
    );
}

#[tokio::test]
async fn three_hundred_instances_of_a_real_consul_arrive_whole() {
    let consul = Consul::start().await.unwrap();
    let client = Client::new(Config::at(&consul.http_url()).unwrap()).unwrap();
    let mut registered = BTreeSet::new();
    for n in 0..300_u16 {
        let address =
            if n < 20 { "10.0.0.1".to_owned() } else { format!("10.0.{}.{}", n / 100 + 1, n % 100) };
        let mut registration = Registration::new("agent-many", address, 50_000 + n);
        registration.check = Check::None;
        client.register(&registration).await.unwrap();
        registered.insert((registration.address, registration.port));
    }
    let mut sick = Registration::new("agent-many", "10.9.9.9", 1);
    sick.check = Check::tcp("127.0.0.1:1");
    sick.starts_passing = false;
    client.register(&sick).await.unwrap();
    let mut named = Registration::new("agent-named", "db.example", 1);
    named.check = Check::None;
    client.register(&named).await.unwrap();

    let dns = Dns::new(&consul.dns_addr().to_string(), "consul", Some("dc1"));
    let all = async || match dns.instances("agent-many").await {
        Ok(found) if places(&found) == registered => Ok(()),
        other => Err(other.map(|found| found.len())),
    };
    eventually(Duration::from_secs(20), all).await.unwrap();
    assert_eq!(places(&dns.instances("agent-named").await.unwrap()), [("db.example".to_owned(), 1)].into());
    assert_eq!(dns.instances("agent-nobody").await, Ok(Vec::new()));
}
