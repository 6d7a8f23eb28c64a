//! The values of settings as text: durations, sizes, counts, switches and addresses.
//!
//! Every function takes what a person wrote and returns the value or a sentence that says what would be right.
//! Which setting it belongs to is known to the caller only.

use std::{
    net::{IpAddr, SocketAddr},
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

pub(super) use switchboard_registry::quantity::{bytes, duration, positive, show_duration};

/// Reads a number of bytes that fits HTTP/2's 31-bit windows.
pub(super) fn window(text: &str) -> Result<u32, String> {
    u32::try_from(bytes(text)?)
        .ok()
        .filter(|bytes| *bytes <= i32::MAX as u32)
        .ok_or_else(|| format!("`{text}` is more than HTTP/2 allows (2147483647 bytes)"))
}

/// Reads a count of at least one.
pub(super) fn count(text: &str) -> Result<usize, String> {
    text.parse::<NonZeroUsize>()
        .map(NonZeroUsize::get)
        .map_err(|_| format!("`{text}` is no whole number of at least 1"))
}

/// Reads a count of at least one that fits 31 bits.
pub(super) fn count_u32(text: &str) -> Result<u32, String> {
    u32::try_from(count(text)?)
        .ok()
        .filter(|count| *count <= i32::MAX as u32)
        .ok_or_else(|| format!("`{text}` is too large"))
}

/// Reads `on` or `off` (also `true` and `false`).
pub(super) fn switch(text: &str) -> Result<bool, String> {
    match text {
        "on" | "true" => Ok(true),
        "off" | "false" => Ok(false),
        _ => Err(format!("`{text}` is neither on nor off")),
    }
}

/// Reads `IP:PORT`.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("`{text}` is no address; write for example 0.0.0.0:50051"))
}

/// Reads `HOST:PORT`, where a host is a name or an IP address (IPv6 in brackets); `off` is none.
pub(super) fn host_port(text: &str) -> Result<Option<String>, String> {
    if text == "off" {
        return Ok(None);
    }
    let wrong = || format!("`{text}` is neither off nor HOST:PORT; write for example 127.0.0.1:8600");
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let named =
        !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
    match port.parse::<u16>() {
        Ok(1..) if named || text.parse::<SocketAddr>().is_ok() => Ok(Some(text.to_owned())),
        _ => Err(wrong()),
    }
}

/// Reads a DNS domain.
pub(super) fn domain(text: &str) -> Result<String, String> {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    let bare = text.strip_suffix('.').unwrap_or(text);
    if bare.len() <= 128 && bare.split('.').all(label) {
        return Ok(bare.to_owned());
    }
    Err(format!("`{text}` is no DNS domain; write for example consul"))
}

/// Reads a port number.
pub(super) fn port(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| format!("`{text}` is no port number"))
}

/// Where others reach this router: what it registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advertise {
    /// The bound address; if that is a wildcard, the local address of the route to the registry.
    Auto,
    /// This address with the bound port.
    Ip(IpAddr),
    /// Exactly this, for example behind port mapping.
    Addr(SocketAddr),
}

/// Reads `auto`, an IP address or `IP:PORT`.
pub(super) fn advertise(text: &str) -> Result<Advertise, String> {
    let parsed = match text {
        "auto" => return Ok(Advertise::Auto),
        _ => text.parse().map(Advertise::Ip).or_else(|_| text.parse().map(Advertise::Addr)),
    };
    match parsed {
        Ok(Advertise::Ip(ip)) if ip.is_unspecified() => Err(format!("`{text}` cannot be reached by others")),
        Ok(Advertise::Addr(addr)) if addr.ip().is_unspecified() || addr.port() == 0 => {
            Err(format!("`{text}` cannot be reached by others"))
        }
        Ok(advertise) => Ok(advertise),
        Err(_) => Err(format!("`{text}` is neither auto nor an IP address nor IP:PORT")),
    }
}

/// Reads the path of a file; `off` is none. Whether it can be read, its user finds out.
pub(super) fn file(text: &str) -> Result<Option<PathBuf>, String> {
    match text {
        "" => Err("is empty; write the path of a file, or off".to_owned()),
        "off" => Ok(None),
        path => Ok(Some(path.into())),
    }
}

/// The text that [`file`] reads.
pub(super) fn show_file(path: Option<&Path>) -> String {
    path.map_or_else(|| "off".to_owned(), |path| path.display().to_string())
}

/// `on` or `off`.
pub(super) fn show_switch(on: bool) -> String {
    if on { "on".to_owned() } else { "off".to_owned() }
}

/// The text that [`advertise`] reads.
pub(super) fn show_advertise(advertise: Advertise) -> String {
    match advertise {
        Advertise::Auto => "auto".to_owned(),
        Advertise::Ip(ip) => ip.to_string(),
        Advertise::Addr(addr) => addr.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn some_settings_take_less_than_their_kind_of_value_allows() {
        assert_eq!(positive("5s"), Ok(Duration::from_secs(5)));
        assert!(positive("0s").is_err());
        assert_eq!(window("1MiB"), Ok(1 << 20));
        assert!(window("2048MiB").is_err());
    }

    #[test]
    fn a_dns_server_may_have_a_name_and_may_be_none() {
        assert_eq!(host_port("off"), Ok(None));
        for text in ["127.0.0.1:8600", "consul:8600", "[::1]:53"] {
            assert_eq!(host_port(text), Ok(Some(text.to_owned())));
        }
        for text in ["", "consul", "consul:0", ":53", "::1:53", "a b:53", "consul:65536", "dns://consul:53"] {
            assert!(host_port(text).is_err(), "{text}");
        }
        assert_eq!(domain("dc.example."), Ok("dc.example".to_owned()));
        for text in ["", ".", "a..b", "a b", &"x".repeat(64)] {
            assert!(domain(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_advertised_address_must_be_reachable() {
        assert_eq!(advertise("auto"), Ok(Advertise::Auto));
        assert_eq!(advertise("10.0.0.7"), Ok(Advertise::Ip([10, 0, 0, 7].into())));
        assert_eq!(advertise("10.0.0.7:80"), Ok(Advertise::Addr(([10, 0, 0, 7], 80).into())));
        for text in ["0.0.0.0", "0.0.0.0:80", "10.0.0.7:0", "here"] {
            assert!(advertise(text).is_err(), "{text}");
        }
    }
}
