//! How many streams are open, and whose: each may hold a mebibyte for a client that is slow, so that nobody gets to hold them all.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tonic::Code;

use crate::api::status::Problem;

/// The streams that are open.
#[derive(Debug, Default)]
pub(crate) struct Places {
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    all: usize,
    /// Principals with at least one.
    by_principal: HashMap<Arc<str>, usize>,
    refused: u64,
}

/// A stream's place, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    principal: Arc<str>,
}

impl Places {
    /// Takes a place for a principal's stream; of an empty name, of whom nothing is known, all together have `max`.
    pub(crate) fn take(
        self: &Arc<Self>,
        principal: &Arc<str>,
        max: usize,
        max_per_principal: usize,
    ) -> Result<Place, Problem> {
        let mut open = self.lock();
        let own = open.by_principal.get(principal).copied().unwrap_or(0);
        let full = match () {
            () if !principal.is_empty() && own >= max_per_principal => {
                Some((format!("you have {own} streams open, as many as a principal may"), max_per_principal))
            }
            () if open.all >= max => Some((format!("{max} streams are open, as many as there may be"), max)),
            () => None,
        };
        if let Some((what, limit)) = full {
            open.refused += 1;
            let message = format!("{what}; end some, or try again later");
            return Err(Problem::new(Code::ResourceExhausted, "TOO_MANY_STREAMS", message)
                .with("max", limit)
                .retry(crate::api::status::SOON));
        }
        open.all += 1;
        *open.by_principal.entry(principal.clone()).or_default() += 1;
        drop(open);
        Ok(Place { places: self.clone(), principal: principal.clone() })
    }

    /// Streams that are open.
    pub(crate) fn open(&self) -> usize {
        self.lock().all
    }

    /// Streams that were refused since the start.
    pub(crate) fn refused(&self) -> u64 {
        self.lock().refused
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        // The counts are whole between any two lines that hold it.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.places.lock();
        open.all = open.all.saturating_sub(1);
        if let Some(own) = open.by_principal.get_mut(&self.principal) {
            *own -= 1;
            if *own == 0 {
                open.by_principal.remove(&self.principal);
            }
        }
    }
}
