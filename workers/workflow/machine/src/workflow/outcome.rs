//! How a workflow ended, and with what.

use bytes::Bytes;

use super::{Phase, Workflow};
use crate::{Outcome, unit::State};

impl Workflow {
    /// How it ended; nothing while it lives.
    ///
    /// The result is that of the one task on which no other depends, or an object of the results of all such tasks by
    /// identifier; `null` stands for none.
    pub fn outcome(&self) -> Option<Outcome> {
        if !self.phase.is_terminal() {
            return None;
        }
        let result = if self.phase == Phase::Completed { self.result() } else { Bytes::new() };
        Some(Outcome { status: self.status(), result, error: self.error().cloned() })
    }

    fn result(&self) -> Bytes {
        let last: Vec<u32> =
            (0..self.plan.len()).filter(|task| self.plan.dependents(*task).is_empty()).collect();
        if let [only] = &last[..] {
            return json(&self.units[*only as usize].result);
        }
        let mut object = vec![b'{'];
        for task in last {
            let unit = &self.units[task as usize];
            if unit.state != State::Completed {
                continue;
            }
            if object.len() > 1 {
                object.push(b',');
            }
            // Identifiers have no character that JSON would escape.
            object.extend_from_slice(format!("\"{}\":", self.plan.task(task).id).as_bytes());
            object.extend_from_slice(&json(&unit.result));
        }
        object.push(b'}');
        object.into()
    }
}

/// The bytes as JSON text: themselves if they are, a JSON string if not, `null` if there are none.
pub(crate) fn json(bytes: &Bytes) -> Bytes {
    if bytes.is_empty() {
        return Bytes::from_static(b"null");
    }
    if serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok() {
        return bytes.clone();
    }
    serde_json::Value::String(String::from_utf8_lossy(bytes).into_owned()).to_string().into()
}
