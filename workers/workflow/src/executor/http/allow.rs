//! Where HTTP tasks may go: the setting `http.allow`.
//!
//! Whoever submits workflows makes this machine send requests. What it can reach and its users should not is to be kept
//! from them, above all the metadata services of clouds, which give away the machine's credentials.
//!
//! | entry | allows |
//! |---|---|
//! | `*` | every host |
//! | `api.example.com` | this host |
//! | `*.example.com` | the hosts below it, not itself |
//! | `10.1.2.3`, `10.0.0.0/8`, `fd00::/8` | these addresses, also of names that resolve to them |
//!
//! No entry is the same as `*`. Addresses of metadata services and all link-local ones are allowed by an entry of addresses
//! only, and whatever name leads to them. Names are judged by the addresses that the connection then goes to.

use std::net::IpAddr;

use reqwest::Url;

use super::route::Misled;

/// The metadata services that are not link-local: of AWS over IPv6, of Alibaba Cloud, of Azure.
const METADATA: [IpAddr; 3] = [
    IpAddr::V6(std::net::Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V4(std::net::Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(std::net::Ipv4Addr::new(168, 63, 129, 16)),
];

/// Where requests may go. The default is everywhere but to metadata services.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allow {
    entries: Vec<Entry>,
}

/// A text that is no entry of `http.allow`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("http.allow: {0:?} is no host, *.domain, address, network such as 10.0.0.0/8, or *")]
pub struct NotAnEntry(String);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    Every,
    Host(String),
    Below(String),
    Network(IpAddr, u8),
}

impl Allow {
    /// Reads the entries.
    ///
    /// # Errors
    /// [`NotAnEntry`] names the first that is none.
    pub fn new(entries: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Self, NotAnEntry> {
        let read = |text: &str| Entry::read(text).ok_or_else(|| NotAnEntry(text.to_owned()));
        let entries = entries.into_iter().map(|entry| read(entry.as_ref())).collect::<Result<_, _>>()?;
        Ok(Self { entries })
    }

    /// Judges a URL before anything is asked: one with an address in it for good, one with a name as far as the name goes.
    pub(super) fn url(&self, url: &Url) -> Result<(), Misled> {
        let host = url.host_str().unwrap_or_default();
        let literal = host.trim_start_matches('[').trim_end_matches(']');
        let allowed = match literal.parse() {
            Ok(address) => self.address(host, address),
            // The addresses are judged when they are known.
            Err(_) => {
                self.names(host) || self.entries.iter().any(|entry| matches!(entry, Entry::Network(..)))
            }
        };
        if allowed { Ok(()) } else { Err(Misled::NotAllowed { host: host.to_owned() }) }
    }

    /// Judges an address of a host.
    pub(super) fn address(&self, host: &str, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let listed = self.entries.iter().any(|entry| entry.covers(address));
        listed || (self.names(host) && !is_metadata(address))
    }

    fn names(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        self.entries.is_empty() || self.entries.iter().any(|entry| entry.names(&host))
    }
}

impl Entry {
    fn read(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase();
        if text == "*" {
            return Some(Self::Every);
        }
        if let Some((address, bits)) = text.split_once('/') {
            let address: IpAddr = address.parse().ok()?;
            let most = if address.is_ipv4() { 32 } else { 128 };
            return bits.parse().ok().filter(|bits| *bits <= most).map(|bits| Self::Network(address, bits));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Some(Self::Network(address, if address.is_ipv4() { 32 } else { 128 }));
        }
        let (name, below) = text.strip_prefix("*.").map_or((text.as_str(), false), |name| (name, true));
        let is_name = !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
        is_name.then(|| if below { Self::Below(format!(".{name}")) } else { Self::Host(name.to_owned()) })
    }

    fn names(&self, host: &str) -> bool {
        match self {
            Self::Every => true,
            Self::Host(name) => name == host,
            Self::Below(suffix) => host.ends_with(suffix),
            Self::Network(..) => false,
        }
    }

    fn covers(&self, address: IpAddr) -> bool {
        match (self, address) {
            (Self::Network(IpAddr::V4(network), bits), IpAddr::V4(address)) => {
                let differ = network.to_bits() ^ address.to_bits();
                differ.leading_zeros() >= u32::from(*bits)
            }
            (Self::Network(IpAddr::V6(network), bits), IpAddr::V6(address)) => {
                let differ = network.to_bits() ^ address.to_bits();
                differ.leading_zeros() >= u32::from(*bits)
            }
            _ => false,
        }
    }
}

fn is_metadata(address: IpAddr) -> bool {
    let link_local = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    link_local || METADATA.contains(&address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(entries: &[&str], host: &str, address: &str) -> bool {
        let allow = Allow::new(entries).unwrap();
        let url = Url::parse(&format!("http://{host}/x")).unwrap();
        allow.url(&url).is_ok() && allow.address(host, address.parse().unwrap())
    }

    #[test]
    fn default_keeps_from_metadata_only() {
        for (host, address, allowed) in [
            ("example.com", "93.184.216.34", true),
            ("127.0.0.1", "127.0.0.1", true),
            ("10.1.2.3", "10.1.2.3", true),
            ("169.254.169.254", "169.254.169.254", false),
            ("metadata.google.internal", "169.254.169.254", false),
            ("innocent.example", "::ffff:169.254.169.254", false),
            ("[fe80::1]", "fe80::1", false),
            ("[fd00:ec2::254]", "fd00:ec2::254", false),
            ("[fd00::1]", "fd00::1", true),
            ("100.100.100.200", "100.100.100.200", false),
        ] {
            assert_eq!(allows(&[], host, address), allowed, "{host}");
            assert_eq!(allows(&["*"], host, address), allowed, "{host} with *");
        }
        // However it is written, a URL's address is judged as what it is.
        for written in ["0xa9fea9fe", "2852039166", "169.254.43518", "[::ffff:169.254.169.254]"] {
            let url = Url::parse(&format!("http://{written}/latest")).unwrap();
            assert!(Allow::default().url(&url).is_err(), "{written}");
        }
    }

    #[test]
    fn entries_name_hosts_and_networks() {
        let entries = ["api.example.com", "*.shop.example", "10.0.0.0/8", "192.168.1.7", "fd00::/8"];
        for (host, address, allowed) in [
            ("api.example.com", "1.1.1.1", true),
            ("API.Example.com.", "1.1.1.1", true),
            ("api.example.com", "169.254.169.254", false),
            ("evil-api.example.com", "1.1.1.1", false),
            ("eu.shop.example", "1.1.1.1", true),
            ("shop.example", "1.1.1.1", false),
            ("internal.corp", "10.200.3.4", true),
            ("internal.corp", "11.0.0.1", false),
            ("192.168.1.7", "192.168.1.7", true),
            ("192.168.1.8", "192.168.1.8", false),
            ("[fd00:1::2]", "fd00:1::2", true),
            ("[2001:db8::1]", "2001:db8::1", false),
        ] {
            assert_eq!(allows(&entries, host, address), allowed, "{host} at {address}");
        }
        assert!(allows(&["169.254.169.254"], "169.254.169.254", "169.254.169.254"), "said by the operator");
        assert!(allows(&["0.0.0.0/0"], "anything.example", "8.8.8.8"));
    }

    #[test]
    fn wrong_entries_are_named() {
        for text in ["", "http://a", "10.0.0.0/33", "a b", "*.", "10.0.0/8"] {
            let error = Allow::new([text]).unwrap_err().to_string();
            assert!(error.contains(&format!("{text:?}")), "{error}");
        }
    }
}
