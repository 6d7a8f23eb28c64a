//! Queues of external workers: order, credit, leases, answers. The time is paused.

use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use tokio::time::Instant;
use workflow_machine::{SignalKind, TaskError};

use super::{Engine, NOWHERE, attempt, function};
use crate::attempt::{AttemptId, Executor, Kept, Report, Untaken};
use crate::executor::functions::{Beat, PollRefused, Pulse, Settings, Tasks};

const SECOND: Duration = Duration::from_secs(1);

fn engine() -> Engine {
    engine_with(Settings::default())
}

fn engine_with(functions: Settings) -> Engine {
    Engine::new(NOWHERE, crate::executor::Settings { functions, ..crate::executor::Settings::default() })
}

fn queued(engine: &Engine, task: &str, queue: &str, priority: i32) -> AttemptId {
    let mut attempt = attempt(task, function(queue));
    attempt.run.priority = priority;
    let id = attempt.id();
    engine.executors.run(attempt);
    id
}

fn poll(engine: &Engine, worker: &str, queues: &[&str], max_in_flight: usize) -> Tasks {
    let queues = queues.iter().map(|queue| (*queue).to_owned()).collect();
    engine.executors.functions().poll(worker, queues, max_in_flight).unwrap()
}

/// What is known without asking the engine.
async fn soon<T>(answer: impl Future<Output = T>) -> T {
    tokio::time::timeout(SECOND, answer).await.expect("nobody is asked")
}

/// The name of the next task, for which the stream may have to wait.
async fn next(tasks: &mut Tasks) -> String {
    let next = tokio::time::timeout(SECOND, tasks.next()).await;
    next.expect("somebody is woken for it").expect("the stream goes on").run.task.clone()
}

/// Names of the tasks that the stream gives without waiting.
fn now(tasks: &mut Tasks) -> Vec<String> {
    std::iter::from_fn(|| tasks.next().now_or_never()).map(|task| task.unwrap().run.task.clone()).collect()
}

fn beat(id: &AttemptId, percent: u32) -> Vec<Beat> {
    vec![Beat { id: id.clone(), percent, message: "at it".to_owned() }]
}

async fn pulse(engine: &Engine, worker: &str, id: &AttemptId) -> Pulse {
    engine.executors.functions().heartbeat(worker, beat(id, 0)).await.remove(0)
}

/// Answers while the engine takes the answer.
async fn complete(engine: &mut Engine, id: &AttemptId, taken: Result<Kept, Untaken>) -> Result<(), Untaken> {
    let functions = engine.executors.functions().clone();
    let complete = functions.complete(id.clone(), Bytes::from_static(b"1"));
    tokio::join!(complete, engine.answered(taken)).0
}

#[tokio::test(start_paused = true)]
async fn higher_priorities_go_first_and_then_what_came_first() {
    let engine = engine();
    for (task, queue, priority) in
        [("a", "q", 0), ("b", "q", 0), ("high", "q", 5), ("r", "r", 1), ("x", "other", 9)]
    {
        queued(&engine, task, queue, priority);
    }
    let mut tasks = poll(&engine, "w", &["q", "r"], 10);
    assert_eq!(now(&mut tasks), ["high", "r", "a", "b"]);
    let stats = engine.executors.functions().stats();
    let stats: Vec<_> = stats.iter().map(|q| (q.queue.as_str(), q.waiting, q.leased, q.streams)).collect();
    assert_eq!(stats, [("other", 1, 0, 0), ("q", 0, 3, 1), ("r", 0, 1, 1)]);
}

#[tokio::test(start_paused = true)]
async fn answer_is_the_credit_for_another_task() {
    let mut engine = engine();
    let ids = ["a", "b", "c"].map(|task| queued(&engine, task, "q", 0));
    let mut tasks = poll(&engine, "w", &["q"], 2);
    assert_eq!(now(&mut tasks), ["a", "b"]);
    // Another stream of the same worker has no more credit, one of another worker has its own.
    assert!(now(&mut poll(&engine, "w", &["q"], 2)).is_empty());
    complete(&mut engine, &ids[0], Ok(Kept::default())).await.unwrap();
    assert_eq!(next(&mut tasks).await, "c");
    queued(&engine, "d", "q", 0);
    assert_eq!(now(&mut poll(&engine, "other", &["q"], 1)), ["d"]);
}

