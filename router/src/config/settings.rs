//! The table of settings: name, meaning, how to read it, how to show it.
//!
//! A setting `x_y` is the key `x_y` of the file and the variable `SWITCHBOARD_X_Y`; the most used ones are
//! flags as well. Everything that reads or prints configuration goes through this table.

use super::{
    Config, LogFormat, TlsSource, auth,
    network::{networks, show_networks},
    parse,
};
use switchboard_transport::ClientAuth;

/// One setting.
pub(super) struct Setting {
    pub(super) key: &'static str,
    pub(super) help: &'static str,
    pub(super) set: fn(&mut Config, &str) -> Result<(), String>,
    pub(super) get: fn(&Config) -> String,
}

/// A row of [`SETTINGS`]: key, meaning, field, reader, shower (which takes the field by value).
macro_rules! setting {
    ($key:literal, $help:literal, $($field:ident).+, $read:path, $show:expr) => {
        Setting {
            key: $key,
            help: $help,
            set: |config, text| $read(text).map(|value| config.$($field).+ = value),
            get: |config| $show(config.$($field).+),
        }
    };
}

/// A row whose value is a file or nothing.
macro_rules! file {
    ($key:literal, $help:literal, $field:ident) => {
        Setting {
            key: $key,
            help: $help,
            set: |config, text| parse::file(text).map(|value| config.$field = value),
            get: |config| parse::show_file(config.$field.as_deref()),
        }
    };
}

