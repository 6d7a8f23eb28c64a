//! Flags and environment variables of every backend; no other file reads either.
//!
//! A flag stands above the builder's setting, the builder's above the environment, and that above the default.

use crate::{Advertise, Error};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;
use switchboard_policy::{Mode, Settings};
use switchboard_registry::{Config, Kind};
use switchboard_transport::{ClientAuth, ServerTls};

const LISTEN: &str = "SWITCHBOARD_LISTEN";
const ADVERTISE: &str = "SWITCHBOARD_ADVERTISE";
const CONSUL: &str = "SWITCHBOARD_CONSUL_ADDR";
const AUTH: &str = "SWITCHBOARD_AUTH";
const TLS_SOURCE: &str = "SWITCHBOARD_TLS_SOURCE";
const TLS_CERT: &str = "SWITCHBOARD_TLS_CERT";
const TLS_KEY: &str = "SWITCHBOARD_TLS_KEY";
const TLS_CLIENT_CA: &str = "SWITCHBOARD_TLS_CLIENT_CA";
const TLS_CLIENT_AUTH: &str = "SWITCHBOARD_TLS_CLIENT_AUTH";

/// The flags that all backends share; flatten them into a clap parser.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Mesh")]
pub struct Options {
    /// Address to listen on: `50060`, `127.0.0.1:50060` or `[::]:50060`; port 0 takes a free one
    /// [env: SWITCHBOARD_LISTEN, or AGENT_PORT, TOOL_PORT, WORKER_PORT by kind]
    #[arg(long, value_name = "ADDR", value_parser = parse_listen)]
    pub listen: Option<SocketAddr>,
    /// Registry to register with, Consul or `switchboard dev` [env: CONSUL_HTTP_ADDR, or CONSUL_HOST and
    /// CONSUL_PORT; the token comes from CONSUL_HTTP_TOKEN] [default: http://127.0.0.1:8500]
    #[arg(long, value_name = "URL")]
    pub consul: Option<String>,
    /// Address to register: `auto`, an address or address:port [env: SWITCHBOARD_ADVERTISE] [default: auto]
    #[arg(long, value_name = "ADDR")]
    pub advertise: Option<Advertise>,
    /// After a signal, seconds to let running calls end [default: 30]
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    pub drain: Option<Duration>,
    /// Log JSON objects instead of lines for people; RUST_LOG sets the level, for example `debug`
    #[arg(long)]
    pub log_json: bool,
    /// Serve TLS only, with this PEM certificate chain, read anew when it changes [env: SWITCHBOARD_TLS_CERT]
    #[arg(long, value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// PEM private key of the certificate [env: SWITCHBOARD_TLS_KEY]
    #[arg(long, value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// PEM authorities of callers' certificates; from then on only the router, and who proves who it is, may call
    /// [env: SWITCHBOARD_TLS_CLIENT_CA]
    #[arg(long, value_name = "FILE")]
    pub tls_client_ca: Option<PathBuf>,
    /// Whether callers must show a certificate: none, optional or required; the registry's checks have none
    /// [env: SWITCHBOARD_TLS_CLIENT_AUTH] [default: optional]
    #[arg(long, value_name = "WHEN")]
    pub tls_client_auth: Option<ClientAuth>,
    /// Rules and limits of callers [env: SWITCHBOARD_POLICY; credentials by SWITCHBOARD_AUTH, SWITCHBOARD_AUTH_TOKENS,
    /// SWITCHBOARD_AUTH_JWT_KEYS and so on, as the router's]
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
}

fn parse_listen(text: &str) -> Result<SocketAddr, Error> {
    let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let port = text.strip_prefix(':').unwrap_or(text).parse().map(|port| SocketAddr::new(any, port));
    port.or_else(|_| text.parse()).map_err(|_| Error::Setting {
        setting: LISTEN,
        value: text.to_owned(),
        expected: "a port or ip:port",
    })
}

fn parse_seconds(text: &str) -> Result<Duration, Error> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let refuse =
        || Error::Setting { setting: "--drain", value: text.to_owned(), expected: "a number of seconds" };
    seconds.ok_or_else(refuse)
}

