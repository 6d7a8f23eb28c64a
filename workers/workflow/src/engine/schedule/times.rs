//! When a schedule is due: its times, and the delay of each.

use jiff::tz::{TimeZone, TimeZoneDatabase};
use prost::Message;
use workflow_machine::Millis;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::cron::Cron;

/// When a schedule is due, in the form in which it is kept. Either `cron` or `interval_ms` is set.
#[derive(Clone, PartialEq, Message)]
pub struct Timing {
    /// Five fields, or a name such as `@daily`.
    #[prost(string, tag = "1")]
    pub cron: String,
    /// Counted from `start_at`, or from the creation.
    #[prost(uint64, tag = "2")]
    pub interval_ms: u64,
    /// IANA name of the time zone in which `cron` is read; empty is UTC.
    #[prost(string, tag = "3")]
    pub time_zone: String,
    /// Longest delay of a run; always less than what is left until the next time.
    #[prost(uint64, tag = "4")]
    pub jitter_ms: u64,
    /// Unix ms; no time before it counts. 0 is the creation.
    #[prost(uint64, tag = "5")]
    pub start_at: Millis,
    /// Unix ms; no time after it counts. 0 is never.
    #[prost(uint64, tag = "6")]
    pub end_at: Millis,
}

/// The times of a schedule.
#[derive(Clone, Debug)]
pub(super) struct Times {
    rule: Rule,
    start: Millis,
    end: Millis,
    jitter_ms: u64,
}

#[derive(Clone, Debug)]
enum Rule {
    Every { ms: u64, from: Millis },
    Cron { cron: Box<Cron>, zone: TimeZone },
}

impl Timing {
    /// Everything that is wrong: the field, the reason, and what to do.
    pub fn check(&self) -> Vec<(&'static str, String)> {
        let mut wrong = Vec::new();
        if !self.cron.is_empty() {
            wrong.extend(Cron::read(&self.cron).err().map(|reason| ("cron", reason)));
        }
        wrong.extend(zone(&self.time_zone).err().map(|reason| ("time_zone", reason)));
        wrong
    }

    /// Whether there is a time after `now`. What [`Timing::check`] complains of has none.
    pub fn fires_after(&self, now: Millis) -> bool {
        Times::new(self, now).is_ok_and(|times| times.next(now).is_some())
    }
}

impl Times {
    /// The times of a schedule made at `created`.
    ///
    /// # Errors
    /// What cannot be read, for people.
    pub(super) fn new(timing: &Timing, created: Millis) -> Result<Self, String> {
        let from = if timing.start_at == 0 { created } else { timing.start_at };
        let rule = match timing.interval_ms {
            0 => Rule::Cron { cron: Box::new(Cron::read(&timing.cron)?), zone: zone(&timing.time_zone)? },
            ms => Rule::Every { ms, from },
        };
        let end = if timing.end_at == 0 { Millis::MAX } else { timing.end_at };
        Ok(Self { rule, start: timing.start_at, end, jitter_ms: timing.jitter_ms })
    }

    /// The first time after `after`.
    pub(super) fn next(&self, after: Millis) -> Option<Millis> {
        let after = after.max(self.start.saturating_sub(1));
        let next = match &self.rule {
            Rule::Every { ms, from } if after < *from => Some(*from).filter(|_| *ms > 0),
            Rule::Every { ms, from } => from.checked_add(((after - from) / ms + 1).checked_mul(*ms)?),
            Rule::Cron { cron, zone } => cron.next(zone, after),
        };
        next.filter(|next| *next <= self.end)
    }

    /// When the run of this time is submitted. The delay follows from the schedule and the time, so that it is the same after
    /// a restart; it always ends before the next time, so that times keep their order.
    pub(super) fn due(&self, schedule: &str, at: Millis) -> Millis {
        if self.jitter_ms == 0 {
            return at;
        }
        let left = self.next(at).map_or(u64::MAX, |next| next - at);
        let most = self.jitter_ms.min(left - 1);
        at.saturating_add(xxh3_64_with_seed(schedule.as_bytes(), at) % most.saturating_add(1))
    }

    /// The last time that is due by `now`, of those from `first` on, which is due.
    pub(super) fn latest(&self, schedule: &str, first: Millis, now: Millis) -> Millis {
        let due_after = |after| self.next(after).filter(|next| self.due(schedule, *next) <= now);
        let Some(second) = due_after(first) else { return first };
        // Nothing behind `high` is due.
        let (mut low, mut high) = (second, now);
        while low < high {
            let middle = low + (high - low) / 2;
            match due_after(middle) {
                Some(next) => low = next,
                None => high = middle,
            }
        }
        low
    }

    /// How many times lie from `first` up to `last`, without that; counted up to `max`.
    pub(super) fn between(&self, first: Millis, last: Millis, max: usize) -> usize {
        std::iter::successors(Some(first), |at| self.next(*at)).take_while(|at| *at < last).take(max).count()
    }
}

/// The time zone of that name, from the database that is compiled in: containers have none.
fn zone(name: &str) -> Result<TimeZone, String> {
    if name.is_empty() {
        return Ok(TimeZone::UTC);
    }
    TimeZoneDatabase::bundled().get(name).map_err(|_| {
        "is no time zone; use an IANA name such as Europe/Rome, or leave it empty for UTC".to_owned()
    })
}

#[cfg(test)]
mod tests;
