//! Step 1: one worker thread: its event loop, its sockets, its wake-ups. The only file of the data plane with I/O.
//!
//! One turn: wait for events; read what can be read and hand it to the `Plane`; let deadlines pass; carry out
//! the plane's commands; write every connection that has output once. Nothing here blocks but the wait itself.
//! The first worker owns the listener and hands the connections to all workers in turn.

mod accept;
mod opening;
mod proxy;
mod sources;
mod stream;
mod tls;

use accept::Acceptor;
pub use accept::Arrival;
use opening::{OPENING_BYTES, Opening};
use sources::{Source, Sources};
use stream::Stream;
use tls::{Session, Tls};

use crate::{
    config::Config,
    directory::Clock,
    link::{Certificates, ControlLink, Lookup, Update, WorkerLink},
    observe::Metrics,
    plane::{Command, ConnKey, Plane},
    policy::PolicySnapshot,
    route::RouteTable,
};
use mio::{
    Events, Interest, Poll, Token, Waker,
    net::{TcpListener, TcpStream, UnixStream},
};
use std::{
    io::{self, ErrorKind, Read, Write},
    net::SocketAddr,
    sync::{Arc, atomic::Ordering::Relaxed, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

const WAKER: Token = Token(usize::MAX);
const LISTENER: Token = Token(usize::MAX - 1);

/// Bytes read at a time; large reads carry many frames of many streams (datapath.md: 0.15 system calls per call).
const READ_BYTES: usize = 256 * 1024;
/// Reads of one connection in one turn, so that a flood on one does not starve the others.
const READS_PER_TURN: usize = 4;
/// How often counts are merged and memory is measured.
const MERGE_MS: u64 = 100;
/// How long the loop goes on after `Stop` to write what is left.
const STOP_FLUSH_MS: u64 = 500;

/// A running worker thread.
#[derive(Debug)]
pub struct Worker {
    /// How to reach it.
    pub link: WorkerLink,
    /// Ends after [`Update::Stop`].
    pub thread: JoinHandle<()>,
}

/// What all worker threads share.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The configuration.
    pub config: Arc<Config>,
    /// The router's clock.
    pub clock: Clock,
    /// The way to the control plane.
    pub control: ControlLink,
    /// Counters and gauges.
    pub metrics: Arc<Metrics>,
    /// Routes by method.
    pub routes: Arc<RouteTable>,
    /// What TLS connections begin with, until [`Update::Certificates`] says otherwise.
    pub certificates: Certificates,
    /// Who may do what, until an update says otherwise.
    pub policy: Arc<PolicySnapshot>,
}

/// Starts `setup.config.workers` worker threads that serve the connections of `listener`, evenly. Fails if an
/// event loop or a thread cannot be made.
pub fn spawn_all(setup: &Setup, listener: std::net::TcpListener) -> io::Result<Vec<Worker>> {
    listener.set_nonblocking(true)?;
    let mut loops = Vec::new();
    for _ in 0..setup.config.workers.max(1) {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let (updates, inbox) = mpsc::channel();
        loops.push((poll, inbox, WorkerLink { updates, waker }));
    }
    let links: Vec<WorkerLink> = loops.iter().map(|(_, _, link)| link.clone()).collect();
    let sources = Sources::new(setup.config.max_connections_per_source);
    let mut listener = Some(TcpListener::from_std(listener));
    let mut workers = Vec::new();
    for (index, (poll, inbox, link)) in loops.into_iter().enumerate() {
        let acceptor = match listener.take() {
            Some(mut listener) => {
                poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
                Some(Acceptor::new(listener, links.clone()))
            }
            None => None,
        };
        workers.push(start(setup, index, poll, inbox, link, acceptor, sources.clone())?);
    }
    Ok(workers)
}

fn start(
    setup: &Setup,
    index: usize,
    poll: Poll,
    inbox: mpsc::Receiver<Update>,
    link: WorkerLink,
    acceptor: Option<Acceptor>,
    sources: Sources,
) -> io::Result<Worker> {
    let seed = rand::random::<u64>();
    let mut plane = Plane::new(setup.config.clone(), setup.routes.clone(), setup.metrics.clone(), seed);
    plane.update(Update::Policy(setup.policy.clone()));
    let event_loop = EventLoop {
        poll,
        inbox,
        plane,
        index,
        acceptor,
        sources,
        tls: Tls::new(setup.certificates.clone()),
        clock: setup.clock,
        control: setup.control.clone(),
        metrics: setup.metrics.clone(),
        sockets: Vec::new(),
        again: Vec::new(),
        buffer: vec![0; READ_BYTES].into_boxed_slice(),
        merge_at_ms: 0,
        stop_at_ms: None,
    };
    let thread = thread::Builder::new().name(format!("worker-{index}")).spawn(move || event_loop.run())?;
    Ok(Worker { link, thread })
}

/// A connection's socket and what the plane does not need to know of it.
struct Socket {
    stream: Stream,
    layer: Layer,
    /// The connect is not confirmed yet.
    connecting: bool,
    /// The last write found the socket full; a writable event follows.
    blocked: bool,
    /// Reading was put off because the peer does not take its answers.
    paused: bool,
    /// What is kept of it has more for the plane than one turn allows.
    more: bool,
    /// Whether it is in `EventLoop::again`.
    again: bool,
    /// The sending side is shut.
    shut: bool,
    /// Counts the connection for its source, until the socket is dropped; `None` of instances, and while it is not known.
    source: Option<Source>,
    /// The beginning of a frame whose rest has not come, or what the plane has not taken yet.
    partial: Vec<u8>,
}

/// What stands between the socket and the plane.
enum Layer {
    /// Nothing.
    Clear,
    /// That is not known before the first bytes came.
    Opening(Opening),
    /// TLS.
    Tls(Box<Session>),
}

impl Socket {
    /// Keeps the beginning of a frame until its rest comes.
    fn keep(&mut self, rest: &[u8]) {
        if rest.is_empty() {
            self.partial = Vec::new();
        } else {
            self.partial.clear();
            self.partial.extend_from_slice(rest);
        }
    }
}

struct EventLoop {
    poll: Poll,
    inbox: mpsc::Receiver<Update>,
    plane: Plane,
    index: usize,
    acceptor: Option<Acceptor>,
    sources: Sources,
    tls: Tls,
    clock: Clock,
    control: ControlLink,
    metrics: Arc<Metrics>,
    /// By connection key.
    sockets: Vec<Option<Socket>>,
    /// Connections that may have more to read than one turn allows.
    again: Vec<ConnKey>,
    buffer: Box<[u8]>,
    merge_at_ms: u64,
    stop_at_ms: Option<u64>,
}

impl EventLoop {
    fn run(mut self) {
        let mut events = Events::with_capacity(1024);
        loop {
            let timeout = self.timeout();
            if let Err(error) = self.poll.poll(&mut events, Some(timeout))
                && error.kind() != ErrorKind::Interrupted
            {
                tracing::error!(%error, worker = self.index, "event loop failed");
                return;
            }
            self.plane.set_now(self.clock.now_us());
            let again = std::mem::take(&mut self.again);
            for event in &events {
                match event.token() {
                    WAKER => self.updates(),
                    LISTENER => self.accept(),
                    Token(conn) => self.event(conn, event),
                }
                self.run_commands();
            }
            for conn in again {
                if let Some(Some(socket)) = self.sockets.get_mut(conn) {
                    socket.again = false;
                    self.read(conn, false);
                    self.run_commands();
                }
            }
            self.advance_handshakes();
            self.plane.tick();
            self.run_commands();
            self.retry_accept();
            self.settle();
            let merge_due = self.plane.now_ms >= self.merge_at_ms;
            if merge_due || self.plane.is_measure_due() {
                self.plane.relieve_pressure();
                self.settle();
            }
            if merge_due {
                self.plane.recorder.merge(&self.metrics);
                self.merge_at_ms = self.plane.now_ms + MERGE_MS;
            }
            if self.stop_at_ms.is_some_and(|at| self.plane.now_ms >= at || self.plane.conns.is_empty()) {
                self.plane.recorder.merge(&self.metrics);
                return;
            }
        }
    }

    fn timeout(&self) -> Duration {
        if !self.again.is_empty() || self.tls.is_busy() {
            return Duration::ZERO;
        }
        let retry = self.acceptor.as_ref().and_then(|acceptor| acceptor.retry_at_ms);
        let next = [self.plane.next_deadline(), retry, self.stop_at_ms, Some(self.merge_at_ms)]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(u64::MAX);
        // The clock is read anew: a long turn must not delay the next deadline.
        Duration::from_millis(next.saturating_sub(self.clock.now_ms()).clamp(0, 1_000))
    }

    /// Writes all output, carrying out the commands that come of it.
    fn settle(&mut self) {
        loop {
            self.run_commands();
            let Some(conn) = self.plane.next_dirty() else { break };
            self.write(conn);
        }
    }

    /// Carries out the plane's commands in their order. Runs after every step of the plane, because a key that was
    /// closed may be given out again by the next.
    fn run_commands(&mut self) {
        loop {
            let commands = self.plane.commands();
            if commands.is_empty() {
                return;
            }
            for command in commands {
                match command {
                    Command::Connect { conn, addr, service } => self.connect(conn, addr, &service),
                    Command::ConnectLocal { conn } => self.connect_local(conn),
                    Command::Close { conn } => self.close(conn),
                    Command::Lookup(lookup) => self.lookup(lookup),
                    Command::Notice(notice) => {
                        if self.control.notices.try_send(*notice).is_err() {
                            self.metrics.policy_notices_lost_total.fetch_add(1, Relaxed);
                        }
                    }
                    Command::Access(record) => {
                        if let Some(access) = &self.control.access
                            && access.try_send(*record).is_err()
                        {
                            self.metrics.access_records_lost_total.fetch_add(1, Relaxed);
                        }
                    }
                }
            }
        }
    }

    fn lookup(&mut self, lookup: Lookup) {
        if self.control.lookups.try_send(lookup.clone()).is_err() {
            let why = "too many look-ups are waiting".into();
            self.plane.update(Update::LookupFailed(lookup, why));
        }
    }

    fn connect(&mut self, conn: ConnKey, addr: SocketAddr, service: &Arc<str>) {
        let layer = match self.plane.config.calls_by_tls() {
            false => Ok(Layer::Clear),
            true => Session::client(&self.tls.certificates, service).map(|it| Layer::Tls(Box::new(it))),
        };
        let connected = layer.and_then(|layer| match TcpStream::connect(addr) {
            Ok(stream) => Ok((stream, layer)),
            Err(error) => Err(error.to_string()),
        });
        match connected {
            Ok((stream, layer)) => {
                self.adopt(conn, Stream::Tcp(stream), layer);
                if let Some(Some(socket)) = self.sockets.get_mut(conn) {
                    socket.connecting = true;
                }
            }
            Err(why) => self.plane.lost(conn, &why),
        }
    }

    fn connect_local(&mut self, conn: ConnKey) {
        let pair = std::os::unix::net::UnixStream::pair().and_then(|(ours, theirs)| {
            ours.set_nonblocking(true)?;
            self.control.local.try_send(theirs).map_err(|_| io::Error::other("control plane is busy"))?;
            Ok(ours)
        });
        match pair {
            Ok(ours) => self.adopt(conn, Stream::Local(UnixStream::from_std(ours)), Layer::Clear),
            Err(error) => self.plane.lost(conn, &error.to_string()),
        }
    }

    /// Registers a connection's socket.
    fn adopt(&mut self, conn: ConnKey, mut stream: Stream, layer: Layer) {
        if let Err(error) = stream.register(self.poll.registry(), Token(conn)) {
            return self.plane.lost(conn, &error.to_string());
        }
        if conn >= self.sockets.len() {
            self.sockets.resize_with(conn + 1, || None);
        }
        let socket = Socket {
            stream,
            layer,
            connecting: false,
            blocked: false,
            paused: false,
            more: false,
            again: false,
            shut: false,
            source: None,
            partial: Vec::new(),
        };
        self.sockets[conn] = Some(socket);
        self.plane.mark(conn);
    }

    fn close(&mut self, conn: ConnKey) {
        if let Some(mut socket) = self.sockets.get_mut(conn).and_then(Option::take) {
            self.note_unfinished(&socket);
            socket.stream.deregister(self.poll.registry());
        }
    }

    fn updates(&mut self) {
        while let Ok(update) = self.inbox.try_recv() {
            match update {
                Update::Connection(stream, arrival) => {
                    self.take_connection(TcpStream::from_std(stream), arrival);
                }
                Update::Certificates(certificates) => self.tls.certificates = certificates,
                Update::Stop => {
                    self.acceptor = None;
                    self.stop_at_ms = Some(self.plane.now_ms + STOP_FLUSH_MS);
                    self.plane.update(Update::Stop);
                }
                update => self.plane.update(update),
            }
        }
    }

    fn event(&mut self, conn: ConnKey, event: &mio::event::Event) {
        let Some(Some(socket)) = self.sockets.get_mut(conn) else { return };
        if socket.connecting && (event.is_writable() || event.is_error() || event.is_read_closed()) {
            match socket.stream.connected() {
                Ok(true) => {
                    socket.connecting = false;
                    self.plane.mark(conn);
                }
                Ok(false) => return,
                Err(error) => return self.plane.lost(conn, &error.to_string()),
            }
        }
        if event.is_writable() {
            socket.blocked = false;
            self.plane.mark(conn);
        }
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            // On Linux a new event follows once a read found less than it asked for, unless the peer's end has come.
            self.read(conn, !event.is_read_closed() && !event.is_error());
        }
    }

    /// Has the next turn read from the connection.
    fn read_again(&mut self, conn: ConnKey) {
        if let Some(Some(socket)) = self.sockets.get_mut(conn)
            && !std::mem::replace(&mut socket.again, true)
        {
            self.again.push(conn);
        }
    }

    /// Hands in what an earlier turn left over.
    fn resume(&mut self, conn: ConnKey) {
        let Some(Some(socket)) = self.sockets.get_mut(conn) else { return };
        let mut kept = std::mem::take(&mut socket.partial);
        let taken = self.plane.received(conn, &kept);
        kept.drain(..taken.bytes);
        if let Some(Some(socket)) = self.sockets.get_mut(conn) {
            socket.more = taken.more;
            socket.partial = if kept.is_empty() { Vec::new() } else { kept };
        }
        self.read_again(conn);
    }

    /// Reads until the socket is empty, the turn is over, or the plane has enough. `until_short`: a read that found less
    /// than it asked for has emptied the socket.
    fn read(&mut self, conn: ConnKey, until_short: bool) {
        for _ in 0..READS_PER_TURN {
            let Some(Some(socket)) = self.sockets.get_mut(conn) else { return };
            if socket.connecting {
                return;
            }
            if socket.more && self.plane.wants_read(conn) {
                return self.resume(conn);
            }
            if matches!(socket.layer, Layer::Tls(_)) {
                return self.read_tls(conn, until_short);
            }
            if !self.plane.wants_read(conn) {
                socket.paused = true;
                return;
            }
            let kept = socket.partial.len();
            self.buffer[..kept].copy_from_slice(&socket.partial);
            let end = match socket.layer {
                Layer::Opening(_) => kept + OPENING_BYTES,
                _ => self.buffer.len(),
            };
            let read = match socket.stream.read(&mut self.buffer[kept..end]) {
                Ok(0) => {
                    self.note_closed(conn);
                    return self.plane.lost(conn, "the peer closed the connection");
                }
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return self.plane.lost(conn, &error.to_string()),
            };
            let filled = kept + read;
            let skipped = match socket.layer {
                Layer::Clear => 0,
                _ => match self.open(conn, filled) {
                    Some(skipped) => skipped,
                    None => continue,
                },
            };
            let taken = self.plane.received(conn, &self.buffer[skipped..filled]);
            if let Some(Some(socket)) = self.sockets.get_mut(conn) {
                socket.keep(&self.buffer[skipped + taken.bytes..filled]);
                socket.more = taken.more;
            }
            self.plane.count_read(conn, read);
            if taken.more {
                break;
            }
            if filled < end {
                if until_short {
                    return;
                }
            } else {
                // A large body goes on while it is in the cache, and is copied once: the next read finds the output empty.
                self.settle();
            }
        }
        self.read_again(conn);
    }

    /// Writes a connection's output until it is empty or the socket is full.
    fn write(&mut self, conn: ConnKey) {
        loop {
            self.plane.pump(conn);
            let Some(Some(socket)) = self.sockets.get_mut(conn) else { return };
            if socket.connecting || socket.blocked {
                return;
            }
            match &socket.layer {
                Layer::Clear => {}
                Layer::Tls(_) => return self.write_tls(conn),
                Layer::Opening(opening) if opening.handshake.is_some() => return,
                Layer::Opening(_) => {}
            }
            let output = self.plane.output(conn);
            if output.is_empty() {
                break;
            }
            match socket.stream.write(output) {
                Ok(written) => self.plane.written(conn, written),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    socket.blocked = true;
                    return;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return self.plane.lost(conn, &error.to_string()),
            }
            if socket.paused && self.plane.wants_read(conn) {
                socket.paused = false;
                self.read_again(conn);
            }
        }
        if self.plane.is_done(conn)
            && let Some(Some(socket)) = self.sockets.get_mut(conn)
            && !socket.shut
        {
            socket.shut = true;
            let _ = socket.stream.shut();
            self.plane.linger(conn);
        }
    }
}
