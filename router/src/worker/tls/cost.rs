//! What TLS costs per record, small and full, measured without sockets: `cargo test --release -p switchboard-router --lib
//! tls::cost -- --ignored --nocapture`. No test asserts a time.

use super::{PLAIN_BYTES, READ_BYTES, Session, session::Peer};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use rustls::{ClientConnection, Connection, ServerConnection};
use std::{
    fs,
    io::{self, IoSlice, Write},
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::{Duration, Instant},
};
use switchboard_transport::{
    ClientAuth, ClientTls, ServerTls,
    authority::{Authority, Subject},
    service_name,
};

/// A socket that takes everything at no cost.
struct Nowhere;

impl Write for Nowhere {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(pieces.iter().map(|piece| piece.len()).sum())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The router's two ends, after their handshake.
fn pair() -> (Session, Session) {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let authority = Authority::new("test", Duration::from_secs(3_600)).unwrap();
    let issued = authority.issue(&Subject::service("agent-echo")).unwrap();
    fs::write(path("ca.pem"), &authority.issued().cert).unwrap();
    fs::write(path("cert.pem"), &issued.cert).unwrap();
    fs::write(path("key.pem"), &issued.key).unwrap();
    let server = ServerTls {
        cert: path("cert.pem"),
        key: path("key.pem"),
        client_ca: None,
        client_auth: ClientAuth::None,
    };
    let server = Arc::new(server.server_config().unwrap().0);
    let client = ClientTls { ca: path("ca.pem"), cert: None, key: None }.service_config().unwrap();
    let server = Connection::Server(ServerConnection::new(server).unwrap());
    let mut server = Session::new(server, Peer::Client(IpAddr::V4(Ipv4Addr::LOCALHOST)));
    let name = service_name("agent-echo").unwrap();
    let client = Connection::Client(ClientConnection::new(Arc::new(client), name).unwrap());
    let mut client = Session::new(client, Peer::Instance("agent-echo".into()));
    let mut plain = vec![0; READ_BYTES];
    for _ in 0..4 {
        for (from, to) in [(0, 1), (1, 0)] {
            let mut wire = Vec::new();
            let ends = [&mut client, &mut server];
            while ends[from].tls.wants_write() {
                ends[from].tls.write_tls(&mut wire).unwrap();
            }
            ends[to].unseal(&wire, &mut plain).unwrap();
        }
    }
    assert!(!client.tls.is_handshaking() && !server.tls.is_handshaking());
    (client, server)
}

fn write_all(session: &mut Session, mut output: &[u8], to: &mut impl Write) {
    while !output.is_empty() {
        let taken = session.seal(output).unwrap();
        output = &output[taken..];
        while session.tls.wants_write() {
            session.tls.write_tls(to).unwrap();
        }
    }
}

/// Nanoseconds per record, out and in, of `count` that hold `size` bytes each and are read `per_read` at a time.
fn session(size: usize, count: usize, per_read: usize) -> (u128, u128) {
    let (_, mut sender) = pair();
    let output = vec![7; size];
    let began = Instant::now();
    for _ in 0..count {
        write_all(&mut sender, &output, &mut Nowhere);
    }
    let out = began.elapsed().as_nanos() / count as u128;
    let (mut client, mut server) = pair();
    let mut wire = Vec::new();
    for _ in 0..count {
        write_all(&mut server, &output, &mut wire);
    }
    let record = wire.len() / count;
    let (mut buffer, mut plain) = (vec![0; READ_BYTES], vec![0; PLAIN_BYTES]);
    let (mut took, mut bytes) = (Duration::ZERO, 0);
    for read in wire.chunks(record * per_read) {
        // The kernel's part.
        buffer[..read.len()].copy_from_slice(read);
        let began = Instant::now();
        bytes += client.unseal(&buffer[..read.len()], &mut plain).unwrap().bytes;
        took += began.elapsed();
    }
    assert_eq!(bytes, count * size);
    (out, took.as_nanos() / count as u128)
}

/// Nanoseconds per piece of `size` bytes of the cipher alone, which rustls prefers.
fn cipher(size: usize, count: usize) -> u128 {
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[1; 32]).unwrap());
    let mut piece = vec![7; size];
    let began = Instant::now();
    for at in 0..count as u64 {
        let mut nonce = [0; 12];
        nonce[..8].copy_from_slice(&at.to_be_bytes());
        let nonce = Nonce::assume_unique_for_key(nonce);
        let _tag = key.seal_in_place_separate_tag(nonce, Aad::from([0; 5]), &mut piece).unwrap();
    }
    began.elapsed().as_nanos() / count as u128
}

#[test]
#[ignore = "measures; see the module"]
fn the_cost_of_tls() {
    switchboard_transport::install_crypto();
    for _ in 0..3 {
        for (size, count, per_read) in [(200, 100_000, 1), (200, 100_000, 18), (16 << 10, 4_000, 15)] {
            let ((out, read), cipher) = (session(size, count, per_read), cipher(size, count));
            eprintln!(
                "records of {size} B, {per_read} per read: out {out} ns, in {read} ns, cipher {cipher} ns"
            );
        }
    }
}
