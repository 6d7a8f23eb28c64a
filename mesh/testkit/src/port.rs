//! Ports for processes that cannot bind port 0 and tell.

use std::{
    collections::HashSet,
    net::{Ipv4Addr, TcpListener, UdpSocket},
    sync::{Mutex, PoisonError},
};

/// Below the kernel's ephemeral range (32768 on), so that no outgoing connection and no bind to port 0 of
/// another test takes the port between the probe here and the bind by its user.
const RANGE: std::ops::Range<u16> = 20_000..32_000;

/// Ports given out by this process are not given twice, used or not.
static GIVEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);

/// Returns a port of 127.0.0.1 that is free for TCP and UDP now and that this process has not given out yet.
///
/// # Panics
/// When a thousand random tries find none.
pub fn free_port() -> u16 {
    for _ in 0..1000 {
        let port = rand::random_range(RANGE);
        let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
        // Probed only by whom it is given to: another one's probe would be in the way of its use.
        if given.get_or_insert_default().insert(port)
            && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
            && UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
        {
            return port;
        }
    }
    panic!("no free port in {RANGE:?} on 127.0.0.1");
}

/// Returns `N` different free ports; see [`free_port`].
pub fn free_ports<const N: usize>() -> [u16; N] {
    std::array::from_fn(|_| free_port())
}
