//! The values of settings as text: durations, sizes, counts, switches and addresses.
//!
//! Every function takes what a person wrote and returns the value or a sentence that says what would be right.
//! Which setting it belongs to is known to the caller only.

use std::{
    net::{IpAddr, SocketAddr},
    num::NonZeroUsize,
    time::Duration,
};

/// Longest duration that a setting takes: a day. Longer ones are typing errors.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Reads `250ms`, `5s`, `2m` or `1h`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no duration; write for example 250ms, 5s, 2m or 1h");
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let number: u64 = text[..digits].parse().map_err(|_| wrong())?;
    let ms = match &text[digits..] {
        "ms" => Some(number),
        "s" => number.checked_mul(1_000),
        "m" => number.checked_mul(60_000),
        "h" => number.checked_mul(3_600_000),
        _ => return Err(wrong()),
    };
    ms.map(Duration::from_millis)
        .filter(|duration| *duration <= LONGEST)
        .ok_or_else(|| format!("`{text}` is more than 24h"))
}

/// Reads a duration above zero.
pub(super) fn positive(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("must be above zero".to_owned()),
        duration => Ok(duration),
    }
}

/// Reads a number of bytes: `65536`, `64KiB` or `1MiB`.
pub(super) fn bytes(text: &str) -> Result<usize, String> {
    let wrong = || format!("`{text}` is no size; write for example 65536, 64KiB or 1MiB");
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: usize = text[..digits].parse().map_err(|_| wrong())?;
    let factor = match &text[digits..] {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        _ => return Err(wrong()),
    };
    number.checked_mul(factor).filter(|bytes| *bytes > 0).ok_or_else(wrong)
}

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

/// A duration as [`duration`] reads it, in the largest unit that divides it.
pub(super) fn show_duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    for (unit, factor) in [("h", 3_600_000), ("m", 60_000), ("s", 1_000)] {
        if ms > 0 && ms.is_multiple_of(factor) {
            return format!("{}{unit}", ms / factor);
        }
    }
    format!("{ms}ms")
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

    #[test]
    fn durations_are_read_and_shown_alike() {
        for text in ["250ms", "5s", "2m", "1h", "90s", "0ms"] {
            assert_eq!(show_duration(duration(text).unwrap()), text);
        }
        for text in
            ["", "5", "s", "5 s", "-1s", "1.5s", "25h", "99999999999999999999s", "18446744073709551615h"]
        {
            assert!(duration(text).is_err(), "{text}");
        }
        assert!(positive("0s").is_err());
    }

    #[test]
    fn sizes_know_binary_units_and_their_limits() {
        assert_eq!(bytes("64KiB"), Ok(65_536));
        assert_eq!(bytes("65536"), Ok(65_536));
        assert_eq!(window("1MiB"), Ok(1 << 20));
        for text in ["", "0", "KiB", "64KB", "-1", "18446744073709551615MiB"] {
            assert!(bytes(text).is_err(), "{text}");
        }
        assert!(window("2048MiB").is_err());
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
