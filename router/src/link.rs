//! The two one-way links between data plane and control plane.
//!
//! Worker threads ask ([`Lookup`]) over a bounded queue and never wait for an answer; the control plane answers
//! all of them with an [`Update`] and wakes their event loops. This is the only contact between the two.

use crate::{
    directory::Directory,
    policy::{PolicySnapshot, Stage},
    worker::Arrival,
};
use std::{
    net::{IpAddr, TcpStream},
    os::unix::net::UnixStream,
    sync::{Arc, mpsc},
};
use switchboard_policy::Principal;

/// What a worker thread wants to know. Each is answered by a [`Update::Snapshot`] that contains it, or by
/// [`Update::Missing`] / [`Update::LookupFailed`] naming it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lookup {
    /// The service of that Consul name (`agent-echo`).
    Service(Arc<str>),
    /// The service that registered this full gRPC service name (`demo.EchoBidi`).
    GrpcService(Arc<str>),
}

/// What TLS connections begin with from now on; those that there are go on with what they began with.
///
/// Wherever certificates come from (`control/certificates.rs`), this is what the data plane gets of them.
#[derive(Debug, Clone, Default)]
pub struct Certificates {
    /// For clients' connections. Without one they are closed, if the port speaks TLS.
    pub server: Option<Arc<rustls::ServerConfig>>,
    /// For connections to instances. Its verifier is given [`switchboard_transport::service_name`]. Without one they
    /// fail, if instances are reached by TLS.
    pub client: Option<Arc<rustls::ClientConfig>>,
}

/// A message to a worker thread.
#[derive(Debug)]
pub enum Update {
    /// The directory as of now.
    Snapshot(Arc<Directory>),
    /// Who may do what from now on. Calls under way are not judged again.
    Policy(Arc<PolicySnapshot>),
    /// The registry was asked just now and does not know it; with the nearest client IDs that it does know.
    Missing(Lookup, Arc<[String]>),
    /// The registry could not be asked; the text says why, fit for a client's eyes.
    LookupFailed(Lookup, Arc<str>),
    /// What the next TLS connections begin with.
    Certificates(Certificates),
    /// A client connection, accepted elsewhere, is this worker's from now on.
    Connection(TcpStream, Arrival),
    /// Ask every client that is connected now to go elsewhere: GOAWAY in two steps, existing calls go on. Who
    /// connects afterwards is served as usual, since a load balancer may not know yet.
    GoAway,
    /// The same, for whoever connects from now on as well.
    Drain,
    /// End the remaining calls with UNAVAILABLE, flush, and leave the loop.
    Stop,
}

/// Sends updates to one worker thread and wakes its loop.
#[derive(Debug, Clone)]
pub struct WorkerLink {
    pub(crate) updates: mpsc::Sender<Update>,
    pub(crate) waker: Arc<mio::Waker>,
}

impl WorkerLink {
    /// Sends one update; false if the worker thread has ended.
    pub fn send(&self, update: Update) -> bool {
        self.updates.send(update).is_ok() && self.waker.wake().is_ok()
    }
}

/// The data plane's end towards the control plane. Both queues are bounded; a full one means that the call is
/// refused with `RESOURCE_EXHAUSTED`, never that a worker thread waits.
#[derive(Debug, Clone)]
pub struct ControlLink {
    /// Look-ups. Sent once per name and worker, until it is answered.
    pub lookups: tokio::sync::mpsc::Sender<Lookup>,
    /// The control plane's ends of socket pairs on which a worker thread calls the router's own services.
    pub local: tokio::sync::mpsc::Sender<UnixStream>,
    /// Finished calls, where the access log is on. A full queue costs records, which are counted.
    pub access: Option<tokio::sync::mpsc::Sender<AccessRecord>>,
    /// What the policy refused, and what it decided on administration. Lost and counted likewise.
    pub notices: tokio::sync::mpsc::Sender<Notice>,
}

/// One finished call, for the access log.
#[derive(Debug)]
pub struct AccessRecord {
    /// `x-request-id`, the client's or the router's.
    pub request_id: Box<[u8]>,
    /// Path of a method that the contract knows.
    pub method: Option<Arc<str>>,
    /// Consul service, if the call got as far.
    pub service: Option<Arc<str>>,
    /// Who made it, if that was proved.
    pub principal: Option<Arc<Principal>>,
    /// The gRPC status.
    pub code: u8,
    /// Who ended it: router, backend or client.
    pub origin: &'static str,
    /// Why it failed, as in `call_failures_total`; `-` if it did not.
    pub reason: &'static str,
    /// From request headers to the end, in microseconds.
    pub duration_us: u64,
}

/// What the policy has to tell people.
#[derive(Debug)]
pub enum Notice {
    /// A refusal, one of many perhaps.
    Refused(Refused),
    /// A decision on administration; each is told.
    Audited(Audited),
}

/// One refused call.
#[derive(Debug)]
pub struct Refused {
    /// The stage that refused it.
    pub stage: Stage,
    /// Its reason, as in `policy_rejections_total`.
    pub why: &'static str,
    /// Who made it, if that was proved.
    pub principal: Option<Arc<Principal>>,
    /// The ID that it named, if it got as far.
    pub id: Option<Box<str>>,
    /// Its path.
    pub method: Box<str>,
    /// The client's address.
    pub source: Option<IpAddr>,
    /// `x-request-id`, the client's or the router's.
    pub request_id: Box<[u8]>,
    /// Refusals of this stage on this thread since the last one that was told.
    pub passed_over: u64,
}

/// One decision on administration.
#[derive(Debug)]
pub struct Audited {
    /// Whether it was allowed.
    pub allowed: bool,
    /// The rule or role that decided.
    pub decided_by: String,
    /// Who asked.
    pub principal: Option<Arc<Principal>>,
    /// The ID that was named; `router` for the router itself.
    pub id: Box<str>,
    /// The path.
    pub method: Box<str>,
    /// The client's address.
    pub source: Option<IpAddr>,
    /// `x-request-id`, the client's or the router's.
    pub request_id: Box<[u8]>,
}
