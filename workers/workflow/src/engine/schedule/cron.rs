//! Cron expressions: five fields, read as Vixie cron reads them, in a time zone.
//!
//! | field | values | names |
//! |---|---|---|
//! | minute | 0-59 | |
//! | hour | 0-23 | |
//! | day of the month | 1-31 | |
//! | month | 1-12 | jan-dec |
//! | weekday | 0-7, 0 and 7 are Sunday | sun-sat |
//!
//! A field is a list of `*`, `n`, `n-m`, `*/step` and `n-m/step`. If both day and weekday are restricted, that is, neither
//! begins with `*`, a day matches when one of them does.
//!
//! When clocks change, an expression with fixed hours and minutes fires once for each day: a time that a change skips is made
//! up for at the moment of the change, and of a time that comes twice the first counts. One whose minutes or hours
//! begin with `*` is an interval, and goes on by time that passes: nothing is made up for, and an hour that comes twice is two
//! hours.

use jiff::{
    Timestamp,
    civil::Date,
    tz::{AmbiguousOffset, TimeZone},
};
use workflow_machine::Millis;

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

/// More than any zone's offset from UTC.
const MAX_OFFSET_MS: i64 = 16 * HOUR_MS;

/// Longest expression: each value of each field by itself takes less.
const MAX_CHARS: usize = 512;

/// Of an expression that errors repeat.
const MAX_SHOWN_CHARS: usize = 40;

/// How far the next time is searched: 29 February falls on a given weekday every 28 years, but 40 around 2100.
const MAX_DAYS: usize = 41 * 366;

/// A cron expression: sets of values, a bit each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cron {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    /// 0 is Sunday.
    weekdays: u64,
    /// A day matches by day of the month or by weekday, rather than by both.
    either: bool,
    /// Minutes or hours begin with `*`: it goes on by time that passes.
    steady: bool,
}

/// One of the five fields.
struct Field {
    name: &'static str,
    first: u32,
    last: u32,
    names: &'static [&'static str],
}

const MONTHS: &[&str] = &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

const FIELDS: [Field; 5] = [
    Field { name: "minute", first: 0, last: 59, names: &[] },
    Field { name: "hour", first: 0, last: 23, names: &[] },
    Field { name: "day", first: 1, last: 31, names: &[] },
    Field { name: "month", first: 1, last: 12, names: MONTHS },
    Field { name: "weekday", first: 0, last: 7, names: WEEKDAYS },
];

const NAMED: [(&str, &str); 5] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
];

