//! Our client against h2's server.

use std::collections::HashMap;

use bytes::Bytes;
use h2::server;
use switchboard_http2::{Config, Connection, ErrorCode, HeadersKind, StreamId};
use tokio::io::DuplexStream;

use crate::pipe::{Seen, content, drive, fields};

/// h2's server: echoes with trailers; paths name what else happens.
async fn serve(io: DuplexStream, builder: server::Builder) {
    let mut connection = builder.handshake::<_, Bytes>(io).await.expect("a handshake");
    while let Some(Ok((request, respond))) = connection.accept().await {
        if request.uri().path() == "/goaway" {
            connection.graceful_shutdown();
        }
        tokio::spawn(answer(request, respond));
    }
}

async fn answer(request: http::Request<h2::RecvStream>, mut respond: server::SendResponse<Bytes>) {
    let path = request.uri().path().to_owned();
    if path == "/reset" {
        return respond.send_reset(h2::Reason::REFUSED_STREAM);
    }
    let response = http::Response::builder().header("x-path", &path).body(()).expect("a response");
    if path == "/early" {
        // Without having read the request: h2 resets the rest with NO_ERROR.
        respond.send_response(response, true).expect("a response");
        return;
    }
    let mut send = respond.send_response(response, false).expect("a response");
    let mut body = request.into_body();
    while let Some(data) = body.data().await {
        let Ok(data) = data else { return };
        body.flow_control().release_capacity(data.len()).expect("capacity");
        if send.send_data(data, false).is_err() {
            return;
        }
    }
    let mut trailers = http::HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().expect("a value"));
    send.send_trailers(trailers).expect("trailers");
}

/// What came of one call.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    status: String,
    body: Vec<u8>,
    trailers: Vec<(String, String)>,
    reset: Option<ErrorCode>,
    ended: bool,
}

/// Makes all calls (path, body) as the limits allow, and returns their outcomes in order, and the GOAWAY code if any.
async fn calls(
    config: Config,
    builder: server::Builder,
    list: Vec<(&'static str, Vec<u8>)>,
) -> (Vec<Outcome>, Option<ErrorCode>) {
    let (ours, theirs) = tokio::io::duplex(10_000);
    tokio::spawn(serve(theirs, builder));
    let mut outcomes: Vec<_> = list.iter().map(|_| Outcome::default()).collect();
    let mut streams: HashMap<StreamId, usize> = HashMap::new();
    let (mut next, mut goaway) = (0, None);
    drive(Connection::client(config), ours, |connection, seen| {
        while connection.poll_sent().is_some() {}
        match seen {
            None => {
                while next < list.len() && connection.available_streams() > 0 {
                    let (path, body) = &list[next];
                    let head =
                        [(":method", "POST"), (":scheme", "http"), (":path", *path), (":authority", "m")];
                    let id = connection.open(fields(&head), body.is_empty(), next).expect("available");
                    if !body.is_empty() {
                        connection.send_data(id, body, true);
                    }
                    streams.insert(id, next);
                    next += 1;
                }
                let waiting = outcomes.iter().take(next).any(|o| !o.ended && o.reset.is_none());
                return !waiting && (next == list.len() || goaway.is_some());
            }
            Some(Seen::Headers { stream, headers, kind, end }) => {
                let outcome = &mut outcomes[streams[&stream]];
                match kind {
                    HeadersKind::Initial => outcome.status = headers[0].1.clone(),
                    HeadersKind::Informational => {}
                    HeadersKind::Trailers => outcome.trailers = headers,
                }
                outcome.ended |= end;
            }
            Some(Seen::Data { stream, data, credit, end }) => {
                connection.release(stream, credit);
                let outcome = &mut outcomes[streams[&stream]];
                outcome.body.extend(data);
                outcome.ended |= end;
            }
            Some(Seen::Reset { stream, code }) => outcomes[streams[&stream]].reset = Some(code),
            Some(Seen::GoAway { code }) => goaway = Some(code),
            Some(Seen::Other) => {}
        }
        false
    })
    .await;
    (outcomes, goaway)
}

fn echoed(body: Vec<u8>) -> Outcome {
    let trailers = vec![("grpc-status".to_owned(), "0".to_owned())];
    Outcome { status: "200".to_owned(), body, trailers, reset: None, ended: true }
}

#[tokio::test]
async fn unary_calls_and_trailers() {
    let list: Vec<_> = (0..100).map(|n| ("/x", content(n * 5))).collect();
    let (outcomes, _) = calls(Config::default(), server::Builder::new(), list.clone()).await;
    for (outcome, (_, body)) in outcomes.into_iter().zip(list) {
        assert_eq!(outcome, echoed(body));
    }
}

#[tokio::test]
async fn bodies_larger_than_all_windows() {
    let config = Config { stream_window: 20_000, connection_window: 70_000, ..Config::default() };
    let mut builder = server::Builder::new();
    builder.initial_window_size(25_000).initial_connection_window_size(90_000);
    let (outcomes, _) = calls(config, builder, vec![("/x", content(1 << 20)); 4]).await;
    for outcome in outcomes {
        assert!(outcome == echoed(content(1 << 20)));
    }
}

#[tokio::test]
async fn many_streams_within_the_servers_limit() {
    let mut builder = server::Builder::new();
    builder.max_concurrent_streams(7).max_frame_size(20_000).max_header_list_size(9000);
    let list: Vec<_> = (0..300).map(|n| ("/x", content(n))).collect();
    let (outcomes, _) = calls(Config::default(), builder, list).await;
    for (n, outcome) in outcomes.into_iter().enumerate() {
        assert_eq!(outcome, echoed(content(n)));
    }
}

#[tokio::test]
async fn resets_of_the_server_are_reported() {
    let list =
        vec![("/reset", vec![]), ("/x", content(10)), ("/early", content(500_000)), ("/x", content(11))];
    let (outcomes, _) = calls(Config::default(), server::Builder::new(), list).await;
    assert_eq!(outcomes[0].reset, Some(ErrorCode::REFUSED_STREAM));
    assert_eq!(outcomes[1], echoed(content(10)));
    assert_eq!((outcomes[2].status.as_str(), outcomes[2].ended), ("200", true));
    assert!(matches!(outcomes[2].reset, None | Some(ErrorCode::NO_ERROR)));
    assert_eq!(outcomes[3], echoed(content(11)));
}

#[tokio::test]
async fn goaway_of_the_server_lets_calls_finish() {
    let config = Config { max_concurrent_streams: 2, ..Config::default() };
    let list = vec![("/goaway", content(100_000)); 50];
    let (outcomes, goaway) = calls(config, server::Builder::new(), list).await;
    assert_eq!(goaway, Some(ErrorCode::NO_ERROR));
    assert!(outcomes[0] == echoed(content(100_000)));
    assert!(!outcomes[49].ended, "no call after GOAWAY");
}
