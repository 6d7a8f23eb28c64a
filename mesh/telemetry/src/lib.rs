//! Logs of every process of the mesh: one line per event on standard error.
//!
//! Called once by a `main`, before anything else. Reads no environment itself (the caller hands over
//! `RUST_LOG`), writes no files and keeps no metrics: those belong to the step that measures them.

mod format;

use std::io::IsTerminal;
use tracing::{Level, warn};
use tracing_subscriber::{EnvFilter, fmt, prelude::*};

/// What a process says about its logs.
#[derive(Debug, Clone)]
pub struct Telemetry {
    /// Name on every line, usually the client ID (`echo-agent`) or the binary's name.
    pub service: String,
    /// One JSON object per line instead of the human format.
    pub json: bool,
    /// The value of `RUST_LOG`: directives such as `info,switchboard_registry=debug`. `None`, an empty
    /// or an invalid one means `default_level` for everything.
    pub filter: Option<String>,
    /// Level when `filter` says nothing.
    pub default_level: Level,
}

impl Telemetry {
    /// Describes human-readable logs of `service` at level INFO.
    pub fn new(service: impl Into<String>) -> Self {
        Self { service: service.into(), json: false, filter: None, default_level: Level::INFO }
    }
}

/// Installs the process-wide subscriber and returns whether it did.
///
/// Colours are used only when standard error is a terminal. A process that already has a subscriber
/// (a test, or a program that embeds several backends) keeps it, and `false` is returned. An invalid
/// filter is reported as the first line of the log and otherwise ignored: a typo in `RUST_LOG` is no
/// reason not to serve.
pub fn init(telemetry: Telemetry) -> bool {
    let default = EnvFilter::new(telemetry.default_level.as_str());
    let (filter, rejected) = match telemetry.filter.as_deref().map(str::trim) {
        None | Some("") => (default, None),
        Some(directives) => match EnvFilter::try_new(directives) {
            Ok(filter) => (filter, None),
            Err(error) => (default, Some((directives.to_owned(), error))),
        },
    };
    let output = fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    let registry = tracing_subscriber::registry().with(filter);
    let installed = if telemetry.json {
        let output = output.json().event_format(format::Json::new(telemetry.service));
        registry.with(output).try_init()
    } else {
        registry.with(output.event_format(format::Line::new(telemetry.service))).try_init()
    }
    .is_ok();
    if let (true, Some((filter, error))) = (installed, rejected) {
        warn!(%filter, %error, "RUST_LOG is not a valid filter, the default level applies");
    }
    installed
}
