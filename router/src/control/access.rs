//! The access log: one line for each finished call, at info with target `access`.
//!
//! The worker threads only queue records; writing, which may block, happens here.

use crate::link::AccessRecord;
use tokio::sync::mpsc;

/// Records that may wait to be written; more are lost and counted.
pub(crate) const QUEUE: usize = 4_096;

/// Writes records until the worker threads are gone.
pub(super) async fn log(mut records: mpsc::Receiver<AccessRecord>) {
    while let Some(record) = records.recv().await {
        tracing::info!(
            target: "access",
            request_id = %record.request_id.escape_ascii(),
            service = record.service.as_deref().unwrap_or("-"),
            method = record.method.as_deref().unwrap_or("-"),
            code = record.code,
            origin = record.origin,
            reason = record.reason,
            duration_us = record.duration_us,
        );
    }
}
