//! Step 3: one call as a state machine.
//!
//! ```text
//!            headers             ID known          instance picked       stream opened
//!  (client) ─────────► Reading ───────────► Parked ◄──┐ ───────► Queued ───────────► Forwarding
//!                         │   (no ID needed)  ▲  │    │              ▲                  │    │
//!                         └───────────────────┘  └────┴──────────────┴──── one retry ───┘    │ response
//!                                                    if nothing was processed                │ complete
//!  any phase ── error, cancel, deadline ──► gone  ◄──────────────────────────── Flushing ◄───┘
//! ```
//!
//! `Parked` waits for the directory (a look-up, or an instance that is healthy and can be reached), `Queued` for a
//! stream of an upstream connection, `Flushing` for the client to take the end of a response that came before the
//! request's own end. While it is `Forwarding` and unanswered a slow call may have a second attempt beside the
//! first (`hedge.rs`). A call has one timer: the earlier of its deadline and what its phase allows. Memory per
//! call: the request headers and at most the replay cap plus one stream window of body, until the response begins.

mod facts;
mod finish;
mod hedge;
mod limits;
mod messages;
mod park;
mod request;
mod retry;
mod room;
mod search;

pub(crate) use hedge::{Attempt, Delay};
pub(crate) use park::is_full;
pub(crate) use request::grpc_status;
pub(crate) use retry::Budget;
pub(crate) use room::Room;

use crate::{
    balance::{self, Among, KeyPull, Picked, Wanted},
    directory::{Endpoint, Limits, Load, Strategy},
    error::Error,
    link::Lookup,
    peek::Search,
    plane::{CallKey, Command, ConnKey, Plane, millis},
    policy::Caller,
    route::{self, MethodRoute, Target},
};
use limits::Place;
use messages::Messages;
use std::sync::Arc;
use switchboard_http2::{Headers, StreamId};
use switchboard_policy::Permit;

/// Where a call stands; see the module's drawing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Reading,
    Parked,
    Backoff,
    Queued,
    Forwarding,
    Flushing,
}

/// One call in flight.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) serial: u64,
    pub(crate) phase: Phase,
    pub(crate) down: (ConnKey, StreamId),
    pub(crate) up: Option<(ConnKey, StreamId)>,
    pub(crate) method: Option<Arc<MethodRoute>>,
    /// The request headers as they will be forwarded, without `grpc-timeout`.
    pub(crate) request: Headers,
    /// Value of `x-switchboard-target`, if it was sent.
    pub(crate) target_header: Option<Box<[u8]>>,
    pub(crate) target: Option<Target>,
    /// Who makes it; `None` while nobody is asked.
    pub(crate) caller: Option<Arc<Caller>>,
    /// The policy lets it go to its target.
    pub(crate) permitted: bool,
    /// Counts it against the limits of its caller, ID and method.
    pub(crate) permit: Option<Box<Permit>>,
    /// The Consul service, once it is known.
    pub(crate) service: Option<Arc<str>>,
    /// Reads the first message for the ID, and watches the rest of it.
    pub(crate) search: Search,
    /// The affinity key.
    pub(crate) affinity: Box<[u8]>,
    /// It came in a header that the service chose.
    by_header: bool,
    /// Parked because no instance that may have it takes another stream.
    pub(crate) room: Option<Box<Room>>,
    /// Body bytes that came before the stream was opened; afterwards those that a retry would send again.
    pub(crate) held: Vec<u8>,
    pub(crate) replayable: bool,
    /// Body bytes that came, that moved into the upstream's output in this attempt, and whose credit went back.
    pub(crate) received: u64,
    pub(crate) moved: u64,
    released: u64,
    /// The client sent END_STREAM.
    pub(crate) client_done: bool,
    /// Response headers went to the client.
    pub(crate) started: bool,
    /// Load of the picked instance, counted up.
    pub(crate) load: Option<Arc<Load>>,
    /// The call decides whether its instance comes back from ejection.
    pub(crate) probe: bool,
    /// The method or the service says that the call may be sent twice.
    pub(crate) idempotent: bool,
    /// The second attempt may be at the same instance, if there is no other.
    pub(crate) may_return: bool,
    /// Attempts made so far.
    pub(crate) attempts: u32,
    /// Response headers of an idempotent call, kept until its first message: trailers instead may mean a retry.
    pub(crate) early: Option<Box<Headers>>,
    /// When the stream was opened, and when bytes last passed, in us and ms of the router clock.
    pub(crate) opened_us: u64,
    pub(crate) active_ms: u64,
    /// When its instance, which left, ends it, in ms of the router clock; `u64::MAX` if it does not.
    pub(crate) leave_ms: u64,
    /// Key of the pool of the picked instance.
    pub(crate) pool: Option<usize>,
    /// A second attempt beside the one that the fields above describe.
    pub(crate) other: Option<Box<Attempt>>,
    /// The fields above describe a hedge.
    pub(crate) is_hedge: bool,
    /// After how many ms without an answer another instance is asked as well; 0 = never.
    pub(crate) hedge_ms: u32,
    /// The instance where the first attempt failed.
    pub(crate) failed_at: Option<Arc<Load>>,
    /// And its error.
    pub(crate) first_error: Option<Box<Error>>,
    /// No instance could be reached: until then, in ms of the router clock, one is waited for. 0: no such thing.
    pub(crate) unreached_until_ms: u64,
    /// The answer to a request that is no gRPC, kept until the request has ended: an answer before that would
    /// hide from an HTTP client what else is wrong with it.
    pub(crate) refused: Option<Box<Error>>,
    /// What its service holds it to instead of the router's settings, once that is known.
    limits: Option<Arc<Limits>>,
    /// Its place among the calls that its service lets be in flight.
    place: Option<Place>,
    /// Lengths of the messages that came, and the most bytes that one may have.
    pub(crate) request_messages: Messages,
    pub(crate) response_messages: Messages,
    message_max: u32,
    /// The client's deadline, or the default, in ms of the router clock; `u64::MAX` if there is none.
    deadline_ms: u64,
    /// It is the client's.
    deadline_sent: bool,
    /// End of the present phase's patience, likewise.
    pub(crate) patience_ms: u64,
    pub(crate) began_us: u64,
}

