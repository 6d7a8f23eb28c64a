//! A gRPC backend that costs little: one thread, one event loop, the router's own HTTP/2.

mod answer;
mod call;
mod peer;

use crate::{
    alarm::{Alarm, Clock, NEVER},
    link::{Buffers, Link, http2_config, server_config},
};
use answer::Answers;
use anyhow::Context;
use mio::{Events, Interest, Poll, Token, Waker, net::TcpListener};
use peer::{Due, Peer};
use rustls::{ServerConfig, ServerConnection};
use slab::Slab;
use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    io::{self, ErrorKind, Write},
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use switchboard_http2 as http2;

const WAKER: Token = Token(usize::MAX);
const LISTENER: Token = Token(usize::MAX - 1);
/// Reads of one connection in one turn, so that a flood on one does not starve the others.
const READS_PER_TURN: usize = 4;
/// Between two attempts to accept while the process has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A gRPC backend that costs little: it answers AgentService/ExecuteTask and StreamTask, and health checks.
///
/// A call's header `x-bench-reply: BYTES[xCOUNT[@INTERVAL_US]]` says what is answered: the bytes of a message, the number
/// of messages, the time between two of them; without it one message of 106 bytes.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  switchboard-bench backend --listen 127.0.0.1:21000")]
pub(crate) struct Args {
    /// Address to listen on; port 0 takes a free one. The line `listening ADDRESS` says which.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// PEM file of the certificate chain: serve TLS 1.3.
    #[arg(long, requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// PEM file of its key.
    #[arg(long, requires = "tls_cert")]
    tls_key: Option<PathBuf>,
}

/// Serves until the process is ended.
pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let tls = match (&args.tls_cert, &args.tls_key) {
        (Some(certificate), Some(key)) => Some(server_config(certificate, key)?),
        _ => None,
    };
    let mut listener =
        TcpListener::bind(args.listen).with_context(|| format!("cannot listen on {}", args.listen))?;
    let poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let clock = Clock::start();
    let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
    let alarm = Alarm::start(clock, waker)?;
    let mut out = io::stdout();
    writeln!(out, "listening {}", listener.local_addr()?)?;
    out.flush()?;
    let buffers = Buffers::new(tls.is_some());
    let backend = Backend {
        poll,
        listener,
        tls,
        clock,
        alarm,
        buffers,
        answers: Answers::default(),
        peers: Slab::new(),
        accepted: 0,
        dirty: Vec::new(),
        again: Vec::new(),
        due: BinaryHeap::new(),
    };
    backend.serve()
}

struct Backend {
    poll: Poll,
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    clock: Clock,
    alarm: Alarm,
    buffers: Buffers,
    answers: Answers,
    peers: Slab<Peer>,
    /// Connections so far.
    accepted: u64,
    /// Connections that may have something to write.
    dirty: Vec<usize>,
    /// Connections that may have more to read than one turn allows.
    again: Vec<usize>,
    /// Messages that are due at a time.
    due: BinaryHeap<Reverse<Due>>,
}

impl Backend {
    fn serve(mut self) -> anyhow::Result<()> {
        let mut events = Events::with_capacity(1024);
        let mut accept_again = false;
        loop {
            let timeout = match (self.again.is_empty(), accept_again) {
                (false, _) => Some(Duration::ZERO),
                (true, true) => Some(ACCEPT_PAUSE),
                (true, false) => None,
            };
            match self.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
                _ => {}
            }
            if std::mem::take(&mut accept_again) {
                accept_again = !self.accept();
            }
            for key in std::mem::take(&mut self.again) {
                self.read(key, false);
            }
            for event in &events {
                match event.token() {
                    WAKER => {}
                    LISTENER => accept_again = !self.accept(),
                    Token(key) => {
                        let Some(peer) = self.peers.get_mut(key) else { continue };
                        match peer.link.event(event) {
                            Ok(true) => self.read(key, event.is_read_closed() || event.is_error()),
                            Ok(false) => self.mark(key),
                            Err(_) => self.drop_peer(key),
                        }
                    }
                }
            }
            self.send_due();
            while let Some(key) = self.dirty.pop() {
                let Some(peer) = self.peers.get_mut(key) else { continue };
                peer.dirty = false;
                if peer.flush().is_err() || peer.link.http2.is_finished() {
                    self.drop_peer(key);
                }
            }
        }
    }

    fn mark(&mut self, key: usize) {
        if let Some(peer) = self.peers.get_mut(key)
            && !std::mem::replace(&mut peer.dirty, true)
        {
            self.dirty.push(key);
        }
    }

    fn drop_peer(&mut self, key: usize) {
        // Dropping the socket takes it out of the poll.
        let _ = self.peers.try_remove(key);
    }

    /// Accepts all that wait; false if it has to be tried again.
    fn accept(&mut self) -> bool {
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(error)
                    if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) =>
                {
                    continue;
                }
                // No file descriptor is left, as a rule.
                Err(_) => return false,
            };
            let tls = match &self.tls {
                Some(config) => match ServerConnection::new(config.clone()) {
                    Ok(tls) => Some(rustls::Connection::Server(tls)),
                    Err(_) => continue,
                },
                None => None,
            };
            let http2 = http2::Connection::server(http2_config());
            self.accepted += 1;
            let entry = self.peers.vacant_entry();
            let key = entry.key();
            let peer = entry.insert(Peer::new(Link::new(stream, tls, http2, false), key, self.accepted));
            if peer.link.register(self.poll.registry(), Token(key)).is_err() {
                self.drop_peer(key);
                continue;
            }
            self.mark(key);
        }
    }

    fn read(&mut self, key: usize, closed: bool) {
        let now_us = self.clock.now_us();
        for _ in 0..READS_PER_TURN {
            let Some(peer) = self.peers.get_mut(key) else { return };
            let mut due = |due| self.due.push(Reverse(due));
            match peer.read(&mut self.buffers, closed, &mut self.answers, now_us, &mut due) {
                Ok(true) => {}
                Ok(false) => return self.mark(key),
                Err(()) => {
                    // GOAWAY, or the alert of TLS; a peer that is gone does not take it.
                    let _ = peer.flush();
                    return self.drop_peer(key);
                }
            }
        }
        self.mark(key);
        self.again.push(key);
    }

    /// Sends the messages whose time has come, and has the loop woken for the next.
    fn send_due(&mut self) {
        let Some(Reverse(first)) = self.due.peek() else { return };
        let mut next_us = first.at_us;
        let now_us = self.clock.now_us();
        while next_us <= now_us {
            let Some(Reverse(due)) = self.due.pop() else { break };
            if let Some(peer) = self.peers.get_mut(due.peer)
                && peer.born == due.born
            {
                if let Some(at_us) = peer.send_due(&due) {
                    self.due.push(Reverse(Due { at_us, ..due }));
                }
                self.mark(due.peer);
            }
            next_us = self.due.peek().map_or(NEVER, |Reverse(due)| due.at_us);
        }
        self.alarm.set(next_us);
    }
}
