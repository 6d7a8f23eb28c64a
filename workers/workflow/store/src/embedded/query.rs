//! Lists and counts of workflows that have ended. Those that are alive are in memory, and need no index.
//!
//! A filter is answered from the most selective term that has an index; the rest of it is checked workflow by workflow:
//! IDs, parent, first attribute, name prefix if few names begin with it, owner, saga, status, and without any of these
//! everything in the order of creation. Of one owner, attributes and prefixes that many have give way to the owner, so that
//! nobody pays for what is others'. A page costs as many lookups as it has to pass workflows that do not match.

use std::ops::Bound;

use super::{
    database::{Range, View},
    keys::{self, Keyspace},
    record::{self, Posting},
};
use crate::{
    Cursor, Filter, Millis, Status, StoreError, Summary, WorkflowId, store::MAX_COUNTED, table::Counters,
};

/// Workflows whose names begin alike are sorted in memory up to this number. If there are more, a page is full soon anyway.
const MAX_SORTED: usize = MAX_COUNTED;

/// Where the candidates come from.
enum Source {
    /// These workflows.
    Ids,
    /// The index entries of these terms, of which no two hold for one workflow.
    Terms(Vec<Vec<u8>>),
    /// Found by name already, newest first.
    Named(Vec<Cursor>),
    /// Everything.
    All,
}

/// A workflow that has ended, by its ID.
pub(super) fn ended_workflow(view: &View, id: &WorkflowId) -> Result<Option<Summary>, StoreError> {
    let Some(created) = view.get(Keyspace::Pointers, id.as_bytes())? else { return Ok(None) };
    at(view, &[&created[..], id.as_bytes()].concat())
}

/// At most `limit` workflows that match, newest first.
pub(super) fn list(
    view: &View,
    filter: &Filter,
    after: Option<&Cursor>,
    limit: usize,
) -> Result<Vec<Summary>, StoreError> {
    let mut found = Vec::new();
    let mut take = |summary: Option<Summary>| {
        found.extend(summary.filter(|summary| filter.matches(summary)));
        found.len() < limit
    };
    match source(view, filter, after)? {
        Source::Ids => {
            let mut ids: Vec<_> = filter.ids.iter().collect();
            ids.sort();
            ids.dedup();
            for id in ids {
                found.extend(ended_workflow(view, id)?.filter(|summary| {
                    filter.matches(summary) && after.is_none_or(|after| Cursor::of(summary) < *after)
                }));
            }
        }
        Source::Terms(terms) => {
            for term in terms {
                let mut of_term = Vec::new();
                for pair in view.scan(Keyspace::Index, within(&term, filter, after)).rev() {
                    let (key, posting) = pair?;
                    if !may_match(filter, &posting) {
                        continue;
                    }
                    of_term.extend(at(view, &key[term.len()..])?.filter(|summary| filter.matches(summary)));
                    if of_term.len() == limit {
                        break;
                    }
                }
                found.extend(of_term);
            }
        }
        Source::Named(places) => {
            for cursor in places {
                if !take(at(view, &keys::place(&cursor))?) {
                    break;
                }
            }
        }
        Source::All => {
            for pair in view.scan(Keyspace::Ended, within(&[], filter, after)).rev() {
                if !take(record::read_summary(&pair?.1)) {
                    break;
                }
            }
        }
    }
    found.sort_by_cached_key(|summary| std::cmp::Reverse(Cursor::of(summary)));
    found.truncate(limit);
    Ok(found)
}

/// How many workflows match.
pub(super) fn count(view: &View, filter: &Filter) -> Result<u64, StoreError> {
    let mut counted = 0;
    let terms = match source_for_count(view, filter)? {
        Source::Terms(terms) => terms,
        Source::Ids | Source::Named(_) | Source::All => {
            return Ok(list(view, filter, None, usize::MAX)?.len() as u64);
        }
    };
    for term in terms {
        let covered = is_covered(filter, &term);
        let by_name = term.first() == Some(&b'N');
        let range = if by_name { prefix(&term) } else { within(&term, filter, None) };
        for pair in view.scan(Keyspace::Index, range) {
            let (key, value) = pair?;
            let Some(posting) = Posting::read(&value) else { continue };
            let Some(place) = key.get(posting.term..) else { continue };
            let created = place.first_chunk().map_or(0, |created| u64::from_be_bytes(*created));
            if !filter.matches_created(created) || !may_match(filter, &value) {
                continue;
            }
            if covered || at(view, place)?.is_some_and(|summary| filter.matches(&summary)) {
                counted += 1;
            }
        }
    }
    Ok(counted)
}

