//! What files become: the examples, YAML and JSON alike, every key.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::{fs, path::Path};

use switchboard_proto::goclaw::v1::{
    FailurePolicy, SubmitWorkflowRequest, TaskDefinition, for_each::Source, submit_workflow_request,
    task_definition,
};
use workflow_file::{Place, Workflow, workflow, workflows};

fn read(text: &str) -> Workflow {
    workflow("w.yaml", text.as_bytes()).unwrap_or_else(|error| panic!("{error}"))
}

fn task(lines: &str) -> TaskDefinition {
    read(&format!("name: n\ntasks:\n- id: a\n{lines}")).request.tasks.remove(0)
}

fn input(task: &TaskDefinition) -> &str {
    match task.payload.as_ref().unwrap() {
        task_definition::Payload::InputJson(json) => std::str::from_utf8(json).unwrap(),
        task_definition::Payload::Input(_) => panic!("files give JSON text"),
    }
}

fn examples() -> impl Iterator<Item = (String, Workflow)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    fs::read_dir(folder).unwrap().map(|entry| {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let read = workflow(&name, &fs::read(&path).unwrap());
        (name, read.unwrap_or_else(|error| panic!("{error}")))
    })
}

#[test]
fn every_example_is_a_workflow() {
    let mut names: Vec<String> = examples().map(|(name, _)| name).collect();
    names.sort();
    assert_eq!(
        names,
        [
            "child.yaml",
            "cron.yaml",
            "greeting.json",
            "itinerary.yaml",
            "retry.yaml",
            "saga.yaml",
            "signal.yaml"
        ]
    );
    for (name, workflow) in examples() {
        assert!(!workflow.request.name.is_empty() && !workflow.request.tasks.is_empty(), "{name}");
        assert_eq!(workflow.schedule.is_some(), name == "cron.yaml", "{name}");
    }
}

