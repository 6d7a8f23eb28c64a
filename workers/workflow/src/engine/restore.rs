//! What was going on when the process ended, read from the store.

use std::sync::Arc;

use prost::Message;
use workflow_machine::{Event, Workflow, WorkflowId};
use workflow_store::{Item, Store, StoreError, WorkflowId as StoreId};

use super::{Reach, StartError, command::EngineError, live::Live, run::Loop, submit::stored_id, turn::Turn};

/// Events that are read at once.
const READ_AT_ONCE: usize = 1_024;

/// A workflow by its history; `None` if there is none of that name.
pub(super) fn workflow(store: &dyn Store, id: &WorkflowId) -> Result<Option<Workflow>, StartError> {
    let Some(stored) = stored_id(id) else { return Ok(None) };
    let mut events: Vec<Event> = Vec::new();
    loop {
        let after = events.last().map_or(0, |event| event.seq);
        let read = store.events(&stored, after, READ_AT_ONCE)?.items;
        let more = read.len() == READ_AT_ONCE;
        for item in read {
            events.push(event(&stored, &item)?);
        }
        if !more {
            break;
        }
    }
    if events.is_empty() {
        return Ok(None);
    }
    let workflow = Workflow::replay(&events);
    workflow.map(Some).map_err(|source| StartError::Corrupt { id: id.to_string(), source })
}

/// Reads one event of a workflow.
pub(crate) fn event(id: &StoreId, item: &Item) -> Result<Event, StartError> {
    // From a slice: what is decoded from `Bytes` keeps all of them.
    Event::decode(&item.data[..]).map_err(|source| StartError::Unreadable {
        id: id.to_string(),
        seq: item.seq,
        source,
    })
}

/// Whether a workflow of that name, if the store has one, is reached.
pub(super) fn is_within(store: &dyn Store, reach: &Reach, id: &WorkflowId) -> Result<bool, StoreError> {
    if *reach == Reach::All {
        return Ok(true);
    }
    let Some(stored) = stored_id(id) else { return Ok(false) };
    Ok(store.summary(&stored)?.is_some_and(|summary| reach.covers(&summary.owner)))
}

pub(super) fn unreadable(error: StoreError) -> EngineError {
    EngineError::Unreadable(Arc::new(StartError::Store(error)))
}

impl Loop {
    /// Takes in every workflow that has not ended, and what is to be done for it.
    pub(super) fn restore(&mut self) -> Result<(), StartError> {
        self.restore_settings()?;
        let mut outstanding = Vec::new();
        for summary in self.store.live()? {
            let id = WorkflowId::from(summary.id.as_str());
            let Some(workflow) = workflow(&*self.store, &id)? else { continue };
            self.clock.at_least(workflow.updated_at());
            outstanding.push((id.clone(), workflow.outstanding()));
            self.live.insert(id, Live::new(workflow, summary.id, true));
        }
        self.restore_schedules()?;
        self.now = self.clock.now();
        let mut turn = Turn::default();
        for (id, actions) in outstanding {
            for action in actions {
                self.perform(&mut turn, &id, action);
            }
        }
        self.settle(&mut turn);
        self.commit(turn);
        Ok(())
    }
}
