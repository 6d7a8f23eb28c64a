//! The event loop: connections, the times at which calls begin, the measured window.

use super::{
    args::{Args, Shape},
    conn::{Conn, Context},
    measure::{Measure, Report},
    observe::Usage,
    plan::Plan,
};
use crate::{
    alarm::{Alarm, Clock, NEVER},
    link::{Buffers, Link, client_config, http2_config},
};
use anyhow::{Context as _, anyhow, bail};
use mio::{Events, Poll, Token, Waker, net::TcpStream};
use rustls::{ClientConfig, ClientConnection, pki_types::ServerName};
use std::{io::ErrorKind, net::SocketAddr, sync::Arc, time::Duration};
use switchboard_http2 as http2;

const WAKER: Token = Token(usize::MAX);
/// Reads of one connection in one turn, so that the others have theirs.
const READS_PER_TURN: usize = 4;
/// Connections that are being made at a time: fewer than a listener's backlog holds.
const CONNECTING_MAX: usize = 64;
/// Without progress for so long connecting has failed, and calls in flight at the end are lost.
pub(super) const PATIENCE_US: u64 = 10_000_000;
/// After so many errors the run is over.
const ERRORS_MAX: u64 = 10_000;

/// When calls begin.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Pace {
    /// As many as there are places, then one whenever one ends.
    Closed,
    /// The same, but the first ones spread over so many us.
    Spread(f64),
    /// One every so many us.
    Open(f64),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Phase {
    WarmUp,
    Measuring,
    Draining,
}

/// One run.
pub(super) struct Driver {
    target: SocketAddr,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    poll: Poll,
    events: Events,
    pub(super) waker: Arc<Waker>,
    pub(super) clock: Clock,
    alarm: Alarm,
    buffers: Buffers,
    pub(super) plans: Vec<Plan>,
    pub(super) measure: Measure,
    pub(super) conns: Vec<Conn>,
    pub(super) stream_window: u32,
    connections: usize,
    streams: usize,
    dirty: Vec<usize>,
    again: Vec<usize>,
    ready: usize,
    last_ready_us: u64,
    shape: Shape,
    pace: Pace,
    warmup_us: u64,
    window_us: u64,
    observe: Vec<u32>,
    /// A call follows when one ends.
    closed_loop: bool,
    /// When the first call was to begin, the calls begun since, and the connection that is next.
    began_us: u64,
    begun: u64,
    next_conn: usize,
}

impl Driver {
    pub(super) fn new(args: &Args) -> anyhow::Result<Self> {
        if args.connections == 0 || args.streams == 0 {
            bail!("--connections and --streams have to be at least 1");
        }
        if args.rate.is_some_and(|rate| !rate.is_finite() || rate <= 0.0) {
            bail!("--rate has to be above 0");
        }
        for (name, seconds) in [("--seconds", args.seconds), ("--warmup", args.warmup)] {
            if !(0.0..=86_400.0).contains(&seconds) {
                bail!("{name} has to be between 0 and 86400");
            }
        }
        let own = args.tls_cert.as_deref().zip(args.tls_key.as_deref());
        let tls = match &args.tls_ca {
            Some(ca) => {
                let name = ServerName::try_from(args.tls_name.clone())
                    .with_context(|| format!("--tls-name {} is no name", args.tls_name))?;
                Some((client_config(ca, own)?, name))
            }
            None => None,
        };
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let clock = Clock::start();
        let alarm = Alarm::start(clock, waker.clone())?;
        let places = (args.connections * args.streams) as f64;
        let pace = match args.rate {
            Some(rate) => Pace::Open(1e6 / rate),
            None if args.shape == Shape::Paced => Pace::Spread(args.interval_us as f64 / places),
            None => Pace::Closed,
        };
        Ok(Driver {
            target: args.target,
            buffers: Buffers::new(tls.is_some()),
            tls,
            poll,
            events: Events::with_capacity(1024),
            waker,
            clock,
            alarm,
            plans: vec![Plan::of(args)?],
            measure: Measure::new()?,
            conns: Vec::new(),
            stream_window: http2_config().stream_window,
            connections: args.connections,
            streams: args.streams,
            dirty: Vec::new(),
            again: Vec::new(),
            ready: 0,
            last_ready_us: 0,
            shape: args.shape,
            pace,
            warmup_us: (args.warmup * 1e6) as u64,
            window_us: (args.seconds * 1e6) as u64,
            observe: args.observe.clone(),
            closed_loop: false,
            began_us: 0,
            begun: 0,
            next_conn: 0,
        })
    }

