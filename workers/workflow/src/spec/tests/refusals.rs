//! Everything that is wrong with a request, at once and with what to do.

use std::collections::BTreeMap;

use prost::Message;
use switchboard_proto::{
    goclaw::v1::{
        Compensation, ForEach, RetryPolicy, SubmitWorkflowRequest, TaskDefinition, for_each::Source,
        submit_workflow_request::Payload, task_definition,
    },
    rpc,
};
use tonic::Code;

use super::{Settings, Submission, accept, bare, keys, refused, task, workflow};
use crate::spec::status;

fn after(id: &str, dependencies: &[&str]) -> TaskDefinition {
    TaskDefinition { dependencies: dependencies.iter().map(|id| (*id).to_owned()).collect(), ..task(id) }
}

/// The fields of violations whose words are the state machine's.
fn fields(violations: &[String]) -> Vec<&str> {
    violations.iter().map(|violation| violation.split(": ").next().unwrap_or_default()).collect()
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let request = SubmitWorkflowRequest {
        name: String::new(),
        workflow_id: "a/b".to_owned(),
        priority: 5_000,
        lane: "no spaces".to_owned(),
        timeout_ms: -1,
        failure_policy: 9,
        payload: Some(Payload::InputJson(b"{".to_vec())),
        tasks: vec![
            bare(&[("timeout_ms", "soon"), ("retries", "many"), ("backoff", "1s,0.5"), ("type", "agnet")]),
            TaskDefinition {
                r#type: "http".to_owned(),
                target: "example.com".to_owned(),
                when: "{{tasks.a.result} == 1".to_owned(),
                retry: Some(RetryPolicy {
                    max_attempts: -1,
                    jitter: Some(f64::NAN),
                    ..RetryPolicy::default()
                }),
                ..after("b", &["nobody"])
            },
        ],
        ..SubmitWorkflowRequest::default()
    };
    let violations = refused(request);
    let (ours, machines) = violations.split_at(13);
    assert_eq!(
        ours,
        [
            "workflow_id: an ID has 1 to 100 of A-Z a-z 0-9 . _ : -; choose another, or leave it out",
            "failure_policy: not a value of FailurePolicy; use 0 to 3",
            "input_json: not JSON: EOF while parsing an object at line 1 column 1; a text needs quotes",
            "priority: 5000 is out of range; use -1000 to 1000",
            "lane: a lane's name has 1 to 64 of A-Z a-z 0-9 . _ -",
            "timeout_ms: -1 ms is out of range; use 0 to 316224000000 (ten years)",
            "tasks[0].type: unknown type \"agnet\"; use one of agent, tool, worker, http, function, workflow, sleep, \
             wait_signal, noop",
            "tasks[0].metadata[\"timeout_ms\"]: expected whole milliseconds, 0 to 316224000000, got \"soon\"",
            "tasks[0].metadata[\"retries\"]: expected a whole number from 0 to 999, got \"many\"",
            "tasks[0].metadata[\"backoff\"]: expected a first pause and, if wanted, multiplier and longest pause, such as \
             500ms or 1s,3,1m, got \"1s,0.5\"",
            "tasks[1].target: expected a URL that begins with http:// or https://",
            "tasks[1].retry.max_attempts: -1 is out of range; use 1 to 1000",
            "tasks[1].retry.jitter: NaN is out of range; use 0 to 1",
        ]
    );
    assert_eq!(fields(machines), ["name", "tasks[1].when", "tasks[1].dependencies[0]"], "{machines:?}");
}

#[test]
fn graphs_are_checked_and_a_cycle_is_named() {
    let cycle = [after("a", &["c"]), after("b", &["a"]), after("c", &["b"])];
    assert_eq!(
        refused(workflow(cycle)),
        ["tasks[0].dependencies: tasks depend on each other in a circle: a -> c -> b -> a"]
    );
    let violations = refused(workflow([after("a", &["a"]), task("x y")]));
    assert_eq!(fields(&violations)[..2], ["tasks[0].dependencies[0]", "tasks[1].id"], "{violations:?}");
    assert_eq!(fields(&refused(workflow([task("a"), task("a")]))), ["tasks[1].id"]);
    assert_eq!(fields(&refused(workflow([]))), ["tasks"]);
}

