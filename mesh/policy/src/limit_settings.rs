//! The limits of a policy file: rate, burst and concurrency, per principal, source, ID and method.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::Quota;
use serde::Deserialize;

/// A longer time to fill a bucket is a typing error, and would not fit the arithmetic.
const LONGEST_FILL: Duration = Duration::from_secs(366 * 24 * 60 * 60);
/// A nanosecond per call.
const MAX_RATE: u32 = 1_000_000_000;

/// What is counted apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dimension {
    /// The verified principal; all callers that proved nothing count as one.
    Principal,
    /// The client's address; of an IPv6 address the first 64 bits, which is what one client is given.
    Source,
    /// The client ID.
    Id,
    /// The full name of the method.
    Method,
}

impl Dimension {
    /// Every dimension, in the order in which they are asked.
    pub const ALL: [Dimension; 4] = [Self::Principal, Self::Source, Self::Id, Self::Method];

    /// Gives the word of the file and of labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Principal => "principal",
            Self::Source => "source",
            Self::Id => "id",
            Self::Method => "method",
        }
    }
}

/// The limits of every dimension; none is the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LimitSettings([Limit; 4]);

impl LimitSettings {
    /// The limit of a dimension.
    pub fn of(&self, dimension: Dimension) -> &Limit {
        &self.0[dimension as usize]
    }

    /// Whether there is no limit at all.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|limit| *limit == Limit::default())
    }
}

/// The limit of one key of a dimension.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limit {
    /// Calls per time, and how many at once.
    pub rate: Option<Quota>,
    /// Calls in flight.
    pub concurrency: Option<NonZeroU32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct WrittenLimits {
    principal: WrittenLimit,
    source: WrittenLimit,
    id: WrittenLimit,
    method: WrittenLimit,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenLimit {
    rate: Option<String>,
    burst: Option<NonZeroU32>,
    concurrency: Option<NonZeroU32>,
}

impl WrittenLimits {
    pub(crate) fn prepare(self) -> Result<LimitSettings, String> {
        let written = [self.principal, self.source, self.id, self.method];
        let mut limits = LimitSettings::default();
        for ((dimension, written), limit) in Dimension::ALL.into_iter().zip(written).zip(&mut limits.0) {
            let wrong = |problem| format!("[limits.{}]: {problem}", dimension.as_str());
            *limit = written.prepare().map_err(wrong)?;
        }
        Ok(limits)
    }
}

impl WrittenLimit {
    fn prepare(self) -> Result<Limit, String> {
        let rate = match (self.rate, self.burst) {
            (None, None) => None,
            (None, Some(_)) => return Err("burst needs rate".to_owned()),
            (Some(text), burst) => Some(quota(&text, burst)?),
        };
        Ok(Limit { rate, concurrency: self.concurrency })
    }
}

/// Reads `100/s`, `100/m` or `100/h`.
fn quota(text: &str, burst: Option<NonZeroU32>) -> Result<Quota, String> {
    let wrong = || format!("rate {text:?} is no rate; write for example 100/s, 100/m or 100/h");
    let (count, unit) = text.split_once('/').ok_or_else(wrong)?;
    let count: NonZeroU32 = count.trim().parse().map_err(|_| wrong())?;
    let seconds = match unit.trim() {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        _ => return Err(wrong()),
    };
    if count.get() > MAX_RATE {
        return Err(format!("rate {text:?} is more than {MAX_RATE}"));
    }
    let burst = burst.unwrap_or(count);
    let period = Duration::from_secs(seconds) / count.get();
    if period.checked_mul(burst.get()).is_none_or(|fill| fill > LONGEST_FILL) {
        return Err(format!("a burst of {burst} at {text} takes more than a year to come back"));
    }
    Quota::with_period(period).map(|quota| quota.allow_burst(burst)).ok_or_else(wrong)
}
