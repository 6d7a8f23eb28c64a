//! h2's client against our server.

use std::collections::HashMap;

use bytes::Bytes;
use h2::client;
use switchboard_http2::{Config, Connection, ErrorCode, HeadersKind, StreamId};
use tokio::io::DuplexStream;

use crate::pipe::{Seen, content, drive, fields};

/// An echo: credit goes back only as the bytes leave, paths name what else happens.
#[derive(Default)]
struct Echo {
    paths: HashMap<StreamId, String>,
}

impl Echo {
    fn event(&mut self, connection: &mut Connection, seen: Seen) {
        match seen {
            Seen::Headers { stream, headers, kind: HeadersKind::Initial, end } => {
                let path = headers.into_iter().find(|(n, _)| n == ":path").expect("a path").1;
                match path.as_str() {
                    "/reset" => return connection.reset(stream, ErrorCode::ENHANCE_YOUR_CALM),
                    "/trailers-only" => {
                        let list = [(":status", "200"), ("grpc-status", "12")];
                        connection.send_headers(stream, fields(&list), true);
                        return connection.reset(stream, ErrorCode::NO_ERROR);
                    }
                    "/goaway" => connection.goaway(ErrorCode::NO_ERROR, b"bye"),
                    _ => {}
                }
                connection.send_headers(stream, fields(&[(":status", "103")]), false);
                connection.send_headers(stream, fields(&[(":status", "200"), ("x-path", &path)]), false);
                self.paths.insert(stream, path);
                if end {
                    self.finish(connection, stream);
                }
            }
            Seen::Headers { stream, kind: HeadersKind::Trailers, .. } => self.finish(connection, stream),
            Seen::Data { stream, data, credit, end } if self.paths.contains_key(&stream) => {
                let pending = connection.send_data(stream, &data, false);
                connection.release(stream, credit - pending as u32);
                if end {
                    self.finish(connection, stream);
                }
            }
            Seen::Reset { stream, .. } => drop(self.paths.remove(&stream)),
            _ => {}
        }
    }

    fn finish(&mut self, connection: &mut Connection, stream: StreamId) {
        let path = self.paths.remove(&stream).expect("a known stream");
        assert!(connection.send_headers(stream, fields(&[("grpc-status", "0"), ("x-path", &path)]), true));
    }
}

async fn serve(io: DuplexStream, config: Config) {
    let mut echo = Echo::default();
    drive(Connection::server(config), io, move |connection, seen| {
        if let Some(seen) = seen {
            echo.event(connection, seen);
        }
        while let Some((stream, _, bytes)) = connection.poll_sent() {
            connection.release(stream, bytes as u32);
        }
        false
    })
    .await;
}

/// Connects h2's client to our server.
async fn connect(config: Config, builder: &client::Builder) -> client::SendRequest<Bytes> {
    let (ours, theirs) = tokio::io::duplex(10_000);
    tokio::spawn(serve(ours, config));
    let (send, connection) = builder.handshake::<_, Bytes>(theirs).await.expect("a handshake");
    tokio::spawn(async move { drop(connection.await) });
    send
}

fn request(path: &str) -> http::Request<()> {
    http::Request::post(format!("http://mesh{path}")).header("te", "trailers").body(()).expect("a request")
}

/// One call with the whole body at once; returns the echo and its trailers.
async fn call(send: client::SendRequest<Bytes>, path: &str, body: Vec<u8>) -> (Vec<u8>, http::HeaderMap) {
    let mut send = send.ready().await.expect("a ready connection");
    let (response, mut stream) = send.send_request(request(path), body.is_empty()).expect("a stream");
    if !body.is_empty() {
        stream.send_data(Bytes::from(body), true).expect("a body");
    }
    let response = response.await.expect("a response");
    assert_eq!((response.status().as_u16(), response.headers()["x-path"].as_bytes()), (200, path.as_bytes()));
    let mut body = response.into_body();
    let mut got = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.expect("data");
        body.flow_control().release_capacity(data.len()).expect("capacity");
        got.extend_from_slice(&data);
    }
    (got, body.trailers().await.expect("trailers").expect("trailers"))
}

#[tokio::test]
async fn unary_calls_and_trailers() {
    let send = connect(Config::default(), &client::Builder::new()).await;
    for n in 0..50 {
        let path = format!("/p{n}");
        let (got, trailers) = call(send.clone(), &path, content(n * 3)).await;
        assert_eq!(got, content(n * 3));
        assert_eq!(
            (trailers["grpc-status"].as_bytes(), trailers["x-path"].as_bytes()),
            (&b"0"[..], path.as_bytes())
        );
    }
}

#[tokio::test]
async fn bodies_larger_than_all_windows() {
    let config = Config { stream_window: 20_000, connection_window: 70_000, ..Config::default() };
    let mut builder = client::Builder::new();
    builder.initial_window_size(30_000).initial_connection_window_size(100_000);
    let send = connect(config, &builder).await;
    let calls: Vec<_> = (0..4)
        .map(|n| tokio::spawn(call(send.clone(), ["/a", "/b", "/c", "/d"][n], content(1 << 20))))
        .collect();
    for call in calls {
        assert!(call.await.unwrap().0 == content(1 << 20));
    }
}

#[tokio::test]
async fn many_streams_at_once_within_the_limit() {
    let config = Config { max_concurrent_streams: 10, ..Config::default() };
    let send = connect(config, &client::Builder::new()).await;
    // One call first, so that the client knows the limit.
    call(send.clone(), "/first", vec![]).await;
    let calls: Vec<_> = (0..300).map(|n| tokio::spawn(call(send.clone(), "/many", content(n)))).collect();
    for (n, call) in calls.into_iter().enumerate() {
        assert_eq!(call.await.unwrap().0, content(n));
    }
}

#[tokio::test]
async fn resets_and_trailers_only() {
    let send = connect(Config::default(), &client::Builder::new()).await;
    let mut ready = send.clone().ready().await.unwrap();
    let (response, _stream) = ready.send_request(request("/reset"), false).unwrap();
    assert_eq!(response.await.unwrap_err().reason(), Some(h2::Reason::ENHANCE_YOUR_CALM));
    let (response, _stream) = ready.send_request(request("/trailers-only"), false).unwrap();
    let response = response.await.unwrap();
    assert_eq!(response.headers()["grpc-status"], "12");

    // The client's own reset frees the stream, and the connection goes on.
    let (_response, mut stream) = ready.send_request(request("/x"), false).unwrap();
    stream.send_reset(h2::Reason::CANCEL);
    assert_eq!(call(send, "/after", content(9)).await.0, content(9));
}

#[tokio::test]
async fn goaway_lets_calls_finish() {
    let send = connect(Config::default(), &client::Builder::new()).await;
    let (got, _) = call(send.clone(), "/goaway", content(100_000)).await;
    assert!(got == content(100_000));
    let refused = match send.ready().await {
        Ok(mut send) => send.send_request(request("/late"), true).is_err(),
        Err(_) => true,
    };
    assert!(refused);
}