#[tokio::test(start_paused = true)]
async fn attempt_that_comes_wakes_one_that_waits_and_has_credit() {
    let engine = engine();
    let mut busy = poll(&engine, "busy", &["q", "own"], 1);
    let mut idle = poll(&engine, "idle", &["q"], 1);
    let mut gone = poll(&engine, "gone", &["q"], 1);
    assert!(gone.next().now_or_never().is_none(), "parked first");
    assert!(busy.next().now_or_never().is_none());
    assert!(idle.next().now_or_never().is_none());
    queued(&engine, "mine", "own", 0);
    let waits = tokio::spawn(async move { next(&mut idle).await });
    tokio::task::yield_now().await;
    assert_eq!(next(&mut busy).await, "mine");
    // Wakes the one that goes away before it looks: the attempt must not wait for it.
    queued(&engine, "a", "q", 0);
    drop(gone);
    assert_eq!(waits.await.unwrap(), "a");
}

#[tokio::test(start_paused = true)]
async fn stream_without_reader_takes_nothing_along() {
    let engine = engine();
    let unread = poll(&engine, "slow", &["q"], 100);
    queued(&engine, "a", "q", 0);
    assert_eq!(now(&mut poll(&engine, "w", &["q"], 1)), ["a"]);
    drop(unread);
}

#[tokio::test(start_paused = true)]
async fn lease_runs_out_without_a_heartbeat() {
    let mut engine = engine();
    // There was nothing to wait for until now.
    tokio::time::sleep(SECOND).await;
    let id = queued(&engine, "a", "q", 0);
    let mut tasks = poll(&engine, "w", &["q"], 1);
    let begun = Instant::now();
    assert_eq!(now(&mut tasks), ["a"]);
    tokio::time::sleep(20 * SECOND).await;
    assert!(!pulse(&engine, "w", &id).await.stale);
    assert!(matches!(engine.report().await.1, Report::Progress { percent: 0, .. }));
    let (lost, report) = engine.report().await;
    assert!(lost == id && matches!(report, Report::Lost), "{report:?}");
    let lasted = begun.elapsed();
    assert!((50 * SECOND..51 * SECOND).contains(&lasted), "30 s after the heartbeat at 20 s: {lasted:?}");
    assert_eq!(engine.executors.metrics().expired.get(), 1);
    // The worker is free for the next one, and what it says of the old one counts only if the engine says so.
    queued(&engine, "b", "q", 0);
    assert_eq!(now(&mut tasks), ["b"]);
    let functions = engine.executors.functions().clone();
    let late = functions.heartbeat("w", beat(&id, 1));
    let stale = Err(Untaken::Stale("epoch 8 counts".to_owned()));
    assert!(tokio::join!(late, engine.answered(stale)).0[0].stale);
}

#[tokio::test(start_paused = true)]
async fn only_news_are_reported() {
    let mut engine = engine();
    let id = queued(&engine, "a", "q", 0);
    assert_eq!(now(&mut poll(&engine, "w", &["q"], 1)), ["a"]);
    for percent in [10, 10, 20, 500, 100] {
        engine.executors.functions().heartbeat("w", beat(&id, percent)).await;
    }
    for expected in [10, 20, 100] {
        let (_, report) = engine.report().await;
        assert!(matches!(report, Report::Progress { percent, .. } if percent == expected), "{report:?}");
    }
    assert!(engine.is_silent());
}

#[tokio::test(start_paused = true)]
async fn answer_is_taken_once_and_again_if_it_is_repeated() {
    let mut engine = engine();
    let id = queued(&engine, "a", "q", 0);
    let tasks = &mut poll(&engine, "w", &["q"], 1);
    assert_eq!(now(tasks), ["a"]);
    complete(&mut engine, &id, Ok(Kept::default())).await.unwrap();
    let functions = engine.executors.functions().clone();
    assert_eq!(soon(functions.complete(id.clone(), Bytes::new())).await, Ok(()), "a connection broke, say");
    assert!(engine.is_silent() && !functions.knows(&id));
    // Another answer to the same attempt is for the engine to judge.
    let other = functions.fail(id.clone(), TaskError::permanent("X", "changed its mind"));
    let stale = Err(Untaken::Stale("it completed".to_owned()));
    assert!(matches!(tokio::join!(other, engine.answered(stale)).0, Err(Untaken::Stale(_))));
    tokio::time::sleep(60 * SECOND).await;
    assert!(engine.is_silent(), "no lease is left that could run out");
}

