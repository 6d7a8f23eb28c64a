//! A hyper HTTP/2 server that passes what it gets to a hyper HTTP/2 client.

use super::{CONNECTION_WINDOW, STREAM_WINDOW, STREAMS};
use http::{HeaderValue, Request, Response};
use hyper::{
    body::{Body, Bytes, Frame, Incoming, SizeHint},
    client::conn::http2::{Builder as Client, SendRequest},
    server::conn::http2::Builder as Server,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::{
    future::poll_fn,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::net::{TcpListener, TcpStream};

/// Field number of `TaskRequest.agent_id`.
const AGENT_ID: u64 = 2;
/// gRPC status codes.
const INVALID_ARGUMENT: HeaderValue = HeaderValue::from_static("3");
const UNAVAILABLE: HeaderValue = HeaderValue::from_static("14");

/// A body that is passed on: the frame that was looked at, then the rest.
#[derive(Default)]
pub(super) struct Passed {
    first: Option<Frame<Bytes>>,
    rest: Option<Incoming>,
}

impl Body for Passed {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        match &mut self.rest {
            Some(rest) => Pin::new(rest).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.rest.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.first, &self.rest) {
            (None, Some(rest)) => rest.size_hint(),
            (None, None) => SizeHint::with_exact(0),
            // gRPC requests have no content-length.
            (Some(_), _) => SizeHint::default(),
        }
    }
}

/// The connection that all calls share.
pub(super) async fn connect(upstream: SocketAddr) -> anyhow::Result<SendRequest<Passed>> {
    let stream = TcpStream::connect(upstream).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = Client::new(TokioExecutor::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_max_send_streams(STREAMS as usize)
        .handshake(TokioIo::new(stream))
        .await?;
    tokio::spawn(connection);
    Ok(sender)
}

/// Serves for ever.
pub(super) async fn serve(listener: TcpListener, upstream: SendRequest<Passed>) -> anyhow::Result<()> {
    let mut server = Server::new(TokioExecutor::new());
    server
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(STREAMS)
        .auto_date_header(false);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let upstream = upstream.clone();
        let service = service_fn(move |request| forward(upstream.clone(), request));
        // How a client leaves is its own affair.
        tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
    }
}

async fn forward(
    mut upstream: SendRequest<Passed>,
    request: Request<Incoming>,
) -> Result<Response<Passed>, hyper::Error> {
    let (head, mut body) = request.into_parts();
    let first = match poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        Some(frame) => Some(frame?),
        None => None,
    };
    if head.uri.path().starts_with("/agentplatform.AgentService/") {
        let id = first.as_ref().and_then(Frame::data_ref).and_then(|data| agent_id(data));
        if id.is_none_or(<[u8]>::is_empty) {
            return Ok(refusal(INVALID_ARGUMENT));
        }
    }
    let request = Request::from_parts(head, Passed { first, rest: Some(body) });
    if poll_fn(|cx| upstream.poll_ready(cx)).await.is_err() {
        return Ok(refusal(UNAVAILABLE));
    }
    match upstream.send_request(request).await {
        Ok(response) => Ok(response.map(|body| Passed { first: None, rest: Some(body) })),
        Err(_) => Ok(refusal(UNAVAILABLE)),
    }
}

/// An answer without a message.
fn refusal(status: HeaderValue) -> Response<Passed> {
    let mut response = Response::new(Passed::default());
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    response.headers_mut().insert("grpc-status", status);
    response
}

/// The agent ID in the beginning of a gRPC body, found in place; `None` if it is not there.
fn agent_id(body: &[u8]) -> Option<&[u8]> {
    let mut rest = body.get(5..)?;
    loop {
        let tag = varint(&mut rest)?;
        let length = match tag & 7 {
            0 => varint(&mut rest).map(|_| 0)?,
            1 => 8,
            2 => usize::try_from(varint(&mut rest)?).ok()?,
            5 => 4,
            _ => return None,
        };
        let (value, after) = rest.split_at_checked(length)?;
        if tag >> 3 == AGENT_ID {
            return Some(value);
        }
        rest = after;
    }
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    prost::encoding::decode_varint(bytes).ok()
}
