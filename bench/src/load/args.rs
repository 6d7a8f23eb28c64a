//! The flags of `load`.

use std::{net::SocketAddr, path::PathBuf};

const EXAMPLES: &str = "\
Examples:
  switchboard-bench load --target 127.0.0.1:50051 --connections 8 --streams 32 --seconds 5
  switchboard-bench load --target 127.0.0.1:50051 --connections 8 --rate 4000 --observe $(pidof switchboard-router)
  switchboard-bench load --target 127.0.0.1:50051 --shape download --bytes 1000000 --connections 4 --streams 2
  switchboard-bench load --target 127.0.0.1:50051 --idle-streams 1000 --connections 10

The target has to pass calls on to `switchboard-bench backend`; the router does so by the ID `bench-agent` if the backend
is registered as the service `agent-bench`, other proxies by the prefix /agentplatform. of the path.

Output, one line of JSON: calls and messages that ended within the window, `bytes` of DATA received and of those calls'
requests, latencies of calls (paced: of messages, each counted from when it was due), errors by text. Any error makes the
exit code 1. `observed` and `load_cpu_ns` are CPU time within the window.";

/// What the calls look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Shape {
    /// A short request, a short answer.
    Unary,
    /// A short request, a stream of messages as fast as they are taken.
    Burst,
    /// A short request, a stream with one message per interval.
    Paced,
    /// A long request, a short answer.
    Upload,
    /// A short request, a long answer.
    Download,
}

impl Shape {
    pub(super) fn name(self) -> &'static str {
        match self {
            Shape::Unary => "unary",
            Shape::Burst => "burst",
            Shape::Paced => "paced",
            Shape::Upload => "upload",
            Shape::Download => "download",
        }
    }
}

/// Calls a target as fast as it answers, or at a rate, and says what that took.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Address to call.
    #[arg(long, value_name = "HOST:PORT")]
    pub(super) target: SocketAddr,
    /// What the calls look like.
    #[arg(long, value_enum, default_value = "unary")]
    pub(super) shape: Shape,
    /// Connections.
    #[arg(long, default_value_t = 1)]
    pub(super) connections: usize,
    /// Calls in flight per connection; with --rate the most of them.
    #[arg(long, default_value_t = 1)]
    pub(super) streams: usize,
    /// Length of the measured window.
    #[arg(long, default_value_t = 5.0)]
    pub(super) seconds: f64,
    /// Time before it in which nothing is counted but errors.
    #[arg(long, default_value_t = 1.0)]
    pub(super) warmup: f64,
    /// Open loop: so many calls per second in all, each measured from its intended start whether or not it could be sent
    /// then. Without it a call follows when one ends. Starts are on time within 0.1 ms.
    #[arg(long, value_name = "PER_SECOND")]
    pub(super) rate: Option<f64>,
    /// Bytes of a message: the request's (unary, upload) or the answer's (others). Default: 93 (unary), 60 (burst, paced),
    /// 1000000 (upload, download). Other messages are a request of 93 and an answer of 106 bytes.
    #[arg(long)]
    pub(super) bytes: Option<usize>,
    /// Messages per call (burst, paced).
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) messages: u64,
    /// Time between two messages (paced).
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) interval_us: u64,
    /// Headers per call whose values never repeat.
    #[arg(long, default_value_t = 0, value_name = "K")]
    pub(super) unique_headers: usize,
    /// Call the agents bench-0 to bench-(N-1) in turn; they are the services agent-bench-0 ... Without it `bench-agent`,
    /// the service agent-bench.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) ids: Option<u64>,
    /// Call this method instead, /package.Service/Method, with the messages of --requests; of the answer only the status is
    /// checked.
    #[arg(long, value_name = "PATH", requires = "requests", conflicts_with_all = ["ids", "bytes"])]
    pub(super) method: Option<String>,
    /// File of encoded messages to send in turn, each behind its length as a varint.
    #[arg(long, value_name = "FILE", requires = "method")]
    pub(super) requests: Option<PathBuf>,
    /// Hold so many connections without a call, until stdin ends; the line `ready` says that they are open.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(super) idle_connections: usize,
    /// Hold so many streaming calls that got one message and get no other, over --connections.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(super) idle_streams: usize,
    /// Hold so many streaming calls whose messages are not taken, over --connections.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(super) stalled_streams: usize,
    /// PEM file of the authorities: call by TLS 1.3.
    #[arg(long, value_name = "FILE")]
    pub(super) tls_ca: Option<PathBuf>,
    /// Name that the target's certificate has to hold.
    #[arg(long, requires = "tls_ca", default_value = "localhost")]
    pub(super) tls_name: String,
    /// PEM file of the own certificate chain.
    #[arg(long, value_name = "FILE", requires = "tls_key", requires = "tls_ca")]
    pub(super) tls_cert: Option<PathBuf>,
    /// PEM file of its key.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(super) tls_key: Option<PathBuf>,
    /// Processes whose CPU time and memory are reported.
    #[arg(long, value_name = "PID", value_delimiter = ',')]
    pub(super) observe: Vec<u32>,
}

impl Args {
    /// Whether it opens and holds, and measures nothing.
    pub(super) fn holds(&self) -> bool {
        self.idle_connections + self.idle_streams + self.stalled_streams > 0
    }
}