#[tokio::test(start_paused = true)]
async fn failure_says_whether_another_attempt_follows() {
    let mut engine = engine();
    let id = queued(&engine, "a", "q", 0);
    assert_eq!(now(&mut poll(&engine, "w", &["q"], 1)), ["a"]);
    let functions = engine.executors.functions().clone();
    let error = TaskError::retryable("BUSY", "later");
    let fail = functions.fail(id.clone(), error.clone());
    let (answer, (_, report)) = tokio::join!(fail, engine.answered(Ok(Kept { will_retry: true })));
    assert!(matches!(report, Report::Failed { error: told } if told == error));
    assert_eq!(answer, Ok(Kept { will_retry: true }));
    assert_eq!(soon(functions.fail(id, error)).await, Ok(Kept { will_retry: true }), "again the same");
}

#[tokio::test(start_paused = true)]
async fn answer_goes_on_without_its_caller() {
    let mut engine = engine();
    let id = queued(&engine, "a", "q", 0);
    assert_eq!(now(&mut poll(&engine, "w", &["q"], 1)), ["a"]);
    let functions = engine.executors.functions().clone();
    assert!(functions.complete(id.clone(), Bytes::new()).now_or_never().is_none(), "hung up");
    assert!(matches!(engine.report().await.1, Report::Completed { .. }));
    let settled = async || if functions.knows(&id) { Err("leased") } else { Ok(()) };
    switchboard_testkit::eventually(10 * SECOND, settled).await.unwrap();
    assert_eq!(soon(functions.complete(id, Bytes::new())).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn answer_that_the_engine_cannot_take_leaves_the_lease() {
    let mut engine = engine();
    let id = queued(&engine, "a", "q", 0);
    assert_eq!(now(&mut poll(&engine, "w", &["q"], 1)), ["a"]);
    assert_eq!(complete(&mut engine, &id, Err(Untaken::Closed)).await, Err(Untaken::Closed));
    assert!(engine.executors.functions().knows(&id));
    complete(&mut engine, &id, Ok(Kept::default())).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn stop_with_grace_is_told_by_the_heartbeat_and_ends_the_lease_in_time() {
    let mut engine = engine();
    let id = queued(&engine, "a", "q", 0);
    let mut tasks = poll(&engine, "w", &["q"], 1);
    assert_eq!(now(&mut tasks), ["a"]);
    assert!(!pulse(&engine, "w", &id).await.cancel_requested);
    engine.executors.stop(&id, 15_000);
    let begun = Instant::now();
    tokio::time::sleep(10 * SECOND).await;
    assert!(pulse(&engine, "w", &id).await.cancel_requested);
    assert!(matches!(engine.report().await.1, Report::Progress { .. }));
    assert!(matches!(engine.report().await.1, Report::Lost));
    let lasted = begun.elapsed();
    assert!((15 * SECOND..16 * SECOND).contains(&lasted), "heartbeats do not outlast the grace: {lasted:?}");
}

#[tokio::test(start_paused = true)]
async fn answer_within_the_grace_counts() {
    let mut engine = engine();
    let id = queued(&engine, "a", "q", 0);
    assert_eq!(now(&mut poll(&engine, "w", &["q"], 1)), ["a"]);
    engine.executors.stop(&id, 15_000);
    complete(&mut engine, &id, Ok(Kept::default())).await.unwrap();
    tokio::time::sleep(60 * SECOND).await;
    assert!(engine.is_silent());
}

#[tokio::test(start_paused = true)]
async fn stop_of_one_that_waits_forgets_it() {
    let mut engine = engine();
    let ids = ["graceful", "forced"].map(|task| queued(&engine, task, "q", 0));
    engine.executors.stop(&ids[0], 15_000);
    engine.executors.stop(&ids[1], 0);
    let (lost, report) = engine.report().await;
    assert!(lost == ids[0] && matches!(report, Report::Lost), "{report:?}");
    assert!(now(&mut poll(&engine, "w", &["q"], 9)).is_empty());
    assert!(engine.is_silent());
}

#[tokio::test(start_paused = true)]
async fn steer_waits_for_the_heartbeat_in_order_and_within_bounds() {
    let engine = engine();
    let id = queued(&engine, "a", "q", 0);
    for number in 0..70 {
        engine.executors.signal(&id, SignalKind::Steer, Bytes::from(format!("{number}")));
    }
    assert_eq!(now(&mut poll(&engine, "w", &["q"], 1)), ["a"]);
    let signals = pulse(&engine, "w", &id).await.signals;
    assert_eq!((signals.len(), signals[0].as_ref(), signals[63].as_ref()), (64, &b"6"[..], &b"69"[..]));
    assert!(pulse(&engine, "w", &id).await.signals.is_empty(), "delivered once");
    assert_eq!(engine.executors.metrics().dropped_signals.get(), 6);
}

#[tokio::test(start_paused = true)]
async fn worker_keeps_what_it_has_from_before_a_restart() {
    let engine = engine();
    let id = queued(&engine, "a", "q", 0);
    assert!(!pulse(&engine, "w", &id).await.stale);
    assert!(now(&mut poll(&engine, "other", &["q"], 1)).is_empty(), "nobody else gets it");
    assert!(now(&mut poll(&engine, "w", &["q"], 1)).is_empty(), "and it counts against the credit");
    assert!(pulse(&engine, "other", &id).await.stale);
}

#[tokio::test(start_paused = true)]
async fn lease_from_before_a_restart_that_is_not_asked_for_yet_is_the_engines_to_judge() {
    let mut engine = engine();
    let id = attempt("a", function("q")).id();
    let functions = engine.executors.functions().clone();
    let known = tokio::join!(functions.heartbeat("w", beat(&id, 3)), engine.answered(Ok(Kept::default()))).0;
    assert_eq!(known, [Pulse::default()]);
}

#[tokio::test(start_paused = true)]
async fn queue_that_is_full_fails_the_attempt_for_now() {
    for settings in [
        Settings { max_waiting: 1, ..Settings::default() },
        Settings { max_bytes: 1_000, ..Settings::default() },
    ] {
        let mut engine = engine_with(settings);
        queued(&engine, "fits", "q", 0);
        queued(&engine, "fits", "q", 0);
        assert!(engine.is_silent(), "asked for twice, it is the same one");
        queued(&engine, "over", "q", 0);
        let error = engine.outcome().await.unwrap_err();
        assert_eq!((error.code.as_str(), error.retryable), ("RESOURCE_EXHAUSTED", true));
        assert!(error.retry_after_ms > 0);
        // What is taken makes room again.
        assert_eq!(now(&mut poll(&engine, "w", &["q"], 1)), ["fits"]);
        complete(&mut engine, &attempt("fits", function("q")).id(), Ok(Kept::default())).await.unwrap();
        queued(&engine, "next", "q", 0);
        assert!(engine.is_silent());
    }
}

#[tokio::test(start_paused = true)]
async fn streams_are_bounded_and_end_with_the_engine() {
    let mut engine = engine_with(Settings { max_streams: 1, ..Settings::default() });
    let mut tasks = poll(&engine, "w", &["q"], 1);
    let functions = engine.executors.functions().clone();
    let another = functions.poll("x", vec!["q".to_owned()], 1).unwrap_err();
    assert_eq!(another, PollRefused::TooMany(1));
    let id = queued(&engine, "a", "q", 0);
    assert_eq!(now(&mut tasks), ["a"]);
    let ends = tokio::spawn(async move { tokio::time::timeout(SECOND, tasks.next()).await });
    engine.executors.drain(SECOND).await;
    assert!(ends.await.unwrap().expect("it ends").is_none());
    assert_eq!(functions.poll("x", vec!["q".to_owned()], 1).unwrap_err(), PollRefused::Closed);
    complete(&mut engine, &id, Ok(Kept::default())).await.unwrap();
    assert!(engine.is_silent());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_kept_of_what_is_over() {
    let mut engine = engine();
    let id = queued(&engine, "a", "q", 0);
    let mut tasks = poll(&engine, "w", &["q"], 1);
    assert_eq!(now(&mut tasks), ["a"]);
    let gauges = |engine: &Engine| {
        let metrics = engine.executors.metrics();
        (metrics.queued.get(), metrics.leased.get(), metrics.polls.get())
    };
    assert_eq!(gauges(&engine), (0, 1, 1));
    drop(tasks);
    complete(&mut engine, &id, Ok(Kept::default())).await.unwrap();
    assert_eq!(gauges(&engine), (0, 0, 0));
    assert!(engine.executors.functions().stats().is_empty());
}
