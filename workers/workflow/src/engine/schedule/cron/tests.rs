//! What expressions mean, and what happens to them when clocks change.

use jiff::{civil::DateTime, tz::TimeZoneDatabase};
use proptest::prelude::*;

use super::*;

fn zone(name: &str) -> TimeZone {
    TimeZoneDatabase::bundled().get(name).unwrap()
}

/// The next times after a local time, as local times with their offset.
#[track_caller]
fn next(cron: &str, name: &str, after: &str, count: usize) -> Vec<String> {
    let (cron, zone) = (Cron::read(cron).unwrap(), zone(name));
    let after: DateTime = after.parse().unwrap();
    let mut at = zone.to_timestamp(after).unwrap().as_millisecond() as Millis;
    let mut times = Vec::new();
    for _ in 0..count {
        at = cron.next(&zone, at).unwrap();
        let local = Timestamp::from_millisecond(at as i64).unwrap().to_zoned(zone.clone());
        times.push(local.strftime("%F %H:%M%:z").to_string());
    }
    times
}

#[track_caller]
fn check(cron: &str, name: &str, after: &str, expected: &[&str]) {
    assert_eq!(next(cron, name, after, expected.len()), expected, "{cron} in {name}");
}

#[test]
fn fields_are_read_as_cron_reads_them() {
    let utc = |cron: &str, after: &str, expected: &[&str]| {
        let got = next(cron, "UTC", after, expected.len());
        let expected: Vec<String> = expected.iter().map(|at| format!("{at}+00:00")).collect();
        assert_eq!(got, expected, "{cron}");
    };
    utc("0 8 * * 1-5", "2026-11-20T08:00", &["2026-11-23 08:00", "2026-11-24 08:00"]);
    utc("0 8 * * mon-FRI", "2026-11-20T07:59:59", &["2026-11-20 08:00", "2026-11-23 08:00"]);
    utc(
        "*/20 9-10 * * *",
        "2026-11-22T09:45",
        &["2026-11-22 10:00", "2026-11-22 10:20", "2026-11-22 10:40", "2026-11-23 09:00"],
    );
    utc(
        "5,7-9/2 0 1 jan *",
        "2026-11-22T00:00",
        &["2027-01-01 00:05", "2027-01-01 00:07", "2027-01-01 00:09", "2028-01-01 00:05"],
    );
    // Either the day or the weekday, when both are restricted.
    utc(
        "0 0 13 * 5",
        "2026-11-10T00:00",
        &[
            "2026-11-13 00:00",
            "2026-11-20 00:00",
            "2026-11-27 00:00",
            "2026-12-04 00:00",
            "2026-12-11 00:00",
            "2026-12-13 00:00",
        ],
    );
    // Both, when one of them begins with a star.
    utc("0 0 */2 * 1", "2026-11-10T00:00", &["2026-11-23 00:00", "2026-12-07 00:00"]);
    utc("0 0 * * 7", "2026-11-21T00:00", &["2026-11-22 00:00", "2026-11-29 00:00"]);
    utc(
        "0 0 * * fri-sun",
        "2026-11-19T00:00",
        &["2026-11-20 00:00", "2026-11-21 00:00", "2026-11-22 00:00", "2026-11-27 00:00"],
    );
    utc("0 0 29 2 *", "2026-11-22T00:00", &["2028-02-29 00:00", "2032-02-29 00:00"]);
    utc("0 0 31 * *", "2026-08-31T00:00", &["2026-10-31 00:00", "2026-12-31 00:00", "2027-01-31 00:00"]);
    utc("@weekly", "2026-11-21T00:00", &["2026-11-22 00:00"]);
    utc("@yearly", "2026-11-21T00:00", &["2027-01-01 00:00"]);
}

