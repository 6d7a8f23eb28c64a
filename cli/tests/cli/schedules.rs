//! `workflow schedule` against an engine that answers what a test wrote down.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use switchboard_proto::goclaw::v1::*;
use switchboard_proto::rpc;
use switchboard_testkit::engine::Engine;
use tonic::{Code, Status};

use crate::process::{Dev, Finished, run, run_with_input};

const TRIP: &str = "\
name: trip
input: {destination: Rome}
tasks:
  - id: weather
    target: weather-tool
";

/// The same with a schedule of its own.
const MORNING: &str = "\
name: trip
schedule:
  id: morning
  cron: 0 7 * * 1-5
  time_zone: Europe/Rome
  overlap_policy: cancel_other
tasks:
  - id: weather
    target: weather-tool
";

fn create(engine: &Engine, args: &[&str], file: &str) -> Finished {
    let address = engine.start();
    let args = ["--endpoint", &address, "workflow", "schedule", "create", "-"]
        .into_iter()
        .chain(args.iter().copied());
    run_with_input(args, file)
}

fn against(engine: &Engine, args: &[&str]) -> Finished {
    run(["--endpoint", &engine.start(), "workflow", "schedule"].iter().chain(args))
}

fn made(engine: &Engine) -> (CreateScheduleRequest, ScheduleSpec, SubmitWorkflowRequest) {
    let Schedule { schedule_id, spec, paused, note, .. } = engine.schedules.lock().unwrap().pop().unwrap();
    let mut spec = spec.unwrap();
    let workflow = spec.workflow.take().unwrap();
    (CreateScheduleRequest { schedule_id, spec: None, paused, note }, spec, workflow)
}

fn at(seconds: i64) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds, nanos: 0 })
}

/// A schedule that runs next in 90 minutes and a half.
fn hourly() -> (Schedule, String) {
    let next = SystemTime::now() + Duration::from_secs(90 * 60 + 30);
    let next = prost_types::Timestamp::from(next);
    let workflow = SubmitWorkflowRequest { name: "trip\x1b".into(), ..Default::default() };
    let spec = ScheduleSpec {
        cron: "@hourly".into(),
        time_zone: "Europe/Rome".into(),
        jitter_ms: 30_000,
        workflow: Some(workflow),
        ..Default::default()
    };
    let schedule = Schedule {
        schedule_id: "hourly".into(),
        spec: Some(spec),
        created_at: at(1_000),
        next_run_at: Some(next),
        last_run_at: at(1_000),
        last_workflow_id: "hourly:1".into(),
        runs_total: 7,
        skipped_total: 2,
        ..Default::default()
    };
    let shown = jiff::Timestamp::from_second(next.seconds).unwrap();
    (schedule, format!("in 1h30m ({})", shown.strftime("%a %Y-%m-%d %H:%M:%S UTC")))
}

