//! Twice asked for, stopped, drained, limited.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use workflow_machine::{Call, CallKind, Request, SignalKind};

use super::backend::{Act, Backend};
use super::{Engine, attempt};
use crate::attempt::{Executor, Kept, Report, Untaken};
use crate::executor::Settings;

fn echo() -> Request {
    let target = "echo-agent".to_owned();
    Request::Call(Call { kind: CallKind::Agent.into(), target, ..Call::default() })
}

async fn engine(backend: &Backend, settings: Settings) -> Engine {
    Engine::new(&backend.start().await, settings)
}

#[tokio::test]
async fn attempt_under_way_is_not_made_twice() {
    let let_go = Arc::new(Notify::new());
    let backend = Backend::new([Act::Wait(let_go.clone())]);
    let mut engine = engine(&backend, Settings::default()).await;
    engine.executors.run(attempt("t", echo()));
    backend.until(1, 1).await;
    engine.executors.run(attempt("t", echo()));
    let_go.notify_one();
    engine.outcome().await.unwrap();
    engine.executors.drain(Duration::from_secs(20)).await;
    assert_eq!(backend.seen().len(), 1);
    assert!(engine.is_silent());
}

#[tokio::test]
async fn stop_without_grace_cancels_the_call_and_says_nothing() {
    let backend = Backend::new([Act::Hang]);
    let mut engine = engine(&backend, Settings::default()).await;
    let t = attempt("t", echo());
    engine.executors.run(t.clone());
    backend.until(1, 1).await;
    engine.executors.stop(&t.id(), 0);
    backend.until(1, 0).await;
    assert!(engine.is_silent());
}

#[tokio::test]
async fn stop_with_grace_lets_a_call_end_that_is_about_to() {
    let let_go = Arc::new(Notify::new());
    let backend = Backend::new([Act::Wait(let_go.clone())]);
    let linger = Duration::from_secs(60);
    let mut engine = engine(&backend, Settings { linger, ..Settings::default() }).await;
    let t = attempt("t", echo());
    engine.executors.run(t.clone());
    backend.until(1, 1).await;
    engine.executors.stop(&t.id(), 30_000);
    let_go.notify_one();
    assert!(engine.outcome().await.is_ok(), "what happened is known to have happened");
}

#[tokio::test]
async fn stop_with_grace_gives_up_a_call_that_goes_on() {
    let backend = Backend::new([Act::Hang]);
    let linger = Duration::from_millis(50);
    let mut engine = engine(&backend, Settings { linger, ..Settings::default() }).await;
    let t = attempt("t", echo());
    engine.executors.run(t.clone());
    backend.until(1, 1).await;
    engine.executors.stop(&t.id(), 30_000);
    let error = engine.outcome().await.unwrap_err();
    assert_eq!((error.code.as_str(), error.retryable), ("CANCELLED", false));
    backend.until(1, 0).await;
}

#[tokio::test]
async fn stop_of_what_nobody_makes_reports_it_lost() {
    let mut engine = engine(&Backend::default(), Settings::default()).await;
    let id = attempt("t", echo()).id();
    engine.executors.stop(&id, 0);
    engine.executors.stop(&id, 30_000);
    let (lost, report) = engine.report().await;
    assert!(lost == id && matches!(report, Report::Lost), "{report:?}");
    assert!(engine.is_silent(), "without a grace nobody waits for a word");
}

#[tokio::test]
async fn attempts_over_the_limit_wait_for_room() {
    let let_go = Arc::new(Notify::new());
    let backend = Backend::new([Act::Wait(let_go.clone())]);
    let mut engine = engine(&backend, Settings { max_in_flight: 1, ..Settings::default() }).await;
    engine.executors.run(attempt("first", echo()));
    backend.until(1, 1).await;
    engine.executors.run(attempt("second", echo()));
    engine.executors.run(attempt("third", echo()));
    let gauges = |engine: &Engine| {
        let metrics = engine.executors.metrics();
        (metrics.waiting.get(), metrics.in_flight.get())
    };
    let waits = async || if gauges(&engine) == (2, 1) { Ok(()) } else { Err(gauges(&engine)) };
    switchboard_testkit::eventually(Duration::from_secs(20), waits).await.unwrap();
    assert_eq!(backend.seen().len(), 1);
    // One that still waits has not been begun by anybody.
    engine.executors.stop(&attempt("second", echo()).id(), 30_000);
    let (id, report) = engine.report().await;
    assert!(id.task == "second" && matches!(report, Report::Lost), "{report:?}");
    let_go.notify_one();
    let ended = [engine.report().await.0.task, engine.report().await.0.task];
    assert_eq!(ended, ["first", "third"]);
    engine.executors.drain(Duration::from_secs(20)).await;
    assert_eq!(gauges(&engine), (0, 0));
    assert_eq!(engine.executors.metrics().completed.get(), 2);
}

#[tokio::test]
async fn drain_waits_for_calls_and_gives_up_the_rest_without_a_word() {
    let let_go = Arc::new(Notify::new());
    let backend = Backend::new([Act::Wait(let_go.clone()), Act::Hang]);
    let mut engine = engine(&backend, Settings::default()).await;
    engine.executors.run(attempt("ends", echo()));
    backend.until(1, 1).await;
    engine.executors.run(attempt("hangs", echo()));
    backend.until(2, 2).await;
    let_go.notify_one();
    let executors = engine.executors.clone();
    let drained = tokio::spawn(async move { executors.drain(Duration::from_millis(300)).await });
    assert_eq!(engine.report().await.0.task, "ends");
    drained.await.unwrap();
    backend.until(2, 0).await;
    engine.executors.run(attempt("late", echo()));
    engine.executors.drain(Duration::ZERO).await;
    assert!(engine.is_silent(), "what was given up is made again after the next start");
    assert_eq!(backend.seen().len(), 2, "nothing begins any more");
}

#[tokio::test]
async fn report_that_comes_too_late_is_counted() {
    let mut engine = engine(&Backend::default(), Settings::default()).await;
    engine.executors.run(attempt("t", echo()));
    engine.answered(Err(Untaken::Stale("it was made again".to_owned()))).await;
    engine.executors.drain(Duration::from_secs(20)).await;
    let metrics = engine.executors.metrics();
    assert_eq!((metrics.stale.get(), metrics.completed.get()), (1, 0));
}

#[tokio::test]
async fn signal_that_a_call_cannot_take_is_said_in_its_log() {
    let backend = Backend::new([Act::Hang]);
    let mut engine = engine(&backend, Settings::default()).await;
    let t = attempt("t", echo());
    engine.executors.run(t.clone());
    engine.executors.signal(&t.id(), SignalKind::Steer, Bytes::from_static(b"{}"));
    let (id, report) = engine.answered(Ok(Kept::default())).await;
    let Report::Log { level: 3, message, .. } = report else { panic!("{report:?}") };
    assert!(id == t.id() && message.contains("STEER"), "{message}");
}
