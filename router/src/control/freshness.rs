//! How old our knowledge of the registry is: fail static, and say so.

use crate::{directory::Clock, plane::millis};
use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    time::Duration,
};
use tracing::{info, warn};

/// While services are looked up by DNS, known ones ask the HTTP API no more often than this, all together: one that
/// answers with errors is not to be hammered (complaints row 5), and its return is noticed by the next call.
const TRIED_AGAIN: Duration = Duration::from_secs(5);

/// When the registry last answered. Shared by everything that asks it.
#[derive(Debug)]
pub(crate) struct Freshness {
    clock: Clock,
    answered_ms: AtomicU64,
    failing: AtomicBool,
    /// Whether the last request was answered as if there were nothing, because ACLs hide it.
    hidden: AtomicBool,
    tried_ms: AtomicU64,
    /// Whether the last service that was read came by DNS.
    by_dns: AtomicBool,
    /// Whether DNS was seen to list services.
    dns_works: AtomicBool,
    /// Look-ups by DNS.
    pub(crate) dns_lookups: AtomicU64,
    /// Those that DNS did not answer, or with an error.
    pub(crate) dns_failures: AtomicU64,
}

impl Freshness {
    /// Starts with a registry that has not answered yet.
    pub(crate) fn new(clock: Clock) -> Self {
        Freshness {
            clock,
            answered_ms: AtomicU64::new(0),
            failing: AtomicBool::new(false),
            hidden: AtomicBool::new(false),
            tried_ms: AtomicU64::new(0),
            by_dns: AtomicBool::new(false),
            dns_works: AtomicBool::new(false),
            dns_lookups: AtomicU64::new(0),
            dns_failures: AtomicU64::new(0),
        }
    }

    /// Notes a good answer.
    pub(crate) fn answered(&self) {
        self.answered_ms.store(self.clock.now_ms(), Relaxed);
        self.hidden.store(false, Relaxed);
        if self.failing.swap(false, Relaxed) {
            info!("the registry answers again");
        }
        if self.by_dns.swap(false, Relaxed) {
            info!("services are looked up by the registry's HTTP API again");
        }
    }

    /// Notes a service that DNS has answered for.
    pub(crate) fn answered_by_dns(&self) {
        if !self.by_dns.swap(true, Relaxed) {
            warn!(
                "services are looked up by the registry's DNS: it names healthy instances, without versions, \
                 capacities and gRPC services"
            );
        }
    }

    /// Notes that DNS lists services.
    pub(crate) fn dns_works(&self) {
        self.dns_works.store(true, Relaxed);
    }

    /// Whether services can be looked up, or could be once: a router that starts is ready then.
    pub(crate) fn ready(&self) -> bool {
        self.ever_answered() || self.dns_works.load(Relaxed)
    }

    /// Where services are looked up: `http` or `dns`.
    pub(crate) fn source(&self) -> &'static str {
        if self.by_dns.load(Relaxed) { "dns" } else { "http" }
    }

    /// Whether the last request had no good answer.
    pub(crate) fn failing(&self) -> bool {
        self.failing.load(Relaxed)
    }

    /// Whether it is time to try a failing HTTP API again; says so to one caller.
    pub(crate) fn try_again(&self) -> bool {
        let now_ms = self.clock.now_ms();
        let due = |tried_ms: u64| (now_ms >= tried_ms + millis(TRIED_AGAIN)).then_some(now_ms);
        self.tried_ms.fetch_update(Relaxed, Relaxed, due).is_ok()
    }

    /// Notes a request without a good answer.
    pub(crate) fn failed(&self, error: &str) {
        self.hidden.store(false, Relaxed);
        if !self.failing.swap(true, Relaxed) {
            warn!(
                error,
                "the registry cannot be asked: what is known stays in use, its age is registry_stale_seconds"
            );
        }
    }

    /// Notes an answer that is empty because the registry's ACLs hide everything.
    pub(crate) fn hides(&self, error: &str) {
        self.failing.store(true, Relaxed);
        if !self.hidden.swap(true, Relaxed) {
            warn!(error, "the registry hides its services from this router: what is known stays in use");
        }
    }

    /// Whether the registry's ACLs hide everything from this router.
    pub(crate) fn hidden(&self) -> bool {
        self.hidden.load(Relaxed)
    }

    /// Whether the registry's HTTP API has answered at least once.
    fn ever_answered(&self) -> bool {
        self.answered_ms.load(Relaxed) != 0
    }

    /// Whether the last request had a good answer.
    pub(crate) fn reachable(&self) -> bool {
        self.ever_answered() && !self.failing.load(Relaxed)
    }

    /// Seconds since the last good answer while requests fail, else 0. A blocking query that is merely waiting
    /// does not count: a silent registry makes it fail after its time-out.
    pub(crate) fn stale_seconds(&self) -> f64 {
        if !self.failing.load(Relaxed) {
            return 0.0;
        }
        let since_ms = self.clock.now_ms().saturating_sub(self.answered_ms.load(Relaxed));
        f64::from(u32::try_from(since_ms).unwrap_or(u32::MAX)) / 1_000.0
    }
}
