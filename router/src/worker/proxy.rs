//! The PROXY protocol, version 2: a load balancer says whose connection it passes on, before anything else.
//!
//! <https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt>. Version 1 is not spoken: it is text without a length, and
//! HAProxy, the only sender here, knows both (`send-proxy-v2`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What every header begins with: no HTTP/2 and no TLS begins so.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// How version 1 begins.
const VERSION_1: &[u8] = b"PROXY ";
/// Signature, version and command, family and protocol, length of the rest.
const FIXED: usize = 16;
/// Longest rest: addresses are 36 bytes; HAProxy's TLVs (TLS details, unique ID, authority) some hundred.
const MAX_REST: usize = 4 << 10;

/// What a connection begins with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// No header.
    Absent,
    /// Perhaps a header; more bytes will tell.
    Partial,
    /// A header.
    Header {
        /// All its bytes.
        length: usize,
        /// The client's address; `None`: the load balancer itself calls, or it does not know.
        source: Option<IpAddr>,
    },
    /// A header that cannot be followed, and why.
    Refused(&'static str),
}

/// Whether the bytes can be nothing but the beginning of a header.
pub(super) fn is_header(input: &[u8]) -> bool {
    !input.is_empty() && input.starts_with(&SIGNATURE[..input.len().min(SIGNATURE.len())])
}

/// Reads the header at the beginning of what a connection sent so far.
pub(super) fn read(input: &[u8]) -> Start {
    if input.starts_with(VERSION_1) {
        return Start::Refused("it is of version 1; have the load balancer send version 2 (send-proxy-v2)");
    }
    if input.is_empty() || VERSION_1.starts_with(input) && input.len() > 2 {
        // `P` begins HTTP/2's preface as well; `PRO` does not.
        return Start::Partial;
    }
    if !is_header(input) {
        return Start::Absent;
    }
    let Some((fixed, rest)) = input.split_at_checked(FIXED) else { return Start::Partial };
    let length = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if fixed[12] >> 4 != 2 {
        return Start::Refused("it is of no version that exists");
    }
    if length > MAX_REST {
        return Start::Refused("it is longer than 4 KiB");
    }
    let local = match fixed[12] & 0xf {
        0 => true,
        1 => false,
        _ => return Start::Refused("its command does not exist"),
    };
    let family = fixed[13];
    let needed = match (local, family) {
        (true, _) => 0,
        (false, 0x11) => 12,
        (false, 0x21) => 36,
        // Unspecified, and local sockets.
        (false, 0x00 | 0x31 | 0x32) => 0,
        (false, _) => return Start::Refused("it is not of a TCP connection"),
    };
    if length < needed {
        return Start::Refused("it is too short for its addresses");
    }
    let Some(rest) = rest.get(..length) else { return Start::Partial };
    let source = match (local, family) {
        (false, 0x11) => rest.first_chunk().map(|ip: &[u8; 4]| Ipv4Addr::from(*ip).into()),
        (false, 0x21) => {
            rest.first_chunk().map(|ip: &[u8; 16]| IpAddr::from(Ipv6Addr::from(*ip)).to_canonical())
        }
        _ => None,
    };
    Start::Header { length: FIXED + length, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let mut out = SIGNATURE.to_vec();
        out.extend([command, family]);
        out.extend(u16::try_from(rest.len()).unwrap().to_be_bytes());
        out.extend(rest);
        out
    }

    #[test]
    fn addresses_of_tcp_are_taken_and_what_follows_them_is_skipped() {
        let mut rest = [10, 1, 2, 3, 127, 0, 0, 1, 0x30, 0x39, 0xc3, 0x83].to_vec();
        rest.extend([0x20, 0, 3, 1, 2, 3]);
        let mut input = header(0x21, 0x11, &rest);
        let length = input.len();
        input.extend(b"PRI * HTTP/2.0");
        assert_eq!(read(&input), Start::Header { length, source: Some([10, 1, 2, 3].into()) });
        for cut in 1..length {
            assert_eq!(read(&input[..cut]), Start::Partial, "{cut}");
        }
        let mut rest = [0; 36];
        rest[0] = 0xfd;
        rest[15] = 7;
        let source = Some("fd00::7".parse().unwrap());
        assert_eq!(read(&header(0x21, 0x21, &rest)), Start::Header { length: 52, source });
    }

    #[test]
    fn local_and_unspecified_connections_keep_their_own_address() {
        for (command, family) in [(0x20, 0x00), (0x20, 0x11), (0x21, 0x00), (0x21, 0x31)] {
            assert_eq!(read(&header(command, family, b"")), Start::Header { length: 16, source: None });
        }
    }

    #[test]
    fn what_cannot_be_followed_is_refused() {
        let long = vec![0; MAX_REST + 1];
        for input in [
            header(0x11, 0x11, &[0; 12]),
            header(0x22, 0x11, &[0; 12]),
            header(0x21, 0x12, &[0; 12]),
            header(0x21, 0x41, &[0; 12]),
            header(0x21, 0x11, &[0; 11]),
            header(0x21, 0x21, &[0; 12]),
            header(0x21, 0x11, &long),
            b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n".to_vec(),
        ] {
            assert!(matches!(read(&input), Start::Refused(_)), "{input:?}");
        }
    }

    #[test]
    fn tls_and_http2_are_none() {
        for input in [&b"PRI * HTTP/2.0"[..], b"P", b"PR", b"\x16\x03\x01", b"GET /"] {
            assert_eq!(read(input), Start::Absent, "{input:?}");
        }
    }

    proptest! {
        #[test]
        fn no_input_is_too_strange(head in proptest::bool::ANY, tail in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut input = if head { SIGNATURE.to_vec() } else { Vec::new() };
            input.extend(tail);
            if let Start::Header { length, .. } = read(&input) {
                prop_assert!(length <= input.len());
            }
        }
    }
}