/// How many may have the first attribute, and are the owner's if one is asked for, up to one more than are counted.
pub(super) fn with_attribute(view: &View, filter: &Filter) -> Result<usize, StoreError> {
    let Some((name, value)) = filter.attributes.first() else { return Ok(0) };
    let with = some(view, &keys::attribute_term(name, value))?;
    match owner(filter) {
        Some(owner) if with > MAX_COUNTED => some(view, &keys::owner_term(owner)),
        _ => Ok(with),
    }
}

/// How many workflows of each status an owner has, those that are alive included.
pub(super) fn owned(view: &View, owner: &str) -> Result<Counters, StoreError> {
    let counters = view.get(Keyspace::Misc, &keys::counters_of(owner))?;
    Ok(counters.and_then(|bytes| record::read_counters(&bytes)).map_or(Counters::default(), |read| read.0))
}

/// How many index entries begin with this, up to one more than are counted.
fn some(view: &View, term: &[u8]) -> Result<usize, StoreError> {
    let mut counted = 0;
    for pair in view.scan(Keyspace::Index, prefix(term)).take(MAX_COUNTED + 1) {
        pair?;
        counted += 1;
    }
    Ok(counted)
}

/// Who is asked for, if that has index entries.
fn owner(filter: &Filter) -> Option<&str> {
    filter.owner.as_deref().filter(|owner| !owner.is_empty())
}

/// Whether the entries of a term are fewer than an owner's, as far as anybody counts; where no owner is asked for they are.
fn is_narrower(view: &View, filter: &Filter, term: &[u8]) -> Result<bool, StoreError> {
    Ok(owner(filter).is_none() || some(view, term)? <= MAX_COUNTED)
}

/// At most `limit` workflows that ended before `before_ms`, oldest first.
pub(super) fn ended(
    view: &View,
    before_ms: Millis,
    after: Option<&Cursor>,
    limit: usize,
) -> Result<Vec<Summary>, StoreError> {
    if after.is_some_and(|after| after.created_ms >= before_ms) {
        return Ok(Vec::new());
    }
    let start = after.map_or(Bound::Unbounded, |after| Bound::Excluded(keys::place(after)));
    // What was created later cannot have ended earlier.
    let range = (start, Bound::Excluded(before_ms.to_be_bytes().to_vec()));
    let mut found = Vec::new();
    for pair in view.scan(Keyspace::Ended, range) {
        let summary = record::read_summary(&pair?.1);
        found.extend(summary.filter(|summary| summary.finished_ms < before_ms));
        if found.len() == limit {
            break;
        }
    }
    Ok(found)
}

fn source(view: &View, filter: &Filter, after: Option<&Cursor>) -> Result<Source, StoreError> {
    if filter.name_prefix.is_empty()
        || filter.parent.is_some()
        || !filter.ids.is_empty()
        || !filter.attributes.is_empty()
    {
        return source_by_terms(view, filter);
    }
    let mut places = Vec::new();
    for pair in view.scan(Keyspace::Index, prefix(&keys::name_prefix(&filter.name_prefix))) {
        let (key, value) = pair?;
        let Some(posting) = Posting::read(&value) else { continue };
        let Some(cursor) = key.get(posting.term..).and_then(keys::read_place) else { continue };
        if may_match(filter, &value)
            && filter.matches_created(cursor.created_ms)
            && after.is_none_or(|after| cursor < *after)
        {
            places.push(cursor);
        }
        if places.len() > MAX_SORTED {
            return source_by_terms(view, filter);
        }
    }
    places.sort_by(|a, b| b.cmp(a));
    Ok(Source::Named(places))
}

