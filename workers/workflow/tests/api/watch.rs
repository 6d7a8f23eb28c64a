//! WatchWorkflow and WatchTasks.

use std::{sync::Arc, time::Duration};

use switchboard_proto::goclaw::v1::{
    RetryPolicy, TaskDefinition, TaskStatus, WatchTasksRequest, WatchWorkflowRequest, WorkflowDetail,
    WorkflowStatus, WorkflowStatusUpdate,
};
use switchboard_testkit::eventually;
use tokio_stream::StreamExt;
use tonic::{Code, Request, Streaming};
use workflow_machine::{Input, WorkflowId};
use workflow_store::MemoryStore;
use workflow_worker::{api::Settings, attempt::Report};

use crate::scene::{PATIENCE, Scene, call, reason, workflow, wrong_fields};

fn watch(id: &str, resume_from_sequence: i64) -> WatchWorkflowRequest {
    WatchWorkflowRequest { workflow_id: id.to_owned(), resume_from_sequence }
}

async fn next<T>(stream: &mut Streaming<T>) -> T {
    tokio::time::timeout(PATIENCE, stream.message()).await.unwrap().unwrap().unwrap()
}

/// Everything up to the end, which has to be OK.
async fn rest<T>(stream: Streaming<T>) -> Vec<T> {
    let all = stream.map(|message| message.unwrap()).collect();
    tokio::time::timeout(PATIENCE, all).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn defect_3_the_first_message_is_the_state_and_the_stream_ends_with_the_workflow() {
    let scene = Scene::start().await;
    let id = scene.submit(workflow([call("a", "hold", &[])])).await;
    scene.held("a").await;
    let mut stream = scene.streams().watch_workflow(watch(&id, 0)).await.unwrap().into_inner();
    let first = next(&mut stream).await;
    assert_eq!(first.status(), WorkflowStatus::Running);
    assert_eq!(first.sequence_number, scene.status(&id).await.sequence_number);
    scene.complete("a", "1").await;
    let updates = rest(stream).await;
    let last = updates.last().unwrap();
    assert_eq!((last.status(), last.progress_percent), (WorkflowStatus::Completed, 100));

    let over = rest(scene.streams().watch_workflow(watch(&id, 0)).await.unwrap().into_inner()).await;
    assert_eq!(
        over.iter().map(WorkflowStatusUpdate::status).collect::<Vec<_>>(),
        [WorkflowStatus::Completed]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn defect_5_a_stream_resumes_with_what_it_missed_also_after_a_restart() {
    let store = Arc::new(MemoryStore::default());
    let scene = Scene::with(store.clone(), Settings::default()).await;
    let id = scene.submit(workflow([call("a", "hold", &[])])).await;
    scene.held("a").await;
    let name = WorkflowId::new(&id);
    for _ in 0..3 {
        scene.engine.tell(&name, Input::Pause { reason: "tea".to_owned() }).await.unwrap();
        scene.engine.tell(&name, Input::Resume).await.unwrap();
    }
    let engine = scene.engine.clone();
    tokio::task::spawn_blocking(move || engine.stop()).await.unwrap();

    let scene = Scene::with(store, Settings::default()).await;
    scene.complete("a", "1").await;
    scene.until(&id, WorkflowStatus::Completed).await;
    let all = rest(scene.streams().watch_workflow(watch(&id, 1)).await.unwrap().into_inner()).await;
    let numbers: Vec<_> = all.iter().map(|update| update.sequence_number).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    let paused = all.iter().filter(|update| update.detail() == WorkflowDetail::Paused);
    assert_eq!(paused.map(|update| update.message.as_str()).collect::<Vec<_>>(), ["tea"; 3]);
    for at in 0..all.len() {
        let after = all[at].sequence_number;
        let again = rest(scene.streams().watch_workflow(watch(&id, after)).await.unwrap().into_inner()).await;
        assert_eq!(again, all[at + 1..], "after {after}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sequences_that_are_not_there_are_refused() {
    let scene = Scene::start().await;
    let id = scene.submit(workflow([call("a", "hold", &[])])).await;
    let future = scene.streams().watch_workflow(watch(&id, 999)).await.unwrap_err();
    let (why, facts) = reason(&future);
    assert_eq!((future.code(), why.as_str()), (Code::InvalidArgument, "SEQUENCE_IN_FUTURE"));
    assert!(facts["head"].parse::<u64>().unwrap() > 0);
    let negative = scene.streams().watch_workflow(watch(&id, -1)).await.unwrap_err();
    assert_eq!(wrong_fields(&negative), ["resume_from_sequence"]);
    let unknown = scene.streams().watch_workflow(watch("none", 0)).await.unwrap_err();
    assert_eq!((unknown.code(), reason(&unknown).0.as_str()), (Code::NotFound, "WORKFLOW_NOT_FOUND"));
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_are_watched_from_their_state_to_their_result() {
    let scene = Scene::start().await;
    let retry = RetryPolicy { max_attempts: 2, initial_ms: 1, ..RetryPolicy::default() };
    let a = TaskDefinition { retry: Some(retry), ..call("a", "hold", &[]) };
    let id = scene.submit(workflow([a, call("b", "", &["a"])])).await;
    scene.held("a").await;
    let request = WatchTasksRequest { workflow_id: id.clone(), ..WatchTasksRequest::default() };
    let mut stream = scene.streams().watch_tasks(request.clone()).await.unwrap().into_inner();
    let first = [next(&mut stream).await, next(&mut stream).await];
    let seen: Vec<_> = first.iter().map(|update| (update.task_id.as_str(), update.status())).collect();
    assert_eq!(seen, [("a", TaskStatus::Running), ("b", TaskStatus::Pending)]);
    let error = workflow_machine::TaskError::retryable("UNAVAILABLE", "not now");
    scene.report("a", Report::Failed { error }).await;
    scene.held("a").await;
    scene.report("a", Report::Progress { percent: 40, message: "half".to_owned() }).await;
    scene.complete("a", "{\"x\":1}").await;
    let updates = rest(stream).await;
    let find = |message: &str| updates.iter().find(|update| update.message == message).unwrap();
    assert_eq!((find("not now").error_code.as_str(), find("not now").attempt), ("UNAVAILABLE", 1));
    assert_eq!((find("half").progress_percent, find("half").attempt), (40, 2));
    let done: Vec<_> = updates.iter().filter(|update| update.status() == TaskStatus::Completed).collect();
    assert_eq!((done.len(), done[0].result_data.as_slice()), (2, &b"{\"x\":1}"[..]));
    assert!(updates.is_sorted_by(|a, b| a.sequence_number < b.sequence_number));

    let only = WatchTasksRequest {
        task_ids: vec!["b".to_owned()],
        terminal_only: true,
        resume_from_sequence: 1,
        ..request
    };
    let only = rest(scene.streams().watch_tasks(only).await.unwrap().into_inner()).await;
    assert_eq!(only.iter().map(|update| update.task_id.as_str()).collect::<Vec<_>>(), ["b"]);
    let unknown = WatchTasksRequest {
        workflow_id: id,
        task_ids: vec!["b".to_owned(), "z".to_owned()],
        ..Default::default()
    };
    let unknown = scene.streams().watch_tasks(unknown).await.unwrap_err();
    assert_eq!(wrong_fields(&unknown), ["task_ids[1]"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_stream_says_that_it_lives() {
    let settings = Settings { heartbeat: Duration::from_millis(150), ..Settings::default() };
    let scene = Scene::with(Arc::new(MemoryStore::default()), settings).await;
    let id = scene.submit(workflow([call("a", "hold", &[])])).await;
    scene.held("a").await;
    let mut stream = scene.streams().watch_workflow(watch(&id, 0)).await.unwrap().into_inner();
    let first = next(&mut stream).await;
    for _ in 0..2 {
        let beat = next(&mut stream).await;
        assert_eq!((beat.message.as_str(), beat.sequence_number), ("heartbeat", first.sequence_number));
        assert_eq!(beat.status(), WorkflowStatus::Running);
    }
    let mut request = Request::new(watch(&id, 0));
    request.metadata_mut().insert("x-heartbeat-ms", "soon".parse().unwrap());
    let refused = scene.streams().watch_workflow(request).await.unwrap_err();
    assert_eq!(wrong_fields(&refused), ["x-heartbeat-ms"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn defect_4_a_slow_reader_is_closed_and_resumes_without_a_gap() {
    let settings = Settings { slow_consumer_grace: Duration::from_millis(200), ..Settings::default() };
    let scene = Scene::with(Arc::new(MemoryStore::default()), settings).await;
    // 40 results of 200 KiB: more than HTTP/2's windows and the stream's room.
    let large = format!("\"{}\"", "x".repeat(200 << 10));
    let names: Vec<_> = (0..40).map(|n| format!("t{n}")).collect();
    let id = scene.submit(workflow(names.iter().map(|name| call(name, "hold", &[])))).await;
    let request = WatchTasksRequest { workflow_id: id.clone(), ..WatchTasksRequest::default() };
    let mut stream = scene.streams().watch_tasks(request.clone()).await.unwrap().into_inner();
    next(&mut stream).await;
    // Nobody waits for the reader.
    for name in &names {
        scene.complete(name, &large).await;
    }
    scene.until(&id, WorkflowStatus::Completed).await;
    eventually(PATIENCE, async || if scene.engine.watched() == 0 { Ok(()) } else { Err("watched") })
        .await
        .unwrap();
    let mut seen = Vec::new();
    let closed = loop {
        match stream.message().await {
            Ok(Some(update)) => seen.push(update.sequence_number),
            Ok(None) => panic!("the stream ended as if nothing was missing"),
            Err(status) => break status,
        }
    };
    assert_eq!((closed.code(), reason(&closed).0.as_str()), (Code::ResourceExhausted, "SLOW_CONSUMER"));
    let last: i64 = closed.metadata().get("x-last-sequence").unwrap().to_str().unwrap().parse().unwrap();
    assert_eq!(seen.last(), Some(&last));
    let resumed = WatchTasksRequest { resume_from_sequence: last, terminal_only: true, ..request };
    let resumed = rest(scene.streams().watch_tasks(resumed).await.unwrap().into_inner()).await;
    assert!(!resumed.is_empty() && resumed.iter().all(|update| update.sequence_number > last));
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_of_an_engine_that_stops_say_where_to_resume() {
    let scene = Scene::start().await;
    let id = scene.submit(workflow([call("a", "hold", &[])])).await;
    scene.held("a").await;
    let mut stream = scene.streams().watch_workflow(watch(&id, 0)).await.unwrap().into_inner();
    let first = next(&mut stream).await;
    let engine = scene.engine.clone();
    tokio::task::spawn_blocking(move || engine.stop()).await.unwrap();
    let closed = stream.message().await.unwrap_err();
    assert_eq!((closed.code(), reason(&closed).0.as_str()), (Code::Unavailable, "ENGINE_STOPPING"));
    assert_eq!(closed.metadata().get("x-last-sequence").unwrap(), first.sequence_number.to_string().as_str());
}