#[test]
fn what_is_no_expression_is_refused_with_what_to_do() {
    for (cron, says) in [
        ("", "five fields"),
        ("* * * *", "five fields"),
        ("0 0 0 * * *", "five fields"),
        ("@reboot", "@daily"),
        ("60 * * * *", "\"60\" is no minute: use 0 to 59"),
        ("0 24 * * *", "use 0 to 23"),
        ("0 0 0 * *", "use 1 to 31"),
        ("0 0 * 13 *", "use 1 to 12, or jan to dec"),
        ("0 0 * * 8", "use 0 to 7, or sun to sat"),
        ("0 0 * * monday", "use 0 to 7, or sun to sat"),
        ("10-5 * * * *", "behind its beginning"),
        ("*/0 * * * *", "whole number from 1"),
        ("*/x * * * *", "whole number from 1"),
        ("5/15 * * * *", "follows * or a range"),
        ("1,,2 * * * *", "\"\" is no minute"),
        ("-1 * * * *", "is no minute"),
        ("? * * * *", "is no minute"),
        ("99999999999999999999 * * * *", "is no minute"),
    ] {
        let refused = Cron::read(cron).unwrap_err();
        assert!(refused.contains(says), "{cron:?}: {refused}");
    }
    assert!(Cron::read(&"1,".repeat(400)).unwrap_err().contains("at most 512"));
}

#[test]
fn a_day_that_does_not_exist_never_comes() {
    for cron in ["0 0 30 2 *", "0 0 31 2,4,6,9,11 *"] {
        assert_eq!(Cron::read(cron).unwrap().next(&TimeZone::UTC, 0), None, "{cron}");
    }
    // Once in 28 years, and once in 40 when 2100 is between.
    check("0 0 29 2 */7", "UTC", "2026-11-22T00:00", &["2032-02-29 00:00+00:00", "2060-02-29 00:00+00:00"]);
    check("0 0 29 2 */7", "UTC", "2090-11-22T00:00", &["2128-02-29 00:00+00:00"]);
}

#[test]
fn a_time_that_spring_skips_is_made_up_for_once() {
    // 02:00 +01:00 is 03:00 +02:00.
    let before = "2026-03-28T12:00";
    check("30 2 * * *", "Europe/Rome", before, &["2026-03-29 03:00+02:00", "2026-03-30 02:30+02:00"]);
    check("0,30 2 * * *", "Europe/Rome", before, &["2026-03-29 03:00+02:00", "2026-03-30 02:00+02:00"]);
    check("0 2,3 * * *", "Europe/Rome", before, &["2026-03-29 03:00+02:00", "2026-03-30 02:00+02:00"]);
    check(
        "30 1,2,3 * * *",
        "Europe/Rome",
        before,
        &["2026-03-29 01:30+01:00", "2026-03-29 03:00+02:00", "2026-03-29 03:30+02:00"],
    );
    // Also where midnight is what is skipped, and where it is half an hour.
    check(
        "0 0 * * *",
        "America/Santiago",
        "2026-09-05T12:00",
        &["2026-09-06 01:00-03:00", "2026-09-07 00:00-03:00"],
    );
    check(
        "15 2 * * *",
        "Australia/Lord_Howe",
        "2026-10-03T12:00",
        &["2026-10-04 02:30+11:00", "2026-10-05 02:15+11:00"],
    );
}

#[test]
fn a_time_that_comes_twice_in_autumn_counts_once() {
    let before = "2026-10-24T12:00";
    check("30 2 * * *", "Europe/Rome", before, &["2026-10-25 02:30+02:00", "2026-10-26 02:30+01:00"]);
    check("0 2,3 * * *", "Europe/Rome", before, &["2026-10-25 02:00+02:00", "2026-10-25 03:00+01:00"]);
    check(
        "30 23 * * *",
        "America/Santiago",
        "2026-04-04T12:00",
        &["2026-04-04 23:30-03:00", "2026-04-05 23:30-04:00"],
    );
}