fn source_for_count(view: &View, filter: &Filter) -> Result<Source, StoreError> {
    let names = keys::name_prefix(&filter.name_prefix);
    Ok(match source_by_terms(view, filter)? {
        Source::Terms(terms) if terms.iter().all(|term| matches!(term.first(), Some(b'P' | b'A'))) => {
            Source::Terms(terms)
        }
        Source::Ids => Source::Ids,
        _ if !filter.name_prefix.is_empty() && is_narrower(view, filter, &names)? => {
            Source::Terms(vec![names])
        }
        Source::Terms(terms) => Source::Terms(terms),
        // Everything, by status: index entries are shorter than summaries.
        _ => Source::Terms(wanted(filter).map(keys::status_term).collect()),
    })
}

fn source_by_terms(view: &View, filter: &Filter) -> Result<Source, StoreError> {
    let attribute = filter.attributes.first().map(|(name, value)| keys::attribute_term(name, value));
    Ok(if !filter.ids.is_empty() {
        Source::Ids
    } else if let Some(parent) = &filter.parent {
        Source::Terms(vec![keys::parent_term(parent)])
    } else if let Some(term) = attribute
        && is_narrower(view, filter, &term)?
    {
        Source::Terms(vec![term])
    } else if let Some(owner) = owner(filter) {
        Source::Terms(vec![keys::owner_term(owner)])
    } else if filter.saga == Some(true) {
        Source::Terms(vec![keys::saga_term()])
    } else if wanted(filter).count() < 3 {
        Source::Terms(wanted(filter).map(keys::status_term).collect())
    } else {
        Source::All
    })
}

/// The terminal statuses that are asked for.
fn wanted(filter: &Filter) -> impl Iterator<Item = Status> {
    let statuses = filter.statuses;
    let terminal = Status::ALL.into_iter().filter(|status| status.is_terminal());
    terminal.filter(move |status| statuses.is_empty() || statuses.contains(*status))
}

/// Whether the index entries of `term` tell everything that `filter` asks.
fn is_covered(filter: &Filter, term: &[u8]) -> bool {
    let mut rest = Filter {
        statuses: crate::Statuses::default(),
        detail: None,
        saga: None,
        created_from_ms: None,
        created_before_ms: None,
        ..filter.clone()
    };
    match term.first() {
        Some(b'P') => rest.parent = None,
        Some(b'O') => rest.owner = None,
        Some(b'N') => rest.name_prefix.clear(),
        Some(b'A') => drop(rest.attributes.remove(0)),
        _ => {}
    }
    rest == Filter::default()
}

/// Whether an index entry leaves it open that its workflow matches.
fn may_match(filter: &Filter, posting: &[u8]) -> bool {
    Posting::read(posting).is_some_and(|posting| {
        (filter.statuses.is_empty() || filter.statuses.contains(posting.status))
            && filter.detail.is_none_or(|detail| detail == posting.detail)
            && filter.saga.is_none_or(|saga| saga == posting.saga)
    })
}

/// The summary at a place.
fn at(view: &View, place: &[u8]) -> Result<Option<Summary>, StoreError> {
    Ok(view.get(Keyspace::Ended, place)?.as_deref().and_then(record::read_summary))
}

fn prefix(prefix: &[u8]) -> Range {
    (Bound::Included(prefix.to_vec()), Bound::Excluded(keys::behind(prefix)))
}

/// The keys behind `term` whose places are within the filter's times, and below `after`.
fn within(term: &[u8], filter: &Filter, after: Option<&Cursor>) -> Range {
    let start = filter.created_from_ms.map_or(Vec::new(), |from| from.to_be_bytes().to_vec());
    let before = filter.created_before_ms.map(|before| before.to_be_bytes().to_vec());
    let end = before.into_iter().chain(after.map(keys::place)).min();
    let end = match end {
        Some(end) => Bound::Excluded([term, &end].concat()),
        None if term.is_empty() => Bound::Unbounded,
        None => Bound::Excluded(keys::behind(term)),
    };
    let start = [term, &start].concat();
    // An empty range, but no database likes one whose end is before its start.
    match &end {
        Bound::Excluded(end) if *end <= start => (Bound::Excluded(start.clone()), Bound::Included(start)),
        _ => (Bound::Included(start), end),
    }
}
