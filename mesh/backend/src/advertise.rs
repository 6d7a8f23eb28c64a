//! Under which address and name this process appears in the registry.

use crate::Error;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use switchboard_transport::local_address_towards;

/// A host name longer than a DNS label would not be one.
const MAX_HOST_BYTES: usize = 63;

/// Says at which address routers reach this backend.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Advertise {
    /// The address that is listened on; if that is all of them, the local one towards the registry.
    #[default]
    Auto,
    /// This address (an IP address or a host name) and the port that is listened on.
    Host(String),
    /// This address and port, for a backend behind a port mapping.
    HostPort(String, u16),
}

impl FromStr for Advertise {
    type Err = Error;

    /// Reads `auto`, `host` or `host:port`, where a host is an IP address (IPv6 in brackets if a port
    /// follows) or a name.
    fn from_str(text: &str) -> Result<Self, Error> {
        let name = |text: &str| {
            let letters = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
            !text.is_empty() && text.len() <= 253 && text.bytes().all(letters)
        };
        if text == "auto" {
            return Ok(Advertise::Auto);
        }
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Ok(Advertise::Host(ip.to_string()));
        }
        if let Ok(addr) = text.parse::<SocketAddr>() {
            return Ok(Advertise::HostPort(addr.ip().to_string(), addr.port()));
        }
        match text.rsplit_once(':') {
            None if name(text) => Ok(Advertise::Host(text.to_owned())),
            Some((host, port)) if name(host) && port.parse().is_ok_and(|port: u16| port > 0) => {
                Ok(Advertise::HostPort(host.to_owned(), port.parse().unwrap_or_default()))
            }
            _ => Err(Error::Setting {
                setting: "SWITCHBOARD_ADVERTISE",
                value: text.to_owned(),
                expected: "auto, an address or address:port",
            }),
        }
    }
}

impl Advertise {
    /// Gives host and port for a listener at `listen`, towards the registry at `registry` (`host:port`).
    ///
    /// # Errors
    /// Only for `Auto`, when all addresses are listened on: the registry's name does not resolve yet, or no
    /// route leads to it.
    pub(crate) async fn resolve(&self, listen: SocketAddr, registry: &str) -> std::io::Result<(String, u16)> {
        Ok(match self {
            Advertise::HostPort(host, port) => (host.clone(), *port),
            Advertise::Host(host) => (host.clone(), listen.port()),
            Advertise::Auto if listen.ip().is_unspecified() => {
                (local_address_towards(registry).await?.to_string(), listen.port())
            }
            Advertise::Auto => (listen.ip().to_string(), listen.port()),
        })
    }
}

/// Gives the name of this host, or of this container, cleaned for use in IDs and tags.
pub(crate) fn host_name() -> String {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    clean(kernel.or_else(crate::env::host_name).as_deref().unwrap_or_default())
}

fn clean(name: &str) -> String {
    let name = name.trim();
    let letters = name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' });
    let cleaned: String = letters.take(MAX_HOST_BYTES).collect();
    if cleaned.is_empty() { "localhost".to_owned() } else { cleaned }
}

#[cfg(test)]
mod tests {
    use super::{Advertise, clean};

    #[test]
    fn every_form_is_read() {
        let host = |host: &str| Some(Advertise::Host(host.to_owned()));
        let with_port = |host: &str, port| Some(Advertise::HostPort(host.to_owned(), port));
        let cases = [
            ("auto", Some(Advertise::Auto)),
            ("10.0.0.7", host("10.0.0.7")),
            ("10.0.0.7:99", with_port("10.0.0.7", 99)),
            ("::1", host("::1")),
            ("[::1]:99", with_port("::1", 99)),
            ("echo.internal", host("echo.internal")),
            ("echo:50052", with_port("echo", 50052)),
            ("", None),
            ("echo:", None),
            ("echo:0", None),
            ("echo:99999", None),
            ("http://echo", None),
            ("a b", None),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse::<Advertise>().ok(), expected, "{text:?}");
        }
    }

    #[tokio::test]
    async fn auto_keeps_the_address_that_is_listened_on_and_replaces_all_addresses() {
        let resolve = async |listen: &str| {
            Advertise::Auto.resolve(listen.parse().unwrap(), "127.0.0.1:8500").await.unwrap()
        };
        assert_eq!(resolve("127.0.0.2:7").await, ("127.0.0.2".to_owned(), 7));
        assert_eq!(resolve("0.0.0.0:7").await, ("127.0.0.1".to_owned(), 7));
        let mapped = Advertise::HostPort("h".to_owned(), 9);
        assert_eq!(mapped.resolve("0.0.0.0:7".parse().unwrap(), "").await.unwrap(), ("h".to_owned(), 9));
    }

    #[test]
    fn host_names_are_fit_for_ids() {
        assert_eq!(clean("abc123\n"), "abc123");
        assert_eq!(clean("my host/1"), "my-host-1");
        assert_eq!(clean(""), "localhost");
        assert_eq!(clean(&"x".repeat(100)).len(), 63);
    }
}