/// Gives the address to listen on where neither flag nor builder says: all addresses, and the port of the kind.
pub(crate) fn listen(kind: Kind, default_port: u16) -> Result<SocketAddr, Error> {
    listen_from(variable, kind, default_port)
}

fn listen_from(
    get: impl Fn(&str) -> Option<String>,
    kind: Kind,
    default_port: u16,
) -> Result<SocketAddr, Error> {
    if let Some(text) = get(LISTEN) {
        return parse_listen(&text);
    }
    let setting = match kind {
        Kind::Agent => "AGENT_PORT",
        Kind::Tool => "TOOL_PORT",
        Kind::Worker => "WORKER_PORT",
    };
    let port = match get(setting) {
        None => default_port,
        Some(value) => match value.parse() {
            Ok(port) => port,
            Err(_) => return Err(Error::Setting { setting, value, expected: "a port" }),
        },
    };
    Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port))
}

/// Gives the registry's settings, with the flag's address instead of the environment's if there is one.
pub(crate) fn registry(flag: Option<&str>) -> Result<Config, Error> {
    let get = |name: &str| match (name, flag) {
        (CONSUL, Some(address)) => Some(address.to_owned()),
        _ => variable(name),
    };
    Ok(Config::from_vars(get)?)
}

/// Gives what to advertise where neither flag nor builder says.
pub(crate) fn advertise() -> Result<Advertise, Error> {
    variable(ADVERTISE).map_or(Ok(Advertise::Auto), |text| text.parse())
}

/// Gives whether callers have to show a certificate, if the listener's own comes from Consul Connect; `None` if it comes
/// from files or there is none.
pub(crate) fn connect(options: &Options, chosen: bool) -> Result<Option<ClientAuth>, Error> {
    connect_from(variable, options, chosen)
}

fn connect_from(
    get: impl Fn(&str) -> Option<String>,
    options: &Options,
    chosen: bool,
) -> Result<Option<ClientAuth>, Error> {
    let connect = match get(TLS_SOURCE).as_deref() {
        None => chosen,
        Some("files") => false,
        Some("connect") => true,
        Some(other) => {
            let (setting, value) = (TLS_SOURCE, other.to_owned());
            return Err(Error::Setting { setting, value, expected: "files or connect" });
        }
    };
    if !connect {
        return Ok(None);
    }
    // Two sources would leave open which of them a peer meets.
    for (flag, name) in
        [(&options.tls_cert, TLS_CERT), (&options.tls_key, TLS_KEY), (&options.tls_client_ca, TLS_CLIENT_CA)]
    {
        if let Some(value) = flag.as_ref().map(|path| path.display().to_string()).or_else(|| get(name)) {
            let expected =
                "nothing while SWITCHBOARD_TLS_SOURCE=connect, which brings certificate, key and authorities";
            return Err(Error::Setting { setting: name, value, expected });
        }
    }
    Ok(Some(client_auth(get, options)?.unwrap_or_default()))
}

fn client_auth(get: impl Fn(&str) -> Option<String>, options: &Options) -> Result<Option<ClientAuth>, Error> {
    match (options.tls_client_auth, get(TLS_CLIENT_AUTH)) {
        (Some(auth), _) => Ok(Some(auth)),
        (None, Some(text)) => Ok(Some(text.parse().map_err(|_| Error::Setting {
            setting: TLS_CLIENT_AUTH,
            value: text,
            expected: "none, optional or required",
        })?)),
        (None, None) => Ok(None),
    }
}

/// Gives the files of the TLS listener, flags above variables; `None` if neither names a certificate.
pub(crate) fn tls(options: &Options) -> Result<Option<ServerTls>, Error> {
    tls_from(variable, options)
}