impl Cron {
    /// Reads an expression.
    ///
    /// # Errors
    /// What is wrong with it, and what it may be.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.len() > MAX_CHARS {
            return Err(format!("has {} bytes, at most {MAX_CHARS}; use ranges and steps", text.len()));
        }
        let text = match NAMED.iter().find(|(name, _)| *name == text) {
            Some((_, fields)) => fields,
            None => text,
        };
        let parts: Vec<&str> = text.split_whitespace().collect();
        let Ok(parts): Result<[&str; 5], _> = parts.try_into() else {
            return Err("expected five fields (minute hour day month weekday), as in \"0 8 * * 1-5\", or \
                        @hourly, @daily, @weekly, @monthly or @yearly"
                .to_owned());
        };
        let mut sets = [0; 5];
        for ((set, field), part) in sets.iter_mut().zip(&FIELDS).zip(parts) {
            for item in part.split(',') {
                *set |= field.read(item).map_err(|expected| {
                    let shown: String = item.chars().take(MAX_SHOWN_CHARS).collect();
                    format!("{shown:?} is no {}: {expected}", field.name)
                })?;
            }
        }
        let [minutes, hours, days, months, weekdays] = sets;
        let [minute, hour, day, _, weekday] = parts.map(|part| part.starts_with('*'));
        Ok(Self {
            minutes,
            hours,
            days,
            months,
            weekdays: (weekdays | weekdays >> 7) & 0x7f,
            either: !day && !weekday,
            steady: minute || hour,
        })
    }

    /// The first time after `after`, in Unix milliseconds; `None` if there is none for 41 years, which is never.
    pub(super) fn next(&self, zone: &TimeZone, after: Millis) -> Option<Millis> {
        let after = i64::try_from(after).ok()?;
        let local = zone.to_datetime(Timestamp::from_millisecond(after).ok()?);
        // A clock that is turned back over midnight has a part of yesterday come again.
        let mut date = local.date().yesterday().ok()?;
        for _ in 0..MAX_DAYS {
            if !has(self.months, date.month().unsigned_abs().into()) {
                date = date.last_of_month().tomorrow().ok()?;
                continue;
            }
            let tomorrow = date.tomorrow().ok()?;
            if let Some(at) = self.first_of(date, zone, after) {
                // For the same reason.
                let at = self.first_of(tomorrow, zone, after).map_or(at, |other| other.min(at));
                return Millis::try_from(at).ok();
            }
            date = tomorrow;
        }
        None
    }

    fn matches(&self, date: Date) -> bool {
        let day = has(self.days, date.day().unsigned_abs().into());
        let weekday = has(self.weekdays, date.weekday().to_sunday_zero_offset().unsigned_abs().into());
        has(self.months, date.month().unsigned_abs().into())
            && if self.either { day || weekday } else { day && weekday }
    }

    /// The first time of a day after `after`.
    fn first_of(&self, date: Date, zone: &TimeZone, after: i64) -> Option<i64> {
        if !self.matches(date) {
            return None;
        }
        // As if the zone were UTC: where it is, the day begins up to 14 hours earlier and 12 later.
        let midnight = TimeZone::UTC.to_timestamp(date.at(0, 0, 0, 0)).ok()?.as_millisecond();
        let before = Timestamp::from_millisecond(midnight - MAX_OFFSET_MS).ok()?;
        let offset = |at: Timestamp| i64::from(zone.to_offset(at).seconds()) * 1_000;
        let changes = zone.following(before).map(|change| change.timestamp());
        let mut changes = changes.take_while(|at| at.as_millisecond() <= midnight + DAY_MS + MAX_OFFSET_MS);
        let offset = match (changes.next(), changes.next()) {
            (None, _) => offset(before),
            (Some(change), None) => {
                let (earlier, later) = (offset(before), offset(change));
                let (least, most) = (earlier.min(later), earlier.max(later));
                let change = change.as_millisecond();
                // Local times from `change + least` to `change + most` are those that are skipped or come twice.
                if midnight + DAY_MS <= change + least {
                    earlier
                } else if midnight >= change + most {
                    later
                } else {
                    return self.first_of_uneven(date, zone, after, midnight, (least, most));
                }
            }
            _ => {
                let bounds = (-MAX_OFFSET_MS, MAX_OFFSET_MS);
                return self.first_of_uneven(date, zone, after, midnight, bounds);
            }
        };
        let minute = self.minutes_after(after + offset - midnight).next()?;
        Some(midnight - offset + minute * MINUTE_MS)
    }

    /// The same for a day on which clocks change; offsets from UTC lie within the bounds.
    fn first_of_uneven(
        &self,
        date: Date,
        zone: &TimeZone,
        after: i64,
        midnight: i64,
        (least, most): (i64, i64),
    ) -> Option<i64> {
        let mut first: Option<i64> = None;
        for minute in self.minutes_after(after + least - midnight) {
            if first.is_some_and(|first| midnight + minute * MINUTE_MS - most > first) {
                break;
            }
            let local = date.at((minute / 60) as i8, (minute % 60) as i8, 0, 0);
            let times = match zone.to_ambiguous_timestamp(local).offset() {
                AmbiguousOffset::Unambiguous { offset } => [offset.to_timestamp(local).ok(), None],
                AmbiguousOffset::Fold { before, after } => {
                    let again = if self.steady { after.to_timestamp(local).ok() } else { None };
                    [before.to_timestamp(local).ok(), again]
                }
                AmbiguousOffset::Gap { .. } if self.steady => [None, None],
                AmbiguousOffset::Gap { after, .. } => {
                    // Read by the later offset, a skipped time lies before the change.
                    let before = after.to_timestamp(local).ok();
                    let change = before.and_then(|before| zone.following(before).next());
                    [change.map(|change| change.timestamp()), None]
                }
            };
            let times = times.into_iter().flatten().map(Timestamp::as_millisecond);
            first = first.into_iter().chain(times.filter(|at| *at > after)).min();
        }
        first
    }

    /// Minutes of a day that match and begin after so many milliseconds of it.
    fn minutes_after(&self, passed: i64) -> impl Iterator<Item = i64> {
        let first = (passed.div_euclid(MINUTE_MS) + 1).max(0);
        (first..DAY_MS / MINUTE_MS).filter(|minute| self.has_minute(*minute))
    }

    fn has_minute(&self, of_day: i64) -> bool {
        has(self.hours, of_day.unsigned_abs() / 60) && has(self.minutes, of_day.unsigned_abs() % 60)
    }
}

impl Field {
    /// Reads one item of a field's list.
    fn read(&self, item: &str) -> Result<u64, String> {
        let (range, step) = match item.split_once('/') {
            None => (item, None),
            Some((range, step)) => (range, Some(step)),
        };
        let (first, last) = match range.split_once('-') {
            // Sunday once.
            None if range == "*" => (self.first, if self.last == 7 { 6 } else { self.last }),
            None if step.is_some() => {
                return Err(format!("a step follows * or a range, as in {}-{}/2", self.first, self.last));
            }
            None => (self.value(range)?, self.value(range)?),
            Some((first, last)) => {
                let (first, last) = (self.value(first)?, self.value(last)?);
                // A week may end with it.
                (first, if self.last == 7 && last == 0 && first > 0 { 7 } else { last })
            }
        };
        if first > last {
            return Err("a range ends behind its beginning; write two, with a comma".to_owned());
        }
        let step = match step.map(str::parse) {
            None => 1,
            Some(Ok(step)) if step > 0 => step,
            Some(_) => return Err("a step is a whole number from 1".to_owned()),
        };
        Ok((first..=last).step_by(step).fold(0, |set, value| set | 1 << value))
    }

    fn value(&self, text: &str) -> Result<u32, String> {
        let name = self.names.iter().position(|name| name.eq_ignore_ascii_case(text));
        let value = match name {
            Some(at) => Some(self.first + at as u32),
            None if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
            None => None,
        };
        value.filter(|value| (self.first..=self.last).contains(value)).ok_or_else(|| {
            let names = match self.names {
                [first, .., last] => format!(", or {first} to {last}"),
                _ => String::new(),
            };
            format!("use {} to {}{names}", self.first, self.last)
        })
    }
}

fn has(set: u64, value: u64) -> bool {
    set >> value & 1 == 1
}

#[cfg(test)]
mod tests;
