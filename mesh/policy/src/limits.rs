//! Rate and concurrency limits: per principal, source, client ID and method.
//!
//! Concurrency is asked first, in the order of [`Dimension::ALL`], and is given back if anything later refuses; then the
//! rates. A call that one rate refuses has used up its share of those asked before: an attempt counts as one.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use governor::RateLimiter;
use governor::clock::FakeRelativeClock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;

use crate::cells::{Cells, Slot, Store};
use crate::clock::Clock;
use crate::grants::without_query;
use crate::limit_settings::{Dimension, LimitSettings};

/// Nobody knows when a call will end; most do within this time.
const CONCURRENCY_RETRY: Duration = Duration::from_millis(100);

/// What a call counts for.
#[derive(Debug, Clone, Copy)]
pub struct Keys<'a> {
    /// Name of the verified principal; `None` if nothing was proved.
    pub principal: Option<&'a str>,
    /// Address of the client.
    pub source: IpAddr,
    /// Client ID, without version.
    pub id: &'a str,
    /// `/pkg.Service/Method`.
    pub method: &'a str,
}

/// The limits of one policy, and what was used of them. A cheap handle, shared by all threads.
#[derive(Debug, Clone)]
pub struct Limits(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: LimitSettings,
    tables: [Option<Table>; 4],
    /// Keyed at random, so that nobody can choose names that share a cell.
    hasher: RandomState,
    clock: Clock,
}

#[derive(Debug)]
struct Table {
    cells: Arc<Cells>,
    rate: Option<RateLimiter<u64, Store, Clock, NoOpMiddleware<Nanos>>>,
    concurrency: Option<u32>,
}

impl Limits {
    /// Starts with nothing used.
    pub fn new(settings: &LimitSettings) -> Self {
        Self::start(settings, Clock::system())
    }

    /// Goes on with what was used of `before`, if that was made of the same settings: who has used up its rate must not get
    /// it anew because another line of a file has changed.
    pub fn after(before: Option<&Self>, settings: &LimitSettings) -> Self {
        let same = before.filter(|before| before.settings() == settings);
        same.cloned().unwrap_or_else(|| Self::new(settings))
    }

    /// As [`Limits::new`], with a clock that stands until it is moved: for tests.
    pub fn with_clock(settings: &LimitSettings, clock: FakeRelativeClock) -> Self {
        Self::start(settings, Clock::manual(clock))
    }

    fn start(settings: &LimitSettings, clock: Clock) -> Self {
        let tables = Dimension::ALL.map(|dimension| {
            let limit = settings.of(dimension);
            if limit.rate.is_none() && limit.concurrency.is_none() {
                return None;
            }
            let cells = Arc::new(Cells::new(clock.clone()));
            let rate = limit.rate.map(|quota| RateLimiter::new(quota, Store(cells.clone()), clock.clone()));
            Some(Table { cells, rate, concurrency: limit.concurrency.map(Into::into) })
        });
        Self(Arc::new(Inner { settings: *settings, tables, hasher: RandomState::new(), clock }))
    }

    /// What it was made of.
    pub fn settings(&self) -> &LimitSettings {
        &self.0.settings
    }

    /// Counts a call, or refuses it. Takes a hash, a lock and a look at the clock per limit that is set; nothing if none is.
    ///
    /// # Errors
    /// A limit is used up. What the refused call had counted of concurrency is given back.
    pub fn admit(&self, keys: &Keys<'_>) -> Result<Permit, Exceeded> {
        let mut permit = Permit { limits: None, slots: [None; 4] };
        if self.0.settings.is_empty() {
            return Ok(permit);
        }
        let hashes = Dimension::ALL.map(|dimension| match self.0.tables[dimension as usize] {
            Some(_) => self.0.hash(dimension, keys),
            None => 0,
        });
        let tables = || Dimension::ALL.into_iter().zip(&self.0.tables).zip(hashes);
        for ((dimension, table), hash) in tables() {
            let Some((table, most)) = table.as_ref().and_then(|table| Some((table, table.concurrency?)))
            else {
                continue;
            };
            let slot = table.cells.enter(hash, most).ok_or(Exceeded {
                dimension,
                what: Exceedance::Concurrency,
                retry_after: CONCURRENCY_RETRY,
            })?;
            permit.slots[dimension as usize] = Some(slot);
            permit.limits.get_or_insert_with(|| self.0.clone());
        }
        for ((dimension, table), hash) in tables() {
            let Some(rate) = table.as_ref().and_then(|table| table.rate.as_ref()) else { continue };
            rate.check_key(&hash).map_err(|until| Exceeded {
                dimension,
                what: Exceedance::Rate,
                retry_after: until.wait_time_from(self.0.clock.since_start()),
            })?;
        }
        Ok(permit)
    }

