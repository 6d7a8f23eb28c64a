//! Where the registry is and how it is asked. It reads variables through a function, never the environment itself.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use switchboard_transport::ClientTls;

use crate::Error;

/// Where a developer's Consul and the embedded registry listen.
const DEFAULT_ADDRESS: &str = "http://127.0.0.1:8500";
/// Bounds silent death and the blindness after Consul lost its state; 200 watches then cost 3.3 reads per second.
const DEFAULT_WAIT: Duration = Duration::from_secs(60);
/// A read that is answered from memory; also the slack of a blocking read.
const DEFAULT_REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Holds a token so that it cannot be printed or logged by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a token.
    pub fn new(token: impl Into<String>) -> Self {
        Self(token.into())
    }

    /// Gives the token, to be sent and to nothing else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// Says where the registry is and how it is asked.
#[derive(Debug, Clone)]
pub struct Config {
    /// `http://host:port` or `https://host:port`, without a path.
    pub address: String,
    /// ACL token, sent in the header `X-Consul-Token`.
    pub token: Option<Secret>,
    /// The file that the token came from: another one in it replaces the token.
    pub token_file: Option<PathBuf>,
    /// Datacenter of reads; the agent's own if absent.
    pub datacenter: Option<String>,
    /// Trust and identity of an `https` address; the platform's trust if absent.
    pub tls: Option<ClientTls>,
    /// How long a blocking read is held by Consul, default 60 s. Consul adds up to a sixteenth.
    pub wait: Duration,
    /// How long any other read may take, and how much later than `wait` a blocking one may end; default 10 s.
    pub request_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            address: DEFAULT_ADDRESS.to_owned(),
            token: None,
            token_file: None,
            datacenter: None,
            tls: None,
            wait: DEFAULT_WAIT,
            request_timeout: DEFAULT_REQUEST_TIMEOUT,
        }
    }
}

impl Config {
    /// Makes the configuration of a registry at `address`, which is `host:port` with or without a scheme.
    ///
    /// # Errors
    /// [`Error::Config`] if the address is none.
    pub fn at(address: &str) -> Result<Self, Error> {
        Ok(Self { address: normalise(address, false)?, ..Self::default() })
    }

