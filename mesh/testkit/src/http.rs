//! One-shot HTTP requests to the processes under test. Not an HTTP client.

use anyhow::{Context, Result};
use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Admin pages are far smaller; a page beyond this is cut.
const MAX_PAGE_BYTES: u64 = 4 << 20;

/// Fetches `path` and returns the status code and the body.
///
/// The connection is not kept. No timeout: callers bound it.
///
/// # Errors
/// When nothing listens at `addr` or the answer is not HTTP.
pub async fn get(addr: SocketAddr, path: &str) -> Result<(u16, String)> {
    request(addr, "GET", path, &[], "").await
}

/// As [`get`], with any method, further headers and a body.
pub(crate) async fn request(
    addr: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect(addr).await.with_context(|| format!("connecting to {addr}"))?;
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(MAX_PAGE_BYTES).read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").with_context(|| format!("{addr} spoke no HTTP"))?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    let chunked = head.to_ascii_lowercase().contains("\r\ntransfer-encoding: chunked");
    let body = if chunked { join_chunks(body).context("broken chunks")? } else { body.to_owned() };
    Ok((status.with_context(|| format!("{addr} answered '{head}'"))?, body))
}

/// Takes the sizes out of a chunked body (RFC 9112 section 7.1) without extensions and trailers.
fn join_chunks(mut rest: &str) -> Option<String> {
    let mut body = String::new();
    loop {
        let (size, data) = rest.split_once("\r\n")?;
        let size = usize::from_str_radix(size, 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.push_str(data.get(..size)?);
        rest = data.get(size..)?.strip_prefix("\r\n")?;
    }
}

#[cfg(test)]
mod tests {
    use super::join_chunks;

    #[test]
    fn chunks_are_joined_and_a_cut_body_is_refused() {
        assert_eq!(join_chunks("3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n").as_deref(), Some("abcd"));
        for broken in ["", "3\r\nab", "3\r\nabc", "x\r\nabc\r\n0\r\n\r\n", "3\r\nabcd\r\n0\r\n\r\n"] {
            assert_eq!(join_chunks(broken), None, "{broken:?}");
        }
    }
}