    /// Runs the load. What went wrong with calls and connections is in the report.
    ///
    /// # Errors
    /// The run could not even begin, or a process to observe is not there.
    pub(super) fn run(mut self) -> anyhow::Result<Report> {
        Usage::read(&self.observe)?;
        let report = self.run_phases();
        let mut report = match report {
            Ok(report) => report,
            Err(Stop::Lost(why)) => {
                self.measure.error(why);
                let usage = Usage::read(&self.observe).or_else(|_| Usage::read(&[]))?;
                self.measure.end(self.clock.now_us(), usage, self.shape.name())
            }
            Err(Stop::Failed(error)) => return Err(error),
        };
        report.errors = self.measure.take_errors();
        Ok(report)
    }

    fn run_phases(&mut self) -> Result<Report, Stop> {
        self.connect(self.connections, self.streams)?;
        self.began_us = self.clock.now_us();
        self.closed_loop = !matches!(self.pace, Pace::Open(_));
        let mut phase = Phase::WarmUp;
        let mut until_us = self.began_us + self.warmup_us;
        let mut report = None;
        loop {
            let now_us = self.clock.now_us();
            if now_us >= until_us {
                match phase {
                    Phase::WarmUp => {
                        (phase, until_us) = (Phase::Measuring, now_us + self.window_us);
                        let usage = Usage::read(&self.observe)?;
                        self.measure.begin(self.clock.now_us(), usage);
                    }
                    Phase::Measuring => {
                        let usage = Usage::read(&self.observe)?;
                        report = Some(self.measure.end(self.clock.now_us(), usage, self.shape.name()));
                        (phase, until_us) = (Phase::Draining, now_us + PATIENCE_US);
                        self.closed_loop = false;
                        self.alarm.set(NEVER);
                    }
                    Phase::Draining => {
                        let open: usize = self.conns.iter().map(Conn::in_flight).sum();
                        for _ in 0..open {
                            self.measure.error(format!("no answer within {} s", PATIENCE_US / 1_000_000));
                        }
                        break;
                    }
                }
            }
            if phase == Phase::Draining {
                let drained = self.conns.iter().all(|conn| conn.in_flight() == 0);
                if drained || self.shape == Shape::Paced {
                    break;
                }
            } else {
                self.begin_due(now_us)?;
            }
            if self.measure.error_count() > ERRORS_MAX {
                return Err(Stop::Lost("ended early: too many errors".to_owned()));
            }
            self.turn(Some(until_us))?;
        }
        for conn in &mut self.conns {
            conn.close();
        }
        if !self.measure.has_calls() && self.measure.error_count() == 0 {
            self.measure.error("no call ended".to_owned());
        }
        report.ok_or_else(|| Stop::Failed(anyhow!("the window was not measured")))
    }

    /// Begins the calls whose time has come; those that find no place have to wait for one, and keep their time.
    fn begin_due(&mut self, now_us: u64) -> Result<(), Stop> {
        let (spacing_us, last) = match self.pace {
            Pace::Closed => (0.0, (self.connections * self.streams) as u64),
            Pace::Spread(spacing) => (spacing, (self.connections * self.streams) as u64),
            Pace::Open(spacing) => (spacing, u64::MAX),
        };
        while self.begun < last {
            let due_us = self.began_us + (self.begun as f64 * spacing_us) as u64;
            if due_us > now_us {
                self.alarm.set(due_us);
                return Ok(());
            }
            let places = (0..self.conns.len()).map(|at| (self.next_conn + at) % self.conns.len());
            let Some(conn) = places.into_iter().find(|at| !self.conns[*at].free.is_empty()) else {
                // An answer makes room, and wakes the loop.
                return Ok(());
            };
            self.begin_call(conn, 0, due_us)?;
            self.next_conn = (conn + 1) % self.conns.len();
            self.begun += 1;
        }
        Ok(())
    }

    /// Begins a call of a plan on a connection that has a place for it.
    pub(super) fn begin_call(&mut self, conn: usize, plan: usize, started_us: u64) -> Result<(), Stop> {
        self.conns[conn].open(&mut self.plans, plan, started_us).map_err(Stop::Lost)?;
        self.mark(conn);
        Ok(())
    }

