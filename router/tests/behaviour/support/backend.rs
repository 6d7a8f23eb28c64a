//! A backend that follows a script: each stream is given to the test's own function.

use super::{
    EXECUTE_TASK,
    grpc::{self, Gone, Messages, fields, frame},
};
use bytes::Bytes;
use h2::{
    Reason, SendStream,
    server::{Builder, SendResponse},
};
use http::{Response, request::Parts};
use prost::Message;
use rustls::ServerConfig;
use std::{
    future::Future,
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};
use switchboard_proto::agentplatform::{TaskRequest, TaskResponse};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::watch,
    task::{JoinHandle, JoinSet},
};
use tokio_rustls::TlsAcceptor;

type Handler = Arc<dyn Fn(Incoming) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// Bytes of each message of [`Backend::producer`].
pub(crate) const CHUNK: usize = 10_000;

/// A running backend. Dropping it ends it like a crash.
pub(crate) struct Backend {
    pub(crate) addr: SocketAddr,
    seen: Arc<Seen>,
    graceful: watch::Sender<bool>,
    cut: watch::Sender<usize>,
    listener: JoinHandle<()>,
}

/// What the backend counts.
#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    open_connections: AtomicUsize,
    streams: AtomicUsize,
    open_streams: AtomicUsize,
    most_streams: AtomicUsize,
    requests: Mutex<Vec<Parts>>,
}

