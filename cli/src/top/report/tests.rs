//! Sums over routers and differences in time, without a router.

use std::time::{Duration, Instant};

use super::super::admin::Problem;
use super::super::look::{Endpoints, Probe, Service};
use super::super::prometheus::Figures;
use super::*;

/// A look `seconds` after `start` at a router with one service of two instances.
fn look(start: Instant, seconds: f64, ended: u64, errors: u64) -> Look {
    let instance = |address: &str, ejected: bool, open_streams| Instance {
        id: format!("echo-{address}"),
        address: address.to_owned(),
        healthy: !ejected,
        open_streams,
        ejected,
        ..Instance::default()
    };
    let service = Service {
        service: "agent-echo".to_owned(),
        id: Some("echo-agent".to_owned()),
        known: 2,
        healthy: 1,
        instances: vec![instance("b:1", true, 1), instance("a:1", false, 4)],
    };
    let calls = Calls { ended, errors, durations: BTreeMap::from([(1_000, ended), (u64::MAX, 0)]) };
    let figures =
        Figures { services: BTreeMap::from([("agent-echo".to_owned(), calls)]), ..Figures::default() };
    let endpoints = Endpoints { services: vec![service], ..Endpoints::default() };
    Look { at: start + Duration::from_secs_f64(seconds), endpoints, figures }
}

fn router(before: Option<Look>, last: Option<Look>) -> (Address, History) {
    ("r:1".parse().unwrap(), History { before, last, problem: None })
}

#[test]
fn rates_are_differences_over_the_time_between_the_looks() {
    let start = Instant::now();
    let report = of(&[router(Some(look(start, 0.0, 100, 5)), Some(look(start, 2.0, 120, 9)))]);
    let row = &report.services[0];
    assert_eq!(row.rates, Rates { calls: Some(10.0), errors: Some(2.0) });
    assert_eq!(report.totals, row.rates);
    assert_eq!((row.open_streams, row.ejected(), row.down()), (5, 1, 0));
    assert_eq!((row.known, row.healthy), (Some(2), Some(1)));
    assert_eq!(row.instances[0].address, "a:1");
    assert!((row.p50.unwrap().ms - 0.5).abs() < 1e-9);
}

#[test]
fn instances_have_rates_and_quantiles_of_their_own() {
    let start = Instant::now();
    let with = |seconds, calls: u64, failures| {
        let mut look = look(start, seconds, calls, 0);
        let instance = &mut look.endpoints.services[0].instances[0];
        (instance.calls, instance.failures) = (Some(calls), failures);
        instance.durations_us = vec![(Some(1_000), 0), (Some(2_000), calls), (None, 0)];
        look
    };
    let one = router(Some(with(0.0, 100, 5)), Some(with(2.0, 120, 9)));
    let other = router(Some(with(0.0, 0, 0)), Some(with(1.0, 10, 0)));
    let row = &of(&[one.clone(), other]).services[0];
    let [silent, called] = &row.instances[..] else { panic!("{row:?}") };
    assert_eq!(called.rates, Rates { calls: Some(20.0), errors: Some(2.0) });
    assert!((called.p50.unwrap().ms - 1.5).abs() < 1e-9 && (called.p99.unwrap().ms - 1.99).abs() < 1e-9);
    assert_eq!((silent.rates, silent.p50), (Rates::default(), None));
    // It left and came back: its counters began anew.
    let back = router(Some(with(0.0, 100, 5)), Some(with(1.0, 3, 1)));
    let row = &of(&[back]).services[0];
    assert_eq!(row.instances[1].rates, Rates { calls: Some(3.0), errors: Some(1.0) });
}

#[test]
fn a_probe_that_serves_is_heard_before_the_others() {
    let start = Instant::now();
    let with = |found: &str| {
        let mut look = look(start, 0.0, 0, 0);
        look.endpoints.services[0].instances[0].probe = Some(Probe { found: found.to_owned() });
        router(None, Some(look))
    };
    let row = &of(&[with("unreachable"), with("serving"), with("never")]).services[0];
    assert_eq!(row.instances[1].probe.as_deref(), Some("serving"));
}

#[test]
fn several_routers_add_up_each_over_its_own_time() {
    let start = Instant::now();
    let one = router(Some(look(start, 0.0, 0, 0)), Some(look(start, 1.0, 10, 0)));
    let other = router(Some(look(start, 0.0, 0, 0)), Some(look(start, 2.0, 10, 2)));
    let row = &of(&[one, other]).services[0];
    assert_eq!(row.rates, Rates { calls: Some(15.0), errors: Some(1.0) });
    assert_eq!((row.instances.len(), row.instances[1].ejected, row.instances[1].routers), (2, 2, 2));
    assert_eq!((row.open_streams, row.known, row.healthy), (10, Some(2), Some(1)));
}

#[test]
fn one_look_has_no_rates() {
    let report = of(&[router(None, Some(look(Instant::now(), 0.0, 100, 5)))]);
    assert_eq!((report.services[0].rates, report.totals), (Rates::default(), Rates::default()));
    assert_eq!((report.services[0].p50, report.services[0].open_streams), (None, 5));
}

#[test]
fn a_router_that_started_again_counts_from_zero() {
    let start = Instant::now();
    let report = of(&[router(Some(look(start, 0.0, 1_000, 50)), Some(look(start, 1.0, 7, 1)))]);
    assert_eq!(report.totals, Rates { calls: Some(7.0), errors: Some(1.0) });
}

#[test]
fn a_router_that_is_gone_contributes_nothing_but_its_name() {
    let start = Instant::now();
    let mut gone = router(Some(look(start, 0.0, 0, 0)), Some(look(start, 1.0, 10, 0)));
    gone.1.problem = Some(Problem::Slow);
    let report = of(&[gone]);
    assert!(report.services.is_empty() && report.totals == Rates::default());
    assert!(report.routers[0].seen && report.routers[0].problem.as_deref().unwrap().contains("2 s"));
}

#[test]
fn calls_of_services_that_no_router_holds_are_shown_while_they_happen() {
    let start = Instant::now();
    let with = |seconds, ended| {
        let mut look = look(start, seconds, ended, 0);
        look.endpoints.services.clear();
        look
    };
    let report = of(&[router(Some(with(0.0, 1)), Some(with(1.0, 3)))]);
    assert_eq!((report.services[0].rates.calls, report.services[0].known), (Some(2.0), None));
    assert!(of(&[router(Some(with(0.0, 3)), Some(with(1.0, 3)))]).services.is_empty());
}

#[test]
fn names_from_the_registry_cannot_move_a_cursor() {
    let mut evil = look(Instant::now(), 0.0, 0, 0);
    evil.endpoints.services[0].service = "agent-\x1b[2J".to_owned();
    evil.endpoints.services[0].instances[0].address = "a\r\n:1".to_owned();
    let report = of(&[router(None, Some(evil))]);
    assert_eq!(report.services[0].service, "agent- [2J");
    assert!(report.services[0].instances.iter().any(|one| one.address == "a  :1"));
}
