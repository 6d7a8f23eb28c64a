//! How many bytes of log lines each workflow has, so that the oldest can give way.
//!
//! Lines are dropped a sixteenth of the bound at a time. So the account of a workflow is small, whatever its lines are.

use std::{
    collections::{HashMap, VecDeque},
    ops::Bound,
};

use super::{
    database::View,
    keys::{self, Keyspace},
};
use crate::{StoreError, WorkflowId};

/// Workflows whose accounts are kept; others are counted again when they log. Some 300 bytes each.
const MAX_EXTENTS: usize = 16_384;

const PARTS: usize = 16;

/// The accounts of workflows that have logged lately.
pub(super) struct Extents {
    max_bytes: usize,
    by_id: HashMap<WorkflowId, Extent>,
}

/// The account of one workflow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Extent {
    bytes: usize,
    /// Parts that are complete: the number of the last line, and the bytes of all.
    parts: VecDeque<(u64, usize)>,
    /// Bytes behind the last complete part.
    open: usize,
}

impl Extents {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self { max_bytes, by_id: HashMap::new() }
    }

    pub(super) fn get(&self, id: &WorkflowId) -> Option<&Extent> {
        self.by_id.get(id)
    }

    /// Takes over what a group has done.
    pub(super) fn merge(&mut self, extents: HashMap<WorkflowId, Extent>) {
        if self.by_id.len() + extents.len() > MAX_EXTENTS {
            self.by_id.clear();
        }
        self.by_id.extend(extents);
    }

    pub(super) fn forget(&mut self, id: &WorkflowId) {
        self.by_id.remove(id);
    }

    /// Counts what is on the disk.
    pub(super) fn load(&self, view: &View, id: &WorkflowId) -> Result<Extent, StoreError> {
        let prefix = keys::of_workflow(id);
        let range = (Bound::Included(prefix.clone()), Bound::Excluded(keys::behind(&prefix)));
        let mut extent = Extent::default();
        for pair in view.scan(Keyspace::Logs, range) {
            let (key, line) = pair?;
            extent.count(keys::last_number(&key), line.len(), self.max_bytes);
        }
        Ok(extent)
    }

    /// Counts a line; gives the number up to which lines have to go, if they have to.
    pub(super) fn append(&self, extent: &mut Extent, seq: u64, bytes: usize) -> Option<u64> {
        extent.count(seq, bytes, self.max_bytes);
        let mut surplus = None;
        while extent.bytes > self.max_bytes
            && let Some((last, bytes)) = extent.parts.pop_front()
        {
            if last == seq {
                // A line longer than all that is allowed; the newest one stays.
                extent.parts.push_front((last, bytes));
                break;
            }
            extent.bytes -= bytes;
            surplus = Some(last);
        }
        surplus
    }
}

impl Extent {
    fn count(&mut self, seq: u64, bytes: usize, max_bytes: usize) {
        self.bytes += bytes;
        self.open += bytes;
        if self.open >= max_bytes.div_ceil(PARTS) {
            self.parts.push_back((seq, self.open));
            self.open = 0;
        }
    }
}