#[test]
fn what_begins_with_a_star_goes_on_by_time_that_passes() {
    check(
        "0 * * * *",
        "Europe/Rome",
        "2026-03-29T00:30",
        &["2026-03-29 01:00+01:00", "2026-03-29 03:00+02:00", "2026-03-29 04:00+02:00"],
    );
    check(
        "0 * * * *",
        "Europe/Rome",
        "2026-10-25T01:30",
        &["2026-10-25 02:00+02:00", "2026-10-25 02:00+01:00", "2026-10-25 03:00+01:00"],
    );
    check(
        "*/30 2 * * *",
        "Europe/Rome",
        "2026-03-28T12:00",
        &["2026-03-30 02:00+02:00", "2026-03-30 02:30+02:00"],
    );
    check(
        "*/30 2 * * *",
        "Europe/Rome",
        "2026-10-25T01:30",
        &[
            "2026-10-25 02:00+02:00",
            "2026-10-25 02:30+02:00",
            "2026-10-25 02:00+01:00",
            "2026-10-25 02:30+01:00",
        ],
    );
}

/// All times from `from` to `to` by looking at every minute.
fn by_minute(cron: &Cron, zone: &TimeZone, from: i64, to: i64) -> Vec<Millis> {
    let local = |at: i64| zone.to_datetime(Timestamp::from_millisecond(at).unwrap());
    let on = |local: DateTime| {
        cron.matches(local.date())
            && cron.has_minute(i64::from(local.hour()) * 60 + i64::from(local.minute()))
    };
    let mut times = Vec::new();
    // From some days before, to know which local times have been.
    let mut latest = local(from - 72 * HOUR_MS);
    for at in (from - 72 * HOUR_MS..=to).step_by(MINUTE_MS as usize) {
        let now = local(at);
        let fires = match cron.steady {
            true => on(now),
            false => {
                let new = std::iter::successors(Some(latest), |last| {
                    last.checked_add(jiff::Span::new().minutes(1)).ok()
                });
                new.skip(1).take_while(|local| *local <= now).any(on)
            }
        };
        latest = latest.max(now);
        if fires && at > from {
            times.push(at as Millis);
        }
    }
    times
}

fn expression() -> impl Strategy<Value = String> {
    let minute = prop_oneof!["\\*/(7|10|30|60)", "[0-5][0-9]", "[0-2][0-9],[3-5][0-9]"];
    let hour =
        prop_oneof![Just("*".to_owned()), Just("*/2".to_owned()), "[0-4]", "(22|23|0)", "0-3", "1,2,3"];
    let weekday = prop_oneof![3 => Just("*".to_owned()), 1 => "[0-7]"];
    (minute, hour, weekday).prop_map(|(minute, hour, weekday)| format!("{minute} {hour} * * {weekday}"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_next_time_is_that_of_looking_at_every_minute(
        text in expression(),
        (name, change) in prop::sample::select(vec![
            ("Europe/Rome", "2026-03-29T01:00:00Z"),
            ("Europe/Rome", "2026-10-25T01:00:00Z"),
            ("America/Santiago", "2026-04-05T03:00:00Z"),
            ("America/Santiago", "2026-09-06T04:00:00Z"),
            ("Australia/Lord_Howe", "2026-04-04T15:00:00Z"),
            ("Australia/Lord_Howe", "2026-10-03T15:30:00Z"),
            ("Africa/Casablanca", "2026-02-15T02:00:00Z"),
            // Over midnight, and a whole day that was not.
            ("America/St_Johns", "2010-11-07T02:31:00Z"),
            ("Pacific/Apia", "2011-12-30T10:00:00Z"),
            ("UTC", "2026-01-01T00:00:00Z"),
        ]),
        before in 0..(30 * 60_i64),
    ) {
        let (cron, zone) = (Cron::read(&text).unwrap(), zone(name));
        let change: Timestamp = change.parse().unwrap();
        let from = change.as_millisecond() - before * MINUTE_MS;
        let to = from + 60 * HOUR_MS;
        let expected = by_minute(&cron, &zone, from, to);
        let found: Vec<Millis> = std::iter::successors(cron.next(&zone, from as Millis), |at| cron.next(&zone, *at))
            .take_while(|at| *at <= to as Millis)
            .collect();
        prop_assert_eq!(found, expected, "{} in {} from {}", text, name, from);
    }
}
