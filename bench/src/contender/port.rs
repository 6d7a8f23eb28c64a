//! Ports for programs that cannot bind port 0 and tell.

use anyhow::{Result, bail};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the kernel's ephemeral range (32768 on), so that no connection of the load generator takes the port between the
/// probe here and the bind by its user.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// How many were looked at by this process.
static TRIED: AtomicU16 = AtomicU16::new(0);

/// Returns a port of 127.0.0.1 that is free for TCP and UDP now and that this process has not given out yet.
///
/// # Errors
/// None of the range is free.
pub(crate) fn free() -> Result<u16> {
    // Two runs at once begin at different places.
    let start = u16::try_from(std::process::id() % u32::from(COUNT)).unwrap_or_default();
    for _ in 0..COUNT {
        let offset = TRIED.fetch_add(1, Ordering::Relaxed).wrapping_mul(7);
        let port = FIRST + start.wrapping_add(offset) % COUNT;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
            && UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
        {
            return Ok(port);
        }
    }
    bail!("no port from {FIRST} to {} is free on 127.0.0.1", FIRST + COUNT - 1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_given_once() {
        let ports: std::collections::HashSet<_> = (0..50).map(|_| free().unwrap()).collect();
        assert_eq!(ports.len(), 50);
    }
}