    /// Forgets what is idle; to be called every minute or so. A full table does so by itself.
    pub fn sweep(&self) {
        self.0.tables.iter().flatten().for_each(|table| table.cells.sweep());
    }

    /// Counts the keys that are remembered, in all dimensions: at most 4 x [`MAX_KEYS`](crate::MAX_KEYS).
    pub fn keys(&self) -> usize {
        self.0.tables.iter().flatten().map(|table| table.cells.len()).sum()
    }
}

impl Inner {
    fn hash(&self, dimension: Dimension, keys: &Keys<'_>) -> u64 {
        match dimension {
            Dimension::Principal => self.hasher.hash_one(keys.principal),
            Dimension::Source => self.hasher.hash_one(network(keys.source)),
            Dimension::Id => self.hasher.hash_one(keys.id),
            Dimension::Method => self.hasher.hash_one(without_query(keys.method)),
        }
    }
}

/// What one client is given: an IPv4 address, or the first 64 bits of an IPv6 address.
fn network(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        address => address,
    }
}

/// A call that was let through: counts as in flight until dropped.
#[derive(Debug)]
#[must_use = "dropping it says that the call has ended"]
pub struct Permit {
    /// Absent if no concurrency is limited, so that such a call shares no counter with others.
    limits: Option<Arc<Inner>>,
    slots: [Option<Slot>; 4],
}

impl Drop for Permit {
    fn drop(&mut self) {
        let Some(limits) = &self.limits else { return };
        for (table, slot) in limits.tables.iter().zip(self.slots) {
            if let (Some(table), Some(slot)) = (table, slot) {
                table.cells.leave(slot);
            }
        }
    }
}

/// What of a limit was used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Exceedance {
    /// Calls per time.
    Rate,
    /// Calls in flight.
    Concurrency,
}

/// A refusal: RESOURCE_EXHAUSTED.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exceeded {
    /// Whose limit it was.
    pub dimension: Dimension,
    /// What was used up.
    pub what: Exceedance,
    /// When to try again; for a rate exactly, for concurrency a guess.
    pub retry_after: Duration,
}

impl Exceeded {
    /// Gives the word for labels.
    pub const fn as_str(&self) -> &'static str {
        match (self.dimension, self.what) {
            (Dimension::Principal, Exceedance::Rate) => "principal_rate",
            (Dimension::Source, Exceedance::Rate) => "source_rate",
            (Dimension::Id, Exceedance::Rate) => "id_rate",
            (Dimension::Method, Exceedance::Rate) => "method_rate",
            (Dimension::Principal, Exceedance::Concurrency) => "principal_concurrency",
            (Dimension::Source, Exceedance::Concurrency) => "source_concurrency",
            (Dimension::Id, Exceedance::Concurrency) => "id_concurrency",
            (Dimension::Method, Exceedance::Concurrency) => "method_concurrency",
        }
    }
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.what {
            Exceedance::Rate => "calls per time",
            Exceedance::Concurrency => "calls in flight",
        };
        let (whose, ms) = (self.dimension.as_str(), self.retry_after.as_millis().max(1));
        write!(f, "too many {what} of one {whose}: try again in {ms} ms")
    }
}

impl std::error::Error for Exceeded {}