#[test]
fn options_say_when_and_what() {
    let engine = Engine::default();
    let args = [
        ["--cron", "0 8 * * 1-5"],
        ["--zone", "Europe/Rome"],
        ["--id", "work"],
        ["--overlap", "cancel-other"],
        ["--jitter", "1m30s"],
        ["--catch-up", "2h"],
        ["--start-at", "1970-01-01T01:00:10+01:00"],
        ["--end-at", "1970-01-01T00:00:20Z"],
        ["--note", "for the office"],
        ["-p", "destination=Oslo"],
        ["--idempotency-key", "k-1"],
    ];
    create(&engine, &[&args.concat()[..], &["--paused"]].concat(), TRIP).output();
    let (request, spec, workflow) = made(&engine);
    assert_eq!((request.schedule_id.as_str(), request.paused), ("work", true));
    assert_eq!(request.note, "for the office");
    let expected = ScheduleSpec {
        cron: "0 8 * * 1-5".into(),
        time_zone: "Europe/Rome".into(),
        jitter_ms: 90_000,
        catch_up_ms: 7_200_000,
        start_at: at(10),
        end_at: at(20),
        overlap_policy: OverlapPolicy::CancelOther.into(),
        ..Default::default()
    };
    assert_eq!(spec, expected);
    assert_eq!((workflow.name.as_str(), workflow.tasks.len()), ("trip", 1));
    let Some(submit_workflow_request::Payload::InputJson(input)) = workflow.payload else { panic!() };
    assert_eq!(input, br#"{"destination":"Oslo"}"#);
    assert_eq!(*engine.keys.lock().unwrap(), ["k-1"]);
}

#[test]
fn the_file_says_when_and_options_change_it() {
    let engine = Engine::default();
    create(&engine, &[], MORNING).output();
    let (request, spec, _) = made(&engine);
    assert_eq!(
        (request.schedule_id.as_str(), spec.cron.as_str(), spec.time_zone.as_str()),
        ("morning", "0 7 * * 1-5", "Europe/Rome")
    );
    create(&engine, &["--every", "10m", "--overlap", "allow"], MORNING).output();
    let (request, spec, _) = made(&engine);
    assert_eq!(
        (request.schedule_id.as_str(), spec.interval_ms, spec.cron.as_str()),
        ("morning", 600_000, "")
    );
    assert_eq!((spec.overlap_policy(), spec.time_zone.as_str()), (OverlapPolicy::Allow, ""));
}

#[test]
fn what_is_wrong_is_found_in_the_file_or_among_the_options() {
    let engine = Engine::default();
    let wrong = |field: &str, description: &str| rpc::FieldViolation {
        field: field.into(),
        description: description.into(),
    };
    let violations = vec![
        wrong("spec.cron", "never comes"),
        wrong("spec.time_zone", "is unknown"),
        wrong("spec.workflow.tasks[0].target", "is unknown"),
    ];
    let details = rpc::Status::new(3, "x", "VALIDATION_FAILED", [], None).violating(violations);
    let details = prost::Message::encode_to_vec(&details);
    let refusal = Status::with_details(Code::InvalidArgument, "x", details.into());
    engine.failures.lock().unwrap().push_back(refusal);
    let said = create(&engine, &["--cron", "0 0 30 2 *"], MORNING).failure(65);
    let lines: Vec<_> = said.lines().take(3).collect();
    assert_eq!(
        lines,
        [
            "error: --cron: never comes",
            "schedule.time_zone: is unknown (<stdin>:5:14)",
            "tasks[0].target: is unknown (<stdin>:9:13)",
        ]
    );
    for (args, words) in [
        (&[][..], "--cron '0 8 * * 1-5' or --every 10m"),
        (&["--cron", "@daily", "--every", "1h"], "cannot be used with"),
        (&["--every", "soon"], "30s"),
        (&["--cron", "@daily", "--end-at", "tomorrow"], "2026-12-01T08:00:00Z"),
        (&["--cron", "@daily", "--overlap", "maybe"], "cancel-other"),
    ] {
        let said = create(&Engine::default(), args, TRIP).failure(64);
        assert!(said.contains(words), "{args:?}: {said}");
    }
    let said = against(&Engine::default(), &["show", "nobody"]).failure(5);
    assert!(said.contains("nobody"), "{said}");
}

#[test]
fn schedules_are_a_table_with_the_next_run_in_words_and_local_time() {
    let engine = Engine::default();
    let (schedule, next) = hourly();
    let every = ScheduleSpec { interval_ms: 600_000, ..Default::default() };
    let paused = Schedule {
        schedule_id: "poll".into(),
        spec: Some(every),
        paused: true,
        note: "no prices".into(),
        ..Default::default()
    };
    engine.schedules.lock().unwrap().extend([schedule, paused]);
    let expected = format!(
        "\
SCHEDULE  WORKFLOW  WHEN                 RUNS  {:width$}  STATE
hourly    trip      @hourly Europe/Rome  7     {next}  active
poll                every 10m00s         0     {:width$}  paused: no prices
",
        "NEXT",
        "-",
        width = next.len()
    );
    assert_eq!(against(&engine, &["list"]).output(), expected);
    let rows: Value = serde_json::from_str(&against(&engine, &["list", "--json"]).output()).unwrap();
    assert_eq!((&rows[0]["runs_total"], &rows[1]["paused"]), (&json!(7), &json!(true)));
    assert_eq!((&rows[0]["workflow_name"], &rows[1]["next_run_at"]), (&json!("trip\u{1b}"), &Value::Null));
}

#[test]
fn a_schedule_is_shown_paused_resumed_triggered_and_deleted() {
    let engine = Engine::default();
    let (schedule, next) = hourly();
    engine.schedules.lock().unwrap().push(schedule);
    let shown = against(&engine, &["show", "hourly"]).output();
    let begin =
        "schedule: hourly\nworkflow: trip \nwhen: @hourly Europe/Rome\njitter: 30.0s\noverlap: skip\n";
    assert!(shown.starts_with(begin), "{shown}");
    assert!(shown.contains(&format!("state: active\nnext run: {next}\n")), "{shown}");
    assert!(shown.contains(" ago (Thu 1970-01-01 00:16:40 UTC), workflow hourly:1\n"), "{shown}");
    assert!(shown.contains("\nruns: 7, and 2 left out\n"), "{shown}");
    for (args, said) in [
        (&["resume", "hourly"][..], format!("schedule hourly runs next {next}\n")),
        (&["trigger", "hourly"], "hourly:now\n".to_owned()),
        (&["pause", "hourly", "--note", "holidays"], "schedule hourly is paused: holidays\n".to_owned()),
        (&["delete", "hourly"], "schedule hourly is deleted; runs that were submitted go on\n".to_owned()),
    ] {
        assert_eq!(against(&engine, args).output(), said, "{args:?}");
    }
    assert!(engine.schedules.lock().unwrap().is_empty());
    for args in
        [&["pause", "hourly"][..], &["resume", "hourly"], &["trigger", "hourly"], &["delete", "hourly"]]
    {
        engine.schedules.lock().unwrap().push(hourly().0);
        let json = against(&engine, &[args, &["--json"]].concat()).output();
        let json: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["schedule_id"], "hourly", "{args:?}");
        engine.schedules.lock().unwrap().clear();
    }
}

