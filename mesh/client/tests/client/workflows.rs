//! Workflows: the same key on every attempt, and streams without gap or duplicate.

use std::time::Duration;

use switchboard_client::{Client, Config, RetryPolicy, Updates, Workflows};
use switchboard_proto::goclaw::v1::*;
use switchboard_proto::rpc;
use switchboard_testkit::engine::{Engine, Script};
use tonic::{Code, Status};

async fn workflows(engine: &Engine) -> Workflows {
    within(engine, Duration::from_secs(60)).await
}

async fn within(engine: &Engine, resume_within: Duration) -> Workflows {
    let retry = RetryPolicy { base: Duration::from_millis(1), ..RetryPolicy::default() };
    let config = Config { retry, resume_within, ..Config::default() };
    Client::connect_with(engine.start(), config).await.unwrap().workflows()
}

fn away() -> Result<(), Status> {
    Err(Status::unavailable("restarts"))
}

fn update(sequence_number: i64, status: WorkflowStatus) -> WorkflowStatusUpdate {
    WorkflowStatusUpdate { sequence_number, status: status.into(), ..Default::default() }
}

fn task(sequence_number: i64, task_id: &str) -> TaskProgressUpdate {
    TaskProgressUpdate { sequence_number, task_id: task_id.into(), ..Default::default() }
}

fn lines(words: &[(i64, &str)]) -> LogStreamResponse {
    let entry = |&(seconds, message): &(i64, &str)| LogEntry {
        timestamp: Some(prost_types::Timestamp { seconds, nanos: 0 }),
        message: message.into(),
        ..Default::default()
    };
    LogStreamResponse { entries: words.iter().map(entry).collect(), error: None }
}

/// Keys of the submissions.
fn keys(engine: &Engine) -> Vec<String> {
    engine.submitted.lock().unwrap().iter().map(|(key, _)| key.clone()).collect()
}

async fn numbers(mut updates: Updates<WorkflowStatusUpdate>) -> Vec<i64> {
    let mut numbers = Vec::new();
    while let Some(update) = updates.next().await {
        numbers.push(update.unwrap().sequence_number);
    }
    numbers
}

#[tokio::test]
async fn a_submission_is_tried_again_with_the_same_key() {
    let engine = Engine::default();
    engine.failures.lock().unwrap().extend([Status::unavailable("a"), Status::unavailable("b")]);
    let workflows = workflows(&engine).await;
    assert_eq!(workflows.submit(Default::default()).await.unwrap().workflow_id, "w1");
    workflows.submit(Default::default()).await.unwrap();
    workflows.submit_with_key("mine", Default::default()).await.unwrap();
    let keys = keys(&engine);
    assert!(keys[0].len() == 32 && keys[0] == keys[1] && keys[1] == keys[2], "{keys:?}");
    assert!(keys[3] != keys[0] && keys[4] == "mine", "another submission has another key: {keys:?}");
}

#[tokio::test]
async fn a_key_of_the_client_takes_the_random_ones_place() {
    let engine = Engine::default();
    let client = Client::connect(engine.start()).await.unwrap();
    let client = client.with_header("idempotency-key", "order-7").unwrap();
    client.workflows().submit(Default::default()).await.unwrap();
    assert_eq!(keys(&engine), ["order-7"]);
}

#[tokio::test]
async fn a_batch_is_tried_again_with_the_same_key() {
    let engine = Engine::default();
    engine.failures.lock().unwrap().push_back(Status::unavailable("a"));
    let workflows = workflows(&engine).await;
    workflows.submit_all(Default::default()).await.unwrap();
    let keys = engine.keys.lock().unwrap().clone();
    assert!(keys.len() == 2 && keys[0] == keys[1] && keys[0].len() == 32, "{keys:?}");
}

#[tokio::test]
async fn a_refused_submission_says_which_fields_are_wrong_and_is_not_tried_again() {
    let engine = Engine::default();
    let violation = rpc::FieldViolation { field: "tasks[0].id".into(), description: "is empty".into() };
    let status = rpc::Status::new(3, "wrong", "VALIDATION_FAILED", [], None).violating(vec![violation]);
    let details = prost::Message::encode_to_vec(&status);
    let refused = Status::with_details(Code::InvalidArgument, "wrong", details.into());
    engine.failures.lock().unwrap().push_back(refused);
    let error = workflows(&engine).await.submit(Default::default()).await.unwrap_err();
    assert_eq!(error.violations()[0].field, "tasks[0].id");
    assert_eq!(keys(&engine).len(), 1);
}

