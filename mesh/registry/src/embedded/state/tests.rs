//! Indexes, thresholds and removal of the tables, with given instants.

use super::*;
use crate::embedded::body::parse;

fn service(json: &str) -> NewService {
    parse(json.as_bytes()).unwrap()
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[test]
fn indexes_move_as_the_table_says() {
    let now = Instant::now();
    let mut state = State::new();
    let seen = |state: &State| {
        ["a", "b", "unknown"]
            .map(|name| state.service_index(name))
            .into_iter()
            .chain([state.services_index()])
    };
    let mut before: Vec<u64> = seen(&state).collect();
    let mut moved = |state: &State| {
        let after: Vec<u64> = seen(state).collect();
        let moved: Vec<bool> = after.iter().zip(&before).map(|(after, before)| after > before).collect();
        before = after;
        moved
    };
    let a = r#"{"Name":"a","ID":"a1","Port":1,"Check":{"TTL":"60s"}}"#;
    state.register(service(a), now).unwrap();
    assert_eq!(
        moved(&state),
        [true, true, true, true],
        "before any extinction an unknown service follows all"
    );
    state.register(service(a), now).unwrap();
    assert_eq!(moved(&state), [false, false, false, false], "an identical registration");
    state.heartbeat("service:a1", Status::Passing, String::new(), now).unwrap();
    assert_eq!(moved(&state), [true, true, true, false], "a check changes its status");
    state.heartbeat("service:a1", Status::Passing, "other output".to_owned(), now).unwrap();
    assert_eq!(moved(&state), [false, false, false, false], "a check changes its output only");
    state.register(service(r#"{"Name":"b","ID":"b1","Port":1}"#), now).unwrap();
    assert_eq!(moved(&state), [false, true, true, true]);
    state.register(service(r#"{"Name":"b","ID":"b2","Port":2}"#), now).unwrap();
    assert_eq!(moved(&state), [false, true, true, true]);
    state.deregister("b2");
    assert_eq!(moved(&state), [false, true, true, true], "one of two instances is removed");
    state.deregister("b1");
    assert_eq!(moved(&state), [false, true, true, true], "the last instance is removed");
    state.register(service(r#"{"Name":"c","ID":"c1","Port":2}"#), now).unwrap();
    assert_eq!(
        moved(&state),
        [false, false, false, true],
        "an unknown service now waits for extinctions only"
    );
    state.deregister("no such");
    assert_eq!(moved(&state), [false, false, false, false]);
    state.register(service(r#"{"Name":"d","ID":"a1","Port":1}"#), now).unwrap();
    assert_eq!(moved(&state), [true, true, true, true], "a1 is renamed, a is extinct");
}

#[test]
fn registering_again_does_not_heal_a_check() {
    let now = Instant::now();
    let mut state = State::new();
    let json = r#"{"Name":"a","Port":1,"Check":{"TTL":"60s","Status":"passing"}}"#;
    state.register(service(json), now).unwrap();
    state.heartbeat("service:a", Status::Critical, String::new(), now).unwrap();
    state.register(service(json), now).unwrap();
    assert_eq!(state.entry("a").unwrap().status(), Status::Critical);
}

#[test]
fn a_status_changes_once_its_threshold_is_reached() {
    let now = Instant::now();
    let mut state = State::new();
    let json = r#"{"Name":"a","Port":1,"Check":{"TCP":"h:1","Interval":"1s","Status":"passing",
                   "FailuresBeforeCritical":3,"SuccessBeforePassing":2}}"#;
    state.register(service(json), now).unwrap();
    let mut statuses = Vec::new();
    for works in [false, false, true, false, false, false, true, true] {
        let result = if works { Ok(String::new()) } else { Err(String::new()) };
        state.report("a", "service:a", result, now);
        statuses.push(state.entry("a").unwrap().status());
    }
    let (p, c) = (Status::Passing, Status::Critical);
    assert_eq!(statuses, [p, p, p, p, p, c, c, p]);
}

#[test]
fn a_ttl_ends_unless_it_is_renewed() {
    let start = Instant::now();
    let mut state = State::new();
    state
        .register(service(r#"{"Name":"a","Port":1,"Check":{"TTL":"10s","Status":"passing"}}"#), start)
        .unwrap();
    state.heartbeat("service:a", Status::Passing, String::new(), start + seconds(8)).unwrap();
    state.sweep(start + seconds(17));
    assert_eq!(state.entry("a").unwrap().status(), Status::Passing);
    state.sweep(start + seconds(18));
    let entry = state.entry("a").unwrap();
    assert_eq!((entry.status(), entry.checks[0].output.as_str()), (Status::Critical, "TTL expired"));
    assert!(state.heartbeat("nope", Status::Passing, String::new(), start).is_err());
}

#[test]
fn what_stays_critical_is_removed_after_a_minute_and_not_before() {
    let start = Instant::now();
    let mut state = State::new();
    let json = r#"{"Name":"a","Port":1,"Check":{"TCP":"h:1","Interval":"1s","DeregisterCriticalServiceAfter":"1s"}}"#;
    state.register(service(json), start).unwrap();
    state.report("a", "service:a", Ok(String::new()), start + seconds(1));
    state.report("a", "service:a", Err(String::new()), start + seconds(30));
    assert_eq!(state.sweep(start + seconds(89)), Vec::<String>::new());
    assert_eq!(state.sweep(start + seconds(90)), ["a"]);
    assert!(state.entry("a").is_none());
}

#[test]
fn the_number_of_services_is_bounded() {
    let now = Instant::now();
    let mut state = State::new();
    for n in 0..MAX_SERVICES {
        state.register(service(&format!(r#"{{"Name":"a","ID":"{n}"}}"#)), now).unwrap();
    }
    assert!(state.register(service(r#"{"Name":"a","ID":"more"}"#), now).is_err());
    state.register(service(r#"{"Name":"a","ID":"7","Port":3}"#), now).expect("replacing one is no growth");
}