#[test]
fn templates_are_checked_where_the_request_has_them() {
    let echo = |input: &str| TaskDefinition {
        target: "echo-agent".to_owned(),
        payload: Some(task_definition::Payload::InputJson(format!("{input:?}").into_bytes())),
        ..task("b")
    };
    let violations = refused(workflow([
        task("a"),
        TaskDefinition { parameters: keys(&[("x.y", "{{item}}")]), ..echo("{{tasks.a.result") },
        TaskDefinition { id: "c".to_owned(), ..echo("{{tasks.a.result}}") },
    ]));
    assert_eq!(
        fields(&violations),
        ["tasks[1].input", "tasks[1].parameters[\"x.y\"]", "tasks[2].input"],
        "{violations:?}"
    );
}

#[test]
fn each_type_refuses_what_it_has_not() {
    let of = |type_: &str| TaskDefinition { r#type: type_.to_owned(), ..task("a") };
    let cases = [
        (of("script"), "tasks[0].type: scripts are not run; use function, and a worker of yours that pulls"),
        (of("ai.chat"), "tasks[0].type: \"ai.chat\" is not served by this engine; use agent, tool or worker"),
        (of("agent"), "tasks[0].target: missing; it says which agent is called, for example echo-agent"),
        (
            of("http"),
            "tasks[0].target: missing; it says which URL is called, for example https://example.com/",
        ),
        (of("function"), "tasks[0].target: missing; it says the queue from which workers pull"),
        (of("wait_signal"), "tasks[0].target: missing; it says the name of the signal"),
        (of("workflow"), "tasks[0].workflow: missing; a task of type workflow needs the field workflow"),
        (
            of("sleep"),
            "tasks[0].parameters: a sleep needs either duration (90s) or until (2026-12-24T08:00:00Z)",
        ),
        (
            TaskDefinition { operation: "x".to_owned(), ..of("noop") },
            "tasks[0].operation: a task of type noop has none; remove it, or set another type",
        ),
        (
            TaskDefinition { parameters: keys(&[("k", "v")]), ..of("") },
            "tasks[0].parameters: a task without type and target does nothing; set type, or remove parameters",
        ),
        (
            TaskDefinition { workflow: Some(workflow([task("x")])), ..of("noop") },
            "tasks[0].workflow: a task of type noop has no child; remove it, or set the type to workflow",
        ),
        (
            TaskDefinition { parameters: keys(&[("duration", "1s"), ("x", "y")]), ..of("sleep") },
            "tasks[0].parameters[\"x\"]: a sleep has only duration (90s) or until (2026-12-24T08:00:00Z)",
        ),
        (
            TaskDefinition { target: "http://a".to_owned(), parameters: keys(&[("a b", "v")]), ..of("http") },
            "tasks[0].parameters[\"a b\"]: no header: names are letters, digits and -, values have no line breaks",
        ),
        (
            TaskDefinition {
                compensate: Some(Compensation { r#type: "sleep".to_owned(), ..Compensation::default() }),
                ..of("")
            },
            "tasks[0].compensate.type: a compensation cannot be of type sleep; use agent, tool, worker, http, function or \
             noop",
        ),
        (
            TaskDefinition { for_each: Some(ForEach::default()), ..of("") },
            "tasks[0].for_each: missing items; set items, or a template that gives a JSON array",
        ),
        (
            TaskDefinition {
                for_each: Some(ForEach { source: Some(Source::Template("a,b".to_owned())), max_parallel: 0 }),
                ..of("")
            },
            "tasks[0].for_each.template: expected a JSON array or a template that gives one, such as \
             {{workflow.input.cities}}, got \"a,b\"",
        ),
    ];
    for (task, expected) in cases {
        assert_eq!(refused(workflow([task])), [expected]);
    }
}

#[test]
fn a_child_is_checked_as_its_parent_is() {
    let child = SubmitWorkflowRequest {
        workflow_id: "mine".to_owned(),
        ..workflow([after("x", &["y"]), bare(&[("priority", "high")])])
    };
    let parent = TaskDefinition { workflow: Some(child), ..task("p") };
    assert_eq!(
        refused(workflow([parent])),
        [
            "tasks[0].workflow.workflow_id: a child's ID is derived from its parent's; leave it out",
            "tasks[0].workflow.tasks[1].metadata[\"priority\"]: expected a whole number from -1000 to 1000, got \"high\"",
            "tasks[0].workflow.tasks[0].dependencies[0]: there is no task \"y\"",
        ]
    );
    let nested = |levels: usize| {
        (1..levels).fold(workflow([task("x")]), |inner, _| {
            workflow([TaskDefinition { workflow: Some(inner), ..task("p") }])
        })
    };
    assert!(accept(nested(8)).is_ok());
    let violations = refused(nested(9));
    assert!(
        violations[0].contains("workflows stand more than 8 deep inside of each other"),
        "{violations:?}"
    );
}

#[test]
fn metadata_and_attributes_have_limits() {
    let many = |count: usize| -> BTreeMap<String, String> {
        (0..count).map(|index| (format!("k{index}"), String::new())).collect()
    };
    let request =
        |metadata, attributes| SubmitWorkflowRequest { metadata, attributes, ..workflow([task("a")]) };
    assert!(accept(request(many(64), many(16))).is_ok());
    assert_eq!(
        refused(request(many(65), many(17))),
        [
            "metadata: 65 entries, at most 64; put data into input",
            "attributes: 17 attributes, at most 16; keep what is searched for, and put the rest into metadata",
        ]
    );
    let long = "x".repeat(129);
    assert_eq!(
        refused(request(keys(&[(&long, ""), ("big", &"y".repeat(4_097))]), keys(&[("k", &long)]))),
        [
            "metadata[\"big\"]: 4097 bytes, at most 4096; put data into input".to_owned(),
            format!("metadata[\"{}\"…]: a key of 129 bytes; keys have 1 to 128", "x".repeat(64)),
            "attributes[\"k\"]: keys have 1 to 128 bytes, values at most 128".to_owned(),
        ]
    );
    let full: BTreeMap<String, String> =
        (0..64).map(|index| (format!("{index:0>128}"), "v".repeat(4_096))).collect();
    assert_eq!(
        refused(request(full, BTreeMap::new())),
        ["metadata: 270336 bytes in all, at most 262144; put data into input"]
    );
}

#[test]
fn the_number_of_tasks_is_a_setting() {
    let request = |count| workflow((0..count).map(|index: usize| task(&format!("t{index}"))));
    let settings = Settings { max_tasks: 10_000, ..Settings::default() };
    assert!(Submission::read(request(1_000), &Settings::default()).is_ok());
    assert!(Submission::read(request(10_000), &settings).is_ok());
    assert_eq!(
        refused(request(1_001)),
        [
            "tasks: 1001 tasks; this engine takes 1000 (setting max_tasks, up to 10000): use for_each, or child workflows"
        ]
    );
}

#[test]
fn a_status_names_the_fields_and_fits_into_trailers() {
    let request = workflow((0..900).map(|_| bare(&[("priority", &"é".repeat(2_000))])));
    let status = status(&accept(request).unwrap_err());
    assert_eq!(status.code(), Code::InvalidArgument);
    let expected = "tasks[0].metadata[\"priority\"]: expected a whole number from -1000 to 1000, got \"éé";
    assert!(status.message().starts_with(expected), "{}", status.message());
    assert!(status.message().ends_with("(and 99 more, in the details)"), "{}", status.message());
    let details = rpc::Status::decode(status.details()).unwrap();
    let info = details.error_info().unwrap();
    assert_eq!((info.reason.as_str(), info.domain.as_str()), ("VALIDATION_FAILED", "goclaw.v1"));
    let violations = details.field_violations();
    assert!(violations.len() > 10 && violations[0].field == "tasks[0].metadata[\"priority\"]");
    assert!(status.details().len() < 6_000, "{} bytes", status.details().len());
}