impl Backend {
    /// Starts a backend that hands each stream to `handler`.
    pub(crate) async fn start<F: Future<Output = ()> + Send + 'static>(
        handler: impl Fn(Incoming) -> F + Send + Sync + 'static,
    ) -> Self {
        Self::with(|_| {}, handler).await
    }

    /// Starts a backend that answers `ExecuteTask` with `<name>: <input>`.
    pub(crate) async fn echo(name: &'static str) -> Self {
        Self::start(move |call| call.echo(name)).await
    }

    /// Starts a backend, with TLS if it is given any, that sends without end and counts what it could send; `ExecuteTask`
    /// is echoed.
    pub(crate) async fn producer(tls: Option<Arc<ServerConfig>>) -> (Self, Arc<AtomicUsize>) {
        let sent = Arc::new(AtomicUsize::new(0));
        let count = sent.clone();
        let produce = move |mut call: Incoming| {
            let count = count.clone();
            async move {
                if call.head.uri.path() == EXECUTE_TASK {
                    return call.echo("echo").await;
                }
                let mut out = call.begin(&[]);
                while out.send(&[7; CHUNK]).await.is_ok() {
                    count.fetch_add(CHUNK, SeqCst);
                }
            }
        };
        let backend = match tls {
            Some(tls) => Self::secure(tls, produce).await,
            None => Self::start(produce).await,
        };
        (backend, sent)
    }

    /// Starts a backend with HTTP/2 settings of the test's own.
    pub(crate) async fn with<F: Future<Output = ()> + Send + 'static>(
        adjust: impl FnOnce(&mut Builder),
        handler: impl Fn(Incoming) -> F + Send + Sync + 'static,
    ) -> Self {
        // Some tests come back to the address, or leave nobody there: no outgoing connection may take it in between.
        let addr = (Ipv4Addr::LOCALHOST, switchboard_testkit::free_port());
        let listener = TcpListener::bind(addr).await.expect("the port is free");
        Self::serve(listener, None, adjust, handler)
    }

    /// Starts a backend that answers `ExecuteTask` with `<name>: <input>`, by TLS.
    pub(crate) async fn secure_echo(tls: Arc<ServerConfig>, name: &'static str) -> Self {
        Self::secure(tls, move |call| call.echo(name)).await
    }

    /// Starts a backend that speaks TLS.
    pub(crate) async fn secure<F: Future<Output = ()> + Send + 'static>(
        tls: Arc<ServerConfig>,
        handler: impl Fn(Incoming) -> F + Send + Sync + 'static,
    ) -> Self {
        let addr = (Ipv4Addr::LOCALHOST, switchboard_testkit::free_port());
        let listener = TcpListener::bind(addr).await.expect("the port is free");
        Self::serve(listener, Some(tls.into()), |_| {}, handler)
    }

    /// Starts a backend where an earlier one was.
    pub(crate) async fn again<F: Future<Output = ()> + Send + 'static>(
        addr: SocketAddr,
        handler: impl Fn(Incoming) -> F + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(addr).await.expect("the port is free again");
        Self::serve(listener, None, |_| {}, handler)
    }

    fn serve<F: Future<Output = ()> + Send + 'static>(
        listener: TcpListener,
        tls: Option<TlsAcceptor>,
        adjust: impl FnOnce(&mut Builder),
        handler: impl Fn(Incoming) -> F + Send + Sync + 'static,
    ) -> Self {
        let addr = listener.local_addr().expect("it is bound");
        let mut builder = Builder::new();
        builder.initial_window_size(1 << 20).initial_connection_window_size(8 << 20);
        adjust(&mut builder);
        let handler: Handler = Arc::new(move |call| Box::pin(handler(call)));
        let seen = Arc::new(Seen::default());
        let (graceful, _) = watch::channel(false);
        let (cut, _) = watch::channel(0);
        let (counts, ending, cutting) = (seen.clone(), graceful.clone(), cut.clone());
        let listener = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let index = counts.connections.fetch_add(1, SeqCst);
                let connection = Connection {
                    index,
                    builder: builder.clone(),
                    handler: handler.clone(),
                    seen: counts.clone(),
                    graceful: ending.subscribe(),
                    cut: cutting.subscribe(),
                };
                let tls = tls.clone();
                connections.spawn(async move {
                    let _ = socket.set_nodelay(true);
                    match tls {
                        None => connection.run(socket).await,
                        Some(tls) => {
                            if let Ok(socket) = tls.accept(socket).await {
                                connection.run(socket).await;
                            }
                        }
                    }
                });
            }
        });
        Backend { addr, seen, graceful, cut, listener }
    }

    /// Connections accepted so far.
    pub(crate) fn connections(&self) -> usize {
        self.seen.connections.load(SeqCst)
    }

    /// Connections open now.
    pub(crate) fn open_connections(&self) -> usize {
        self.seen.open_connections.load(SeqCst)
    }

    /// Streams accepted so far.
    pub(crate) fn streams(&self) -> usize {
        self.seen.streams.load(SeqCst)
    }

    /// Streams whose handler runs.
    pub(crate) fn open_streams(&self) -> usize {
        self.seen.open_streams.load(SeqCst)
    }

    /// The most handlers that ran at a time.
    pub(crate) fn most_streams(&self) -> usize {
        self.seen.most_streams.load(SeqCst)
    }

    /// Heads of all requests so far, in order.
    pub(crate) fn requests(&self) -> Vec<Parts> {
        self.seen.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The last request's value of a header; empty if it was not there.
    pub(crate) fn last_header(&self, name: &str) -> String {
        let requests = self.requests();
        let value = requests.last().expect("there was a request").headers.get(name).cloned();
        value.map(|value| value.to_str().expect("ASCII").to_owned()).unwrap_or_default()
    }

    /// Sends GOAWAY on every connection, in two steps as the h2 crate does, and takes new connections still.
    pub(crate) fn go_away(&self) {
        self.graceful.send_replace(true);
    }

    /// Drops every connection without a word. The listener goes on.
    pub(crate) fn cut(&self) {
        self.cut.send_modify(|cuts| *cuts += 1);
    }

    /// Ends like a killed process: listener and connections at once.
    pub(crate) async fn kill(mut self) {
        self.listener.abort();
        // Its end is awaited, so that a connect fails from here on.
        let _ = (&mut self.listener).await;
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

/// One connection's task.
struct Connection {
    index: usize,
    builder: Builder,
    handler: Handler,
    seen: Arc<Seen>,
    graceful: watch::Receiver<bool>,
    cut: watch::Receiver<usize>,
}

/// Counts one up, and down when it ends.
struct Count(Arc<Seen>, fn(&Seen) -> &AtomicUsize);

impl Count {
    fn up(seen: &Arc<Seen>, which: fn(&Seen) -> &AtomicUsize) -> Self {
        which(seen).fetch_add(1, SeqCst);
        Count(seen.clone(), which)
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        self.1(&self.0).fetch_sub(1, SeqCst);
    }
}

impl Connection {
    async fn run(mut self, socket: impl AsyncRead + AsyncWrite + Unpin) {
        let _count = Count::up(&self.seen, |seen| &seen.open_connections);
        let Ok(mut connection) = self.builder.handshake(socket).await else { return };
        let mut handlers = JoinSet::new();
        let mut ending = false;
        loop {
            tokio::select! {
                accepted = connection.accept() => match accepted {
                    Some(Ok((request, respond))) => {
                        let (head, body) = request.into_parts();
                        let seen = self.seen.clone();
                        seen.streams.fetch_add(1, SeqCst);
                        seen.requests.lock().unwrap_or_else(PoisonError::into_inner).push(head.clone());
                        let call = Incoming { head, messages: Messages::new(body), respond, connection: self.index };
                        let work = (self.handler)(call);
                        let count = Count::up(&seen, |seen| &seen.open_streams);
                        seen.most_streams.fetch_max(seen.open_streams.load(SeqCst), SeqCst);
                        handlers.spawn(async move {
                            let _count = count;
                            work.await;
                        });
                    }
                    _ => return,
                },
                Some(_) = handlers.join_next() => {}
                Ok(()) = self.graceful.changed(), if !ending => {
                    ending = true;
                    connection.graceful_shutdown();
                }
                Ok(()) = self.cut.changed() => return,
            }
        }
    }
}

/// One call as the backend sees it.
pub(crate) struct Incoming {
    pub(crate) head: Parts,
    pub(crate) messages: Messages,
    respond: SendResponse<Bytes>,
    /// Which of the backend's connections it came on.
    pub(crate) connection: usize,
}

impl Incoming {
    /// Sends the response's headers.
    pub(crate) fn begin(&mut self, headers: &[(&str, &str)]) -> Outgoing {
        Outgoing(self.head(headers, false).ok())
    }

    /// Answers with headers only.
    pub(crate) fn trailers_only(&mut self, headers: &[(&str, &str)]) {
        // A caller that is gone has no use for it.
        let _ = self.head(headers, true);
    }

    fn head(&mut self, headers: &[(&str, &str)], end: bool) -> Result<SendStream<Bytes>, h2::Error> {
        let mut response = Response::new(());
        *response.headers_mut() = fields(&[("content-type", "application/grpc")]);
        for (name, value) in fields(headers).iter() {
            response.headers_mut().append(name, value.clone());
        }
        self.respond.send_response(response, end)
    }

    /// Resets the stream.
    pub(crate) fn reset(&mut self, reason: Reason) {
        self.respond.send_reset(reason);
    }

    /// Waits until the router resets the stream or its connection ends.
    pub(crate) async fn reset_by_peer(&mut self) -> Gone {
        match std::future::poll_fn(|cx| self.respond.poll_reset(cx)).await {
            Ok(reason) => Gone(Some(reason)),
            Err(error) => error.into(),
        }
    }

    /// Answers one message with one message and status 0. A caller that is gone is none of its business.
    pub(crate) async fn reply(&mut self, message: &impl Message) {
        let mut out = self.begin(&[]);
        if out.send(&message.encode_to_vec()).await.is_ok() {
            out.finish(&[("grpc-status", "0")]);
        }
    }

    /// The first message, of a request that is known to have one.
    pub(crate) async fn decode<M: Message + Default>(&mut self) -> M {
        let first = self.messages.decode().await.expect("the request goes on");
        first.expect("the request has a message")
    }

    /// Reads the one message of `ExecuteTask` and answers `<name>: <input>`.
    pub(crate) async fn echo(mut self, name: &str) {
        let Ok(Some(request)) = self.messages.decode::<TaskRequest>().await else { return };
        let output = format!("{name}: {}", request.input);
        self.reply(&TaskResponse {
            task_id: request.task_id,
            output,
            success: true,
            ..TaskResponse::default()
        })
        .await;
    }

    /// Never answers; returns when the router gives the call up.
    pub(crate) async fn hang(mut self) {
        self.reset_by_peer().await;
    }
}

/// The sending half of a response whose headers are sent; empty if the caller was gone by then.
pub(crate) struct Outgoing(Option<SendStream<Bytes>>);

impl Outgoing {
    /// Sends one message, as the windows allow.
    pub(crate) async fn send(&mut self, payload: &[u8]) -> Result<(), Gone> {
        self.raw(frame(payload), false).await
    }

    /// Sends bytes as they are.
    pub(crate) async fn raw(&mut self, bytes: Bytes, end: bool) -> Result<(), Gone> {
        grpc::write(self.0.as_mut().ok_or(Gone(None))?, bytes, end).await
    }

    /// Ends the response.
    pub(crate) fn finish(self, trailers: &[(&str, &str)]) {
        // A caller that is gone has no use for them.
        let _ = self.0.map(|mut stream| stream.send_trailers(fields(trailers)));
    }

    /// Resets the stream.
    pub(crate) fn reset(&mut self, reason: Reason) {
        if let Some(stream) = &mut self.0 {
            stream.send_reset(reason);
        }
    }

    /// Waits until the router resets the stream or its connection ends.
    pub(crate) async fn reset_by_peer(&mut self) -> Gone {
        match &mut self.0 {
            Some(stream) => grpc::reset_by_peer(stream).await,
            None => Gone(None),
        }
    }
}
