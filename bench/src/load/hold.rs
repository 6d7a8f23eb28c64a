//! Connections and streams that are opened and held, for what they cost a proxy in memory.

use super::{
    args::Args,
    driver::{Driver, PATIENCE_US, Stop},
    plan::Plan,
};
use crate::message::Message;
use anyhow::anyhow;
use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
};

/// The receive window of streams that are not read: what each makes a proxy hold does not stay in the sockets.
const STALLED_WINDOW: u32 = 65_535;
/// Streams that wait for their first message at a time.
const OPENING_MAX: usize = 500;
/// When nothing has come for so long, nothing more comes to streams that are not read.
const QUIET_US: u64 = 500_000;

const IDLE: usize = 0;
const STALLED: usize = 1;

impl Driver {
    /// Opens and holds what the flags say until stdin ends.
    ///
    /// # Errors
    /// Something could not be opened, or was lost before the end.
    pub(super) fn hold(mut self, args: &Args) -> anyhow::Result<()> {
        if args.stalled_streams > 0 {
            self.stream_window = STALLED_WINDOW;
        }
        self.plans = vec![Plan::idle(args), Plan::stalled(args)];
        self.open_all(args).and_then(|()| self.wait_for_end()).map_err(|stop| match stop {
            Stop::Lost(why) => anyhow!(why),
            Stop::Failed(error) => error,
        })
    }

    fn open_all(&mut self, args: &Args) -> Result<(), Stop> {
        self.connect(args.idle_connections, 0)?;
        let streams = args.idle_streams + args.stalled_streams;
        if streams == 0 {
            return Ok(());
        }
        let first = self.conns.len();
        self.connect(args.connections, streams.div_ceil(args.connections))?;
        let mut begun = 0;
        let (mut before, mut changed_us) = (0, self.clock.now_us());
        loop {
            let (open, came) = self.came();
            let now_us = self.clock.now_us();
            if came != before {
                (before, changed_us) = (came, now_us);
            }
            if let Some((text, _)) = self.measure.take_errors().into_iter().next() {
                return Err(Stop::Lost(text));
            }
            if open == streams && (args.stalled_streams == 0 || now_us >= changed_us + QUIET_US) {
                return Ok(());
            }
            if now_us > changed_us + PATIENCE_US {
                let why = format!("{open} of {streams} streams got their first message, no more came");
                return Err(Stop::Lost(why));
            }
            while begun < streams && begun < open + OPENING_MAX {
                let plan = if begun < args.idle_streams { IDLE } else { STALLED };
                self.begin_call(first + begun % args.connections, plan, now_us)?;
                begun += 1;
            }
            self.turn(Some(now_us + QUIET_US / 10))?;
        }
    }

    /// Streams that got a message, and bytes that came in all.
    fn came(&self) -> (usize, u64) {
        let calls = self.conns.iter().flat_map(|conn| &conn.calls);
        let got = calls
            .map(|call| (call.got, self.plans[call.plan].reply.as_ref().map_or(0, Message::total) as u64));
        got.fold((0, 0), |(open, came), (got, message)| (open + usize::from(got >= message), came + got))
    }

    /// Says that all is open, and serves the connections until stdin ends.
    fn wait_for_end(&mut self) -> Result<(), Stop> {
        let ended = Arc::new(AtomicBool::new(false));
        let (seen, waker) = (ended.clone(), self.waker.clone());
        thread::spawn(move || {
            let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
            seen.store(true, SeqCst);
            let _ = waker.wake();
        });
        let mut out = io::stdout();
        writeln!(out, "ready").and_then(|()| out.flush()).map_err(anyhow::Error::from)?;
        while !ended.load(SeqCst) {
            self.turn(None)?;
            if let Some((text, _)) = self.measure.take_errors().into_iter().next() {
                return Err(Stop::Lost(text));
            }
        }
        Ok(())
    }
}
