//! Configuration: flags, environment and a TOML file become one [`Config`] that cannot be wrong.
//!
//! [`load`] is the only reader of the environment in the router. Precedence: flag, variable, file, default.
//! Every wrong value and every unknown key is reported at once ([`Error::Invalid`]), and the process ends with
//! [`Error::EXIT_CODE`]. Nothing here opens a socket or talks to the registry.

mod args;
mod auth;
mod load;
mod network;
mod parse;
mod settings;

pub use load::{load, load_process};
pub use network::Network;
pub use parse::Advertise;

use settings::SETTINGS;
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};
use switchboard_policy::{DEFAULT_LEEWAY, DEFAULT_ROLES_CLAIM, KeySource, Mode};
use switchboard_transport::{ClientAuth, ClientTls, ServerTls};

/// Where clients connect: all addresses, port 50051.
pub const DEFAULT_GRPC: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 50051);
/// The admin port is for the machine itself unless said otherwise.
pub const DEFAULT_ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9901);
/// 64 KiB of the first message are searched for the ID; an ID beyond that is refused.
pub const DEFAULT_PEEK_MAX_BYTES: usize = 64 * 1024;
/// 64 KiB of a call are kept for its safe retry, as Linkerd and agentgateway do.
pub const DEFAULT_REPLAY_MAX_BYTES: usize = 64 * 1024;
/// 10 s for headers and first message stop slow senders (Linkerd's detect timeout).
pub const DEFAULT_FIRST_MESSAGE_WAIT: Duration = Duration::from_secs(10);
/// Agents run for minutes, and none at all leaks; Envoy's 15 s is its most frequent complaint.
pub const DEFAULT_UNARY_DEADLINE: Duration = Duration::from_secs(300);
/// Linkerd's fail-fast: a call waits 3 s for a first healthy instance.
pub const DEFAULT_NO_ENDPOINT_WAIT: Duration = Duration::from_secs(3);
/// A handshake is two round trips; the preface of a connection in clear may take as long again.
pub const DEFAULT_TLS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// As many as one address may have connections: some seconds of work, and some 20 KiB each.
pub const DEFAULT_MAX_TLS_HANDSHAKES: usize = 1_000;
/// A registry that has not answered a look-up after 5 s counts as unreachable.
pub const DEFAULT_LOOKUP_WAIT: Duration = Duration::from_secs(5);
/// Containers on one network answer a connect at once or not at all (Linkerd outbound: 1 s).
pub const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Some five hundred stalled streams at a full window; a quarter of the usual container.
pub const DEFAULT_MEMORY_BUDGET: usize = 512 << 20;
/// As long as a PING may stay unanswered: by then a peer that is alive has read something.
pub const DEFAULT_STARVED_AFTER: Duration = Duration::from_secs(10);
/// Envoy and Linkerd retry once; gRFC A6 caps at 5.
pub const DEFAULT_RETRY_ATTEMPTS: u32 = 2;
/// Envoy's 5 minutes cut quiet watches.
pub const DEFAULT_STREAM_IDLE: Duration = Duration::from_secs(3_600);
/// gRFC A9; HAProxy in TCP mode balances connections, so age is what spreads clients over new routers.
pub const DEFAULT_CONNECTION_AGE: Duration = Duration::from_secs(300);
/// gRFC A9's 2 h, shortened: HAProxy and NAT boxes forget idle connections after 60 s to 15 min.
pub const DEFAULT_DOWNSTREAM_PING: Duration = Duration::from_secs(60);
/// gRFC A8: below one minute only with streams open.
pub const DEFAULT_UPSTREAM_PING: Duration = Duration::from_secs(30);
/// gRFC A8 and A9 say 20 s; a dead instance is to be noticed sooner.
pub const DEFAULT_PING_TIMEOUT: Duration = Duration::from_secs(10);
/// Envoy ejects for 30 s; sets of two to ten instances need a faster return.
pub const DEFAULT_EJECTION_TIME: Duration = Duration::from_secs(10);
/// Few connections batch better; HAProxy and agentgateway use 100 as well.
pub const DEFAULT_STREAMS_PER_UPSTREAM_CONNECTION: u32 = 100;
/// Bound of connections to one instance, per worker thread.
pub const DEFAULT_CONNECTIONS_PER_ENDPOINT: usize = 8;
/// Envoy keeps 1024 pending calls per cluster.
pub const DEFAULT_QUEUE_PER_SERVICE: usize = 1_000;
/// Row 16: an answer that is at most this old is of use to whoever looks; a tenth of a call per second and instance.
pub const DEFAULT_PROBE_INTERVAL: Duration = Duration::from_secs(10);
/// Messages are streamed, never held whole, so this bounds a peer's mistake rather than our memory; grpc-go and tonic
/// decode 4 MiB unless told otherwise.
pub const DEFAULT_MAX_MESSAGE_BYTES: u32 = 128 << 20;
/// Never: an instance that left may serve its streams for hours, and only its owner knows when that is too long.
pub const DEFAULT_DRAIN_STREAMS_AFTER: Duration = Duration::ZERO;
/// Client connections of one router.
pub const DEFAULT_MAX_CONNECTIONS: usize = 10_000;
/// Client connections of one IP address; behind HAProxy in TCP mode all clients may share one.
pub const DEFAULT_MAX_CONNECTIONS_PER_SOURCE: usize = 1_000;
/// Calls in flight; each may hold about 1.4 MiB in the worst case.
pub const DEFAULT_MAX_CALLS_IN_FLIGHT: usize = 20_000;
/// Services in the directory: an entry is some hundred bytes, a snapshot clones one pointer for each.
pub const DEFAULT_MAX_SERVICES: usize = 10_000;
/// A Consul agent takes 200 connections of one address; watches use half of them.
pub const DEFAULT_MAX_WATCHES: usize = 100;
/// Age at which a service without a watch is read again.
pub const DEFAULT_CACHE_TTL: Duration = Duration::from_secs(5);
/// "Register, then call at once" must work: a name is unknown for 1 s at most.
pub const DEFAULT_NEGATIVE_TTL: Duration = Duration::from_secs(1);
/// Consul's own domain.
pub const DEFAULT_CONSUL_DNS_DOMAIN: &str = "consul";
/// HAProxy needs three failed checks 2 s apart, 500 ms once one has failed, to look elsewhere.
pub const DEFAULT_DRAIN_ACCEPT: Duration = Duration::from_secs(5);
/// Between GOAWAY(2^31-1) and the final one: streams under way at the first must arrive before the second.
pub const DEFAULT_DRAIN_GOAWAY_GAP: Duration = Duration::from_secs(5);
/// Linkerd gives streams 2 min to end.
pub const DEFAULT_DRAIN_LIMIT: Duration = Duration::from_secs(120);
/// `switchboard dev` ends when its calls have ended, or after this.
const DEV_DRAIN_LIMIT: Duration = Duration::from_secs(2);
/// More threads than any machine has cores.
const MAX_WORKERS: usize = 1_024;

