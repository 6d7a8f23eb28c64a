//! What a watch publishes: immutable snapshots that know their age. They are data; `publisher` makes and replaces them.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use crate::instance::{Instance, Status};

/// What a name costs a reader of the catalogue, which Consul always sends whole: after 100,000 names, some 4 MB, it is
/// not read again for a second. Up to 10,000 names the pace of every watch, ten reads a second, is the slower one.
const PAUSE_PER_NAME: Duration = Duration::from_micros(10);

/// Says why a snapshot may be out of date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stale {
    /// No read has succeeded yet: the snapshot is empty because nothing is known.
    NeverRead,
    /// The last read failed; the text is the error's.
    Failed(String),
    /// The registry answers, but its ACLs hide everything; the text is the error's.
    Hidden(String),
    /// The registry says that nothing usable is left. What was known is kept for 5 s, in case it lost its state.
    Emptied,
}

impl fmt::Display for Stale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stale::NeverRead => f.write_str("the registry was not read yet"),
            Stale::Failed(error) => write!(f, "the last read failed: {error}"),
            Stale::Hidden(error) => f.write_str(error),
            Stale::Emptied => {
                f.write_str("the registry says that no instance is left; waiting for a second look")
            }
        }
    }
}

/// Shows the instances of one service at one index.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// All instances, healthy or not, sorted by node and id.
    pub instances: Vec<Instance>,
    /// Index of the registry, at least 1; 0 before the first read.
    pub index: u64,
    /// When the registry last confirmed it. Its age is the gauge `registry_stale_seconds`.
    pub read_at: Instant,
    /// Why it may be out of date; `None` while reads succeed.
    pub stale: Option<Stale>,
}

impl Snapshot {
    /// Gives the instances that pass every check.
    pub fn passing(&self) -> impl Iterator<Item = &Instance> {
        self.instances.iter().filter(|instance| instance.status == Status::Passing)
    }
}

/// Shows the names and tags of all services at one index.
#[derive(Debug, Clone)]
pub struct CatalogSnapshot {
    /// Tags of each service, sorted; Consul itself is one of them.
    pub services: BTreeMap<String, Vec<String>>,
    /// Index of the registry, at least 1; 0 before the first read.
    pub index: u64,
    /// When the registry last confirmed it.
    pub read_at: Instant,
    /// Why it may be out of date; `None` while reads succeed.
    pub stale: Option<Stale>,
}

/// Is what one kind of watch publishes. Implemented by [`Snapshot`] and [`CatalogSnapshot`], for nobody else.
pub trait View: Clone + Send + Sync + sealed::Sealed + 'static {
    /// What a read returns.
    #[doc(hidden)]
    type Value: PartialEq + Send + 'static;
    /// Makes the snapshot of a read.
    #[doc(hidden)]
    fn of(value: Self::Value, index: u64) -> Self;
    /// Makes the snapshot before the first read.
    #[doc(hidden)]
    fn never_read() -> Self;
    /// Compares without regard to age.
    #[doc(hidden)]
    fn is(&self, value: &Self::Value) -> bool;
    /// Says how long to leave the registry alone after a read of this size.
    #[doc(hidden)]
    fn pause_after(value: &Self::Value) -> Duration;
    /// Tells whether a call could go anywhere.
    #[doc(hidden)]
    fn is_usable(&self) -> bool;
    /// Sets what is not part of the value.
    #[doc(hidden)]
    fn age(&mut self) -> (&mut u64, &mut Instant, &mut Option<Stale>);
    /// Gives the index of the registry; 0 before the first read.
    fn index(&self) -> u64;
    /// Says why it may be out of date.
    fn stale(&self) -> Option<&Stale>;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Snapshot {}
    impl Sealed for super::CatalogSnapshot {}
}

/// Follows tokio's clock, which tests may stop.
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl View for Snapshot {
    type Value = Vec<Instance>;

    fn of(instances: Vec<Instance>, index: u64) -> Self {
        Self { instances, index, read_at: now(), stale: None }
    }

    fn never_read() -> Self {
        Self { stale: Some(Stale::NeverRead), ..Self::of(Vec::new(), 0) }
    }

    fn is(&self, value: &Vec<Instance>) -> bool {
        self.instances == *value
    }

    fn pause_after(_: &Vec<Instance>) -> Duration {
        Duration::ZERO
    }

    fn is_usable(&self) -> bool {
        self.passing().next().is_some()
    }

    fn age(&mut self) -> (&mut u64, &mut Instant, &mut Option<Stale>) {
        (&mut self.index, &mut self.read_at, &mut self.stale)
    }

    fn index(&self) -> u64 {
        self.index
    }

    fn stale(&self) -> Option<&Stale> {
        self.stale.as_ref()
    }
}

impl View for CatalogSnapshot {
    type Value = BTreeMap<String, Vec<String>>;

    fn of(services: BTreeMap<String, Vec<String>>, index: u64) -> Self {
        Self { services, index, read_at: now(), stale: None }
    }

    fn never_read() -> Self {
        Self { stale: Some(Stale::NeverRead), ..Self::of(BTreeMap::new(), 0) }
    }

    fn is(&self, value: &BTreeMap<String, Vec<String>>) -> bool {
        self.services == *value
    }

    fn pause_after(services: &BTreeMap<String, Vec<String>>) -> Duration {
        PAUSE_PER_NAME.saturating_mul(u32::try_from(services.len()).unwrap_or(u32::MAX))
    }

    fn is_usable(&self) -> bool {
        // Consul registers itself, also right after it has lost everything else.
        self.services.keys().any(|name| name != "consul")
    }

    fn age(&mut self) -> (&mut u64, &mut Instant, &mut Option<Stale>) {
        (&mut self.index, &mut self.read_at, &mut self.stale)
    }

    fn index(&self) -> u64 {
        self.index
    }

    fn stale(&self) -> Option<&Stale> {
        self.stale.as_ref()
    }
}
