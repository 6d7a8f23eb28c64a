//! `workflow` against an engine that answers what a test wrote down.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use serde_json::{Value, json};
use switchboard_proto::goclaw::v1::*;
use switchboard_proto::rpc;
use switchboard_testkit::engine::Engine;
use tonic::{Code, Status};

use crate::process::{Finished, run, run_with_input};

const TRIP: &str = "\
name: trip
input: {destination: Rome}
tasks:
  - id: weather
    target: weather-tool
    operation: get_weather
  - id: plan
    target: itinerary-worker
    dependencies: [weather]
";

fn at(seconds: i64, millis: i32) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds, nanos: millis * 1_000_000 })
}

fn task(id: &str, status: TaskStatus, dependencies: &[&str]) -> TaskStatusDetail {
    TaskStatusDetail {
        task_id: id.into(),
        status: status.into(),
        dependencies: dependencies.iter().map(|id| (*id).into()).collect(),
        target: format!("{id}-tool"),
        max_attempts: 3,
        ..Default::default()
    }
}

fn state(status: WorkflowStatus, tasks: Vec<TaskStatusDetail>) -> GetWorkflowStatusResponse {
    GetWorkflowStatusResponse {
        workflow_id: "w1".into(),
        name: "trip".into(),
        status: status.into(),
        sequence_number: 3,
        created_at: at(1_000, 0),
        updated_at: at(1_004, 500),
        tasks,
        ..Default::default()
    }
}

fn update(sequence_number: i64, id: &str, status: TaskStatus, seconds: i64) -> TaskProgressUpdate {
    TaskProgressUpdate {
        sequence_number,
        timestamp: at(seconds, 200),
        workflow_id: "w1".into(),
        task_id: id.into(),
        status: status.into(),
        attempt: 1,
        ..Default::default()
    }
}

fn ended(sequence_number: i64, status: WorkflowStatus) -> WorkflowStatusUpdate {
    WorkflowStatusUpdate { sequence_number, status: status.into(), ..Default::default() }
}

/// An engine whose workflow runs, with a connection that breaks, to this end.
fn runs_to(status: WorkflowStatus) -> Engine {
    let begin = state(
        WorkflowStatus::Running,
        vec![task("weather", TaskStatus::Running, &[]), task("plan", TaskStatus::Pending, &["weather"])],
    );
    let mut end = state(
        status,
        vec![task("weather", TaskStatus::Completed, &[]), task("plan", TaskStatus::Completed, &["weather"])],
    );
    end.finished_at = at(1_004, 500);
    let engine = Engine::default();
    if status != WorkflowStatus::Completed {
        end.error_message = "no\x1broom".into();
    }
    engine.statuses.lock().unwrap().extend([begin, end]);
    let retried = TaskProgressUpdate {
        attempt: 2,
        progress_percent: 40,
        message: "day 2".into(),
        ..update(7, "plan", TaskStatus::Running, 1_002)
    };
    engine.tasks.lock().unwrap().extend([
        (
            vec![
                update(4, "weather", TaskStatus::Completed, 1_001),
                update(6, "plan", TaskStatus::Running, 1_001),
            ],
            Err(Status::unavailable("restarts")),
        ),
        (
            vec![
                update(6, "plan", TaskStatus::Running, 1_001),
                retried,
                update(8, "plan", TaskStatus::Completed, 1_004),
            ],
            Ok(()),
        ),
    ]);
    engine.workflow.lock().unwrap().push_back((vec![ended(9, status)], Ok(())));
    engine
}

fn with_file(engine: &Engine, args: &[&str], file: &str) -> Finished {
    run_with_input(["--endpoint", &engine.start(), "workflow"].iter().chain(args), file)
}