impl Call {
    /// What a pick for it has to respect.
    fn wanted(&self) -> Wanted<'_> {
        Wanted {
            version: match &self.target {
                Some(Target::Id { version, .. }) => version.as_deref(),
                _ => None,
            },
            except: self.failed_at.as_ref(),
            among: if self.unreached_until_ms > 0 { Among::Reachable } else { Among::All },
            affinity: &self.affinity,
            key_pull: self.key_pull(),
        }
    }

    /// `/package.Service/Method`; of a request whose path was not checked yet, what can be read of it.
    pub(crate) fn path(&self) -> &str {
        self.request.get(b":path").and_then(|path| str::from_utf8(path).ok()).unwrap_or_default()
    }

    /// Asks the router itself how it is, which nobody has to prove anything for.
    pub(crate) fn is_health_check(&self) -> bool {
        self.target_header.is_none() && self.path().starts_with("/grpc.health.v1.Health/")
    }

    /// The body can no longer be sent a second time.
    pub(crate) fn forget_replay(&mut self) {
        self.replayable = false;
        self.held = Vec::new();
    }

    /// How firmly its affinity key binds it to the key's owner. A header only keeps caches warm; a field of the message
    /// names work that is nowhere else.
    fn key_pull(&self) -> KeyPull {
        match &self.method {
            _ if self.by_header || self.affinity.is_empty() => KeyPull::Prefers,
            Some(method) if method.query => KeyPull::Asks,
            _ => KeyPull::Binds,
        }
    }

    /// Stream credit of the request that may go back to the client: for what moved on, and in any case for
    /// the first `replay_max` bytes, which are kept anyway.
    pub(crate) fn request_credit(&mut self, replay_max: u64) -> u32 {
        let target = self.moved.max(self.received.min(replay_max)).max(self.released);
        let credit = target - self.released;
        self.released = target;
        u32::try_from(credit).unwrap_or(u32::MAX)
    }
}

