//! The command line: what can be said, and the help that says so.

pub(crate) mod auth;
pub(crate) mod certs;
mod connection;
mod schedule;
mod top;
mod workflow;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use switchboard_telemetry::Telemetry;
use tracing::Level;

pub(crate) use auth::Auth;
pub(crate) use certs::Certs;
pub(crate) use connection::Connection;
pub(crate) use schedule::{CreateSchedule, Overlap, Schedule, ScheduleCommand};
pub(crate) use top::Top;
pub(crate) use workflow::{
    Admin, AdminCommand, Batch, Cancel, File, List, LogLevel, Logs, Pause, Resume, Retry, Run, Show, Signal,
    Submit, Watch, Workflow, WorkflowCommand, WorkflowState,
};

const AFTER_HELP: &str = "\
Examples:
  switchboard dev                                       start a mesh on this machine
  switchboard ls                                        what is registered
  switchboard call echo-agent hello                     ask an agent
  switchboard call weather-tool --op get_weather --param location=Rome
  switchboard call itinerary-worker --param destination=Rome --param days=2
  switchboard workflow run trip.yaml                    run a workflow and watch it
  switchboard top                                       what is going on in a router
  switchboard --ca ca.pem --token @my.token call echo-agent hello
                                                        through a router with TLS that asks who calls
  switchboard certs init certs                          certificates, tokens and a policy for development
  switchboard auth explain --as ann --call echo-agent/ExecuteTask     whether ann may call, and why

Exit codes:
   0  done
   1  answered, but the answer says that it failed; or a failure of this machine (a busy port, a broken pipe)
  20  the workflow has failed; 21 it was cancelled (see `switchboard workflow --help`)
  64  the command line is wrong
   N  the gRPC status of the call: 4 deadline exceeded, 5 not found, 7 denied, 8 exhausted,
      12 unimplemented, 14 unavailable, 16 unauthenticated, and so on";

/// One address for every agent, tool and worker: run a mesh, call into it, see what it holds.
#[derive(Debug, Parser)]
#[command(name = "switchboard", version, after_help = AFTER_HELP)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) connection: Connection,

    /// Say more on standard error; -vv more still
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,

    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Args {
    /// Logs go to standard error: warnings, and more with each `-v`. `RUST_LOG` overrides.
    pub(crate) fn telemetry(&self) -> Telemetry {
        let default_level = match self.verbose {
            0 => Level::WARN,
            1 => Level::INFO,
            2 => Level::DEBUG,
            _ => Level::TRACE,
        };
        Telemetry { default_level, filter: std::env::var("RUST_LOG").ok(), ..Telemetry::new("switchboard") }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a whole mesh in this process: registry, router and example backends
    Dev(Dev),
    /// Call an agent, a tool or a worker by its ID
    Call(Call),
    /// List what is registered and healthy
    Ls(Ls),
    /// Submit workflows, watch them, rule them
    Workflow(Workflow),
    /// Watch services and their instances: calls, streams, times, errors, health
    Top(Top),
    /// Make certificates and tokens for development
    Certs(Certs),
    /// Explain who may call what, and check the files that say so
    Auth(Auth),
    /// Print a completion script for a shell
    #[command(
        after_help = "Example:\n  switchboard completions bash > ~/.local/share/bash-completion/completions/switchboard"
    )]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

const DEV_HELP: &str = "\
Prints one line when everything is reachable, and runs until Ctrl-C:
  switchboard: ready grpc=127.0.0.1:50051 registry=127.0.0.1:8500 admin=127.0.0.1:9901 http=127.0.0.1:8080

The registry speaks Consul's HTTP API: a backend in another terminal joins by CONSUL_HTTP_ADDR.
Port 0 takes a free port.

Examples:
  switchboard dev
  switchboard dev --backends echo
  switchboard dev --data /tmp/workflows                 workflows of its own, apart from those of other runs
  switchboard dev --secure certs                        the same with everything locked
  switchboard dev --grpc 127.0.0.1:0 --registry 127.0.0.1:0 --admin 127.0.0.1:0";

