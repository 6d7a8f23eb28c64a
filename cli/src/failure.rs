//! Why a command failed, in words for a person and as an exit code for a script.
//!
//! | Exit code | Meaning |
//! |---|---|
//! | 1 | an answer that says it failed, or a failure of this machine |
//! | 20, 21 | a workflow has failed, was cancelled |
//! | 64 | the command line is wrong (`EX_USAGE`) |
//! | 65 | a workflow file is wrong (`EX_DATAERR`) |
//! | 130 | Ctrl-C while a workflow was watched |
//! | N | the gRPC status code of a failed call; 14 also when `top` finds no router |

mod facts;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use switchboard_client::Error;

use crate::{auth, certs, workflow};

/// `EX_USAGE` of sysexits.h: trying the same again will not help.
pub(crate) const USAGE: u8 = 64;

const FAILED: u8 = 1;

/// Any failure, for which nothing else was printed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The arguments do not fit each other.
    #[error("{0}")]
    Usage(String),
    /// The call itself failed.
    #[error(transparent)]
    Call(#[from] Error),
    #[error(transparent)]
    Certs(#[from] certs::Error),
    #[error(transparent)]
    Auth(#[from] auth::Error),
    #[error(transparent)]
    Workflow(#[from] workflow::Error),
    /// The backend answered that it failed.
    #[error("{0}")]
    Answered(String),
    #[error("cannot read standard input: {0}")]
    Input(#[source] io::Error),
    #[error("cannot write to standard output: {0}")]
    Output(#[source] io::Error),
    #[error("cannot start the runtime: {0}")]
    Runtime(#[source] io::Error),
    #[error("cannot wait for signals: {0}")]
    Signals(#[source] io::Error),
    /// An address of `dev` cannot be had.
    #[error("--{flag} {address}: {}", bind_problem(.source))]
    Bind { flag: &'static str, address: SocketAddr, source: io::Error },
    /// A part of `dev` did not start.
    #[error("cannot start {part}: {reason}")]
    Start { part: &'static str, reason: String },
    /// A part of `dev` started and cannot be reached through the router.
    #[error("{part} was not reachable within {}s: {reason}", waited.as_secs())]
    NotReady { part: String, waited: Duration, reason: String },
    /// No admin port that `top` looks at answers.
    #[error("no router answers: {0}")]
    NoRouter(String),
    #[error("cannot use the terminal: {0}")]
    Terminal(#[source] io::Error),
    /// The router of `dev` has ended by itself.
    #[error("the router has ended because a part of it failed")]
    Ended,
}

impl Failure {
    /// Explains itself on standard error and gives the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        // `switchboard ls | head` ends by a closed pipe: what was wanted was printed.
        let closed = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
        if !matches!(self, Self::Output(error) if closed(error)) {
            let mut stderr = io::stderr().lock();
            // Nobody is left to tell if standard error is closed.
            let _ = match self.code_name() {
                Some(code) => writeln!(stderr, "error: {self} ({code})"),
                None => writeln!(stderr, "error: {self}"),
            };
            if let Some(facts) = self.facts() {
                let _ = writeln!(stderr, "facts: {facts}");
            }
            if let Some(step) = self.next_step() {
                let _ = writeln!(stderr, "next:  {step}");
            }
        }
        self.exit_code().into()
    }

    fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Certs(certs::Error::Name { .. }) => USAGE,
            Self::Auth(auth::Error::Settings(_)) => USAGE,
            Self::Workflow(error) => error.exit_code(),
            Self::Auth(auth::Error::Denied(_)) => tonic::Code::PermissionDenied as u8,
            Self::Auth(auth::Error::Unauthenticated(_)) => tonic::Code::Unauthenticated as u8,
            Self::Call(
                Error::Endpoint { .. }
                | Error::Header { .. }
                | Error::Tls(_)
                | Error::Token { .. }
                | Error::TokenInClear { .. }
                | Error::Setting { .. },
            ) => USAGE,
            // Status codes are 1 to 16.
            Self::Call(error) => u8::try_from(error.code() as i32).unwrap_or(FAILED),
            Self::NoRouter(_) => tonic::Code::Unavailable as u8,
            _ => FAILED,
        }
    }

    /// The status in the spelling of gRPC, for search and for scripts; its reason where there is one.
    fn code_name(&self) -> Option<String> {
        let Self::Call(error @ (Error::Status(_) | Error::Connect { .. } | Error::Deadline { .. })) = self
        else {
            return None;
        };
        let code = status_name(error.code());
        Some(match error.reason() {
            Some(reason) if reason != code => format!("{code}, {reason}"),
            _ => code.to_owned(),
        })
    }

    /// What the router or the backend knew when it failed.
    fn facts(&self) -> Option<String> {
        match self {
            Self::Call(error) => facts::in_words(error.metadata()?),
            _ => None,
        }
    }

    fn next_step(&self) -> Option<String> {
        match self {
            Self::Call(error) => error.next_step(),
            Self::Certs(error) => error.next_step(),
            Self::Workflow(error) => error.next_step(),
            Self::Usage(_) => Some("see `switchboard help`".to_owned()),
            Self::Bind { flag, source, .. } if source.kind() == io::ErrorKind::AddrInUse => {
                Some(format!("stop what uses it, or take a free port with --{flag} 127.0.0.1:0"))
            }
            Self::NoRouter(_) => Some(
                "start one with `switchboard dev`, or name a router's admin port with --admin HOST:PORT"
                    .to_owned(),
            ),
            Self::Terminal(_) => Some("`switchboard top --once` needs none".to_owned()),
            Self::NotReady { .. } | Self::Ended => {
                Some("run again with -v to see what the parts say".to_owned())
            }
            _ => None,
        }
    }
}

fn bind_problem(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "the port is in use".to_owned(),
        io::ErrorKind::AddrNotAvailable => "this machine has no such address".to_owned(),
        io::ErrorKind::PermissionDenied => "not permitted; ports below 1024 are the system's".to_owned(),
        _ => error.to_string(),
    }
}

/// The name of a code as the gRPC specification writes it.
fn status_name(code: tonic::Code) -> &'static str {
    use tonic::Code::*;
    match code {
        Ok => "OK",
        Cancelled => "CANCELLED",
        Unknown => "UNKNOWN",
        InvalidArgument => "INVALID_ARGUMENT",
        DeadlineExceeded => "DEADLINE_EXCEEDED",
        NotFound => "NOT_FOUND",
        AlreadyExists => "ALREADY_EXISTS",
        PermissionDenied => "PERMISSION_DENIED",
        ResourceExhausted => "RESOURCE_EXHAUSTED",
        FailedPrecondition => "FAILED_PRECONDITION",
        Aborted => "ABORTED",
        OutOfRange => "OUT_OF_RANGE",
        Unimplemented => "UNIMPLEMENTED",
        Internal => "INTERNAL",
        Unavailable => "UNAVAILABLE",
        DataLoss => "DATA_LOSS",
        Unauthenticated => "UNAUTHENTICATED",
    }
}
