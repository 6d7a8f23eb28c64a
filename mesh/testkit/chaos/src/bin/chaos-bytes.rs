//! `chaos-bytes`: the backend of the service `chaos.Bytes`, which registers itself as the others do.

use bytes::Bytes;
use clap::Parser;
use futures_util::{Stream, stream};
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use switchboard_backend::{Backend, Options};
use switchboard_chaos::{MAX_MESSAGE_BYTES, SERVICE, path};
use switchboard_proto::BytesCodec;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::server::{Grpc, NamedService, ServerStreamingService, StreamingService, UnaryService};
use tonic::{Request, Response, Status, Streaming};

/// Serves `chaos.Bytes` for `make chaos`.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    options: Options,
}

type Answer<T> = Pin<Box<dyn Future<Output = Result<Response<T>, Status>> + Send>>;
type Endless = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;

/// The service; `produced` counts the messages of all endless streams.
#[derive(Clone, Default)]
struct BytesService {
    produced: Arc<AtomicU64>,
}

impl NamedService for BytesService {
    const NAME: &'static str = SERVICE;
}

/// One unary method.
struct Unary(fn(&BytesService, Bytes) -> Result<Bytes, Status>, BytesService);

impl UnaryService<Bytes> for Unary {
    type Response = Bytes;
    type Future = Answer<Bytes>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let answer = self.0(&self.1, request.into_inner()).map(Response::new);
        Box::pin(std::future::ready(answer))
    }
}

struct Chat;

impl StreamingService<Bytes> for Chat {
    type Response = Bytes;
    type ResponseStream = Streaming<Bytes>;
    type Future = Answer<Self::ResponseStream>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        Box::pin(std::future::ready(Ok(Response::new(request.into_inner()))))
    }
}

struct Produce(Arc<AtomicU64>);

impl ServerStreamingService<Bytes> for Produce {
    type Response = Bytes;
    type ResponseStream = Endless;
    type Future = Answer<Endless>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let answer = number(&request.into_inner()).map(|length| {
            let (message, produced) = (Bytes::from(vec![0; length]), self.0.clone());
            let messages = stream::repeat_with(move || {
                produced.fetch_add(1, Relaxed);
                Ok(message.clone())
            });
            Response::new(Box::pin(messages) as Endless)
        });
        Box::pin(std::future::ready(answer))
    }
}

fn number(text: &[u8]) -> Result<usize, Status> {
    let number = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    number
        .filter(|number| *number <= MAX_MESSAGE_BYTES)
        .ok_or_else(|| Status::invalid_argument("the message must be a number of bytes, at most 128 MiB"))
}

fn digits(number: impl ToString) -> Bytes {
    number.to_string().into()
}

impl Service<http::Request<Body>> for BytesService {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move {
            let mut grpc = Grpc::new(BytesCodec)
                .max_decoding_message_size(MAX_MESSAGE_BYTES)
                .max_encoding_message_size(MAX_MESSAGE_BYTES);
            let unary: fn(&Self, Bytes) -> Result<Bytes, Status> = match request.uri().path() {
                path::CHAT => return Ok(grpc.streaming(Chat, request).await),
                path::ENDLESS => return Ok(grpc.server_streaming(Produce(service.produced), request).await),
                path::ECHO => |_, message| Ok(message),
                path::SIZE => |_, message| Ok(digits(message.len())),
                path::BLOB => |_, message| number(&message).map(|length| vec![0; length].into()),
                path::PRODUCED => |service, _| Ok(digits(service.produced.load(Relaxed))),
                _ => |_, _| Err(Status::unimplemented("no such method")),
            };
            Ok(grpc.unary(Unary(unary, service), request).await)
        })
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Arguments { options } = Arguments::parse();
    let backend = Backend::tool("bytes").description("Plain bytes, for tests under fire").reflection(false);
    Ok(backend.add_service(BytesService::default()).options(options).serve().await?)
}