#[test]
fn the_itinerary_asks_for_the_weather_of_each_city_then_plans_then_speaks() {
    let (_, workflow) = examples().find(|(name, _)| name == "itinerary.yaml").unwrap();
    let request = workflow.request;
    let submit_workflow_request::Payload::InputJson(json) = request.payload.unwrap() else { panic!() };
    assert_eq!(
        String::from_utf8(json).unwrap(),
        r#"{"cities":["Paris, France","Rome, Italy","Lisbon, Portugal"],"days":3}"#
    );
    assert_eq!(request.timeout_ms, 300_000);
    let [weather, plan, announce] = &request.tasks[..] else { panic!() };
    assert_eq!((weather.r#type.as_str(), weather.target.as_str()), ("tool", "weather-tool"));
    assert_eq!(weather.parameters["location"], "{{item}}");
    let for_each = weather.for_each.as_ref().unwrap();
    assert_eq!(for_each.max_parallel, 3);
    assert_eq!(for_each.source, Some(Source::Template("{{workflow.input.cities}}".to_owned())));
    assert_eq!((weather.timeout_ms, weather.retry.as_ref().unwrap().max_attempts), (10_000, 3));
    assert_eq!(
        (plan.target.as_str(), &plan.dependencies[..]),
        ("itinerary-worker", &["weather".to_owned()][..])
    );
    assert_eq!((announce.target.as_str(), input(announce)), ("echo-agent", "\"{{tasks.plan.result}}\""));
}

#[test]
fn a_schedule_takes_the_workflow_of_its_file() {
    let (_, workflow) = examples().find(|(name, _)| name == "cron.yaml").unwrap();
    let request = workflow.into_schedule().unwrap();
    let spec = request.spec.unwrap();
    assert_eq!((request.schedule_id.as_str(), spec.cron.as_str()), ("morning-weather", "0 7 * * 1-5"));
    assert_eq!(
        (spec.time_zone.as_str(), spec.jitter_ms, spec.catch_up_ms),
        ("Europe/Rome", 30_000, 7_200_000)
    );
    assert_eq!(spec.workflow.unwrap().tasks[0].target, "weather-tool");
}

#[test]
fn the_keys_of_each_type_become_the_fields_of_a_task() {
    let http =
        task("  url: http://a/b\n  method: PUT\n  headers: { x: 1 }\n  body: { k: [1, 2.50, null, yes] }\n");
    assert_eq!(
        (http.r#type.as_str(), http.target.as_str(), http.operation.as_str()),
        ("http", "http://a/b", "PUT")
    );
    assert_eq!((http.parameters["x"].as_str(), input(&http)), ("1", r#"{"k":[1,2.50,null,"yes"]}"#));

    let function = task("  queue: images\n  operation: resize\n  input: 12345678901234567890\n");
    assert_eq!((function.r#type.as_str(), function.target.as_str()), ("function", "images"));
    assert_eq!((function.operation.as_str(), input(&function)), ("resize", "12345678901234567890"));

    let sleep = task("  duration: 90s\n");
    assert_eq!((sleep.r#type.as_str(), sleep.parameters["duration"].as_str()), ("sleep", "90s"));
    let until = task("  until: 2026-12-24T08:00:00Z\n");
    assert_eq!(until.parameters["until"], "2026-12-24T08:00:00Z");

    let signal = task("  signal: go\n");
    assert_eq!((signal.r#type.as_str(), signal.target.as_str()), ("wait_signal", "go"));

    let call = task("  target: weather-tool\n  parameters: { days: 007, ok: true, none: }\n");
    assert_eq!((call.r#type.as_str(), call.target.as_str()), ("", "weather-tool"));
    let parameter = |key: &str| call.parameters[key].as_str();
    assert_eq!((parameter("days"), parameter("ok"), parameter("none")), ("007", "true", ""));

    assert_eq!(task(""), TaskDefinition { id: "a".to_owned(), ..TaskDefinition::default() });
}

#[test]
fn json_and_yaml_say_the_same() {
    let yaml = "
name: \"two 😀\"
failure_policy: continue
tasks:
  - id: a
    dependencies: []
    for_each: [1, 2]
";
    let json = r#"{
	"name": "two \ud83d\ude00",
	"failure_policy": "continue",
	"tasks": [{"id": "a", "dependencies": [], "for_each": [1, 2]}]
}"#;
    let (yaml, json) = (read(yaml).request, read(json).request);
    assert_eq!(yaml, json);
    assert_eq!((yaml.name.as_str(), yaml.failure_policy()), ("two 😀", FailurePolicy::Continue));
    assert_eq!(yaml.tasks[0].for_each.as_ref().unwrap().source, Some(Source::Template("[1,2]".to_owned())));
}

#[test]
fn an_alias_repeats_a_value() {
    let request = read(
        "
name: n
tasks:
  - id: a
    retry: &often { max_attempts: 7 }
  - id: b
    retry: *often
",
    )
    .request;
    assert!(
        request.tasks.iter().all(|task| task.retry.as_ref().is_some_and(|retry| retry.max_attempts == 7))
    );
}

#[test]
fn a_file_may_hold_many_workflows() {
    let text = "name: a\ntasks: [{id: x}]\n---\nname: b\ntasks: [{id: y}]\n...\n";
    let names: Vec<String> =
        workflows("w.yaml", text.as_bytes()).unwrap().into_iter().map(|read| read.request.name).collect();
    assert_eq!(names, ["a", "b"]);
}

#[test]
fn fields_that_the_engine_refuses_are_found_in_the_file() {
    let workflow = read(
        "name: n
tasks:
  - id: a
    target: x-agent
    timeout: 1s
    parameters: { city: Rome }
    dependencies: [b, c]
  - id: b
    url: http://a
    body: { k: \"v\" }
    retry: { initial: 1s }
",
    );
    for (field, line, column) in [
        ("name", 1, 7),
        ("tasks", 3, 3),
        ("tasks[0].timeout_ms", 5, 14),
        ("tasks[0].dependencies[1]", 7, 23),
        ("tasks[0].parameters[\"city\"]", 6, 25),
        ("tasks[0].parameters[\"other\"]", 6, 17),
        ("tasks[1].target", 9, 10),
        ("tasks[1].input", 10, 11),
        ("tasks[1].retry.initial_ms", 11, 23),
        ("tasks[1].when", 8, 5),
        ("tasks[7].when", 3, 3),
        ("attributes[\"x\"]", 1, 1),
        ("", 1, 1),
    ] {
        assert_eq!(workflow.place(field), Some(Place { line, column }), "{field}");
    }
    let request: SubmitWorkflowRequest = workflow.request;
    assert_eq!(request.tasks.len(), 2);
}
