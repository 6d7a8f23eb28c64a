//! Limits: what they let through, when they let go, and that their memory is bounded. The clock is moved by hand.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use switchboard_policy::{
    Dimension, Exceedance, Exceeded, FakeRelativeClock, Keys, Limits, MAX_KEYS, Mode, Permit, Policy,
};

const ANN: Keys<'_> = Keys {
    principal: Some("ann"),
    source: IpAddr::V4(Ipv4Addr::LOCALHOST),
    id: "echo-agent",
    method: "/agentplatform.AgentService/ExecuteTask",
};

fn limits(text: &str) -> (Limits, FakeRelativeClock) {
    let clock = FakeRelativeClock::default();
    // Any start will do.
    clock.advance(Duration::from_secs(1_000));
    let policy = Policy::parse(text, Mode::Any).unwrap();
    (Limits::with_clock(policy.limits(), clock.clone()), clock)
}

fn word(outcome: Result<Permit, Exceeded>) -> &'static str {
    outcome.map_or_else(|exceeded| exceeded.as_str(), |_| "ok")
}

#[test]
fn nothing_is_limited_where_nothing_is_set() {
    let (limits, _) = limits("");
    assert!((0..10_000).all(|_| limits.admit(&ANN).is_ok()));
    assert_eq!(limits.keys(), 0);
}

#[test]
fn a_rate_lets_a_burst_through_and_then_one_by_one() {
    let (limits, clock) = limits("[limits.principal]\nrate = \"10/s\"\nburst = 3\n");
    for _ in 0..3 {
        assert!(limits.admit(&ANN).is_ok());
    }
    let exceeded = limits.admit(&ANN).unwrap_err();
    assert_eq!((exceeded.dimension, exceeded.what), (Dimension::Principal, Exceedance::Rate));
    assert_eq!(exceeded.retry_after, Duration::from_millis(100));
    assert_eq!(exceeded.to_string(), "too many calls per time of one principal: try again in 100 ms");
    clock.advance(Duration::from_millis(99));
    assert_eq!(limits.admit(&ANN).unwrap_err().retry_after, Duration::from_millis(1));
    clock.advance(Duration::from_millis(1));
    assert!(limits.admit(&ANN).is_ok() && limits.admit(&ANN).is_err());
    clock.advance(Duration::from_secs(3_600));
    assert_eq!((0..10).filter(|_| limits.admit(&ANN).is_ok()).count(), 3);
}

#[test]
fn a_burst_is_the_rates_number_where_none_is_set() {
    for (rate, burst) in [("5/s", 5), ("60/m", 60), ("1/h", 1)] {
        let (limits, _) = limits(&format!("[limits.id]\nrate = \"{rate}\"\n"));
        assert_eq!((0..100).filter(|_| limits.admit(&ANN).is_ok()).count(), burst, "{rate}");
    }
}

#[test]
fn every_dimension_counts_its_own_keys() {
    let source = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    let others = [
        ("principal", Keys { principal: Some("bob"), ..ANN }),
        ("principal", Keys { principal: None, ..ANN }),
        ("source", Keys { source, ..ANN }),
        ("id", Keys { id: "weather-tool", ..ANN }),
        ("method", Keys { method: "/x.Y/Z", ..ANN }),
    ];
    for (dimension, other) in others {
        let (limits, _) = limits(&format!("[limits.{dimension}]\nrate = \"1/s\"\nconcurrency = 1\n"));
        let first = limits.admit(&ANN).unwrap();
        assert_eq!(word(limits.admit(&ANN)), format!("{dimension}_concurrency"));
        let second = limits.admit(&other).unwrap();
        drop((first, second));
        assert_eq!(word(limits.admit(&ANN)), format!("{dimension}_rate"));
        assert_eq!(limits.keys(), 2, "{dimension}");
    }
}

#[test]
fn who_proved_nothing_is_not_a_principal_of_that_name() {
    let (limits, _) = limits("[limits.principal]\nrate = \"1/s\"\n");
    for principal in [None, Some("anonymous"), Some("")] {
        assert_eq!(word(limits.admit(&Keys { principal, ..ANN })), "ok", "{principal:?}");
        assert_eq!(word(limits.admit(&Keys { principal, ..ANN })), "principal_rate", "{principal:?}");
    }
}

#[test]
fn a_source_is_what_one_client_is_given() {
    let (limits, _) = limits("[limits.source]\nrate = \"1/s\"\n");
    let from = |address: &str| word(limits.admit(&Keys { source: address.parse().unwrap(), ..ANN }));
    assert_eq!(from("2001:db8:1:2::1"), "ok");
    assert_eq!(from("2001:db8:1:2:ffff::9"), "source_rate");
    assert_eq!(from("2001:db8:1:3::1"), "ok");
    assert_eq!(from("192.0.2.1"), "ok");
    assert_eq!(from("::ffff:192.0.2.1"), "source_rate");
    assert_eq!(from("192.0.2.2"), "ok");
}