/// Every setting but `registry`, which [`super::load`] reads together with the registry's own variables.
#[rustfmt::skip]
pub(super) const SETTINGS: &[Setting] = &[
    setting!("grpc", "address of the gRPC port", grpc, parse::address, |v: std::net::SocketAddr| v.to_string()),
    setting!("admin", "address of the admin HTTP port", admin, parse::address, |v: std::net::SocketAddr| v.to_string()),
    Setting {
        key: "consul_dns",
        help: "HOST:PORT of Consul's DNS, asked for services while its HTTP API fails; off = never",
        set: |config, text| parse::host_port(text).map(|value| config.consul_dns = value),
        get: |config| config.consul_dns.clone().unwrap_or_else(|| "off".to_owned()),
    },
    Setting {
        key: "consul_dns_domain",
        help: "domain of Consul's DNS",
        set: |config, text| parse::domain(text).map(|value| config.consul_dns_domain = value),
        get: |config| config.consul_dns_domain.clone(),
    },
    setting!("advertise", "address to register: auto, IP or IP:PORT", advertise, parse::advertise, parse::show_advertise),
    setting!("workers", "worker threads; 0 = one per core", workers, workers, |v: usize| v.to_string()),
    setting!("reflection", "serve gRPC reflection of the router's services", reflection, parse::switch, parse::show_switch),
    setting!("access_log", "log every call at info", access_log, parse::switch, parse::show_switch),
    setting!("log_format", "text or json", log_format, log_format, |v: LogFormat| v.name().to_owned()),
    setting!("tls_source", "where certificates come from: files, or connect for Consul's own authority in both directions", tls_source, tls_source, |v: TlsSource| v.name().to_owned()),
    file!("tls_cert", "PEM file of the gRPC port's certificate chain, which then speaks TLS only; off = in clear", tls_cert),
    file!("tls_key", "PEM file of its key", tls_key),
    file!("tls_client_ca", "PEM file of the authorities of client certificates; off = nobody is asked for one", tls_client_ca),
    setting!("tls_client_auth", "whether clients have to show a certificate: none, optional or required", tls_client_auth, str::parse::<ClientAuth>, |v: ClientAuth| v.name().to_owned()),
    setting!("tls_handshake_timeout", "how long a client's TLS handshake may take", tls_handshake_timeout, parse::positive, parse::show_duration),
    setting!("max_tls_handshakes", "TLS handshakes of clients at once; more connections are closed", max_tls_handshakes, parse::count, |v: usize| v.to_string()),
    file!("upstream_tls_ca", "PEM file of the authorities of instances, which are then reached by TLS only; off = in clear", upstream_tls_ca),
    file!("upstream_tls_cert", "PEM file of the certificate chain that instances are shown; off = the gRPC port's", upstream_tls_cert),
    file!("upstream_tls_key", "PEM file of its key", upstream_tls_key),
    Setting {
        key: "proxy_protocol",
        help: "networks whose connections may begin with a PROXY protocol v2 header: 10.0.0.0/8,127.0.0.1; off = none",
        set: |config, text| networks(text).map(|value| config.proxy_protocol = value),
        get: |config| show_networks(&config.proxy_protocol),
    },
    setting!("auth", "what callers have to prove: none, any (certificate or token) or both (certificate and token)", auth, auth::mode, |v: switchboard_policy::Mode| v.as_str().to_owned()),
    file!("auth_tokens", "TOML file of static tokens; off = none", auth_tokens),
    Setting {
        key: "auth_jwt_keys",
        help: "keys that may sign tokens: file or URL of a JWKS, PEM file of public keys, or *.secret file for HS*; off = none",
        set: |config, text| auth::keys(text).map(|value| config.auth_jwt_keys = value),
        get: |config| auth::show_keys(config.auth_jwt_keys.as_ref()),
    },
    Setting {
        key: "auth_jwt_issuer",
        help: "who must have issued a signed token (iss); off = anyone whose key is known",
        set: |config, text| auth::text(text).map(|value| config.auth_jwt_issuer = value),
        get: |config| config.auth_jwt_issuer.clone().unwrap_or_else(|| "off".to_owned()),
    },
    Setting {
        key: "auth_jwt_audience",
        help: "whom a signed token must be for (aud), one of these, with commas between; needed with auth_jwt_keys",
        set: |config, text| auth::list(text).map(|value| config.auth_jwt_audience = value),
        get: |config| auth::show_list(&config.auth_jwt_audience),
    },
    setting!("auth_jwt_leeway", "by how much the issuer's clock may differ", auth_jwt_leeway, parse::duration, parse::show_duration),
    Setting {
        key: "auth_jwt_roles_claim",
        help: "the claim of a signed token that holds roles",
        set: |config, text| { config.auth_jwt_roles_claim = text.to_owned(); Ok(()) },
        get: |config| config.auth_jwt_roles_claim.clone(),
    },
    setting!("forward_authorization", "pass the header authorization to backends though the router has read it", forward_authorization, parse::switch, parse::show_switch),
    file!("policy", "TOML file of rules and limits; off = none", policy),
    setting!("peek_max_bytes", "bytes of the first message that are searched for the ID", peek_max_bytes, parse::bytes, |v: usize| v.to_string()),
    setting!("replay_max_bytes", "bytes of a call kept for its one safe retry", replay_max_bytes, parse::bytes, |v: usize| v.to_string()),
    setting!("first_message_wait", "how long a call may take to send what routes it", first_message_wait, parse::positive, parse::show_duration),
    setting!("default_unary_deadline", "deadline of unary calls whose client sent none", default_unary_deadline, parse::positive, parse::show_duration),
    setting!("no_endpoint_wait", "how long a call waits for a first healthy instance", no_endpoint_wait, parse::duration, parse::show_duration),
    setting!("lookup_wait", "how long a call waits for the registry's answer about an unknown service", lookup_wait, parse::positive, parse::show_duration),
    setting!("connect_timeout", "how long a connect to an instance may take", connect_timeout, parse::positive, parse::show_duration),
    setting!("retry_attempts", "attempts of an idempotent call, the first included", retry_attempts, parse::count_u32, |v: u32| v.to_string()),
    setting!("ejection_time", "how long an instance that failed five times in a row is left out", ejection_time, parse::positive, parse::show_duration),
    setting!("memory_budget", "bytes that waiting streams may hold; beyond it new calls are refused and the heaviest end", memory_budget, parse::bytes, |v: usize| v.to_string()),
    setting!("starved_after", "how long a call that its instance does not read may hold up others on its connection; 0 = for ever", starved_after, parse::duration, parse::show_duration),
    setting!("stream_idle", "how long a call may pass no bytes; 0 = for ever", stream_idle, parse::duration, parse::show_duration),
    setting!("connection_age", "age at which a client's connection is asked to reconnect, give or take a tenth; 0 = never", connection_age, parse::duration, parse::show_duration),
    setting!("downstream_ping", "silence after which a client is sent a PING; 0 = never", downstream_ping, parse::duration, parse::show_duration),
    setting!("upstream_ping", "silence after which an instance with open streams is sent a PING; 0 = never", upstream_ping, parse::duration, parse::show_duration),
    setting!("ping_timeout", "how long a PING may stay unanswered", ping_timeout, parse::positive, parse::show_duration),
    setting!("streams_per_upstream_connection", "open streams after which another connection is opened", streams_per_upstream_connection, parse::count_u32, |v: u32| v.to_string()),
    setting!("connections_per_endpoint", "connections to one instance, per worker thread", connections_per_endpoint, parse::count, |v: usize| v.to_string()),
    setting!("queue_per_service", "calls that wait for one service", queue_per_service, parse::count, |v: usize| v.to_string()),
    setting!("max_message_bytes", "bytes of the longest message that passes, in either direction", max_message_bytes, parse::window, |v: u32| v.to_string()),
    setting!("drain_streams_after", "how long calls may go on at an instance that left; 0 = for ever", drain_streams_after, parse::duration, parse::show_duration),
    setting!("max_connections", "client connections", max_connections, parse::count, |v: usize| v.to_string()),
    setting!("max_connections_per_source", "client connections of one IP address", max_connections_per_source, parse::count, |v: usize| v.to_string()),
    setting!("max_calls_in_flight", "calls in flight; more are refused", max_calls_in_flight, parse::count, |v: usize| v.to_string()),
    setting!("max_concurrent_streams", "calls in flight on one client connection", downstream_http2.max_concurrent_streams, parse::count_u32, |v: u32| v.to_string()),
    setting!("header_list_max", "bytes of headers or trailers accepted from clients", downstream_http2.header_list_max, parse::window, |v: u32| v.to_string()),
    setting!("stream_window", "bytes a client may send ahead on one call", downstream_http2.stream_window, parse::window, |v: u32| v.to_string()),
    setting!("connection_window", "bytes a client may send ahead on one connection", downstream_http2.connection_window, parse::window, |v: u32| v.to_string()),
    setting!("header_table_size", "bytes of HPACK table kept for what clients send", downstream_http2.header_table_size, parse::window, |v: u32| v.to_string()),
    setting!("output_high_water", "bytes of output per client connection beyond which data waits in its stream", downstream_http2.output_high_water, parse::bytes, |v: usize| v.to_string()),
    setting!("max_continuation_frames", "CONTINUATION frames of one header block from a client", downstream_http2.max_continuation_frames, parse::count_u32, |v: u32| v.to_string()),
    setting!("resets_per_second", "streams a client may reset per second, steadily", downstream_http2.resets_per_second, parse::count_u32, |v: u32| v.to_string()),
    setting!("resets_burst", "streams a client may reset at once", downstream_http2.resets_burst, parse::count_u32, |v: u32| v.to_string()),
    setting!("pings_per_second", "PINGs of a client per second, steadily", downstream_http2.pings_per_second, parse::count_u32, |v: u32| v.to_string()),
    setting!("pings_burst", "PINGs of a client at once", downstream_http2.pings_burst, parse::count_u32, |v: u32| v.to_string()),
    setting!("settings_per_second", "SETTINGS of a client per second, steadily", downstream_http2.settings_per_second, parse::count_u32, |v: u32| v.to_string()),
    setting!("settings_burst", "SETTINGS of a client at once", downstream_http2.settings_burst, parse::count_u32, |v: u32| v.to_string()),
    setting!("empty_data_burst", "empty DATA frames of a client between useful ones", downstream_http2.empty_data_burst, parse::count_u32, |v: u32| v.to_string()),
    setting!("window_updates_per_second", "WINDOW_UPDATEs of a client per second beyond those that data earned", downstream_http2.window_updates_per_second, parse::count_u32, |v: u32| v.to_string()),
    setting!("window_updates_burst", "WINDOW_UPDATEs of a client at once, likewise", downstream_http2.window_updates_burst, parse::count_u32, |v: u32| v.to_string()),
    setting!("upstream_header_list_max", "bytes of headers or trailers accepted from backends", upstream_http2.header_list_max, parse::window, |v: u32| v.to_string()),
    setting!("upstream_stream_window", "bytes a backend may send ahead on one call", upstream_http2.stream_window, parse::window, |v: u32| v.to_string()),
    setting!("upstream_connection_window", "bytes a backend may send ahead on one connection", upstream_http2.connection_window, parse::window, |v: u32| v.to_string()),
    setting!("max_services", "services kept in the directory, and read for one list", max_services, parse::count, |v: usize| v.to_string()),
    setting!("max_watches", "services followed by a blocking query; the rest is re-read", max_watches, parse::count, |v: usize| v.to_string()),
    setting!("cache_ttl", "age after which an unwatched service is read again", cache_ttl, parse::positive, parse::show_duration),
    setting!("negative_ttl", "how long an unknown name stays unknown without asking again", negative_ttl, parse::positive, parse::show_duration),
    setting!("probe_interval", "how often instances that do not pass in the registry are asked for their health; 0 = never", probe_interval, parse::duration, parse::show_duration),
    setting!("drain_accept", "how long new connections are taken after the end was announced", drain_accept, parse::duration, parse::show_duration),
    setting!("drain_goaway_gap", "time between the two steps of GOAWAY", drain_goaway_gap, parse::duration, parse::show_duration),
    setting!("drain_limit", "how long calls may go on after that", drain_limit, parse::duration, parse::show_duration),
];

/// Reads the number of worker threads; 0 stands for one per core and is resolved here.
fn workers(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Ok(super::cores()),
        Ok(count) if count <= super::MAX_WORKERS => Ok(count),
        _ => Err(format!("`{text}` is no number from 0 to {}", super::MAX_WORKERS)),
    }
}

/// Reads `text` or `json`.
fn log_format(text: &str) -> Result<LogFormat, String> {
    [LogFormat::Text, LogFormat::Json]
        .into_iter()
        .find(|format| format.name() == text)
        .ok_or_else(|| format!("`{text}` is neither text nor json"))
}

/// Reads `files` or `connect`.
fn tls_source(text: &str) -> Result<TlsSource, String> {
    [TlsSource::Files, TlsSource::Connect]
        .into_iter()
        .find(|source| source.name() == text)
        .ok_or_else(|| format!("`{text}` is neither files nor connect"))
}
