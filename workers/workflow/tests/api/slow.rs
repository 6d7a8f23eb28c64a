//! Many watchers who read nothing: what is held for each is bounded, nobody waits for them, and each is told where to resume.

use std::{sync::Arc, time::Duration};

use prost::Message;
use switchboard_proto::goclaw::v1::{
    TaskProgressUpdate, WatchTasksRequest, WorkflowStatus, streaming_service_client::StreamingServiceClient,
};
use switchboard_testkit::eventually;
use tonic::{Code, Streaming};
use workflow_store::MemoryStore;
use workflow_worker::api::Settings;

use crate::scene::{PATIENCE, Scene, call, reason, workflow};

const WATCHERS: usize = 64;
const TASKS: usize = 48;
const RESULT: usize = 64 << 10;
/// What a stream may hold: 1 MiB of its own, what HTTP/2 buffers of it, and some for the last message.
const HELD: usize = 2 << 20;

/// All that is left of a stream: numbers, bytes, and how it ends.
async fn drain(stream: &mut Streaming<TaskProgressUpdate>) -> (Vec<i64>, usize, Option<tonic::Status>) {
    let (mut numbers, mut bytes) = (Vec::new(), 0);
    loop {
        match stream.message().await {
            Ok(Some(update)) => {
                bytes += update.encoded_len();
                numbers.push(update.sequence_number);
            }
            Ok(None) => return (numbers, bytes, None),
            Err(status) => return (numbers, bytes, Some(status)),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_slow_watchers_hold_little_and_hold_up_nobody() {
    let settings = Settings { slow_consumer_grace: Duration::from_millis(200), ..Settings::default() };
    let scene = Scene::with(Arc::new(MemoryStore::default()), settings).await;
    let large = format!("\"{}\"", "x".repeat(RESULT));
    let names: Vec<_> = (0..TASKS).map(|n| format!("t{n}")).collect();
    let id = scene.submit(workflow(names.iter().map(|name| call(name, "hold", &[])))).await;
    // A connection of their own: those who read are not to wait for its window.
    let mut streams = StreamingServiceClient::new(scene.another_channel(64 << 10).await);
    let request =
        WatchTasksRequest { workflow_id: id.clone(), resume_from_sequence: 1, ..Default::default() };
    let mut watchers = Vec::new();
    for _ in 0..WATCHERS {
        watchers.push(streams.watch_tasks(request.clone()).await.unwrap().into_inner());
    }

    for name in &names {
        scene.complete(name, &large).await;
    }
    scene.until(&id, WorkflowStatus::Completed).await;
    let forgotten = async || if scene.engine.watched() == 0 { Ok(()) } else { Err("watched") };
    eventually(PATIENCE, forgotten).await.unwrap();

    let mut all = scene.streams().watch_tasks(request.clone()).await.unwrap().into_inner();
    let (all, sent, end) = drain(&mut all).await;
    assert!(end.is_none() && sent > TASKS * RESULT && sent > HELD, "there was more than is held: {sent}");
    for (number, mut watcher) in watchers.into_iter().enumerate() {
        let (mut seen, held, end) = drain(&mut watcher).await;
        assert!(held <= HELD, "{held} bytes were held for watcher {number}");
        let end = end.expect("nobody has got all of it");
        assert_eq!((end.code(), reason(&end).0.as_str()), (Code::ResourceExhausted, "SLOW_CONSUMER"));
        let last: i64 = end.metadata().get("x-last-sequence").unwrap().to_str().unwrap().parse().unwrap();
        if number % 16 == 0 {
            // Of an event with several updates some may be out, and come again.
            seen.retain(|number| *number <= last);
            let resumed = WatchTasksRequest { resume_from_sequence: last, ..request.clone() };
            let mut resumed = scene.streams().watch_tasks(resumed).await.unwrap().into_inner();
            seen.extend(drain(&mut resumed).await.0);
            assert_eq!(seen, all, "watcher {number} sees all, once");
        }
    }
}