fn tls_from(get: impl Fn(&str) -> Option<String>, options: &Options) -> Result<Option<ServerTls>, Error> {
    let file = |flag: &Option<PathBuf>, name| flag.clone().or_else(|| get(name).map(PathBuf::from));
    let (cert, key) = (file(&options.tls_cert, TLS_CERT), file(&options.tls_key, TLS_KEY));
    let client_ca = file(&options.tls_client_ca, TLS_CLIENT_CA);
    let client_auth = client_auth(&get, options)?;
    // What is half said must not end as a port without TLS.
    let needs = |setting, missing| Err(Error::Incomplete { setting, missing });
    match (cert, key) {
        (Some(_), None) => needs(TLS_CERT, TLS_KEY),
        (None, Some(_)) => needs(TLS_KEY, TLS_CERT),
        (None, None) if client_ca.is_some() => needs(TLS_CLIENT_CA, TLS_CERT),
        (None, None) if client_auth.is_some_and(|auth| auth != ClientAuth::None) => {
            needs(TLS_CLIENT_AUTH, TLS_CERT)
        }
        (None, None) => Ok(None),
        (Some(_), Some(_))
            if client_ca.is_none() && client_auth.is_some_and(|auth| auth != ClientAuth::None) =>
        {
            needs(TLS_CLIENT_AUTH, TLS_CLIENT_CA)
        }
        (Some(cert), Some(key)) => {
            Ok(Some(ServerTls { cert, key, client_ca, client_auth: client_auth.unwrap_or_default() }))
        }
    }
}

/// Gives what callers have to prove and may do. `client_certificates`: the listener asks for them, and nobody but the
/// router is to be believed without proof then.
pub(crate) fn policy(options: &Options, client_certificates: bool) -> Result<Settings, Error> {
    policy_from(variable, options, client_certificates)
}

fn policy_from(
    get: impl Fn(&str) -> Option<String>,
    options: &Options,
    client_certificates: bool,
) -> Result<Settings, Error> {
    let mut settings = Settings::from_vars(&get)?;
    if client_certificates && get(AUTH).is_none() {
        settings.mode = Mode::Any;
    }
    settings.policy = options.policy.clone().or(settings.policy);
    settings.check(client_certificates)?;
    Ok(settings)
}

/// Gives the log filter.
pub(crate) fn log_filter() -> Option<String> {
    variable("RUST_LOG")
}

/// Gives the host name as the shell or a container runtime states it.
pub(crate) fn host_name() -> Option<String> {
    variable("HOSTNAME")
}

