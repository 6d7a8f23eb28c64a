//! A scripted executor, and workflows to give it.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::sync::mpsc;
use workflow_machine::{
    Call, Function, Millis, Request, SignalKind, Spec, Status, TaskError, TaskSpec, Work, Workflow,
    WorkflowId,
};
use workflow_store::{MemoryStore, Store};
use workflow_worker::{
    attempt::{Attempt, AttemptId, Executor, Inbox, Report, Reports, Untaken},
    engine::{Engine, Settings, StartError, Submitted},
    spec::Submission,
};

/// Anything that takes longer has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What the executor was asked to do.
#[derive(Debug)]
pub(crate) enum Asked {
    Run(Box<Attempt>),
    Stop(AttemptId, u64),
    Signal(AttemptId, SignalKind),
}

struct Script(mpsc::UnboundedSender<Asked>);

impl Executor for Script {
    fn run(&self, attempt: Attempt) {
        let _ = self.0.send(Asked::Run(Box::new(attempt)));
    }

    fn stop(&self, attempt: &AttemptId, grace_ms: u64) {
        let _ = self.0.send(Asked::Stop(attempt.clone(), grace_ms));
    }

    fn signal(&self, attempt: &AttemptId, kind: SignalKind, _: Bytes) {
        let _ = self.0.send(Asked::Signal(attempt.clone(), kind));
    }
}

/// An engine whose attempts the test makes.
pub(crate) struct Scripted {
    pub(crate) engine: Engine,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) reports: Reports,
    asked: mpsc::UnboundedReceiver<Asked>,
}

impl Scripted {
    pub(crate) async fn start() -> Self {
        Self::on(Arc::new(MemoryStore::default())).await
    }

    pub(crate) async fn on(store: Arc<dyn Store>) -> Self {
        Self::with(store, Settings::default()).await
    }

    pub(crate) async fn with(store: Arc<dyn Store>, settings: Settings) -> Self {
        Self::launch(move |executor, inbox| {
            let used = store.clone();
            (store, Engine::start(used, settings, executor, inbox))
        })
        .await
    }

    /// By the test's own clock.
    pub(crate) async fn by(clock: fn() -> Millis, store: Arc<dyn Store>) -> Self {
        Self::start_by(clock, store, Settings::default()).await
    }

    pub(crate) async fn start_by(clock: fn() -> Millis, store: Arc<dyn Store>, settings: Settings) -> Self {
        Self::launch(move |executor, inbox| {
            let used = store.clone();
            (store, Engine::start_by(clock, used, settings, executor, inbox))
        })
        .await
    }

    async fn launch<F>(start: F) -> Self
    where
        F: FnOnce(Arc<Script>, Inbox) -> (Arc<dyn Store>, Result<Engine, StartError>) + Send + 'static,
    {
        let (sender, asked) = mpsc::unbounded_channel();
        let (reports, inbox) = Reports::channel();
        let start = move || start(Arc::new(Script(sender)), inbox);
        let (store, engine) = tokio::task::spawn_blocking(start).await.unwrap();
        Self { engine: engine.unwrap(), store, reports, asked }
    }

    /// What the executor is asked next.
    pub(crate) async fn asked(&mut self) -> Asked {
        let asked = tokio::time::timeout(PATIENCE, self.asked.recv()).await;
        asked.expect("the executor is asked something").expect("the engine runs")
    }

    /// The next attempt.
    pub(crate) async fn attempt(&mut self) -> Attempt {
        match self.asked().await {
            Asked::Run(attempt) => *attempt,
            other => panic!("an attempt was expected, not {other:?}"),
        }
    }

    /// What the executor was asked that nobody has looked at.
    pub(crate) fn nothing_asked(&mut self) -> bool {
        self.asked.try_recv().is_err()
    }

    pub(crate) async fn submit(&self, spec: Spec) -> WorkflowId {
        let taken = self.engine.submit(vec![Submission { id: None, spec }], false, None).await.unwrap();
        let [Ok(Submitted { id, .. })] = &taken[..] else { panic!("{taken:?}") };
        id.clone()
    }

    pub(crate) async fn complete(&self, attempt: &Attempt, result: &str) -> Result<(), Untaken> {
        let result = Bytes::copy_from_slice(result.as_bytes());
        self.reports.report(name(attempt), Report::Completed { result }).await.map(|_| ())
    }

    pub(crate) async fn fail(&self, attempt: &Attempt, error: TaskError) -> Result<(), Untaken> {
        self.reports.report(name(attempt), Report::Failed { error }).await.map(|_| ())
    }

    pub(crate) async fn status(&self, id: &WorkflowId) -> Status {
        self.engine.read(id, Workflow::status).await.unwrap()
    }

    /// Ends the engine, as a process that stops in good order.
    pub(crate) async fn stop(self) -> Arc<dyn Store> {
        let engine = self.engine;
        tokio::task::spawn_blocking(move || engine.stop()).await.unwrap();
        self.store
    }
}

pub(crate) fn name(attempt: &Attempt) -> AttemptId {
    AttemptId { workflow: attempt.workflow.clone(), task: attempt.run.task.clone(), epoch: attempt.run.epoch }
}

/// A workflow of these tasks.
pub(crate) fn workflow(tasks: Vec<TaskSpec>) -> Spec {
    Spec { name: "test".to_owned(), tasks, ..Spec::default() }
}

/// A task that calls `echo-agent`, after these.
pub(crate) fn call(id: &str, after: &[&str]) -> TaskSpec {
    let call = Call { target: "echo-agent".to_owned(), input: "{}".into(), ..Call::default() };
    task(id, after, Work::Call(call))
}

/// A task for an external worker.
pub(crate) fn function(id: &str) -> TaskSpec {
    task(id, &[], Work::Function(Function { queue: "q".to_owned(), ..Function::default() }))
}

pub(crate) fn task(id: &str, after: &[&str], work: Work) -> TaskSpec {
    TaskSpec {
        id: id.to_owned(),
        dependencies: after.iter().map(|&id| id.to_owned()).collect(),
        work: Some(work),
        ..TaskSpec::default()
    }
}

/// What a call is asked.
pub(crate) fn called(attempt: &Attempt) -> &Call {
    match &attempt.run.request {
        Request::Call(call) => call,
        other => panic!("{other:?} is no call"),
    }
}

pub(crate) fn test(run: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE * 2, run).await.expect("the test ends") });
}
