//! An engine behind an HTTP listener, and a client.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use reqwest::{Method, StatusCode, header::HeaderMap};
use serde_json::{Value, json};
use switchboard_backend::{Backend, ListenAt, Listener, RegistryConfig, Running};
use tokio::{sync::mpsc, task::JoinHandle};
use workflow_machine::SignalKind;
use workflow_store::MemoryStore;
use workflow_worker::{
    api,
    attempt::{Attempt, AttemptId, Executor, Report, Reports},
    engine::{self, Engine},
    http::{self, Calls, Settings},
};

/// Anything that takes longer has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

struct Script(mpsc::UnboundedSender<Attempt>);

impl Executor for Script {
    fn run(&self, attempt: Attempt) {
        let _ = self.0.send(attempt);
    }

    fn stop(&self, _: &AttemptId, _: u64) {}

    fn signal(&self, _: &AttemptId, _: SignalKind, _: Bytes) {}
}

/// A served engine.
pub(crate) struct Scene {
    pub(crate) addr: SocketAddr,
    reports: Reports,
    attempts: mpsc::UnboundedReceiver<Attempt>,
    client: reqwest::Client,
    running: Option<Running>,
    ending: Option<JoinHandle<bool>>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    /// The value at a path as `/error/code`.
    pub(crate) fn at(&self, pointer: &str) -> &Value {
        self.body.pointer(pointer).unwrap_or_else(|| panic!("no {pointer} in {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name} in {self:?}")).to_str().unwrap()
    }

    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }
}

impl Scene {
    pub(crate) async fn start() -> Self {
        Self::with(Settings::default()).await
    }

    pub(crate) async fn with(settings: Settings) -> Self {
        Self::serving(settings, None).await
    }

    /// With other services than the engine's.
    pub(crate) async fn serving(settings: Settings, calls: Option<Calls>) -> Self {
        Self::of(settings, calls, |backend| backend).await
    }

    /// With whatever is to be different of the backend.
    pub(crate) async fn of(
        settings: Settings,
        calls: Option<Calls>,
        change: impl FnOnce(Backend) -> Backend,
    ) -> Self {
        let (sender, attempts) = mpsc::unbounded_channel();
        let (reports, inbox) = Reports::channel();
        let engine = tokio::task::spawn_blocking(move || {
            let store = Arc::new(MemoryStore::default());
            Engine::start(store, engine::Settings::default(), Arc::new(Script(sender)), inbox).unwrap()
        });
        let engine = engine.await.unwrap();
        let api = api::Api::start(engine.clone(), api::Settings::default()).await.unwrap();
        let port = ListenAt::Port(0);
        let listener = match calls {
            None => http::listener(engine, port, settings, Arc::default()),
            Some(calls) => Listener::http("http", port, settings.max_connections, |opened| {
                http::serve(engine, calls, settings, Arc::default(), opened)
            }),
        };
        let backend = Backend::worker("workflow")
            .grpc(false)
            .listen((Ipv4Addr::LOCALHOST, 0).into())
            .registry(RegistryConfig::at("127.0.0.1:9").unwrap())
            .drain(Duration::ZERO, PATIENCE)
            .listener(listener);
        let running = change(api::Services::new(api).add_to(backend)).start().await.unwrap();
        let addr = running.listener("http").unwrap();
        switchboard_backend::install_crypto();
        let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        Self { addr, reports, attempts, client, running: Some(running), ending: None }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.addr))
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        answer(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        answer(self.request(Method::POST, path).json(&body)).await
    }

    /// Submits without waiting for the end.
    pub(crate) async fn submit(&self, mut workflow: Value) -> String {
        workflow["async"] = true.into();
        let answer = self.post("/api/v1/workflows", workflow).await.is(201);
        answer.at("/workflow_id").as_str().unwrap().to_owned()
    }

    /// The next attempt.
    pub(crate) async fn attempt(&mut self) -> Attempt {
        let attempt = tokio::time::timeout(PATIENCE, self.attempts.recv()).await;
        attempt.expect("an attempt is made").expect("the engine runs")
    }

    /// Makes the next attempt succeed.
    pub(crate) async fn complete(&mut self, result: &str) {
        let attempt = self.attempt().await;
        self.completed(&attempt, result).await;
    }

    pub(crate) async fn completed(&self, attempt: &Attempt, result: &str) {
        let id = AttemptId {
            workflow: attempt.workflow.clone(),
            task: attempt.run.task.clone(),
            epoch: attempt.run.epoch,
        };
        let result = Bytes::copy_from_slice(result.as_bytes());
        self.reports.report(id, Report::Completed { result }).await.unwrap();
    }

    /// Tells the server to stop.
    pub(crate) fn stop(&mut self) {
        self.ending = Some(tokio::spawn(self.running.take().unwrap().shutdown()));
    }

    /// Waits until the server has ended, and says whether everything had ended by itself.
    pub(crate) async fn ended(self) -> bool {
        tokio::time::timeout(PATIENCE, self.ending.unwrap()).await.expect("the server ends").unwrap()
    }
}

pub(crate) async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let text = response.text().await.unwrap();
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Answer { status, headers, body }
}

/// A workflow of one call of `echo-agent`.
pub(crate) fn one_call() -> Value {
    json!({ "name": "trip", "tasks": [{ "id": "a", "target": "echo-agent", "input": { "n": 1 } }] })
}

/// A workflow that ends at once.
pub(crate) fn noop() -> Value {
    json!({ "name": "nothing", "tasks": [{ "id": "a" }] })
}

pub(crate) fn test(run: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE * 2, run).await.expect("the test ends") });
}
