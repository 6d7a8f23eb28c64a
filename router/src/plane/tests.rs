//! What one connection may do in one turn.

use super::{EFFORT_OF_A_CALL, EFFORT_PER_TURN, Plane};
use crate::{
    config::{Config, DEFAULT_ADMIN, DEFAULT_GRPC},
    observe::Metrics,
    route::RouteTable,
};
use std::{net::Ipv4Addr, sync::Arc};
use switchboard_http2::{self as http2, Field};

/// What a client sends that begins so many calls at once.
fn burst(calls: usize) -> Vec<u8> {
    let mut client = http2::Connection::client(http2::Config::default());
    let mut server = http2::Connection::server(http2::Config {
        max_concurrent_streams: u32::try_from(calls).unwrap(),
        ..http2::Config::default()
    });
    let mut input = server.output();
    while !input.is_empty() {
        let used = client.recv(input, 1).unwrap().consumed;
        input = &input[used..];
    }
    server.consume_output(0);
    let fields = [
        Field::new(b":method", b"POST"),
        Field::new(b":scheme", b"http"),
        Field::new(b":path", b"/demo.Any/Thing"),
        Field::new(b"content-type", b"application/grpc"),
        Field::new(b"te", b"trailers"),
    ];
    for key in 0..calls {
        client.open(fields.into_iter(), false, key).unwrap();
    }
    client.output().to_vec()
}

#[test]
fn a_turn_ends_before_a_burst_of_calls_does_and_loses_none() {
    let config = Config::new(DEFAULT_GRPC, DEFAULT_ADMIN, switchboard_registry::Config::default());
    let routes = RouteTable::from_descriptor_set(switchboard_proto::DESCRIPTOR_SET).unwrap();
    let mut plane = Plane::new(Arc::new(config), Arc::new(routes), Arc::new(Metrics::default()), 1);
    let conn = plane.accept(Ipv4Addr::LOCALHOST.into()).unwrap();
    let per_turn = (EFFORT_PER_TURN / EFFORT_OF_A_CALL) as usize;
    let input = burst(per_turn * 3);
    let mut rest = &input[..];
    let mut turns = Vec::new();
    loop {
        let before = plane.calls.len();
        let taken = plane.received(conn, rest);
        turns.push(plane.calls.len() - before);
        rest = &rest[taken.bytes..];
        if !taken.more {
            break;
        }
    }
    assert_eq!((plane.calls.len(), rest.len()), (per_turn * 3, 0));
    assert!(turns.iter().all(|&calls| calls <= per_turn) && turns.len() <= 4, "{turns:?}");
}
