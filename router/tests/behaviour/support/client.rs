//! A gRPC client on the h2 crate, which shows what came over the wire.

use super::grpc::{self, Gone, Messages, fields, frame};
use bytes::Bytes;
use h2::{
    Reason, SendStream,
    client::{Builder, ResponseFuture, SendRequest},
};
use http::{HeaderMap, Request};
use prost::Message;
use std::net::SocketAddr;
use switchboard_proto::rpc;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinHandle,
};

/// One connection to the router.
pub(crate) struct Client {
    requests: SendRequest<Bytes>,
    connection: JoinHandle<Result<(), h2::Error>>,
}

/// A call in flight.
pub(crate) struct Call {
    pub(crate) request: SendStream<Bytes>,
    pub(crate) response: ResponseFuture,
}

/// The beginning of a response.
pub(crate) struct Response {
    pub(crate) http_status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) messages: Messages,
}

/// A complete response.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) http_status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) messages: Vec<Bytes>,
    /// The trailers; of a trailers-only response its headers.
    pub(crate) trailers: HeaderMap,
    /// END_STREAM came with the headers.
    pub(crate) trailers_only: bool,
}

impl Client {
    /// Connects with windows that do not limit a test.
    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        Self::with(addr, |builder| {
            builder.initial_window_size(1 << 20).initial_connection_window_size(8 << 20);
        })
        .await
    }

    /// Connects with settings of the test's own.
    pub(crate) async fn with(addr: SocketAddr, adjust: impl FnOnce(&mut Builder)) -> Self {
        Self::on(TcpStream::connect(addr).await.expect("the router listens"), adjust).await
    }

    /// Takes a connected socket.
    pub(crate) async fn on(socket: TcpStream, adjust: impl FnOnce(&mut Builder)) -> Self {
        socket.set_nodelay(true).expect("the socket is open");
        Self::over(socket, adjust).await
    }

    /// Takes a connection of any kind.
    pub(crate) async fn over(
        socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        adjust: impl FnOnce(&mut Builder),
    ) -> Self {
        let mut builder = Builder::new();
        adjust(&mut builder);
        let (requests, connection) = builder.handshake(socket).await.expect("the handshake is local");
        Client { requests, connection: tokio::spawn(connection) }
    }

    /// Begins a call.
    pub(crate) async fn open(&self, path: &str, headers: &[(&str, &str)]) -> Result<Call, Gone> {
        self.request("POST", path, headers, false).await
    }

    /// Begins a call and sends its first message; the request stays open.
    pub(crate) async fn begin(&self, path: &str, headers: &[(&str, &str)], message: &impl Message) -> Call {
        let mut call = self.open(path, headers).await.expect("the connection takes calls");
        call.send(&message.encode_to_vec()).await.expect("the router takes a first message");
        call
    }

    /// Begins a call with any method; `end`: it has no body.
    pub(crate) async fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        end: bool,
    ) -> Result<Call, Gone> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://router{path}"))
            .body(())
            .expect("the request is well-formed");
        *request.headers_mut() = fields(&[("te", "trailers")]);
        if !headers.iter().any(|(name, _)| *name == "content-type") {
            request.headers_mut().extend(fields(&[("content-type", "application/grpc")]));
        }
        for (name, value) in fields(headers).iter() {
            request.headers_mut().append(name, value.clone());
        }
        let mut requests = self.requests.clone().ready().await?;
        let (response, request) = requests.send_request(request, end)?;
        Ok(Call { request, response })
    }

    /// One message there, a complete response back.
    pub(crate) async fn try_unary(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        message: &impl Message,
    ) -> Result<Answer, Gone> {
        self.send_all(path, headers, frame(&message.encode_to_vec())).await
    }

    /// As `try_unary`, for calls that must get an answer.
    pub(crate) async fn unary(&self, path: &str, headers: &[(&str, &str)], message: &impl Message) -> Answer {
        self.try_unary(path, headers, message).await.expect("the call is answered")
    }

    /// A complete body there, a complete response back.
    pub(crate) async fn send_all(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Answer, Gone> {
        let Call { mut request, response } = self.open(path, headers).await?;
        // The response may come first and end the request.
        let sent = async { grpc::write(&mut request, body, true).await };
        let (_, answer) = tokio::join!(sent, answer(response));
        answer
    }

    /// How the connection ended; `None` for an end without error.
    pub(crate) async fn closed(self) -> Option<Reason> {
        drop(self.requests);
        match self.connection.await.expect("the connection's task is well") {
            Ok(()) => None,
            Err(error) => error.reason(),
        }
    }

    /// Whether the connection is over.
    pub(crate) fn is_closed(&self) -> bool {
        self.connection.is_finished()
    }

    /// Drops the socket, whatever is in flight.
    pub(crate) fn disconnect(self) {
        self.connection.abort();
    }
}

