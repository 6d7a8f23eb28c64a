//! The items of a `for_each`.

use bytes::Bytes;

use super::Misfit;
use crate::{
    Millis, TaskExpanded, Workflow, limits,
    unit::{Items, State, Unit},
    workflow::{Phase, json},
};

impl Workflow {
    pub(super) fn task_expanded(&mut self, event: &TaskExpanded, at: Millis) -> Result<(), Misfit> {
        let id = self.known(&event.task)?;
        self.expect(self.phase == Phase::Open, "begins items")?;
        let Some(for_each) = self.plan.task(id.task).for_each.as_deref() else {
            return Err(format!("task {} has no for_each and gets items", event.task));
        };
        if event.items.len() > limits::MAX_ITEMS || id.item().is_some() {
            return Err(format!("task {} gets {} items", event.task, event.items.len()));
        }
        let window = if for_each.max_parallel == 0 { u32::MAX } else { for_each.max_parallel };
        let unit = self.unit_in(id, &event.task, |unit| unit.state == State::Ready, "gets items")?;
        // Attempts of items from before a retry must not count now.
        let begin = Unit { epoch: unit.epoch, generation: unit.generation, ..Unit::default() };
        let mut items = Items {
            values: event.items.clone(),
            units: vec![begin; event.items.len()],
            open: event.items.len() as u32,
            ..Items::default()
        };
        items.promote(window);
        unit.state = State::Expanded;
        if unit.started_at == 0 {
            unit.started_at = at;
        }
        unit.extra().items = Some(items);
        Ok(())
    }
}

impl Items {
    /// Gives up to `count` more items their turn.
    pub(crate) fn promote(&mut self, count: u32) {
        let mut left = count;
        while left > 0
            && let Some(unit) = self.units.get_mut(self.next as usize)
        {
            self.next += 1;
            if unit.state == State::Pending {
                unit.state = State::Ready;
                left -= 1;
            }
        }
    }

    /// Counts an item that is over.
    pub(super) fn over(&mut self, item: u32, state: State) {
        self.open = self.open.saturating_sub(1);
        match state {
            State::Failed => self.failed = self.failed.or(Some(item)),
            State::Skipped | State::Cancelled => self.cut = true,
            _ => {}
        }
    }
}

/// The JSON array of the items' results, in order. The items' own results become parts of it, so that each is held once.
pub(super) fn join(items: &mut Items) -> Bytes {
    let mut array = vec![b'['];
    let mut ends = Vec::with_capacity(items.units.len());
    for unit in &items.units {
        if array.len() > 1 {
            array.push(b',');
        }
        let start = array.len();
        array.extend_from_slice(&json(&unit.result));
        ends.push(start..array.len());
    }
    array.push(b']');
    let array = Bytes::from(array);
    for (unit, range) in items.units.iter_mut().zip(ends) {
        unit.result = array.slice(range);
    }
    array
}
