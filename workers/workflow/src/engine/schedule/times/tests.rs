//! Intervals, bounds and delays.

use proptest::prelude::*;

use super::*;

const HOUR: u64 = 3_600_000;

fn times(timing: Timing) -> Times {
    Times::new(&timing, 1_000).unwrap()
}

fn every(interval_ms: u64) -> Timing {
    Timing { interval_ms, ..Timing::default() }
}

#[test]
fn an_interval_counts_from_its_start_or_from_the_creation() {
    let from_creation = times(every(500));
    assert_eq!(
        [0, 1_000, 1_499, 1_500].map(|after| from_creation.next(after)),
        [1_000, 1_500, 1_500, 2_000].map(Some)
    );
    let from_start = times(Timing { start_at: 10_250, ..every(500) });
    assert_eq!(
        [1_000, 10_249, 10_250].map(|after| from_start.next(after)),
        [10_250, 10_250, 10_750].map(Some)
    );
}

#[test]
fn no_time_lies_before_the_start_or_after_the_end() {
    let timing = Timing { cron: "@hourly".to_owned(), start_at: HOUR, end_at: 3 * HOUR, ..Timing::default() };
    let times = times(timing.clone());
    let all: Vec<_> = std::iter::successors(times.next(0), |at| times.next(*at)).collect();
    assert_eq!(all, [HOUR, 2 * HOUR, 3 * HOUR]);
    assert!(timing.fires_after(2 * HOUR) && !timing.fires_after(3 * HOUR));
}

#[test]
fn what_cannot_be_read_is_said_by_field() {
    let wrong =
        Timing { cron: "x".to_owned(), time_zone: "Mars/Olympus".to_owned(), ..Timing::default() }.check();
    assert_eq!(wrong.iter().map(|(field, _)| *field).collect::<Vec<_>>(), ["cron", "time_zone"]);
    assert!(wrong[1].1.contains("Europe/Rome"), "{wrong:?}");
    assert!(Timing { time_zone: "../../etc/passwd".to_owned(), ..every(1_000) }.check().len() == 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn delays_are_the_same_always_and_keep_the_order(interval in 1..10_000_u64, jitter in 0..20_000_u64, at in 0..100_u64) {
        let times = times(Timing { jitter_ms: jitter, ..every(interval) });
        let at = 1_000 + at * interval;
        let due = times.due("s", at);
        prop_assert!(due >= at && due - at <= jitter && due < at + interval);
        prop_assert_eq!(due, times.clone().due("s", at));
    }

    #[test]
    fn the_latest_time_is_that_of_counting(interval in 1..500_u64, jitter in 0..1_000_u64, more in 0..5_000_u64) {
        let times = times(Timing { jitter_ms: jitter, ..every(interval) });
        let first = times.next(1_000).unwrap();
        let now = times.due("s", first) + more;
        let mut counted = (first, 0);
        while let Some(next) = times.next(counted.0).filter(|next| times.due("s", *next) <= now) {
            counted = (next, counted.1 + 1);
        }
        let latest = times.latest("s", first, now);
        prop_assert_eq!((latest, times.between(first, latest, usize::MAX)), counted);
    }
}

#[test]
fn delays_differ_between_schedules() {
    let times = times(Timing { jitter_ms: HOUR, ..every(2 * HOUR) });
    let dues: std::collections::HashSet<_> = (0..100).map(|n| times.due(&format!("s{n}"), HOUR)).collect();
    assert!(dues.len() > 90, "{dues:?}");
}
