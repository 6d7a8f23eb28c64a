//! The admin port of a router: its address as people write it, and a GET of one of its pages.
//!
//! HTTP/1.0 on a connection of its own: the answer ends with the connection, whatever serves it. No TLS, no
//! redirects; the port is an operators' one on a trusted network.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long one page may take, connect included: a router that needs longer is not well.
const PATIENCE: Duration = Duration::from_secs(2);
/// The largest page that is read: 300 instances of each of 500 services are some 40 MiB.
const MAX_PAGE_BYTES: u64 = 64 << 20;

/// `host:port` of an admin port. Reads `http://host:port` and `host` (port 9901) as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address(String);

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "expected host:port or http://host:port".to_owned();
        let bare = text.strip_prefix("http://").unwrap_or(text);
        let bare = bare.strip_suffix('/').unwrap_or(bare);
        let refused = |c: char| c.is_whitespace() || c.is_control() || "/@?#,".contains(c);
        if bare.is_empty() || bare.contains(refused) {
            return Err(wrong());
        }
        let (host, port) = match bare.rsplit_once(':') {
            // The last colon of `[::1]` is a part of the address.
            Some((host, port)) if !port.contains(']') => (host, port.parse::<u16>().map_err(|_| wrong())?),
            _ => (bare, 9901),
        };
        let bracketed = host.starts_with('[') && host.ends_with(']');
        match port {
            0 => Err(wrong()),
            _ if host.is_empty() || (host.contains(':') && !bracketed) => Err(wrong()),
            port => Ok(Self(format!("{host}:{port}"))),
        }
    }
}

/// Why a router has not shown a page, in words for a person.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Problem {
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    #[error("has not answered within {} s", PATIENCE.as_secs())]
    Slow,
    #[error("has ended the connection in the middle of {0}")]
    Cut(&'static str),
    #[error("answered {path} with {status}")]
    Refused { path: &'static str, status: String },
    #[error("does not answer as a router's admin port does: {0}")]
    Strange(String),
    #[error("has answered {path} with more than {} MiB", MAX_PAGE_BYTES >> 20)]
    Large { path: &'static str },
}

/// Gets a page's text. Cancel-safe: nothing is kept between two calls.
pub(super) async fn get(address: &Address, path: &'static str) -> Result<String, Problem> {
    tokio::time::timeout(PATIENCE, fetch(address, path)).await.map_err(|_| Problem::Slow)?
}

async fn fetch(address: &Address, path: &'static str) -> Result<String, Problem> {
    let lost = |error: std::io::Error| Problem::Unreachable(reason(&error));
    let mut stream = TcpStream::connect(&address.0).await.map_err(lost)?;
    let request = format!("GET {path} HTTP/1.0\r\nhost: {address}\r\naccept: */*\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(lost)?;
    let mut answer = Vec::new();
    stream.take(MAX_PAGE_BYTES + 1).read_to_end(&mut answer).await.map_err(lost)?;
    if answer.len() as u64 > MAX_PAGE_BYTES {
        return Err(Problem::Large { path });
    }
    page(answer, path)
}

/// The body of an answer with status 200.
fn page(answer: Vec<u8>, path: &'static str) -> Result<String, Problem> {
    let strange = |what: &str| Problem::Strange(what.to_owned());
    let answer = String::from_utf8(answer).map_err(|_| strange("no text"))?;
    if answer.is_empty() {
        return Err(Problem::Cut(path));
    }
    let line = answer.lines().next().unwrap_or_default();
    let status = match line.split_once(' ') {
        Some((version, status)) if version.starts_with("HTTP/1.") => status.trim(),
        _ => return Err(strange("no HTTP/1")),
    };
    if status.split(' ').next() != Some("200") {
        let status = status.chars().filter(|c| !c.is_control()).take(60).collect();
        return Err(Problem::Refused { path, status });
    }
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(Problem::Cut(path))?;
    let length = head.lines().filter_map(|line| line.split_once(':')).find_map(|(name, value)| {
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok()).flatten()
    });
    if length.is_some_and(|length| body.len() < length) {
        return Err(Problem::Cut(path));
    }
    Ok(body.to_owned())
}

/// What the system said, in the words of people.
fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        std::io::ErrorKind::ConnectionReset => "connection reset".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_people_write_them() {
        for (text, read) in [
            ("127.0.0.1:9901", "127.0.0.1:9901"),
            ("http://router-1:9000/", "router-1:9000"),
            ("router-1", "router-1:9901"),
            ("[::1]", "[::1]:9901"),
            ("http://[::1]:9000", "[::1]:9000"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), read, "{text}");
        }
        for wrong in
            ["", "http://", "https://x:1", "::1", "x:0", "x:99999", "x:y", "a b:1", "x:1/metrics", ":1"]
        {
            assert!(wrong.parse::<Address>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn only_a_whole_page_with_status_200_counts() {
        let page = |answer: &str| page(answer.as_bytes().to_vec(), "/x");
        assert_eq!(page("HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nhi").unwrap(), "hi");
        assert_eq!(page("HTTP/1.1 200 OK\r\n\r\n").unwrap(), "");
        assert_eq!(page(""), Err(Problem::Cut("/x")));
        assert_eq!(page("HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nhi"), Err(Problem::Cut("/x")));
        assert_eq!(page("HTTP/1.0 200 OK\r\ncontent-le"), Err(Problem::Cut("/x")));
        let refused = Problem::Refused { path: "/x", status: "404 Not Found".into() };
        assert_eq!(page("HTTP/1.0 404 Not Found\r\n\r\n"), Err(refused));
        assert!(matches!(page("SSH-2.0-x\r\n"), Err(Problem::Strange(_))));
    }
}
