//! How summaries and small records lie on the disk.
//!
//! A summary is a protobuf message, so that a later version can add fields that an earlier one ignores.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;

use crate::{Parent, Remembered, Status, Summary, TaskCounts, WorkflowId, table::Counters};

#[derive(Clone, PartialEq, Message)]
struct SummaryRecord {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(uint32, tag = "3")]
    status: u32,
    #[prost(uint32, tag = "4")]
    detail: u32,
    #[prost(uint64, tag = "5")]
    created_ms: u64,
    #[prost(uint64, tag = "6")]
    updated_ms: u64,
    #[prost(uint64, tag = "7")]
    started_ms: u64,
    #[prost(uint64, tag = "8")]
    finished_ms: u64,
    #[prost(uint64, tag = "9")]
    last_seq: u64,
    #[prost(sint32, tag = "10")]
    priority: i32,
    #[prost(string, tag = "11")]
    owner: String,
    #[prost(string, tag = "12")]
    parent_workflow: String,
    #[prost(string, tag = "13")]
    parent_task: String,
    #[prost(message, repeated, tag = "14")]
    attributes: Vec<AttributeRecord>,
    #[prost(uint32, tag = "15")]
    tasks_total: u32,
    #[prost(uint32, tag = "16")]
    tasks_running: u32,
    #[prost(uint32, tag = "17")]
    tasks_completed: u32,
    #[prost(uint32, tag = "18")]
    tasks_failed: u32,
    #[prost(bool, tag = "19")]
    saga: bool,
    #[prost(string, tag = "20")]
    error: String,
}

#[derive(Clone, PartialEq, Message)]
struct AttributeRecord {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

pub(super) fn write_summary(summary: &Summary) -> Bytes {
    let parent = summary.parent.clone();
    let (parent_workflow, parent_task) =
        parent.map(|parent| (parent.workflow.to_string(), parent.task)).unwrap_or_default();
    let record = SummaryRecord {
        id: summary.id.to_string(),
        name: summary.name.clone(),
        status: u32::from(summary.status as u8),
        detail: u32::from(summary.detail),
        created_ms: summary.created_ms,
        updated_ms: summary.updated_ms,
        started_ms: summary.started_ms,
        finished_ms: summary.finished_ms,
        last_seq: summary.last_seq,
        priority: summary.priority,
        owner: summary.owner.clone(),
        parent_workflow,
        parent_task,
        attributes: summary
            .attributes
            .iter()
            .map(|(name, value)| AttributeRecord { name: name.clone(), value: value.clone() })
            .collect(),
        tasks_total: summary.tasks.total,
        tasks_running: summary.tasks.running,
        tasks_completed: summary.tasks.completed,
        tasks_failed: summary.tasks.failed,
        saga: summary.saga,
        error: summary.error.clone(),
    };
    record.encode_to_vec().into()
}

/// `None` if this is no summary.
pub(super) fn read_summary(bytes: &[u8]) -> Option<Summary> {
    let record = SummaryRecord::decode(bytes).ok()?;
    let parent = match WorkflowId::new(&record.parent_workflow) {
        Ok(workflow) => Some(Parent { workflow, task: record.parent_task }),
        Err(_) => None,
    };
    Some(Summary {
        id: WorkflowId::new(&record.id).ok()?,
        name: record.name,
        status: Status::try_from(u8::try_from(record.status).ok()?).ok()?,
        detail: u8::try_from(record.detail).ok()?,
        created_ms: record.created_ms,
        updated_ms: record.updated_ms,
        started_ms: record.started_ms,
        finished_ms: record.finished_ms,
        last_seq: record.last_seq,
        priority: record.priority,
        owner: record.owner,
        parent,
        attributes: record.attributes.into_iter().map(|record| (record.name, record.value)).collect(),
        tasks: TaskCounts {
            total: record.tasks_total,
            running: record.tasks_running,
            completed: record.tasks_completed,
            failed: record.tasks_failed,
        },
        saga: record.saga,
        error: record.error,
    })
}

/// What an index entry says of its workflow, so that counts need not look further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Posting {
    pub(super) status: Status,
    pub(super) detail: u8,
    pub(super) saga: bool,
    /// Where in the key the term ends.
    pub(super) term: usize,
}

impl Posting {
    pub(super) fn of(summary: &Summary, term: usize) -> Self {
        Self { status: summary.status, detail: summary.detail, saga: summary.saga, term }
    }

    pub(super) fn write(self) -> Bytes {
        let term = u16::try_from(self.term).unwrap_or(u16::MAX).to_be_bytes();
        Bytes::copy_from_slice(&[self.status as u8, self.detail, u8::from(self.saga), term[0], term[1]])
    }

    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let &[status, detail, saga, high, low] = bytes else { return None };
        let term = usize::from(u16::from_be_bytes([high, low]));
        Some(Self { status: Status::try_from(status).ok()?, detail, saga: saga != 0, term })
    }
}

pub(super) fn write_remembered(remembered: &Remembered) -> Bytes {
    let mut bytes = BytesMut::with_capacity(40 + remembered.response.len());
    bytes.put_slice(&remembered.hash);
    bytes.put_u64(remembered.expires_ms);
    bytes.put_slice(&remembered.response);
    bytes.freeze()
}

pub(super) fn read_remembered(bytes: &[u8]) -> Option<Remembered> {
    let (hash, rest) = bytes.split_first_chunk()?;
    let (expires, response) = rest.split_first_chunk()?;
    Some(Remembered {
        hash: *hash,
        expires_ms: u64::from_be_bytes(*expires),
        response: Bytes::copy_from_slice(response),
    })
}

/// The counters, and the number of the commit that wrote them.
pub(super) fn write_counters(counters: Counters, version: u64) -> Bytes {
    let mut bytes = BytesMut::with_capacity(48);
    bytes.put_u64(version);
    counters.0.iter().for_each(|counter| bytes.put_u64(*counter));
    bytes.freeze()
}

pub(super) fn read_counters(mut bytes: &[u8]) -> Option<(Counters, u64)> {
    let version = bytes.try_get_u64().ok()?;
    let mut counters = Counters::default();
    for counter in &mut counters.0 {
        *counter = bytes.try_get_u64().ok()?;
    }
    Some((counters, version))
}