/// The effective configuration: every value is in range and they fit each other.
#[derive(Debug, Clone)]
pub struct Config {
    /// Address of the gRPC port; port 0 takes a free one.
    pub grpc: SocketAddr,
    /// Address of the admin HTTP port; port 0 takes a free one.
    pub admin: SocketAddr,
    /// How to reach the registry.
    pub registry: switchboard_registry::Config,
    /// `host:port` of Consul's DNS, which is asked for services while the HTTP API cannot be asked; `None` = never.
    /// DNS knows healthy instances and their weights, and nothing of what they registered about themselves.
    pub consul_dns: Option<String>,
    /// Domain of Consul's DNS.
    pub consul_dns_domain: String,
    /// Address that the router registers for itself.
    pub advertise: Advertise,
    /// Name of this machine, part of the ID under which the router registers.
    pub hostname: String,
    /// Worker threads, at least one.
    pub workers: usize,
    /// Whether gRPC reflection of the router's own services is served.
    pub reflection: bool,
    /// Whether every call is logged.
    pub access_log: bool,
    /// Format of the log.
    pub log_format: LogFormat,
    /// `RUST_LOG`, if set.
    pub log_filter: Option<String>,
    /// Where certificates of both directions come from.
    pub tls_source: TlsSource,
    /// PEM file of the listener's certificate chain; with it the gRPC port speaks TLS only.
    pub tls_cert: Option<PathBuf>,
    /// PEM file of its key.
    pub tls_key: Option<PathBuf>,
    /// PEM file of the authorities of client certificates.
    pub tls_client_ca: Option<PathBuf>,
    /// Whether clients have to show a certificate.
    pub tls_client_auth: ClientAuth,
    /// How long a client's TLS handshake may take.
    pub tls_handshake_timeout: Duration,
    /// Handshakes of clients at once; more connections are closed.
    pub max_tls_handshakes: usize,
    /// PEM file of the authorities of instances; with it they are reached by TLS only.
    pub upstream_tls_ca: Option<PathBuf>,
    /// PEM file of the certificate chain that instances are shown; the listener's unless set.
    pub upstream_tls_cert: Option<PathBuf>,
    /// PEM file of its key.
    pub upstream_tls_key: Option<PathBuf>,
    /// Networks whose connections may begin with a PROXY protocol v2 header.
    pub proxy_protocol: Vec<Network>,
    /// What callers have to prove.
    pub auth: Mode,
    /// File of static tokens.
    pub auth_tokens: Option<PathBuf>,
    /// Keys that may sign tokens.
    pub auth_jwt_keys: Option<KeySource>,
    /// Who must have issued a signed token; `None` takes any.
    pub auth_jwt_issuer: Option<String>,
    /// Whom a signed token must be for, one of these.
    pub auth_jwt_audience: Vec<String>,
    /// By how much the issuer's clock may differ.
    pub auth_jwt_leeway: Duration,
    /// The claim that holds roles.
    pub auth_jwt_roles_claim: String,
    /// Whether backends get the header `authorization` though the router has read it.
    pub forward_authorization: bool,
    /// File of rules and limits.
    pub policy: Option<PathBuf>,
    /// HTTP/2 towards clients.
    pub downstream_http2: switchboard_http2::Config,
    /// HTTP/2 towards backends. `max_concurrent_streams` is `streams_per_upstream_connection`.
    pub upstream_http2: switchboard_http2::Config,
    /// Bytes of the first message that are searched for the ID.
    pub peek_max_bytes: usize,
    /// Bytes of a call that are kept for its one safe retry.
    pub replay_max_bytes: usize,
    /// How long a call may take to send what routes it.
    pub first_message_wait: Duration,
    /// Deadline of unary calls whose client sent none.
    pub default_unary_deadline: Duration,
    /// How long a call waits for a first healthy instance of a known service.
    pub no_endpoint_wait: Duration,
    /// How long a call waits for the answer about a service that the directory does not hold.
    pub lookup_wait: Duration,
    /// How long a connect to an instance may take.
    pub connect_timeout: Duration,
    /// Attempts of an idempotent call, the first included; 1 = no retry.
    pub retry_attempts: u32,
    /// How long an instance that failed five times in a row is left out, times the ejections so far.
    pub ejection_time: Duration,
    /// Bytes that streams may hold while they wait for their peers. From three quarters of it stream windows shrink, beyond
    /// it new calls are refused and those that hold most are ended.
    pub memory_budget: usize,
    /// How long a call that its instance does not read may hold up others on its connection; 0 = for ever.
    pub starved_after: Duration,
    /// How long a call may pass no bytes in either direction; 0 = for ever.
    pub stream_idle: Duration,
    /// Age at which a client's connection is asked to reconnect, give or take a tenth; 0 = never. No call is ended by it.
    pub connection_age: Duration,
    /// Silence after which a client's connection is asked for a PING; 0 = never.
    pub downstream_ping: Duration,
    /// Silence after which an instance's connection with open streams is asked for a PING; 0 = never.
    pub upstream_ping: Duration,
    /// How long either may take to answer it.
    pub ping_timeout: Duration,
    /// Open streams of an upstream connection after which another one is opened.
    pub streams_per_upstream_connection: u32,
    /// Connections to one instance, per worker thread.
    pub connections_per_endpoint: usize,
    /// Longest message in bytes that passes, in either direction; a service may set less.
    pub max_message_bytes: u32,
    /// How long calls may go on at an instance that left the registry or fails its check; 0 = for ever. A service may
    /// set its own.
    pub drain_streams_after: Duration,
    /// Calls that wait for one service, on each worker thread; a service may set its own.
    pub queue_per_service: usize,
    /// Client connections.
    pub max_connections: usize,
    /// Client connections of one IP address.
    pub max_connections_per_source: usize,
    /// Calls in flight; more are refused with `RESOURCE_EXHAUSTED`.
    pub max_calls_in_flight: usize,
    /// Services in the directory: those that are called, not those that are registered. One more puts out the one that was
    /// called longest ago, which costs its next call a look-up. Also what one list, or the search for a gRPC service, reads.
    pub max_services: usize,
    /// Services followed by a blocking query.
    pub max_watches: usize,
    /// Age after which a service without a watch is read again.
    pub cache_ttl: Duration,
    /// How long an unknown name stays unknown without asking again.
    pub negative_ttl: Duration,
    /// How often instances that the registry does not call passing are asked for their health; 0 = never.
    pub probe_interval: Duration,
    /// Shutdown, first part: how long connections are still taken after readiness has failed.
    pub drain_accept: Duration,
    /// Shutdown, second part: time between the two steps of GOAWAY.
    pub drain_goaway_gap: Duration,
    /// Shutdown, last part: how long calls may go on.
    pub drain_limit: Duration,
}

