//! Calendar dates without time zone: just what a forecast needs, so that no date library is.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// A day of the proleptic Gregorian calendar, counted from 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    days: i64,
}

impl Date {
    /// Gives the day at `now` where the sun is `longitude` degrees east: local mean time, near enough to
    /// the civil day that "today" in Auckland is not London's.
    pub fn local(now: SystemTime, longitude: f64) -> Self {
        let utc_seconds = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
        let local_seconds = utc_seconds + (longitude * 240.0) as i64;
        Self { days: local_seconds.div_euclid(86_400) }
    }

    /// Counts days from 1970-01-01.
    pub fn days(self) -> i64 {
        self.days
    }

    /// Gives the day `count` days later.
    pub fn plus_days(self, count: i64) -> Self {
        Self { days: self.days + count }
    }

    /// Splits into year, month (1 to 12) and day (1 to 31), by Howard Hinnant's `civil_from_days`.
    pub fn civil(self) -> (i64, u32, u32) {
        let shifted = self.days + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = (day_of_year - (153 * shifted_month + 2) / 5 + 1) as u32;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 } as u32;
        (year_of_era + era * 400 + i64::from(month <= 2), month, day)
    }

    /// Gives the share of the mean solar year that has passed, 0 at 1 January to just below 1.
    pub fn year_fraction(self) -> f64 {
        // 1970-01-01 began a year; the mean year drifts from the calendar by at most a day and a half.
        (self.days as f64 / 365.2425).rem_euclid(1.0)
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.civil();
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::Date;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn days_become_dates() {
        let cases = [
            (0, "1970-01-01"),
            (59, "1970-03-01"),
            (11_016, "2000-02-29"),
            (20_778, "2026-11-21"),
            (-1, "1969-12-31"),
        ];
        for (days, text) in cases {
            assert_eq!(Date { days }.to_string(), text);
        }
    }

    #[test]
    fn the_day_changes_earlier_in_the_east() {
        let evening = UNIX_EPOCH + Duration::from_secs(20 * 3600);
        assert_eq!(Date::local(evening, 0.0).to_string(), "1970-01-01");
        assert_eq!(Date::local(evening, 174.76).to_string(), "1970-01-02");
        assert_eq!(Date::local(UNIX_EPOCH, -74.0).to_string(), "1969-12-31");
    }

    #[test]
    fn january_begins_the_year_fraction_in_every_century() {
        for days in [0, 20_454, 20_819, 47_482] {
            let fraction = Date { days }.year_fraction();
            assert!(!(0.005..0.995).contains(&fraction), "{fraction}");
        }
    }
}