#[tokio::test]
async fn a_watch_resumes_behind_the_last_update_without_duplicates() {
    let engine = Engine::default();
    let heartbeat =
        WorkflowStatusUpdate { message: "heartbeat".into(), ..update(7, WorkflowStatus::Running) };
    let slow = {
        let mut status = Status::resource_exhausted("slow consumer");
        status.metadata_mut().insert("x-last-sequence", 7.into());
        status
    };
    let scripts: [Script<_>; 5] = [
        (vec![update(3, WorkflowStatus::Pending), update(5, WorkflowStatus::Running)], away()),
        (vec![], away()),
        (vec![update(5, WorkflowStatus::Running), heartbeat], Err(slow)),
        (vec![update(8, WorkflowStatus::Running)], Err(Status::unavailable("again"))),
        (vec![update(8, WorkflowStatus::Running), update(9, WorkflowStatus::Completed)], away()),
    ];
    engine.workflow.lock().unwrap().extend(scripts);
    let updates = workflows(&engine).await.watch("w1", 0).await.unwrap();
    assert_eq!(numbers(updates).await, [3, 5, 8, 9]);
    assert_eq!(*engine.resumed.lock().unwrap(), [0, 5, 5, 7, 8], "a heartbeat's number counts");
}

#[tokio::test]
async fn a_heartbeat_is_no_update_even_if_it_is_the_first_that_comes() {
    let engine = Engine::default();
    let heartbeat = |number| WorkflowStatusUpdate {
        message: "heartbeat".into(),
        ..update(number, WorkflowStatus::Running)
    };
    let cancelled =
        WorkflowStatusUpdate { message: "heartbeat".into(), ..update(9, WorkflowStatus::Cancelled) };
    engine.workflow.lock().unwrap().push_back((vec![heartbeat(5), heartbeat(7), cancelled], Ok(())));
    let updates = workflows(&engine).await.watch("w1", 3).await.unwrap();
    assert_eq!(numbers(updates).await, [9]);
}

#[tokio::test]
async fn a_large_result_comes_in_pieces_and_goes_on_where_it_broke() {
    let engine = Engine::default();
    let piece = |data: &str| TaskResultChunk { data: data.into(), ..Default::default() };
    engine
        .pieces
        .lock()
        .unwrap()
        .extend([(vec![piece("[1,"), piece("2")], away()), (vec![piece(",3]")], Ok(()))]);
    let result = workflows(&engine).await.task_result("w1", "large").await.unwrap();
    assert_eq!(result.result_data, b"[1,2,3]");
    assert_eq!(*engine.resumed.lock().unwrap(), [0, 4]);
}

#[tokio::test]
async fn a_watch_gives_up_when_it_hears_nothing_for_too_long() {
    let engine = Engine::default();
    engine.workflow.lock().unwrap().push_back((vec![update(3, WorkflowStatus::Running)], away()));
    let workflows = within(&engine, Duration::from_millis(50)).await;
    let mut updates = workflows.watch("w1", 0).await.unwrap();
    assert_eq!(updates.next().await.unwrap().unwrap().sequence_number, 3);
    assert_eq!(updates.next().await.unwrap().unwrap_err().message(), "the script is over");
    assert!(updates.next().await.is_none(), "an error is the last");
}

