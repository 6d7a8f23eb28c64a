//! Calls of the API's services inside the process: messages stay encoded, headers that mean something pass.

use std::{convert::Infallible, fmt, sync::Arc, time::Duration};

use axum::http::{HeaderMap, HeaderName, HeaderValue, header, uri::PathAndQuery};
use bytes::Bytes;
use prost::Message;
use switchboard_backend::{ConnectionInfo, Services};
use switchboard_proto::BytesCodec;
use tonic::{
    Extensions, Request, Response, Status, Streaming,
    body::Body,
    client::Grpc,
    codegen::{Service, http},
    metadata::MetadataMap,
};
use tower::util::BoxCloneSyncService;

use super::site;

/// Largest answer that is turned into JSON, in bytes: four of the API's largest messages.
const MAX_ANSWER_BYTES: usize = 16 << 20;

/// What of an HTTP request reaches a service. Not whatever a client invents: some headers are the router's word.
const FORWARDED: [&str; 5] = ["authorization", "idempotency-key", "traceparent", "tracestate", REQUEST_ID];

/// What of a service's answer reaches the client.
const ANSWERED: [&str; 4] = ["idempotent-replayed", "retry-after", "x-last-sequence", "ratelimit-remaining"];

pub(super) const REQUEST_ID: &str = "x-request-id";

/// The API's services, as they are called inside the process.
#[derive(Clone)]
pub struct Calls {
    services: BoxCloneSyncService<http::Request<Body>, http::Response<Body>, Infallible>,
    /// Who asks for credentials, if anybody does.
    stack: Option<Services>,
}

impl Calls {
    /// Calls these behind the interceptors of their backend: REST goes through the same authentication, authorization and
    /// limits as gRPC.
    pub fn behind(stack: Services) -> Self {
        Self { stack: Some(stack.clone()), ..Self::new(stack) }
    }

    /// Calls these as they are.
    pub fn new<S>(services: S) -> Self
    where
        S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send,
    {
        Self { services: BoxCloneSyncService::new(services), stack: None }
    }

    /// Whether callers have to prove who they are.
    pub(super) fn ask_for_credentials(&self) -> bool {
        self.stack.as_ref().is_some_and(Services::asks_for_credentials)
    }
}

impl fmt::Debug for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Calls")
    }
}

/// Who calls, and how long it may take: what all calls for one HTTP request share.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    services: Calls,
    headers: Arc<HeaderMap>,
    connection: Option<ConnectionInfo>,
    timeout: Duration,
}

impl Caller {
    /// `headers` are those of the HTTP request, with a request ID.
    pub(super) fn new(
        services: Calls,
        headers: &HeaderMap,
        connection: Option<ConnectionInfo>,
        timeout: Duration,
    ) -> Self {
        let mut forwarded = HeaderMap::new();
        for name in FORWARDED {
            for value in headers.get_all(name) {
                // A header that stands there twice is for the service to refuse.
                forwarded.append(HeaderName::from_static(name), value.clone());
            }
        }
        if !forwarded.contains_key(header::AUTHORIZATION)
            && let Some(proof) = credentials(headers)
        {
            forwarded.insert(header::AUTHORIZATION, proof);
        }
        Self { services, headers: Arc::new(forwarded), connection, timeout }
    }

    /// The ID of the HTTP request.
    pub(super) fn request_id(&self) -> String {
        self.headers.get(REQUEST_ID).and_then(|id| id.to_str().ok()).unwrap_or_default().to_owned()
    }

    /// One message in, one out. Dropped, it ends the call; what was taken before stays taken.
    pub(super) async fn unary(
        &self,
        method: &'static str,
        message: Bytes,
    ) -> Result<Response<Bytes>, Status> {
        let mut client = self.client().await?;
        let answer = client.unary(self.request(message), PathAndQuery::from_static(method), BytesCodec);
        match tokio::time::timeout(self.timeout, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(Status::deadline_exceeded("the engine did not answer in time; try again")),
        }
    }

    /// The same with messages of Rust.
    pub(super) async fn typed<M: Message + Default>(
        &self,
        method: &'static str,
        message: &impl Message,
    ) -> Result<M, Status> {
        let answer = self.unary(method, message.encode_to_vec().into()).await?;
        decoded(&answer.into_inner())
    }

    /// One message in, many out. Dropped, it ends the stream.
    pub(super) async fn stream(
        &self,
        method: &'static str,
        message: Bytes,
    ) -> Result<Streaming<Bytes>, Status> {
        let mut client = self.client().await?;
        let request = self.request(message);
        let answer = client.server_streaming(request, PathAndQuery::from_static(method), BytesCodec);
        match tokio::time::timeout(self.timeout, answer).await {
            Ok(answer) => answer.map(Response::into_inner),
            Err(_) => Err(Status::deadline_exceeded("the engine did not answer in time; try again")),
        }
    }

    async fn client(&self) -> Result<Grpc<Calls>, Status> {
        let mut client = Grpc::new(self.services.clone()).max_decoding_message_size(MAX_ANSWER_BYTES);
        match client.ready().await {
            Ok(()) => Ok(client),
            Err(never) => match never {},
        }
    }

    fn request(&self, message: Bytes) -> Request<Bytes> {
        let mut extensions = Extensions::default();
        if let Some(connection) = self.connection.clone() {
            extensions.insert(connection);
        }
        let metadata = MetadataMap::from_headers(HeaderMap::clone(&self.headers));
        Request::from_parts(metadata, extensions, message)
    }

    /// Says whether a call of this method would be let in, for answers that have begun before a call can be refused.
    pub(super) fn admitted(&self, method: &'static str) -> Result<(), Status> {
        let Some(stack) = &self.services.stack else { return Ok(()) };
        let mut request = http::Request::new(Body::empty());
        *request.uri_mut() = http::Uri::from_static(method);
        *request.headers_mut() = HeaderMap::clone(&self.headers);
        if let Some(connection) = self.connection.clone() {
            request.extensions_mut().insert(connection);
        }
        stack.admit(request).map_err(|refused| {
            let unknown = || Status::unknown("the call was refused");
            Status::from_header_map(refused.headers()).unwrap_or_else(unknown)
        })
    }
}

/// What a request proves its sender with: `authorization`, or the token in the cookie of a page of this site.
pub(super) fn credentials(headers: &HeaderMap) -> Option<HeaderValue> {
    if let Some(given) = headers.get(header::AUTHORIZATION) {
        return Some(given.clone());
    }
    let mut made = HeaderValue::from_str(&format!("Bearer {}", site::own_cookie(headers)?)).ok()?;
    made.set_sensitive(true);
    Some(made)
}

impl Service<http::Request<Body>> for Calls {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = <BoxCloneSyncService<http::Request<Body>, http::Response<Body>, Infallible> as Service<
        http::Request<Body>,
    >>::Future;

    fn poll_ready(&mut self, cx: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Infallible>> {
        self.services.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        self.services.call(request)
    }
}

/// Copies what the client is to know of an answer's headers.
pub(super) fn copy_headers(metadata: &MetadataMap, into: &mut HeaderMap) {
    for name in ANSWERED {
        if let Some(value) = metadata.get(name)
            && let Ok(value) = HeaderValue::from_bytes(value.as_encoded_bytes())
        {
            into.insert(HeaderName::from_static(name), value);
        }
    }
}

/// A message that a service of this process has sent.
pub(super) fn decoded<M: Message + Default>(message: &Bytes) -> Result<M, Status> {
    M::decode(message.clone()).map_err(|_| Status::internal("a service answered with something else"))
}