#[derive(Debug, clap::Args)]
#[command(after_help = DEV_HELP)]
pub(crate) struct Dev {
    /// Address for clients
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:50051")]
    pub(crate) grpc: SocketAddr,
    /// Address of the registry's HTTP API
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8500")]
    pub(crate) registry: SocketAddr,
    /// Address of the router's admin HTTP API
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:9901")]
    pub(crate) admin: SocketAddr,
    /// Address of the workflow engine's HTTP API and page [default: 127.0.0.1:8080, or the next port that is free]
    #[arg(long, value_name = "IP:PORT")]
    pub(crate) http: Option<SocketAddr>,
    /// TLS, certificates and tokens on every hop, with a directory of `certs init`; it is made if need be, and is
    /// temporary if it is not named
    #[arg(long, value_name = "DIR", num_args = 0..=1)]
    pub(crate) secure: Option<Option<PathBuf>>,
    /// Example backends to start, comma-separated
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        default_value = "echo,weather,itinerary,workflow"
    )]
    pub(crate) backends: Vec<Example>,
    /// Directory in which the workflow engine keeps everything; made if it is not there
    /// [default: $XDG_STATE_HOME/switchboard/dev, or ~/.local/state/switchboard/dev]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
}

/// A backend that comes with `dev`, or none of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Example {
    Echo,
    Weather,
    Itinerary,
    Workflow,
    None,
}

const CALL_HELP: &str = "\
The ID's ending says what is called: echo-agent an agent, weather-tool a tool, itinerary-worker a worker;
an ID without ending is an agent's. echo-agent@v2 calls instances of version v2 only.
Standard output carries the output alone. An answer that says it failed goes to standard error, exit code 1.

Examples:
  switchboard call echo-agent hello
  switchboard call echo-agent --stream 'one two three'
  date | switchboard call echo-agent -
  switchboard call weather-tool --op get_forecast --param location=Rome --param days=2
  switchboard call itinerary-worker --param destination=Rome --param interests=food,art --task-id trip-1
  switchboard call itinerary-worker --status --task-id trip-1
  switchboard call echo-agent hello --json --deadline 5s --header x-request-id=demo";

#[derive(Debug, clap::Args)]
#[command(after_help = CALL_HELP)]
pub(crate) struct Call {
    /// Whom to call
    pub(crate) id: String,
    /// What to say; - reads standard input
    pub(crate) input: Option<String>,
    /// A parameter; may be repeated
    #[arg(short, long = "param", value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) params: Vec<(String, String)>,
    /// Operation of a tool
    #[arg(long, value_name = "NAME")]
    pub(crate) op: Option<String>,
    /// Print an agent's output as it comes, each chunk on a line
    #[arg(long, conflicts_with_all = ["status", "op"])]
    pub(crate) stream: bool,
    /// Ask how an agent is, or a worker's task, instead of calling
    #[arg(long, conflicts_with_all = ["op", "input", "params"])]
    pub(crate) status: bool,
    /// ID of the task
    #[arg(long, value_name = "ID")]
    pub(crate) task_id: Option<String>,
    /// Give up after this time: 250ms, 5s, 2m, 1h
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) deadline: Option<Duration>,
    /// A header of the call; may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) headers: Vec<(String, String)>,
    /// Print the whole answer as JSON; with --stream one object per line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  switchboard ls\n  switchboard ls tools --json\n  switchboard ls --filter weather"
)]
pub(crate) struct Ls {
    /// What to list; services are agents, tools and workers
    #[arg(value_enum, default_value_t = Listing::Services)]
    pub(crate) what: Listing,
    /// Only what has this text in its ID, name, capabilities or tags
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) filter: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Listing {
    Agents,
    Tools,
    Workers,
    Services,
}

/// Reads `name=value`; the value may hold more of `=`.
fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

/// Reads a time above zero with its unit.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "expected a number with its unit, for example 250ms, 5s, 2m or 1h".to_owned();
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let number: u64 = text[..digits].parse().map_err(|_| wrong())?;
    let unit_ms = match &text[digits..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(wrong()),
    };
    match number.checked_mul(unit_ms) {
        Some(0) => Err("a time of zero is over before it begins".to_owned()),
        Some(ms) => Ok(Duration::from_millis(ms)),
        None => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn definition_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for wrong in
            ["", "5", "s", "-1s", "1.5s", "0s", "99999999999999999999s", "18446744073709551615h", "5 s"]
        {
            assert!(duration(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn pairs_split_at_the_first_equals_sign() {
        assert_eq!(pair("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert_eq!(pair("a="), Ok(("a".into(), String::new())));
        assert!(pair("a").is_err() && pair("=b").is_err());
    }
}