/// Where certificates come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsSource {
    /// Files, each named by its own setting.
    Files,
    /// Consul Connect: certificate, key and authorities for both directions.
    Connect,
}

impl TlsSource {
    fn name(self) -> &'static str {
        match self {
            TlsSource::Files => "files",
            TlsSource::Connect => "connect",
        }
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object per line.
    Json,
}

impl LogFormat {
    fn name(self) -> &'static str {
        match self {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        }
    }
}

/// What the command line asks for.
#[derive(Debug)]
pub enum Command {
    /// Route calls.
    Run(Box<Config>),
    /// Print [`Config::to_toml`].
    Print(Box<Config>),
    /// Ask `/readyz` at this address.
    Healthcheck(SocketAddr),
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Unknown flag or subcommand, or a request for help, which is not a failure (see [`clap::Error::exit_code`]).
    #[error("{0}")]
    Usage(clap::Error),
    /// The file cannot be read or is no TOML.
    #[error("configuration file {}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// All wrong settings, at least one.
    #[error("{}", Problems(.0))]
    Invalid(Vec<Problem>),
}

impl Error {
    /// `EX_USAGE`: the configuration is wrong; starting again will not help.
    pub const EXIT_CODE: u8 = 64;
}

/// One wrong setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where it was said: `--grpc`, `SWITCHBOARD_GRPC`, or key and file.
    pub place: String,
    /// What is wrong, and what would be right.
    pub reason: String,
}

