//! What an attempt says for the log while it is made.

use std::sync::Arc;

use workflow_machine::Millis;

use super::Metrics;
use crate::{
    attempt::{AttemptId, Report, Reports},
    engine::wall,
};

/// Level of a line, as in `goclaw.v1.LogLevel`.
pub(super) const INFO: u8 = 2;
/// As [`INFO`].
pub(super) const WARN: u8 = 3;

/// Bytes of a line; what is longer is cut, because a log is for people.
pub(crate) const MAX_LINE_BYTES: usize = 8 * 1024;

/// Fields of a line.
pub(crate) const MAX_FIELDS: usize = 32;

/// Bytes of the name and of the value of a field.
pub(crate) const MAX_FIELD_BYTES: usize = 1024;

/// Speaks for one attempt. A line is dropped, and counted, when the engine is behind: the log never holds up the work.
#[derive(Clone, Debug)]
pub(super) struct Voice {
    id: AttemptId,
    reports: Reports,
    metrics: Arc<Metrics>,
}

impl Voice {
    pub(super) fn new(id: AttemptId, reports: Reports, metrics: Arc<Metrics>) -> Self {
        Self { id, reports, metrics }
    }

    pub(super) fn log(
        &self,
        level: u8,
        message: impl Into<String>,
        fields: impl IntoIterator<Item = (String, String)>,
    ) {
        let report = line(wall(), level, message.into(), fields);
        if !self.reports.offer(self.id.clone(), report) {
            self.metrics.dropped_logs.add(1);
        }
    }
}

/// A line within its bounds.
pub(crate) fn line(
    at: Millis,
    level: u8,
    mut message: String,
    fields: impl IntoIterator<Item = (String, String)>,
) -> Report {
    cut(&mut message, MAX_LINE_BYTES);
    let within = |(mut name, mut value): (String, String)| {
        cut(&mut name, MAX_FIELD_BYTES);
        cut(&mut value, MAX_FIELD_BYTES);
        (name, value)
    };
    let fields = fields.into_iter().take(MAX_FIELDS).map(within).collect();
    Report::Log { at, level, message, fields }
}

/// Shortens a text to `limit` bytes, at a character's end.
pub(super) fn cut(text: &mut String, limit: usize) {
    if text.len() > limit {
        let end = (0..=limit).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
        text.truncate(end);
    }
}