#[test]
fn a_query_makes_no_other_method() {
    let (limits, _) = limits("[limits.method]\nrate = \"1/s\"\n");
    assert_eq!(word(limits.admit(&Keys { method: "/x.Y/Z", ..ANN })), "ok");
    assert_eq!(word(limits.admit(&Keys { method: "/x.Y/Z?1", ..ANN })), "method_rate");
}

#[test]
fn calls_in_flight_are_counted_until_they_end() {
    let (limits, _) = limits("[limits.id]\nconcurrency = 2\n");
    let first = limits.admit(&ANN).unwrap();
    let second = limits.admit(&ANN).unwrap();
    let exceeded = limits.admit(&ANN).unwrap_err();
    assert_eq!((exceeded.as_str(), exceeded.retry_after.is_zero()), ("id_concurrency", false));
    // A sweep does not forget calls in flight.
    limits.sweep();
    assert_eq!(word(limits.admit(&ANN)), "id_concurrency");
    drop(first);
    let third = limits.admit(&ANN).unwrap();
    assert_eq!(word(limits.admit(&ANN)), "id_concurrency");
    drop((second, third));
    limits.sweep();
    assert_eq!(limits.keys(), 0);
}

#[test]
fn a_refused_call_gives_back_what_it_had_counted() {
    let (limits, clock) = limits(
        "[limits.principal]\nconcurrency = 1\n[limits.id]\nconcurrency = 1\n[limits.method]\nrate = \"1/s\"\n",
    );
    let held = limits.admit(&Keys { principal: Some("bob"), ..ANN }).unwrap();
    assert_eq!(word(limits.admit(&ANN)), "id_concurrency");
    drop(held);
    assert_eq!(word(limits.admit(&ANN)), "method_rate");
    clock.advance(Duration::from_secs(1));
    assert_eq!(word(limits.admit(&ANN)), "ok");
}

#[test]
fn a_permit_outlives_the_limits_that_gave_it() {
    let (limits, _) = limits("[limits.id]\nconcurrency = 1\n");
    let permit = limits.admit(&ANN).unwrap();
    drop(limits);
    drop(permit);
}

#[test]
fn threads_share_one_count() {
    let (limits, _) = limits("[limits.principal]\nrate = \"1000/s\"\n[limits.id]\nconcurrency = 7\n");
    let (admitted, most, current) = (AtomicU32::new(0), AtomicU32::new(0), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..2_000 {
                    let Ok(permit) = limits.admit(&ANN) else { continue };
                    admitted.fetch_add(1, Ordering::Relaxed);
                    most.fetch_max(current.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                    current.fetch_sub(1, Ordering::Relaxed);
                    drop(permit);
                }
            });
        }
    });
    // The clock stands: what the burst allows, and not one more.
    assert_eq!(admitted.into_inner(), 1_000);
    assert!(most.into_inner() <= 7);
    assert!((0..7).all(|_| limits.admit(&Keys { principal: Some("bob"), ..ANN }).is_ok()));
}

#[test]
fn a_million_keys_take_no_more_memory_than_the_bound() {
    let (limits, clock) = limits("[limits.principal]\nrate = \"2/s\"\n[limits.source]\nconcurrency = 1\n");
    let known = Keys { principal: Some("known for long"), ..ANN };
    assert_eq!(word(limits.admit(&known)), "ok");
    let mut ok = 0;
    for at in 0..1_000_000_u32 {
        let name = format!("user {at}");
        let keys = Keys { principal: Some(&name), source: Ipv4Addr::from_bits(at).into(), ..ANN };
        ok += u32::from(limits.admit(&keys).is_ok());
    }
    assert!(limits.keys() <= 2 * MAX_KEYS, "{}", limits.keys());
    // All that found a place were let through; the others shared what is left.
    let places = u32::try_from(MAX_KEYS).unwrap();
    assert!(ok > places * 9 / 10 && ok < places * 12 / 10, "{ok}");
    // Who was known before the flood still has a limit of its own.
    assert_eq!(word(limits.admit(&known)), "ok");
    assert_eq!(word(limits.admit(&known)), "principal_rate");
    // Once the flood is over, its places are free again, without anybody sweeping.
    clock.advance(Duration::from_secs(2));
    let again = (0..1_000).filter(|at| {
        let name = format!("later {at}");
        let keys = Keys { principal: Some(&name), ..ANN };
        limits.admit(&keys).is_ok() && limits.admit(&keys).is_ok()
    });
    assert_eq!(again.count(), 1_000);
    clock.advance(Duration::from_secs(2));
    limits.sweep();
    assert_eq!(limits.keys(), 0);
}