    fn mark(&mut self, conn: usize) {
        if !std::mem::replace(&mut self.conns[conn].dirty, true) {
            self.dirty.push(conn);
        }
    }

    /// Opens further connections with so many places each, and waits until all take calls.
    pub(super) fn connect(&mut self, connections: usize, streams: usize) -> Result<(), Stop> {
        let all = self.conns.len() + connections;
        self.last_ready_us = self.clock.now_us();
        while self.ready < all {
            while self.conns.len() < all && self.conns.len() - self.ready < CONNECTING_MAX {
                self.connect_one(streams)
                    .map_err(|error| Stop::Lost(format!("cannot connect: {error:#}")))?;
            }
            if self.clock.now_us() > self.last_ready_us + PATIENCE_US {
                let (ready, seconds) = (self.ready, PATIENCE_US / 1_000_000);
                let why = format!(
                    "cannot connect: {ready} of {all} connections took calls, no more in {seconds} s"
                );
                return Err(Stop::Lost(why));
            }
            self.turn(Some(self.last_ready_us + PATIENCE_US + 1000))?;
        }
        Ok(())
    }

    fn connect_one(&mut self, streams: usize) -> anyhow::Result<()> {
        let stream = TcpStream::connect(self.target)?;
        let tls = match &self.tls {
            Some((config, name)) => {
                let tls = ClientConnection::new(config.clone(), name.clone())?;
                Some(rustls::Connection::Client(tls))
            }
            None => None,
        };
        let config = http2::Config { stream_window: self.stream_window, ..http2_config() };
        let mut link = Link::new(stream, tls, http2::Connection::client(config), true);
        let at = self.conns.len();
        link.register(self.poll.registry(), Token(at))?;
        self.conns.push(Conn::new(link, streams));
        Ok(())
    }

    /// One turn: writes, waits for events (or a time), and takes in what came.
    pub(super) fn turn(&mut self, until_us: Option<u64>) -> Result<(), Stop> {
        while let Some(at) = self.dirty.pop() {
            let conn = &mut self.conns[at];
            conn.dirty = false;
            conn.flush().map_err(lost)?;
        }
        let timeout = match (self.again.is_empty(), until_us) {
            (false, _) => Some(Duration::ZERO),
            (true, Some(until)) => Some(Duration::from_micros(until.saturating_sub(self.clock.now_us()))),
            (true, None) => None,
        };
        let mut events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        match self.poll.poll(&mut events, timeout) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(Stop::Failed(error.into())),
            _ => {}
        }
        for at in std::mem::take(&mut self.again) {
            self.read(at, false)?;
        }
        for event in &events {
            let Token(at) = event.token();
            let Some(conn) = self.conns.get_mut(at) else { continue };
            if conn.link.event(event).map_err(|why| Stop::Lost(format!("cannot connect: {why}")))? {
                self.read(at, event.is_read_closed() || event.is_error())?;
            }
            self.mark(at);
        }
        self.events = events;
        Ok(())
    }

    fn read(&mut self, at: usize, closed: bool) -> Result<(), Stop> {
        self.mark(at);
        let mut context = Context {
            plans: &mut self.plans,
            measure: &mut self.measure,
            buffers: &mut self.buffers,
            now_us: self.clock.now_us(),
            closed_loop: self.closed_loop,
        };
        for _ in 0..READS_PER_TURN {
            let Some(seen) = self.conns[at].read(&mut context, closed).map_err(lost)? else { return Ok(()) };
            if seen.ready {
                self.ready += 1;
                self.last_ready_us = context.now_us;
            }
            if !seen.more {
                return Ok(());
            }
        }
        self.again.push(at);
        Ok(())
    }
}

/// Why a run ends before its time.
#[derive(Debug)]
pub(super) enum Stop {
    /// Connections: an error of the run, in its report.
    Lost(String),
    /// Anything else.
    Failed(anyhow::Error),
}

impl From<anyhow::Error> for Stop {
    fn from(error: anyhow::Error) -> Self {
        Stop::Failed(error)
    }
}

fn lost(why: String) -> Stop {
    Stop::Lost(format!("connection lost: {why}"))
}
