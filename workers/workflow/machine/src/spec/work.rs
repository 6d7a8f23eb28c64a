//! What a task does.
//!
//! Texts marked *template* may hold `{{…}}`; they are resolved when the attempt starts.

use std::{collections::BTreeMap, fmt};

use bytes::Bytes;
use prost::{Enumeration, Message, Oneof};

use super::Spec;

/// What a task does.
#[derive(Clone, PartialEq, Oneof)]
pub enum Work {
    /// Nothing: completes at once, without a slot.
    #[prost(message, tag = "16")]
    Noop(Noop),
    /// Calls an agent, a tool or a worker through the router.
    #[prost(message, tag = "17")]
    Call(Call),
    /// Makes an HTTP request.
    #[prost(message, tag = "18")]
    Http(Http),
    /// Waits for a time, without a slot.
    #[prost(message, tag = "19")]
    Sleep(Sleep),
    /// Waits for a signal, without a slot.
    #[prost(message, tag = "20")]
    WaitSignal(WaitSignal),
    /// Runs a workflow and takes its result; needs no slot, the child's tasks do.
    #[prost(message, tag = "21")]
    Child(Child),
    /// Is done by an external worker that pulls.
    #[prost(message, tag = "22")]
    Function(Function),
}

/// Nothing.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Noop {}

/// A call of an agent, a tool or a worker.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct Call {
    /// Which contract.
    #[prost(enumeration = "CallKind", tag = "1")]
    pub kind: i32,
    /// Identifier by which the router finds it. *Template.*
    #[prost(string, tag = "2")]
    pub target: String,
    /// What it is asked to do. *Template.*
    #[prost(string, tag = "3")]
    pub operation: String,
    /// JSON text, or any text. *Template*: a JSON string that is one whole template becomes the value itself.
    #[prost(bytes = "bytes", tag = "4")]
    pub input: Bytes,
    /// Named parameters; the values are *templates*.
    #[prost(btree_map = "string, string", tag = "5")]
    pub parameters: BTreeMap<String, String>,
}

/// Whose contract a call speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum CallKind {
    /// A worker.
    Worker = 0,
    /// An agent.
    Agent = 1,
    /// A tool.
    Tool = 2,
}

/// An HTTP request.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct Http {
    /// Method; empty is GET, or POST with a body.
    #[prost(string, tag = "1")]
    pub method: String,
    /// Absolute URL. *Template.*
    #[prost(string, tag = "2")]
    pub url: String,
    /// Header fields; the values are *templates*.
    #[prost(btree_map = "string, string", tag = "3")]
    pub headers: BTreeMap<String, String>,
    /// Body. *Template*, as the input of a call.
    #[prost(bytes = "bytes", tag = "4")]
    pub body: Bytes,
}

/// A wait for a time. `until_ms` counts if both are set.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Sleep {
    /// How long, in milliseconds, from when the dependencies are over.
    #[prost(uint64, tag = "1")]
    pub duration_ms: u64,
    /// Until when, in Unix milliseconds; a time in the past completes at once.
    #[prost(uint64, tag = "2")]
    pub until_ms: u64,
}

/// A wait for a signal; its payload is the task's result. Signals that came before the wait count.
///
/// The task's `timeout_ms` bounds the wait.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct WaitSignal {
    /// Name of the signal.
    #[prost(string, tag = "1")]
    pub name: String,
}

/// A workflow inside of a workflow.
#[derive(Clone, PartialEq, Message)]
pub struct Child {
    /// What it does. `input` and the values of `metadata` are *templates* of the parent; its tasks' are its own.
    #[prost(message, optional, boxed, tag = "1")]
    pub spec: Option<Box<Spec>>,
}

/// Work for an external worker.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct Function {
    /// Queue from which workers pull.
    #[prost(string, tag = "1")]
    pub queue: String,
    /// What it is asked to do. *Template.*
    #[prost(string, tag = "2")]
    pub operation: String,
    /// As the input of a call. *Template.*
    #[prost(bytes = "bytes", tag = "3")]
    pub input: Bytes,
    /// Named parameters; the values are *templates*.
    #[prost(btree_map = "string, string", tag = "4")]
    pub parameters: BTreeMap<String, String>,
}

// Inputs, parameters and headers may hold secrets: their names and sizes are shown, their values never.

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("kind", &self.kind())
            .field("target", &self.target)
            .field("operation", &self.operation)
            .field("input_bytes", &self.input.len())
            .field("parameters", &self.parameters.keys())
            .finish()
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A query may hold a key.
        let url = self.url.split('?').next().unwrap_or_default();
        f.debug_struct("Http")
            .field("method", &self.method)
            .field("url", &url)
            .field("headers", &self.headers.keys())
            .field("body_bytes", &self.body.len())
            .finish()
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Function")
            .field("queue", &self.queue)
            .field("operation", &self.operation)
            .field("input_bytes", &self.input.len())
            .field("parameters", &self.parameters.keys())
            .finish()
    }
}