#[tokio::test]
async fn a_failure_that_waiting_does_not_mend_ends_a_watch_at_once() {
    let engine = Engine::default();
    let gone = Err(Status::not_found("purged"));
    engine.workflow.lock().unwrap().push_back((vec![update(3, WorkflowStatus::Running)], gone));
    let mut updates = workflows(&engine).await.watch("w1", 0).await.unwrap();
    updates.next().await.unwrap().unwrap();
    assert_eq!(updates.next().await.unwrap().unwrap_err().code(), Code::NotFound);
    assert_eq!(engine.resumed.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn tasks_begin_with_their_states_and_an_event_of_several_tasks_survives_a_break_amid_it() {
    let engine = Engine::default();
    let state = |id: &str| TaskStatusDetail { task_id: id.into(), ..Default::default() };
    engine.statuses.lock().unwrap().push_back(GetWorkflowStatusResponse {
        sequence_number: 4,
        tasks: vec![state("a"), state("b")],
        ..Default::default()
    });
    engine.tasks.lock().unwrap().extend([
        // Event 7 resets both tasks; the stream breaks between the two.
        (vec![task(6, "a"), task(7, "a")], away()),
        (vec![task(7, "a"), task(7, "b"), task(9, "")], away()),
        (vec![task(10, "b")], Ok(())),
    ]);
    let mut updates = workflows(&engine).await.watch_tasks("w1", &[], 0).await.unwrap();
    let mut seen = Vec::new();
    while let Some(update) = updates.next().await {
        let update = update.unwrap();
        seen.push((update.sequence_number, update.task_id));
    }
    let expected = [(4, "a"), (4, "b"), (6, "a"), (7, "a"), (7, "b"), (10, "b")];
    assert_eq!(seen, expected.map(|(number, id)| (number, id.to_owned())));
    assert_eq!(*engine.resumed.lock().unwrap(), [4, 6, 9]);
}

#[tokio::test]
async fn log_lines_come_once_though_the_engine_tells_them_again() {
    let engine = Engine::default();
    engine.logs.lock().unwrap().extend([
        (vec![lines(&[(1, "a"), (2, "b")]), lines(&[(2, "b")])], away()),
        (vec![lines(&[(1, "a"), (2, "b"), (2, "b"), (3, "c")])], Ok(())),
    ]);
    let request = LogStreamRequest { workflow_id: "w1".into(), ..Default::default() };
    let mut entries = workflows(&engine).await.logs(request).await.unwrap();
    let mut seen = Vec::new();
    while let Some(entry) = entries.next().await {
        seen.push(entry.unwrap().message);
    }
    assert_eq!(seen, ["a", "b", "b", "c"]);
}

#[tokio::test]
async fn a_list_goes_through_its_pages() {
    let engine = Engine::default();
    let page = |ids: &[&str], next: &str| {
        let row = |id: &&str| WorkflowSummary { workflow_id: (*id).into(), ..Default::default() };
        let next_page_token = next.to_owned();
        let pagination = Some(PaginationResponse { next_page_token, total_count: 3 });
        ListWorkflowsResponse { workflows: ids.iter().map(row).collect(), pagination, error: None }
    };
    engine.pages.lock().unwrap().extend([page(&["c", "b"], "t1"), page(&["a"], "")]);
    let mut rows = workflows(&engine).await.list(Default::default());
    let mut seen = Vec::new();
    while let Some(row) = rows.next().await {
        seen.push(row.unwrap().workflow_id);
    }
    assert_eq!(seen, ["c", "b", "a"]);
    assert_eq!(*engine.tokens.lock().unwrap(), ["", "t1"]);
}

#[tokio::test]
async fn a_run_waits_for_the_end_and_gives_the_last_state() {
    let engine = Engine::default();
    engine.workflow.lock().unwrap().extend([
        (vec![update(3, WorkflowStatus::Running)], away()),
        (vec![update(9, WorkflowStatus::Failed)], Ok(())),
    ]);
    let failed = GetWorkflowStatusResponse { status: WorkflowStatus::Failed.into(), ..Default::default() };
    engine.statuses.lock().unwrap().push_back(failed);
    let end = workflows(&engine).await.run(Default::default()).await.unwrap();
    assert_eq!(end.status(), WorkflowStatus::Failed);
}

#[tokio::test]
async fn schedules_are_made_once_and_listed_page_by_page() {
    let engine = Engine::default();
    engine.failures.lock().unwrap().push_back(Status::unavailable("a"));
    let schedules = workflows(&engine).await.schedules();
    for id in ["a", "b"] {
        let request = CreateScheduleRequest { schedule_id: id.into(), ..Default::default() };
        assert_eq!(schedules.create(request).await.unwrap().schedule_id, id);
    }
    engine.failures.lock().unwrap().push_back(Status::unavailable("a"));
    assert_eq!(schedules.trigger("b").await.unwrap().workflow_id, "b:now");
    let keys = engine.keys.lock().unwrap().clone();
    assert!(keys[0] == keys[1] && keys[1] != keys[2] && keys[3] == keys[4], "{keys:?}");
    let (mut rows, mut seen) = (schedules.list(), Vec::new());
    while let Some(row) = rows.next().await {
        let row = row.unwrap();
        seen.push((row.schedule_id, row.runs_total));
    }
    assert_eq!(seen, [("a".to_owned(), 0), ("b".to_owned(), 1)]);
    assert_eq!(*engine.tokens.lock().unwrap(), ["", "1"]);
}

#[tokio::test]
async fn a_schedule_is_paused_with_a_note_resumed_and_deleted() {
    let engine = Engine::default();
    engine.schedules.lock().unwrap().push(Schedule { schedule_id: "a".into(), ..Default::default() });
    let schedules = workflows(&engine).await.schedules();
    let paused = schedules.pause("a", "holidays").await.unwrap();
    assert_eq!((paused.paused, paused.note.as_str()), (true, "holidays"));
    assert!(!schedules.resume("a").await.unwrap().paused);
    schedules.delete("a").await.unwrap();
    assert_eq!(schedules.get("a").await.unwrap_err().code(), Code::NotFound);
}