impl Plane {
    /// A call's headers are read: routes it at once where they are enough.
    pub(crate) fn admit(&mut self, key: CallKey) {
        if let Err(error) = self.check_request(key).and_then(|()| self.authenticate(key)) {
            return self.refuse(key, error);
        }
        let Some(call) = self.calls.get_mut(key) else { return };
        let path = call.request.get(b":path").unwrap_or_default();
        match route::decide(call.method.as_deref(), path, call.target_header.as_deref()) {
            Err(error) => self.fail(key, error),
            Ok(Some(target)) => {
                call.target = Some(target);
                self.proceed(key);
            }
            Ok(None) => self.route(key),
        }
    }

    /// Answers a request that failed its checks.
    fn refuse(&mut self, key: CallKey, error: Error) {
        let Some(call) = self.calls.get_mut(key) else { return };
        if error.http_status.is_none() || call.client_done {
            return self.fail(key, error);
        }
        call.refused = Some(Box::new(error));
        call.patience_ms = self.now_ms + millis(self.config.first_message_wait);
        self.set_call_timer(key);
    }

    /// Routes a call by its first message, as soon as that says enough.
    pub(crate) fn route(&mut self, key: CallKey) {
        let Some(call) = self.calls.get_mut(key) else { return };
        if call.target.is_some() {
            return self.proceed(key);
        }
        let Some(method) = &call.method else { return };
        let peek = match &call.search {
            Search::Over => return,
            Search::Under(peek) => Some(peek).filter(|peek| peek.is_decided()),
            Search::Due(..) => None,
        };
        let Some(peek) = peek else {
            if call.client_done {
                self.fail(key, Error::no_message());
            } else if call.patience_ms == u64::MAX {
                // Once, or a trickle of bytes would hold the call open for ever.
                call.patience_ms = self.now_ms + millis(self.config.first_message_wait);
                self.set_call_timer(key);
            }
            return;
        };
        let target =
            route::decide_by_message(method, call.target_header.as_deref(), peek.id(), peek.id_too_long());
        call.affinity = peek.affinity().into();
        if peek.is_done() {
            call.search = Search::Over;
        }
        match target {
            Err(error) => self.fail(key, error),
            Ok(target) => {
                call.target = Some(target);
                self.proceed(key);
            }
        }
    }

    /// The target is known: looks for an instance, if the caller may have one.
    fn proceed(&mut self, key: CallKey) {
        match self.authorize(key) {
            Ok(()) => self.resolve(key),
            Err(error) => self.fail(key, error),
        }
    }

    /// Finds the service and an instance of it in the directory, or parks the call until it can.
    pub(crate) fn resolve(&mut self, key: CallKey) {
        let Some(call) = self.calls.get_mut(key) else { return };
        let service = match &call.target {
            None => return,
            Some(Target::Local) => return self.send_local(key),
            Some(Target::Id { service, .. }) => service.clone(),
            Some(Target::GrpcService(name)) => match self.directory.grpc_services.get(name) {
                Some(service) => {
                    let service = service.clone();
                    if let Err(error) = self.authorize_service(key, &service) {
                        return self.fail(key, error);
                    }
                    service
                }
                None => {
                    let lookup = Lookup::GrpcService(name.clone());
                    let patience = self.now_ms + millis(self.config.lookup_wait);
                    return self.park(key, lookup, patience);
                }
            },
        };
        let Some(known) = self.directory.services.get(&service).cloned() else {
            let patience = self.now_ms + millis(self.config.lookup_wait);
            return self.park(key, Lookup::Service(service), patience);
        };
        known.usage.touch(self.now_ms);
        if known.fresh_until_ms <= self.now_ms && self.refreshing.insert(service.clone()) {
            self.command(Command::Lookup(Lookup::Service(service)));
        }
        let Some(call) = self.calls.get_mut(key) else { return };
        let was_known = call.service.replace(known.name.clone()).is_some();
        if !was_known && let Err(error) = call.hold_to(&known) {
            return self.fail(key, error);
        }
        call.idempotent = known.idempotent || call.method.as_ref().is_some_and(|method| method.idempotent);
        if !was_known {
            known.usage.retries.deposit();
        }
        if let Strategy::Affinity(header) = &known.strategy
            && let Some(value) = call.request.get(header.as_bytes())
        {
            (call.affinity, call.by_header) = (value.into(), true);
        }
        call.hedge_ms = match known.hedge {
            Some(hedge) if call.idempotent && call.affinity.is_empty() => known.usage.answers.ms(hedge),
            _ => 0,
        };
        let wanted = call.wanted();
        let room_at = |owner: &Endpoint| Room::Instance(known.name.clone(), owner.instance.clone());
        match balance::pick(&known, wanted, self.now_ms, &mut self.rng) {
            Picked::Endpoint { endpoint, probe } => {
                call.probe = probe;
                match self.room_ahead(key, endpoint) {
                    Some(room) => self.wait_for_room(key, room),
                    None => self.send_to(key, endpoint.clone()),
                }
            }
            Picked::Full => self.wait_for_room(key, Room::Service(known.name.clone())),
            Picked::OwnerFull(owner) => self.wait_for_room(key, room_at(owner)),
            Picked::Nothing if call.unreached_until_ms > 0 => self.wait_for_reachable(key, &known),
            Picked::Nothing if call.failed_at.is_some() => self.fail_attempt(key),
            Picked::Nothing => {
                // A new directory does not begin the wait anew, but the wait for the look-up was another one.
                let patience = match call.patience_ms {
                    set if call.phase == Phase::Parked && was_known && call.room.is_none() => set,
                    _ => self.now_ms + millis(self.config.no_endpoint_wait),
                };
                if patience <= self.now_ms {
                    return self.fail_without_instance(key);
                }
                self.park(key, Lookup::Service(known.name.clone()), patience);
            }
        }
    }

