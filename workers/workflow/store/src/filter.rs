//! What a list or a count asks for, and the shape of the answers.

use crate::{Millis, Status, Statuses, Summary, WorkflowId};

/// Which workflows are meant. Every term that is set has to hold; a filter without terms means all workflows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// The status is one of these; empty means any.
    pub statuses: Statuses,
    /// The finer state is this one.
    pub detail: Option<u8>,
    /// The name begins with this; empty means any.
    pub name_prefix: String,
    /// Created at this time or later.
    pub created_from_ms: Option<Millis>,
    /// Created before this time.
    pub created_before_ms: Option<Millis>,
    /// Ended before this time; workflows that have not ended do not match.
    pub finished_before_ms: Option<Millis>,
    /// Each of these names has this value.
    pub attributes: Vec<(String, String)>,
    /// Started by a task of this workflow.
    pub parent: Option<WorkflowId>,
    /// One of these; empty means any.
    pub ids: Vec<WorkflowId>,
    /// Submitted by this principal.
    pub owner: Option<String>,
    /// A saga, or not one.
    pub saga: Option<bool>,
}

impl Filter {
    /// The filter that asks for one status and nothing else.
    #[must_use]
    pub fn status(status: Status) -> Self {
        Self { statuses: Statuses::from_iter([status]), ..Self::default() }
    }

    /// Whether `summary` is meant.
    #[must_use]
    pub fn matches(&self, summary: &Summary) -> bool {
        (self.statuses.is_empty() || self.statuses.contains(summary.status))
            && self.detail.is_none_or(|detail| detail == summary.detail)
            && summary.name.starts_with(&self.name_prefix)
            && self.matches_created(summary.created_ms)
            && self
                .finished_before_ms
                .is_none_or(|before| summary.status.is_terminal() && summary.finished_ms < before)
            && self.attributes.iter().all(|wanted| summary.attributes.contains(wanted))
            && self
                .parent
                .as_ref()
                .is_none_or(|wanted| summary.parent.as_ref().is_some_and(|parent| parent.workflow == *wanted))
            && (self.ids.is_empty() || self.ids.contains(&summary.id))
            && self.owner.as_ref().is_none_or(|owner| *owner == summary.owner)
            && self.saga.is_none_or(|saga| saga == summary.saga)
    }

    /// Whether a workflow created at `created_ms` can be meant.
    pub(crate) fn matches_created(&self, created_ms: Millis) -> bool {
        self.created_from_ms.is_none_or(|from| from <= created_ms)
            && self.created_before_ms.is_none_or(|before| created_ms < before)
    }

    /// The owner, if nothing but that and the status counts.
    pub(crate) fn is_status_of_owner(&self) -> Option<&str> {
        let (statuses, owner) = (self.statuses, self.owner.clone());
        let nothing_else = *self == Self { statuses, owner, ..Self::default() };
        self.owner.as_deref().filter(|_| nothing_else)
    }

    /// The filter for the first attribute that is asked for, of that owner.
    pub(crate) fn first_attribute(&self) -> Option<Self> {
        let first = self.attributes.first()?;
        Some(Self { attributes: vec![first.clone()], owner: self.owner.clone(), ..Self::default() })
    }

    /// Whether nothing but the status counts.
    pub(crate) fn is_status_only(&self) -> bool {
        *self == Self { statuses: self.statuses, ..Self::default() }
    }
}

/// A place in a list: the workflow that was seen last. Lists go on behind it, whether or not it still exists.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    /// When that workflow was created.
    pub created_ms: Millis,
    /// Its ID.
    pub id: WorkflowId,
}

impl Cursor {
    /// The place of `summary` in every list.
    #[must_use]
    pub fn of(summary: &Summary) -> Self {
        Self { created_ms: summary.created_ms, id: summary.id.clone() }
    }
}

/// One page of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The workflows, newest first, by descending ID where two were created in the same millisecond.
    pub summaries: Vec<Summary>,
    /// Where the next page begins; `None` after the last one.
    pub next: Option<Cursor>,
}

/// How many workflows match a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Exactly so many.
    Exact(u64),
    /// More than so many: only where attributes are asked for, and more than 10,000 have the first of them; of one owner only
    /// if more than 10,000 are the owner's as well, so that what others have is not told.
    MoreThan(u64),
}

impl Page {
    /// A page of the first `limit` of `summaries`, which are in the order of the list.
    pub(crate) fn of(mut summaries: Vec<Summary>, limit: usize) -> Self {
        let more = summaries.len() > limit;
        summaries.truncate(limit);
        let next = summaries.last().filter(|_| more).map(Cursor::of);
        Self { summaries, next }
    }
}