/// Reads one variable; an empty one counts as absent, as compose files produce them.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::{Options, connect_from, listen_from, parse_listen, parse_seconds, policy_from, tls_from};
    use clap::{Args as _, FromArgMatches as _};
    use std::time::Duration;
    use switchboard_policy::Mode;
    use switchboard_registry::Kind;
    use switchboard_transport::ClientAuth;

    fn variables(vars: &[(&str, &str)]) -> impl Fn(&str) -> Option<String> {
        |name| vars.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    }

    #[test]
    fn connect_is_the_only_source_or_none() {
        let connect = |vars: &[(&str, &str)], chosen| {
            connect_from(variables(vars), &Options::default(), chosen).map_err(|error| error.to_string())
        };
        let source = |name| ("SWITCHBOARD_TLS_SOURCE", name);
        assert_eq!(connect(&[], false).unwrap(), None);
        assert_eq!(connect(&[source("files")], true).unwrap(), None);
        assert_eq!(connect(&[source("connect")], false).unwrap(), Some(ClientAuth::Optional));
        let required = ("SWITCHBOARD_TLS_CLIENT_AUTH", "required");
        assert_eq!(connect(&[required], true).unwrap(), Some(ClientAuth::Required));
        assert!(connect(&[source("vault")], false).unwrap_err().contains("files or connect"));
        let both = connect(&[source("connect"), ("SWITCHBOARD_TLS_CERT", "c")], false).unwrap_err();
        assert!(both.contains("SWITCHBOARD_TLS_CERT"), "{both}");
    }

    #[test]
    fn what_is_half_said_of_tls_is_refused() {
        let tls = |vars: &[(&str, &str)]| {
            tls_from(variables(vars), &Options::default()).map_err(|error| error.to_string())
        };
        let (cert, key) = (("SWITCHBOARD_TLS_CERT", "c"), ("SWITCHBOARD_TLS_KEY", "k"));
        let ca = ("SWITCHBOARD_TLS_CLIENT_CA", "ca");
        let auth = |when| ("SWITCHBOARD_TLS_CLIENT_AUTH", when);
        assert_eq!(tls(&[]).unwrap(), None);
        assert_eq!(tls(&[auth("none")]).unwrap(), None);
        assert_eq!(tls(&[cert, key]).unwrap().unwrap().client_ca, None);
        let all = tls(&[cert, key, ca]).unwrap().unwrap();
        assert_eq!((all.client_auth, all.client_ca), (ClientAuth::Optional, Some("ca".into())));
        assert_eq!(
            tls(&[cert, key, ca, auth("required")]).unwrap().unwrap().client_auth,
            ClientAuth::Required
        );
        for (vars, missing) in [
            (&[cert][..], "SWITCHBOARD_TLS_KEY"),
            (&[key], "SWITCHBOARD_TLS_CERT"),
            (&[ca], "SWITCHBOARD_TLS_CERT"),
            (&[auth("required")], "SWITCHBOARD_TLS_CERT"),
            (&[cert, key, auth("required")], "SWITCHBOARD_TLS_CLIENT_CA"),
            (&[cert, key, ca, auth("maybe")], "none, optional or required"),
        ] {
            let error = tls(vars).unwrap_err();
            assert!(error.contains(missing), "{vars:?}: {error}");
        }
    }

    #[test]
    fn who_asks_for_certificates_asks_everybody_unless_told_otherwise() {
        let mode = |vars: &[(&str, &str)], certificates| {
            policy_from(variables(vars), &Options::default(), certificates).map(|settings| settings.mode)
        };
        assert_eq!(mode(&[], false).unwrap(), Mode::None);
        assert_eq!(mode(&[], true).unwrap(), Mode::Any);
        assert_eq!(mode(&[("SWITCHBOARD_AUTH", "none")], true).unwrap(), Mode::None);
        assert!(mode(&[("SWITCHBOARD_AUTH", "any")], false).is_err(), "nobody could prove anything");
    }

    #[test]
    fn an_address_may_be_a_port_alone() {
        let cases = [
            ("50060", "0.0.0.0:50060"),
            (":0", "0.0.0.0:0"),
            ("127.0.0.1:7", "127.0.0.1:7"),
            ("[::]:7", "[::]:7"),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_listen(text).unwrap().to_string(), expected);
        }
        for bad in ["", "x", "127.0.0.1", "99999", "localhost:7"] {
            assert!(parse_listen(bad).is_err(), "{bad:?}");
        }
        assert_eq!(parse_seconds("0.5").unwrap(), Duration::from_millis(500));
        assert!(["", "-1", "x", "NaN"].iter().all(|bad| parse_seconds(bad).is_err()));
    }

    #[test]
    fn the_port_variable_belongs_to_the_kind_and_the_address_stands_above_it() {
        let listen = |vars: &[(&str, &str)], kind| {
            let get = |name: &str| vars.iter().find(|(key, _)| *key == name).map(|(_, v)| (*v).to_owned());
            listen_from(get, kind, 1).map(|addr| addr.to_string()).map_err(|error| error.to_string())
        };
        assert_eq!(listen(&[], Kind::Tool).unwrap(), "0.0.0.0:1");
        assert_eq!(listen(&[("TOOL_PORT", "2"), ("AGENT_PORT", "3")], Kind::Tool).unwrap(), "0.0.0.0:2");
        let both = [("TOOL_PORT", "2"), ("SWITCHBOARD_LISTEN", "127.0.0.1:0")];
        assert_eq!(listen(&both, Kind::Tool).unwrap(), "127.0.0.1:0");
        assert!(listen(&[("WORKER_PORT", "x")], Kind::Worker).unwrap_err().contains("WORKER_PORT"));
    }

    #[test]
    fn flags_are_read() {
        let command = Options::augment_args(clap::Command::new("backend"));
        let line = ["backend", "--listen", "0", "--consul", "c:1", "--advertise", "h:2", "--drain", "1.5"];
        let options = Options::from_arg_matches(&command.get_matches_from(line)).unwrap();
        assert_eq!(options.listen.unwrap().to_string(), "0.0.0.0:0");
        assert_eq!(options.advertise, "h:2".parse().ok());
        assert_eq!((options.drain, options.log_json), (Some(Duration::from_millis(1500)), false));
    }
}
