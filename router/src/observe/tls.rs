//! What is counted of TLS and of what comes before HTTP/2 on a connection.

use super::text::{self, Kind};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Which end of the router a TLS connection is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// A client's: we are the server.
    Downstream,
    /// An instance's: we are the client.
    Upstream,
}

impl Role {
    pub(crate) const ALL: [Self; 2] = [Self::Downstream, Self::Upstream];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Role::Downstream => "downstream",
            Role::Upstream => "upstream",
        }
    }
}

/// Why a connection did not get as far as HTTP/2, or why its TLS broke later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TlsFailure {
    /// The peer went away before the end of the handshake.
    Closed,
    /// The handshake took too long.
    Timeout,
    /// The peer speaks no TLS.
    Plaintext,
    /// Its certificate is not accepted: unknown authority, expired, another name, or none where one is required.
    Certificate,
    /// It does not accept ours, or something else that we said.
    Alert,
    /// No version, cipher or application protocol in common.
    Incompatible,
    /// Anything else that is no TLS.
    Protocol,
    /// There is no certificate yet to serve with.
    NotReady,
}

impl TlsFailure {
    pub(crate) const ALL: [Self; 8] = [
        Self::Closed,
        Self::Timeout,
        Self::Plaintext,
        Self::Certificate,
        Self::Alert,
        Self::Incompatible,
        Self::Protocol,
        Self::NotReady,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Timeout => "timeout",
            Self::Plaintext => "plaintext",
            Self::Certificate => "certificate",
            Self::Alert => "alert",
            Self::Incompatible => "incompatible",
            Self::Protocol => "protocol",
            Self::NotReady => "not_ready",
        }
    }
}

/// Counts of one role.
#[derive(Debug, Default)]
pub(crate) struct TlsCounts {
    pub(crate) handshakes: AtomicU64,
    pub(crate) resumed: AtomicU64,
    pub(crate) failures: [AtomicU64; TlsFailure::ALL.len()],
}

/// Counters and gauges of TLS, shared by all threads.
#[derive(Debug, Default)]
pub(crate) struct Tls {
    roles: [TlsCounts; 2],
    /// Handshakes of clients under way.
    pub(crate) in_progress: AtomicU64,
    /// Connections closed because there were too many.
    pub(crate) refused: AtomicU64,
    /// TLS that came to the port in clear.
    pub(crate) unexpected: AtomicU64,
    /// PROXY headers that were followed, and those that were not.
    pub(crate) proxied: AtomicU64,
    pub(crate) proxy_refused: AtomicU64,
}

impl Tls {
    pub(crate) fn of(&self, role: Role) -> &TlsCounts {
        &self.roles[role as usize]
    }

    pub(crate) fn failed(&self, role: Role, failure: TlsFailure) {
        self.of(role).failures[failure as usize].fetch_add(1, Relaxed);
    }

    pub(super) fn render(&self, out: &mut String) {
        type Figure = fn(&TlsCounts) -> &AtomicU64;
        let figures: [(&str, &str, Figure); 2] = [
            ("tls_handshakes_total", "TLS handshakes finished", |counts| &counts.handshakes),
            ("tls_resumptions_total", "Those of them that resumed a session", |counts| &counts.resumed),
        ];
        for (name, help, figure) in figures {
            text::family(out, name, Kind::counter, help);
            for role in Role::ALL {
                text::sample(out, name, &[("role", role.name())], figure(self.of(role)).load(Relaxed));
            }
        }
        let name = "tls_failures_total";
        text::family(
            out,
            name,
            Kind::counter,
            "TLS connections that failed, nearly all of them in the handshake",
        );
        for role in Role::ALL {
            for failure in TlsFailure::ALL {
                let labels = [("role", role.name()), ("reason", failure.name())];
                text::sample(out, name, &labels, self.of(role).failures[failure as usize].load(Relaxed));
            }
        }
        let in_progress = self.in_progress.load(Relaxed);
        let help = "TLS handshakes of clients under way";
        text::single(out, "tls_handshakes_in_progress", Kind::gauge, help, in_progress);
        for (name, help, counter) in [
            (
                "tls_handshakes_refused_total",
                "Connections closed because too many handshakes were under way",
                &self.refused,
            ),
            (
                "tls_on_plaintext_port_total",
                "Connections that began TLS though the port speaks none",
                &self.unexpected,
            ),
            ("proxy_headers_total", "PROXY headers that were followed", &self.proxied),
            (
                "proxy_headers_refused_total",
                "PROXY headers that were broken, or came from an untrusted address",
                &self.proxy_refused,
            ),
        ] {
            text::single(out, name, Kind::counter, help, counter.load(Relaxed));
        }
    }
}