#[test]
fn a_real_engine_takes_runs_and_forgets_a_schedule() {
    let dev = Dev::start(&["--backends", "echo,workflow"]);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("greet.yaml");
    std::fs::write(&file, "name: greet\ntasks:\n  - {id: a, target: echo-agent, input: hello}\n").unwrap();
    let file = file.to_str().unwrap();
    let schedule = |args: &[&str]| dev.run(&[&["workflow", "schedule"], args].concat());
    let made =
        schedule(&["create", file, "--cron", "@yearly", "--zone", "Europe/Rome", "--id", "greet"]).output();
    assert!(
        made.starts_with("schedule greet runs next in ") && made.contains("-12-31 23:00:00 UTC"),
        "{made}"
    );
    schedule(&["create", file, "--every", "1h", "--id", "greet"]).failure(6);
    let wrong = ["create", file, "--cron", "0 0 30 2 *", "--zone", "Europe/Roma"];
    let said = schedule(&wrong).failure(65);
    assert!(said.contains("--zone: "), "{said}");
    let said = schedule(&["create", file, "--cron", "0 0 30 2 *"]).failure(65);
    assert!(said.contains("--cron: "), "{said}");
    let run = schedule(&["trigger", "greet"]).output();
    let watched = dev.run(&["workflow", "watch", run.trim()]).output();
    assert!(watched.contains("COMPLETED"), "{watched}");
    let runs = dev.run(&["workflow", "list", "--attribute", "schedule=greet"]).output();
    assert!(runs.contains(run.trim()), "{runs}");
    let shown = schedule(&["show", "greet"]).output();
    assert!(shown.contains("\nruns: 1, and 0 left out\n") && shown.contains(run.trim()), "{shown}");
    assert_eq!(schedule(&["pause", "greet"]).output(), "schedule greet is paused\n");
    assert!(schedule(&["list"]).output().contains("paused"));
    schedule(&["delete", "greet"]).output();
    schedule(&["show", "greet"]).failure(5);
}

#[test]
fn every_command_has_an_example() {
    for command in ["create", "list", "show", "pause", "resume", "trigger", "delete"] {
        let help = run(["workflow", "schedule", command, "--help"]).output();
        assert!(help.contains("Example") && help.contains("--json"), "{command}: {help}");
    }
}
