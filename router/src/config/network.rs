//! Networks by address and prefix, as for whose PROXY headers are believed.

use std::{fmt, net::IpAddr, str::FromStr};

/// Networks in one list: each connection is compared with all of them.
const MAX_NETWORKS: usize = 64;

/// All addresses that share the first `prefix` bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    ip: IpAddr,
    prefix: u8,
}

impl Network {
    /// Whether the address lies in it; IPv4 in IPv6 counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let (width, own, other) = match (self.ip, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => (32, own.to_bits().into(), other.to_bits().into()),
            (IpAddr::V6(own), IpAddr::V6(other)) => (128, own.to_bits(), other.to_bits()),
            _ => return false,
        };
        let differing: u128 = own ^ other;
        differing.checked_shr(width - u32::from(self.prefix)).unwrap_or(0) == 0
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ip, self.prefix)
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no network; write for example 10.0.0.0/8 or 127.0.0.1");
        let (ip, prefix) = match text.split_once('/') {
            Some((ip, prefix)) => (ip, Some(prefix)),
            None => (text, None),
        };
        let ip: IpAddr = ip.parse().map_err(|_| wrong())?;
        let width = if ip.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Ok(width), str::parse).map_err(|_| wrong())?;
        if prefix > width { Err(wrong()) } else { Ok(Network { ip, prefix }) }
    }
}

/// Reads `off` or networks with commas between them.
pub(super) fn networks(text: &str) -> Result<Vec<Network>, String> {
    if text == "off" {
        return Ok(Vec::new());
    }
    let networks: Vec<Network> =
        text.split(',').map(|network| network.trim().parse()).collect::<Result<_, _>>()?;
    match networks.len() {
        0..=MAX_NETWORKS => Ok(networks),
        count => Err(format!("{count} networks are more than {MAX_NETWORKS}: join some")),
    }
}

/// The text that [`networks`] reads.
pub(super) fn show_networks(networks: &[Network]) -> String {
    match networks {
        [] => "off".to_owned(),
        networks => networks.iter().map(Network::to_string).collect::<Vec<_>>().join(","),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_in_the_networks_that_share_its_first_bits() {
        let within = |network: &str, address: &str| {
            network.parse::<Network>().unwrap().contains(address.parse().unwrap())
        };
        assert!(within("10.0.0.0/8", "10.255.1.2") && !within("10.0.0.0/8", "11.0.0.1"));
        assert!(within("10.0.0.0/8", "::ffff:10.1.1.1"));
        assert!(within("127.0.0.1", "127.0.0.1") && !within("127.0.0.1", "127.0.0.2"));
        assert!(within("0.0.0.0/0", "8.8.8.8") && !within("0.0.0.0/0", "::1"));
        assert!(within("fd00::/8", "fd12::1") && !within("fd00::/8", "fe80::1") && within("::/0", "::1"));
    }

    #[test]
    fn a_list_is_read_as_it_is_shown() {
        let shown = "10.0.0.0/8,127.0.0.1/32,fd00::/8";
        assert_eq!(show_networks(&networks("10.0.0.0/8, 127.0.0.1,fd00::/8").unwrap()), shown);
        assert_eq!(networks("off"), Ok(Vec::new()));
        for text in ["", "10.0.0.0/33", "::/129", "haproxy", "10.0.0.0/8;::1", "10.0.0.0/-1"] {
            assert!(networks(text).is_err(), "{text}");
        }
    }
}
