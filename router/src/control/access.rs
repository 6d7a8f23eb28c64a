//! The access log: one line for each finished call, at info with target `access`; and what the policy refused, or decided
//! on administration (target `audit`).
//!
//! The worker threads only queue records; writing, which may block, happens here.

use crate::link::{AccessRecord, Audited, Notice, Refused};
use std::net::IpAddr;
use switchboard_policy::Principal;
use tokio::sync::mpsc;

/// Records that may wait to be written; more are lost and counted.
pub(crate) const QUEUE: usize = 4_096;

/// Refusals and decisions that may wait to be written; more are lost and counted.
pub(crate) const NOTICE_QUEUE: usize = 1_024;

/// Writes records until the worker threads are gone.
pub(super) async fn log(mut records: mpsc::Receiver<AccessRecord>) {
    while let Some(record) = records.recv().await {
        tracing::info!(
            target: "access",
            request_id = %record.request_id.escape_ascii(),
            service = record.service.as_deref().unwrap_or("-"),
            method = record.method.as_deref().unwrap_or("-"),
            principal = name(record.principal.as_deref()),
            code = record.code,
            origin = record.origin,
            reason = record.reason,
            duration_us = record.duration_us,
        );
    }
}

/// Writes what the policy tells until the worker threads are gone.
pub(super) async fn tell(mut notices: mpsc::Receiver<Notice>) {
    while let Some(notice) = notices.recv().await {
        match notice {
            Notice::Refused(Refused {
                stage,
                why,
                principal,
                id,
                method,
                source,
                request_id,
                passed_over,
            }) => {
                tracing::warn!(
                    stage = stage.as_str(),
                    reason = why,
                    principal = name(principal.as_deref()),
                    id = %id.as_deref().unwrap_or("-").escape_debug(),
                    method = %method.escape_debug(),
                    source = address(source),
                    request_id = %request_id.escape_ascii(),
                    passed_over,
                    "call refused by the policy"
                );
            }
            Notice::Audited(Audited { allowed, decided_by, principal, id, method, source, request_id }) => {
                tracing::info!(
                    target: "audit",
                    allowed,
                    decided_by,
                    principal = name(principal.as_deref()),
                    id = %id.escape_debug(),
                    method = %method.escape_debug(),
                    source = address(source),
                    request_id = %request_id.escape_ascii(),
                    "administration"
                );
            }
        }
    }
}

/// A principal's name, fit for a line of the log; `-` if nothing was proved.
pub(super) fn name(principal: Option<&Principal>) -> String {
    principal.map_or_else(|| "-".to_owned(), |principal| principal.name.escape_debug().to_string())
}

fn address(source: Option<IpAddr>) -> String {
    source.map_or_else(|| "-".to_owned(), |source| source.to_string())
}