async fn answer(response: ResponseFuture) -> Result<Answer, Gone> {
    Response::read(response).await?.finish().await
}

impl Response {
    async fn read(response: ResponseFuture) -> Result<Self, Gone> {
        let (head, body) = response.await?.into_parts();
        Ok(Response {
            http_status: head.status.as_u16(),
            headers: head.headers,
            messages: Messages::new(body),
        })
    }

    /// Reads the response to its end.
    pub(crate) async fn finish(mut self) -> Result<Answer, Gone> {
        let trailers_only = self.messages.is_over();
        let messages = self.messages.rest().await?;
        let mut trailers = self.messages.trailers().await?;
        if trailers_only {
            trailers = self.headers.clone();
        }
        Ok(Answer { http_status: self.http_status, headers: self.headers, messages, trailers, trailers_only })
    }
}

impl Call {
    /// Sends one message.
    pub(crate) async fn send(&mut self, payload: &[u8]) -> Result<(), Gone> {
        grpc::write(&mut self.request, frame(payload), false).await
    }

    /// Sends bytes as they are.
    pub(crate) async fn raw(&mut self, bytes: Bytes, end: bool) -> Result<(), Gone> {
        grpc::write(&mut self.request, bytes, end).await
    }

    /// Ends the request.
    pub(crate) fn half_close(&mut self) {
        // The router may have ended the stream already.
        let _ = self.request.send_data(Bytes::new(), true);
    }

    /// Gives the call up.
    pub(crate) fn reset(&mut self, reason: Reason) {
        self.request.send_reset(reason);
    }

    /// Waits for the response's headers. The request's half is handed back too.
    pub(crate) async fn response(self) -> Result<(SendStream<Bytes>, Response), Gone> {
        Ok((self.request, Response::read(self.response).await?))
    }

    /// The whole response. The request is left as it is.
    pub(crate) async fn answer(self) -> Result<Answer, Gone> {
        let _request = self.request;
        answer(self.response).await
    }
}

impl Answer {
    /// `grpc-status`; a response without one is no gRPC response.
    pub(crate) fn status(&self) -> i32 {
        let status = self.trailers.get("grpc-status").unwrap_or_else(|| panic!("no grpc-status: {self:?}"));
        status.to_str().expect("ASCII").parse().expect("a number")
    }

    /// `grpc-message`, decoded.
    pub(crate) fn message(&self) -> String {
        self.tonic().message().to_owned()
    }

    /// `grpc-status-details-bin`, decoded.
    pub(crate) fn details(&self) -> rpc::Status {
        rpc::Status::decode(self.tonic().details()).expect("details are google.rpc.Status")
    }

    /// The reason in the `ErrorInfo`.
    pub(crate) fn reason(&self) -> String {
        self.details().error_info().unwrap_or_else(|| panic!("no ErrorInfo: {self:?}")).reason
    }

    /// A fact in the `ErrorInfo`; empty if it is not there.
    pub(crate) fn fact(&self, key: &str) -> String {
        let info = self.details().error_info().unwrap_or_else(|| panic!("no ErrorInfo: {self:?}"));
        info.metadata.get(key).cloned().unwrap_or_default()
    }

    /// The only message, decoded.
    pub(crate) fn decode<M: Message + Default>(&self) -> M {
        assert_eq!(self.messages.len(), 1, "{self:?}");
        M::decode(self.messages[0].clone()).expect("the message is well-formed")
    }

    fn tonic(&self) -> tonic::Status {
        tonic::Status::from_header_map(&self.trailers).unwrap_or_else(|| panic!("no grpc-status: {self:?}"))
    }
}