    /// The call's timer fired: its deadline, or the end of its phase's patience.
    pub(crate) fn call_timeout(&mut self, key: CallKey) {
        let Some(call) = self.calls.get(key) else { return };
        if self.now_ms >= call.deadline_ms {
            let service = call.service.as_deref().unwrap_or("the router");
            return self.fail(key, Error::deadline_exceeded(service));
        }
        if self.now_ms >= call.leave_ms {
            return self.leave_instance(key);
        }
        if let Some(error) = self.calls.get_mut(key).and_then(|call| call.refused.take()) {
            return self.fail(key, *error);
        }
        let Some(call) = self.calls.get(key) else { return };
        if call.phase == Phase::Parked && call.room.is_some() {
            return self.look_for_room(key);
        }
        match (call.phase, &call.target) {
            (Phase::Parked, _) if call.unreached_until_ms > 0 => self.look_for_reachable(key),
            (Phase::Backoff, _) => self.resolve(key),
            (Phase::Forwarding, _) if self.now_ms >= call.patience_ms => self.hedge(key),
            (Phase::Forwarding, _) => self.check_idle(key),
            (Phase::Reading, _) => {
                self.fail(key, Error::first_message_timeout(self.config.first_message_wait));
            }
            (Phase::Parked, Some(Target::Id { service, .. }))
                if !self.directory.services.contains_key(service) =>
            {
                let error = Error::lookup_timeout(service);
                self.fail(key, error);
            }
            (Phase::Parked, Some(Target::GrpcService(name))) if call.service.is_none() => {
                let error = Error::lookup_timeout(name);
                self.fail(key, error);
            }
            (Phase::Parked, _) => self.fail_without_instance(key),
            _ => self.set_call_timer(key),
        }
    }

    /// Nothing passed for the time that a stream may be idle?
    fn check_idle(&mut self, key: CallKey) {
        let Some(call) = self.calls.get(key) else { return };
        let limit = call.stream_idle(&self.config);
        if !limit.is_zero() && self.now_ms >= call.active_ms + millis(limit) {
            let service = call.service.as_deref().unwrap_or("the router");
            return self.fail(key, Error::stream_idle(service, limit));
        }
        self.set_call_timer(key);
    }

    /// Sets the call's one timer by its deadline and its phase.
    pub(crate) fn set_call_timer(&mut self, key: CallKey) {
        let Some(call) = self.calls.get(key) else { return };
        let patience = match call.phase {
            Phase::Reading | Phase::Parked | Phase::Backoff => call.patience_ms,
            Phase::Forwarding => match millis(call.stream_idle(&self.config)) {
                0 => call.patience_ms,
                idle_ms => call.patience_ms.min(call.active_ms + idle_ms),
            },
            _ => u64::MAX,
        };
        match call.deadline_ms.min(patience).min(call.leave_ms) {
            u64::MAX => self.call_timers.clear(key),
            at_ms => self.call_timers.set(key, at_ms),
        }
    }
}
