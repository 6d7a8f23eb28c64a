//! Whose workflows a handle of the engine reaches.

use std::sync::Arc;

use workflow_store::Filter;

/// Whose workflows a handle of the engine reaches. To it all others do not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Everybody's.
    All,
    /// Those of one principal: what it has submitted, and their children.
    Of(Arc<str>),
    /// Nobody's.
    Nothing,
}

impl Reach {
    /// Whether a workflow of this owner is reached.
    #[must_use]
    pub fn covers(&self, owner: &str) -> bool {
        match self {
            Self::All => true,
            Self::Of(principal) => **principal == *owner,
            Self::Nothing => false,
        }
    }

    /// The filter for those that are reached, too; `None` where none can be.
    pub(super) fn narrow(&self, filter: Filter) -> Option<Filter> {
        match self {
            Self::All => Some(filter),
            Self::Of(principal) => {
                let mine = filter.owner.as_deref().is_none_or(|owner| owner == &**principal);
                mine.then(|| Filter { owner: Some(principal.to_string()), ..filter })
            }
            Self::Nothing => None,
        }
    }
}