/// One line per problem.
struct Problems<'a>(&'a [Problem]);

impl fmt::Display for Problems<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Problem { place, reason }) in self.0.iter().enumerate() {
            write!(f, "{}{place}: {reason}", if index == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

/// Cores that this process may use.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

impl Config {
    /// The defaults, with the three addresses that every router needs.
    pub fn new(grpc: SocketAddr, admin: SocketAddr, registry: switchboard_registry::Config) -> Self {
        let downstream_http2 = switchboard_http2::Config::default();
        let upstream_http2 = switchboard_http2::Config {
            max_concurrent_streams: DEFAULT_STREAMS_PER_UPSTREAM_CONNECTION,
            ..downstream_http2.clone()
        };
        Config {
            grpc,
            admin,
            registry,
            consul_dns: None,
            consul_dns_domain: DEFAULT_CONSUL_DNS_DOMAIN.to_owned(),
            advertise: Advertise::Auto,
            hostname: "localhost".to_owned(),
            workers: cores(),
            reflection: false,
            access_log: false,
            log_format: LogFormat::Text,
            log_filter: None,
            tls_source: TlsSource::Files,
            tls_cert: None,
            tls_key: None,
            tls_client_ca: None,
            tls_client_auth: ClientAuth::default(),
            tls_handshake_timeout: DEFAULT_TLS_HANDSHAKE_TIMEOUT,
            max_tls_handshakes: DEFAULT_MAX_TLS_HANDSHAKES,
            upstream_tls_ca: None,
            upstream_tls_cert: None,
            upstream_tls_key: None,
            proxy_protocol: Vec::new(),
            auth: Mode::None,
            auth_tokens: None,
            auth_jwt_keys: None,
            auth_jwt_issuer: None,
            auth_jwt_audience: Vec::new(),
            auth_jwt_leeway: DEFAULT_LEEWAY,
            auth_jwt_roles_claim: DEFAULT_ROLES_CLAIM.to_owned(),
            forward_authorization: false,
            policy: None,
            downstream_http2,
            upstream_http2,
            peek_max_bytes: DEFAULT_PEEK_MAX_BYTES,
            replay_max_bytes: DEFAULT_REPLAY_MAX_BYTES,
            first_message_wait: DEFAULT_FIRST_MESSAGE_WAIT,
            default_unary_deadline: DEFAULT_UNARY_DEADLINE,
            no_endpoint_wait: DEFAULT_NO_ENDPOINT_WAIT,
            lookup_wait: DEFAULT_LOOKUP_WAIT,
            connect_timeout: DEFAULT_CONNECT_TIMEOUT,
            retry_attempts: DEFAULT_RETRY_ATTEMPTS,
            memory_budget: DEFAULT_MEMORY_BUDGET,
            starved_after: DEFAULT_STARVED_AFTER,
            stream_idle: DEFAULT_STREAM_IDLE,
            connection_age: DEFAULT_CONNECTION_AGE,
            downstream_ping: DEFAULT_DOWNSTREAM_PING,
            upstream_ping: DEFAULT_UPSTREAM_PING,
            ping_timeout: DEFAULT_PING_TIMEOUT,
            ejection_time: DEFAULT_EJECTION_TIME,
            streams_per_upstream_connection: DEFAULT_STREAMS_PER_UPSTREAM_CONNECTION,
            connections_per_endpoint: DEFAULT_CONNECTIONS_PER_ENDPOINT,
            max_message_bytes: DEFAULT_MAX_MESSAGE_BYTES,
            drain_streams_after: DEFAULT_DRAIN_STREAMS_AFTER,
            queue_per_service: DEFAULT_QUEUE_PER_SERVICE,
            max_connections: DEFAULT_MAX_CONNECTIONS,
            max_connections_per_source: DEFAULT_MAX_CONNECTIONS_PER_SOURCE,
            max_calls_in_flight: DEFAULT_MAX_CALLS_IN_FLIGHT,
            max_services: DEFAULT_MAX_SERVICES,
            max_watches: DEFAULT_MAX_WATCHES,
            cache_ttl: DEFAULT_CACHE_TTL,
            negative_ttl: DEFAULT_NEGATIVE_TTL,
            probe_interval: DEFAULT_PROBE_INTERVAL,
            drain_accept: DEFAULT_DRAIN_ACCEPT,
            drain_goaway_gap: DEFAULT_DRAIN_GOAWAY_GAP,
            drain_limit: DEFAULT_DRAIN_LIMIT,
        }
    }

    /// A router inside another process, for trying things out: reflection on, and it ends quickly.
    pub fn for_dev(grpc: SocketAddr, admin: SocketAddr, registry: switchboard_registry::Config) -> Self {
        Config {
            reflection: true,
            drain_accept: Duration::ZERO,
            drain_goaway_gap: Duration::ZERO,
            drain_limit: DEV_DRAIN_LIMIT,
            ..Config::new(grpc, admin, registry)
        }
    }

    /// Whether the gRPC port speaks TLS.
    pub fn serves_tls(&self) -> bool {
        self.tls_cert.is_some() || self.tls_source == TlsSource::Connect
    }

    /// Whether instances are reached by TLS.
    pub fn calls_by_tls(&self) -> bool {
        self.upstream_tls_ca.is_some() || self.tls_source == TlsSource::Connect
    }

    /// The listener's files, where it speaks TLS.
    pub fn server_tls(&self) -> Option<ServerTls> {
        Some(ServerTls {
            cert: self.tls_cert.clone()?,
            key: self.tls_key.clone()?,
            client_ca: self.tls_client_ca.clone(),
            client_auth: self.tls_client_auth,
        })
    }

    /// The files for connections to instances, where those speak TLS.
    pub fn client_tls(&self) -> Option<ClientTls> {
        let ca = self.upstream_tls_ca.clone()?;
        let (cert, key) = match &self.upstream_tls_cert {
            Some(cert) => (Some(cert.clone()), self.upstream_tls_key.clone()),
            None => (self.tls_cert.clone(), self.tls_key.clone()),
        };
        Some(ClientTls { ca, cert, key })
    }

    /// Every setting with its value as text, in the order of the documentation. Secrets are redacted.
    pub fn effective(&self) -> Vec<(&'static str, String)> {
        let settings = SETTINGS.iter().map(|setting| (setting.key, (setting.get)(self)));
        settings.chain(registry_settings(&self.registry)).collect()
    }

    /// The effective configuration as a file that [`load`] reads, each setting with its meaning.
    pub fn to_toml(&self) -> String {
        let mut out = String::new();
        for setting in SETTINGS {
            let value = quoted((setting.get)(self));
            out.push_str(&format!("# {}\n{} = {value}\n", setting.help, setting.key));
        }
        for (key, value) in registry_settings(&self.registry) {
            let comment = if key == "registry" { "" } else { "# " };
            out.push_str(&format!("{comment}{key} = {}\n", quoted(value)));
        }
        out
    }

    /// Values that are right alone and wrong together.
    fn contradictions(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut check = |fine: bool, place: &str, reason: &str| {
            if !fine {
                problems.push(Problem { place: place.to_owned(), reason: reason.to_owned() });
            }
        };
        check(
            self.grpc.port() == 0 || self.grpc.port() != self.admin.port(),
            "grpc and admin",
            "must be two different ports",
        );
        // Streams that HTTP/2 admits and the router then refuses would be a promise not kept.
        check(
            self.max_calls_in_flight >= self.downstream_http2.max_concurrent_streams as usize,
            "max_calls_in_flight",
            "must not be below max_concurrent_streams",
        );
        check(
            self.max_connections_per_source <= self.max_connections,
            "max_connections_per_source",
            "must not be above max_connections",
        );
        // Equal windows deadlock applications that read one stream only after another.
        for (http2, place) in [
            (&self.downstream_http2, "connection_window"),
            (&self.upstream_http2, "upstream_connection_window"),
        ] {
            check(
                http2.connection_window / 4 >= http2.stream_window,
                place,
                "must be at least four stream windows",
            );
        }
        for (cert, key, place) in [
            (&self.tls_cert, &self.tls_key, "tls_cert and tls_key"),
            (&self.upstream_tls_cert, &self.upstream_tls_key, "upstream_tls_cert and upstream_tls_key"),
        ] {
            check(cert.is_some() == key.is_some(), place, "belong together: set both or none");
        }
        check(
            self.tls_client_ca.is_none() || self.tls_cert.is_some(),
            "tls_client_ca",
            "is of no use without tls_cert: in clear nobody shows a certificate",
        );
        let connect = self.tls_source == TlsSource::Connect;
        let files = [&self.tls_cert, &self.tls_key, &self.tls_client_ca, &self.upstream_tls_ca];
        check(
            !connect || files.iter().all(|file| file.is_none()) && self.upstream_tls_cert.is_none(),
            "tls_source",
            "is connect, which brings certificate, key and authorities: leave tls_cert, tls_key, tls_client_ca and upstream_tls_* out",
        );
        check(
            self.tls_client_auth != ClientAuth::Required || self.tls_client_ca.is_some() || connect,
            "tls_client_auth",
            "cannot be required without tls_client_ca, which says whose certificates are good",
        );
        check(
            self.upstream_tls_cert.is_none() || self.upstream_tls_ca.is_some(),
            "upstream_tls_cert",
            "is of no use without upstream_tls_ca, which has instances reached by TLS",
        );
        check(self.max_watches <= self.max_services, "max_watches", "must not be above max_services");
        let policy = self.policy_settings();
        if let Err(switchboard_policy::Error::Setting { setting, problem }) =
            self.check_jwt().and_then(|()| policy.check(self.asks_for_certificates()))
        {
            problems.push(Problem { place: setting.to_owned(), reason: problem });
        }
        problems
    }
}

/// A TOML string; JSON's escapes are a part of TOML's.
fn quoted(text: String) -> String {
    serde_json::Value::String(text).to_string()
}

/// The registry's settings as they may be shown: never the token itself.
fn registry_settings(registry: &switchboard_registry::Config) -> Vec<(&'static str, String)> {
    let mut settings = vec![("registry", registry.address.clone())];
    if registry.token.is_some() {
        settings.push(("registry_token", "(redacted)".to_owned()));
    }
    settings.extend(registry.datacenter.clone().map(|datacenter| ("registry_datacenter", datacenter)));
    settings
}

#[cfg(test)]
mod tests;