fn against(engine: &Engine, args: &[&str]) -> Finished {
    run(["--endpoint", &engine.start(), "workflow"].iter().chain(args))
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_person_without_terminal_reads_a_line_per_change_and_the_result() {
    let engine = runs_to(WorkflowStatus::Completed);
    engine.results.lock().unwrap().insert("plan".into(), r#"{"days":2}"#.into());
    let expected = "\
workflow w1 (trip) RUNNING, 0 of 2 tasks
  +1.2s  weather  COMPLETED
  +1.2s  plan  RUNNING
  +2.2s  plan  RUNNING  attempt 2 of 3, 40%, day 2
  +4.2s  plan  COMPLETED  after 3.0s
workflow COMPLETED after 4.5s, 2 of 2 tasks
plan: {
  \"days\": 2
}
";
    assert_eq!(with_file(&engine, &["run", "-"], TRIP).output(), expected);
}

#[test]
fn a_quiet_run_prints_the_result_alone() {
    let engine = runs_to(WorkflowStatus::Completed);
    engine.results.lock().unwrap().insert("plan".into(), r#""two days""#.into());
    assert_eq!(with_file(&engine, &["run", "-", "--quiet"], TRIP).output(), "two days\n");
}

#[test]
fn a_run_as_json_is_one_document() {
    let engine = runs_to(WorkflowStatus::Completed);
    engine.results.lock().unwrap().insert("plan".into(), r#"{"days":2}"#.into());
    let document = parsed(&with_file(&engine, &["run", "-", "--json"], TRIP).output());
    assert_eq!(document["status"], "COMPLETED");
    assert_eq!(document["results"], json!({"plan": {"days": 2}}));
    assert_eq!(document["created_at"], "1970-01-01T00:16:40Z");
    assert_eq!(document["tasks"][1]["dependencies"], json!(["weather"]));
}

#[test]
fn the_exit_code_tells_how_a_workflow_ended() {
    for (status, code, word) in
        [(WorkflowStatus::Failed, 20, "FAILED"), (WorkflowStatus::Cancelled, 21, "CANCELLED")]
    {
        for args in [&["watch", "w1"][..], &["watch", "w1", "--json"], &["run", "-"], &["run", "-", "--json"]]
        {
            let done = with_file(&runs_to(status), args, TRIP);
            assert_eq!(done.code, Some(code), "{args:?}: {done:?}");
            assert!(done.stdout.contains(word), "{done:?}");
            let said = format!("workflow w1 {}{word}: no room", if code == 21 { "was " } else { "" });
            assert!(done.stderr.contains(&said) && done.stderr.contains("workflow retry w1"), "{done:?}");
        }
    }
}

#[test]
fn a_watch_as_json_is_one_object_per_line_each_update_once() {
    let engine = runs_to(WorkflowStatus::Completed);
    let output = against(&engine, &["watch", "w1", "--json"]).output();
    let lines: Vec<_> = output.lines().map(parsed).collect();
    let kinds: Vec<_> = lines.iter().map(|line| line["type"].as_str().unwrap()).collect();
    assert_eq!((kinds[0], *kinds.last().unwrap()), ("state", "end"));
    let tasks: Vec<_> = lines.iter().filter(|line| line["type"] == "task").collect();
    let numbers: Vec<_> = tasks.iter().map(|line| line["sequence_number"].as_i64().unwrap()).collect();
    assert_eq!(numbers, [4, 6, 7, 8]);
    assert_eq!((&tasks[2]["attempt"], &tasks[2]["message"]), (&json!(2), &json!("day 2")));
    assert_eq!(lines.iter().filter(|line| line["type"] == "workflow").count(), 1);
}

#[test]
fn a_workflow_that_has_ended_is_told_at_once() {
    let engine = Engine::default();
    let done = state(WorkflowStatus::Completed, vec![task("weather", TaskStatus::Completed, &[])]);
    engine.statuses.lock().unwrap().push_back(done);
    let expected = "\
workflow w1 (trip) COMPLETED, 1 of 1 tasks
workflow COMPLETED after 4.5s, 1 of 1 tasks
";
    assert_eq!(against(&engine, &["watch", "w1"]).output(), expected);
}

#[test]
fn submit_prints_the_id_and_sends_what_the_command_line_changes() {
    let engine = Engine::default();
    let args =
        ["submit", "-", "-p", "destination=Oslo", "-p", "days=2", "--id", "mine", "--idempotency-key", "k-1"];
    assert_eq!(with_file(&engine, &args, TRIP).output(), "w1\n");
    let (key, request) = engine.submitted.lock().unwrap().pop().unwrap();
    assert_eq!((key.as_str(), request.workflow_id.as_str(), request.tasks.len()), ("k-1", "mine", 2));
    let Some(submit_workflow_request::Payload::InputJson(input)) = request.payload else { panic!() };
    assert_eq!(parsed(&String::from_utf8(input).unwrap()), json!({"destination": "Oslo", "days": 2}));
    let answer = parsed(&with_file(&engine, &["submit", "-", "--json", "--input", "[1]"], TRIP).output());
    assert_eq!((&answer["workflow_id"], &answer["status"]), (&json!("w1"), &json!("PENDING")));
}

#[test]
fn a_file_that_is_no_workflow_names_line_column_and_field() {
    let said =
        with_file(&Engine::default(), &["submit", "-"], "name: x\ntasks:\n  - id: a\n    timeout: soon\n")
            .failure(65);
    assert!(said.contains("tasks[0].timeout") && said.contains("(<stdin>:4:14)"), "{said}");
    let said = with_file(&Engine::default(), &["run", "-"], "{\"name\": \"x\"}").failure(65);
    assert!(said.contains("tasks"), "{said}");
    assert!(run(["workflow", "run", "/nowhere/trip.yaml"]).failure(64).contains("/nowhere/trip.yaml"));
}

#[test]
fn what_the_engine_refuses_is_shown_where_it_stands_in_the_file() {
    let engine = Engine::default();
    let violation = rpc::FieldViolation {
        field: "tasks[1].dependencies[0]".into(),
        description: "weather depends on plan".into(),
    };
    let details = rpc::Status::new(3, "x", "VALIDATION_FAILED", [], None).violating(vec![violation]);
    let details = prost::Message::encode_to_vec(&details);
    let refusal = Status::with_details(Code::InvalidArgument, "x", details.into());
    engine.failures.lock().unwrap().push_back(refusal);
    let said = with_file(&engine, &["submit", "-"], TRIP).failure(65);
    assert!(
        said.starts_with("error: tasks[1].dependencies[0]: weather depends on plan (<stdin>:9:20)"),
        "{said}"
    );
    engine.failures.lock().unwrap().push_back(Status::failed_precondition("the engine is paused"));
    assert!(with_file(&engine, &["submit", "-"], TRIP).failure(9).contains("paused"));
}

#[test]
fn arguments_that_cannot_be_are_refused() {
    for (args, words) in [
        (&["submit", "-", "--input", "Rome"][..], "no JSON"),
        (&["submit", "-", "--input", "[1]", "-p", "a=1"], "input is none"),
        (&["submit", "-", "--idempotency-key", "a\nb"], "idempotency-key"),
        (&["list", "--status", "done"], "completed"),
        (&["admin", "purge", "--older-than-hours", "1"], "--dry-run"),
        (&["signal", "w1", "go", "--input", "{"], "no JSON"),
    ] {
        let said = with_file(&Engine::default(), args, TRIP).failure(64);
        assert!(said.contains(words), "{args:?}: {said}");
    }
}

#[test]
fn a_list_is_a_table_or_json() {
    let engine = Engine::default();
    let row = WorkflowSummary {
        workflow_id: "w1".into(),
        name: "trip\x1b[2J".into(),
        status: WorkflowStatus::Running.into(),
        detail: WorkflowDetail::Paused.into(),
        created_at: at(1_000, 999),
        tasks_total: 3,
        tasks_completed: 1,
        ..Default::default()
    };
    let page = ListWorkflowsResponse { workflows: vec![row], ..Default::default() };
    engine.pages.lock().unwrap().push_back(page);
    let expected = "\
WORKFLOW  NAME      STATUS            TASKS  CREATED               TOOK  ERROR
w1        trip [2J  RUNNING (PAUSED)  1/3    1970-01-01T00:16:40Z  -
";
    assert_eq!(against(&engine, &["list"]).output(), expected);
    let rows = parsed(&against(&engine, &["list", "--json", "--status", "running"]).output());
    assert_eq!((&rows[0]["detail"], &rows[0]["tasks_total"]), (&json!("PAUSED"), &json!(3)));
}

#[test]
fn show_tells_of_every_task_and_of_one_result() {
    let engine = Engine::default();
    let mut failed = task("plan", TaskStatus::Failed, &["weather"]);
    (failed.error_code, failed.error_message) = ("UNAVAILABLE".into(), "gone".into());
    (failed.started_at, failed.completed_at, failed.attempt) = (at(1_001, 0), at(1_003, 0), 3);
    let shown = state(WorkflowStatus::Failed, vec![task("weather", TaskStatus::Completed, &[]), failed]);
    engine.statuses.lock().unwrap().push_back(shown);
    let expected = "\
workflow: w1
name: trip
status: FAILED
created: 1970-01-01T00:16:40Z

TASK     STATUS     WHAT          TOOK  AFTER    REMARKS
weather  COMPLETED  weather-tool  -
plan     FAILED     plan-tool     2.0s  weather  attempt 3 of 3, UNAVAILABLE, gone
";
    assert_eq!(against(&engine, &["show", "w1"]).output(), expected);
    engine.results.lock().unwrap().insert("weather".into(), r#"{"sky":"blue"}"#.into());
    assert_eq!(
        against(&engine, &["show", "w1", "--task", "weather"]).output(),
        "{\n  \"sky\": \"blue\"\n}\n"
    );
    let said = against(&engine, &["show", "w1", "--task", "plan"]).failure(1);
    assert!(said.contains("task plan has no result, it is FAILED: gone"), "{said}");
}

#[test]
fn logs_are_lines_or_json() {
    let engine = Engine::default();
    let entry = LogEntry {
        timestamp: at(1_000, 0),
        level: LogLevel::Warn.into(),
        task_id: "plan".into(),
        message: "slow\x07".into(),
        fields: [("code".to_owned(), "7".to_owned())].into(),
        ..Default::default()
    };
    let script = (vec![LogStreamResponse { entries: vec![entry], error: None }], Ok(()));
    engine.logs.lock().unwrap().extend([script.clone(), script]);
    assert_eq!(against(&engine, &["logs", "w1"]).output(), "1970-01-01T00:16:40Z WARN  plan: slow  code=7\n");
    let line = parsed(&against(&engine, &["logs", "w1", "--json"]).output());
    assert_eq!((&line["level"], &line["fields"]), (&json!("WARN"), &json!({"code": "7"})));
}

#[test]
fn a_batch_names_the_file_of_each_workflow_and_fails_if_one_was_refused() {
    let engine = Engine::default();
    let two = format!("{TRIP}---\nname: bad\ntasks:\n  - id: a\n    lane: nowhere\n");
    let done = with_file(&engine, &["batch", "-"], &two);
    let expected = "\
WORKFLOW  NAME  FILE     PROBLEM
w0        trip  <stdin>
-         bad   <stdin>  VALIDATION_FAILED: tasks[0].lane: is unknown (<stdin>:14:11)
";
    assert_eq!((done.code, done.stdout.as_str()), (Some(65), expected), "{done:?}");
    assert!(done.stderr.contains("1 of 2 workflows were refused"), "{done:?}");
    let rows = parsed(&with_file(&engine, &["batch", "-", "--json"], &two).stdout);
    assert_eq!(
        (&rows[0]["workflow_id"], &rows[1]["error"]["code"]),
        (&json!("w0"), &json!("VALIDATION_FAILED"))
    );
}

#[test]
fn interrupting_a_run_leaves_the_workflow_running_and_says_so() {
    let engine = Engine::default();
    let begin = state(WorkflowStatus::Running, vec![task("weather", TaskStatus::Running, &[])]);
    engine.statuses.lock().unwrap().push_back(begin);
    engine.hang();
    let done =
        crate::process::interrupted_after_a_line(&["--endpoint", &engine.start(), "workflow", "watch", "w1"]);
    assert_eq!(done.code, Some(130), "{done:?}");
    assert!(done.stderr.contains("workflow w1 goes on"), "{done:?}");
    assert!(done.stderr.contains("workflow cancel w1"), "{done:?}");
}

#[test]
fn each_command_says_in_a_line_what_has_become_of_the_workflow_or_the_engine() {
    for (args, said) in [
        (&["cancel", "w1"][..], "workflow w1 is CANCELLED\n"),
        (&["retry", "w1", "--from", "plan"], "workflow w1 is RUNNING; 2 tasks run again\n"),
        (&["pause", "w1"], "workflow w1 is RUNNING (PAUSED)\n"),
        (&["resume", "w1"], "workflow w1 is RUNNING\n"),
        (&["signal", "w1", "go"], "signal go is kept for the task that will wait for it\n"),
        (&["signal", "w1", "go", "--input", "{}"], "signal go has woken task plan\n"),
        (&["admin", "pause"], "paused: no task starts and no workflow is taken; 2 workflows wait\n"),
        (&["admin", "resume"], "resumed: 2 workflows go on\n"),
        (&["admin", "config", "a.b=1", "c=2", "--keep"], "a.b is 1\nc is 2\n"),
        (&["admin", "config", "a.b=1", "--dry-run"], "a.b may be 1\n"),
        (&["admin", "purge", "--older-than-hours", "7", "--dry-run"], "7 workflows would be deleted\n"),
        (&["admin", "purge", "--older-than-hours", "7", "--yes"], "7 workflows are deleted\n"),
        (
            &["admin", "lanes"],
            "LANE  RUNNING  WAITING  RATE  DONE/S  ERRORS  OLDEST  STATE\n\
             mail  8/8      3/100    -     0.0     0.0%    1m01s   open\n",
        ),
        (
            &["admin", "status"],
            "state: RUNNING, paused\n\
             workflows: 2 active, 0 completed, 0 failed, 0 cancelled\n\
             tasks: 1 running, 0 waiting\nwatch streams: 0\nmemory: 0.0 MiB\nstore: 3.0 MiB\n",
        ),
    ] {
        assert_eq!(against(&Engine::default(), args).output(), said, "{args:?}");
        let json = against(&Engine::default(), &[args, &["--json"]].concat()).output();
        assert!(parsed(&json).is_object() || args == ["admin", "lanes"], "{args:?}: {json}");
    }
}

#[test]
fn every_command_has_examples() {
    for command in [
        "submit", "run", "list", "show", "watch", "logs", "cancel", "retry", "pause", "resume", "signal",
        "batch", "schedule", "admin",
    ] {
        let help = run(["workflow", command, "--help"]).output();
        assert!(help.contains("Example") && help.contains("--json"), "{command}: {help}");
    }
    assert!(run(["workflow", "--help"]).output().contains("Exit codes"));
}