    /// Reads the variables of Consul's own tools, and ours. Empty variables count as absent.
    ///
    /// | variable | meaning |
    /// |---|---|
    /// | `SWITCHBOARD_CONSUL_ADDR`, else `CONSUL_HTTP_ADDR` | address, with or without scheme |
    /// | `CONSUL_HOST`, `CONSUL_PORT` | address in two parts, if neither of the above is set |
    /// | `CONSUL_HTTP_SSL` | `true` or `1`: an address without scheme is `https` |
    /// | `CONSUL_HTTP_TOKEN`, else `CONSUL_HTTP_TOKEN_FILE` | ACL token, or the file that holds it and is read again |
    /// | `CONSUL_CACERT`, `CONSUL_CLIENT_CERT`, `CONSUL_CLIENT_KEY` | PEM files for TLS, read again when they change |
    /// | `CONSUL_DATACENTER` | datacenter of reads |
    ///
    /// # Errors
    /// Each error names the variable and says what it may hold.
    pub fn from_vars(get: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let get =
            |name: &str| get(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let ssl = match get("CONSUL_HTTP_SSL").map(|value| value.to_ascii_lowercase()).as_deref() {
            None | Some("false" | "0") => false,
            Some("true" | "1") => true,
            Some(other) => {
                return Err(Error::Config {
                    setting: "CONSUL_HTTP_SSL",
                    reason: format!("{other:?} is neither true nor false"),
                });
            }
        };
        let address = get("SWITCHBOARD_CONSUL_ADDR").or_else(|| get("CONSUL_HTTP_ADDR")).or_else(|| {
            let (host, port) = (get("CONSUL_HOST"), get("CONSUL_PORT"));
            if host.is_none() && port.is_none() {
                return None;
            }
            let host = host.unwrap_or_else(|| "127.0.0.1".to_owned());
            let port = port.unwrap_or_else(|| "8500".to_owned());
            Some(format!("{host}:{port}"))
        });
        let address = normalise(address.as_deref().unwrap_or(DEFAULT_ADDRESS), ssl)?;
        let (token, token_file) = match (get("CONSUL_HTTP_TOKEN"), get("CONSUL_HTTP_TOKEN_FILE")) {
            (Some(token), _) => (Some(Secret::new(token)), None),
            (None, Some(file)) => (Some(read_token(Path::new(&file))?), Some(PathBuf::from(file))),
            (None, None) => (None, None),
        };
        Ok(Self {
            tls: tls_files(&get, &address)?,
            address,
            token,
            token_file,
            datacenter: get("CONSUL_DATACENTER"),
            ..Self::default()
        })
    }

    /// Gives `host:port` of the address, for example to find the local address towards it.
    pub fn host_port(&self) -> &str {
        self.address.split_once("://").map_or(self.address.as_str(), |(_, rest)| rest)
    }
}

/// Reads the token of a file; white space around it is none of it.
pub(crate) fn read_token(path: &Path) -> Result<Secret, Error> {
    let text =
        std::fs::read_to_string(path).map_err(|source| Error::TokenFile { path: path.to_owned(), source })?;
    match text.trim() {
        "" => Err(Error::Config {
            setting: "CONSUL_HTTP_TOKEN_FILE",
            reason: format!("{} holds no token", path.display()),
        }),
        token => Ok(Secret::new(token)),
    }
}

fn tls_files(get: &impl Fn(&str) -> Option<String>, address: &str) -> Result<Option<ClientTls>, Error> {
    let (cert, key) = (get("CONSUL_CLIENT_CERT"), get("CONSUL_CLIENT_KEY"));
    let Some(ca) = get("CONSUL_CACERT") else {
        if cert.is_some() || key.is_some() {
            let reason = "needed by CONSUL_CLIENT_CERT and CONSUL_CLIENT_KEY".to_owned();
            return Err(Error::Config { setting: "CONSUL_CACERT", reason });
        }
        return Ok(None);
    };
    if !address.starts_with("https://") {
        let reason = format!("given, but {address} is not https: set CONSUL_HTTP_SSL=true");
        return Err(Error::Config { setting: "CONSUL_CACERT", reason });
    }
    Ok(Some(ClientTls { ca: ca.into(), cert: cert.map(Into::into), key: key.map(Into::into) }))
}

/// Brings an address into the form `scheme://host:port`.
fn normalise(address: &str, ssl: bool) -> Result<String, Error> {
    let refuse = |reason: &str| Error::Config {
        setting: "CONSUL_HTTP_ADDR",
        reason: format!("{address:?} {reason}; expected host:port, http://host:port or https://host:port"),
    };
    let text = address.trim().trim_end_matches('/');
    let with_scheme = match text.split_once("://") {
        Some(_) => text.to_owned(),
        None if ssl => format!("https://{text}"),
        None => format!("http://{text}"),
    };
    let url = reqwest::Url::parse(&with_scheme).map_err(|_| refuse("is no address"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(refuse("has a scheme that is not supported"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        // Not repeated in the message: it holds a password.
        return Err(Error::Config {
            setting: "CONSUL_HTTP_ADDR",
            reason: "holds a user or password, which is not supported: use CONSUL_HTTP_TOKEN".to_owned(),
        });
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err(refuse("has a path or query"));
    }
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| refuse("has no host"))?;
    // The scheme's own port where none is given, as Consul's tools do for a full URL; 8500 for a bare host.
    let port = match url.port_or_known_default() {
        Some(port)
            if url.port().is_some() || address.contains("://") || text.ends_with(&format!(":{port}")) =>
        {
            port
        }
        _ => 8500,
    };
    Ok(format!("{}://{host}:{port}", url.scheme()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(vars: &[(&str, &str)]) -> Result<Config, Error> {
        Config::from_vars(|name| {
            vars.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn addresses_are_read_from_every_known_variable() {
        let cases: &[(&[(&str, &str)], &str)] = &[
            (&[], "http://127.0.0.1:8500"),
            (&[("CONSUL_HTTP_ADDR", "consul:8500")], "http://consul:8500"),
            (&[("CONSUL_HTTP_ADDR", "consul")], "http://consul:8500"),
            (&[("CONSUL_HTTP_ADDR", "consul:80")], "http://consul:80"),
            (&[("CONSUL_HTTP_ADDR", "http://consul:8500/")], "http://consul:8500"),
            (&[("CONSUL_HTTP_ADDR", "https://consul.example.com")], "https://consul.example.com:443"),
            (&[("CONSUL_HTTP_ADDR", "consul:8501"), ("CONSUL_HTTP_SSL", "true")], "https://consul:8501"),
            (&[("CONSUL_HTTP_ADDR", "[::1]:8500")], "http://[::1]:8500"),
            (&[("CONSUL_HOST", "consul"), ("CONSUL_PORT", "8600")], "http://consul:8600"),
            (&[("CONSUL_HOST", "consul")], "http://consul:8500"),
            (&[("CONSUL_PORT", "18500")], "http://127.0.0.1:18500"),
            (&[("CONSUL_HTTP_ADDR", "a:1"), ("SWITCHBOARD_CONSUL_ADDR", "b:2")], "http://b:2"),
            (&[("CONSUL_HTTP_ADDR", " "), ("CONSUL_HOST", "c")], "http://c:8500"),
        ];
        for (vars, expected) in cases {
            assert_eq!(from(vars).unwrap().address, *expected, "{vars:?}");
        }
        assert_eq!(from(&[("CONSUL_HTTP_ADDR", "https://c:1")]).unwrap().host_port(), "c:1");
    }

    #[test]
    fn wrong_settings_name_their_variable() {
        let cases: &[(&[(&str, &str)], &str)] = &[
            (&[("CONSUL_HTTP_ADDR", "unix:///run/consul.sock")], "CONSUL_HTTP_ADDR"),
            (&[("CONSUL_HTTP_ADDR", "http://consul:8500/v1")], "CONSUL_HTTP_ADDR"),
            (&[("CONSUL_HTTP_ADDR", "consul:99999")], "CONSUL_HTTP_ADDR"),
            (&[("CONSUL_HTTP_ADDR", "http://user:pass@consul")], "CONSUL_HTTP_ADDR"),
            (&[("CONSUL_HTTP_SSL", "maybe")], "CONSUL_HTTP_SSL"),
            (&[("CONSUL_HTTP_TOKEN_FILE", "/nowhere")], "CONSUL_HTTP_TOKEN_FILE"),
            (&[("CONSUL_CLIENT_CERT", "a.pem")], "CONSUL_CACERT"),
            (&[("CONSUL_CACERT", "ca.pem")], "CONSUL_HTTP_SSL"),
        ];
        for (vars, variable) in cases {
            let error = from(vars).unwrap_err().to_string();
            assert!(error.contains(variable), "{vars:?}: {error}");
            assert!(!error.contains("pass@"), "{error}");
        }
    }

    #[test]
    fn a_token_is_read_but_never_printed() {
        let config = from(&[("CONSUL_HTTP_TOKEN", "s3cret")]).unwrap();
        assert_eq!(config.token.as_ref().map(Secret::expose), Some("s3cret"));
        assert!(!format!("{config:?}").contains("s3cret"));
    }
}
