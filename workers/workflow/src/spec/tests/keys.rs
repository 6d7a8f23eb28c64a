//! Typed fields and reserved keys of the metadata: the same, and never against each other.

use bytes::Bytes;
use prost_types::{ListValue, Struct, Value, value::Kind};
use switchboard_proto::goclaw::v1::{
    Compensation, ForEach, RetryPolicy, TaskDefinition, for_each::Source, task_definition::Payload,
};
use workflow_machine::{Call, CallKind, Sleep, Work};

use super::{Settings, accepted, bare, keys, refused, task, work, workflow};

fn text(text: &str) -> Value {
    Value { kind: Some(Kind::StringValue(text.to_owned())) }
}

#[test]
fn a_task_in_metadata_is_the_task_in_fields() {
    let keyed = accepted(bare(&[
        ("type", "tool"),
        ("target", "weather-tool"),
        ("operation", "get_weather"),
        ("input", "now"),
        ("param.location", "Rome"),
        ("param.days", "3"),
        ("lane", "fast"),
        ("priority", "-7"),
        ("timeout_ms", "1500"),
        ("retries", "4"),
        ("backoff", "500ms,3,1m"),
        ("when", "{{workflow.input.go}} == true"),
        ("for_each", "[1,2]"),
        ("for_each.max_parallel", "2"),
        ("compensate", "weather-tool/forget"),
        ("compensate.param.id", "{{result.id}}"),
        ("compensate.input", "why"),
        ("owner", "Ada"),
    ]));
    let typed = accepted(TaskDefinition {
        r#type: "tool".to_owned(),
        target: "weather-tool".to_owned(),
        operation: "get_weather".to_owned(),
        payload: Some(Payload::Input(text("now"))),
        parameters: keys(&[("location", "Rome"), ("days", "3")]),
        lane: "fast".to_owned(),
        priority: Some(-7),
        timeout_ms: 1_500,
        retry: Some(RetryPolicy {
            max_attempts: 5,
            initial_ms: 500,
            max_ms: 60_000,
            multiplier: 3.0,
            ..RetryPolicy::default()
        }),
        when: "{{workflow.input.go}} == true".to_owned(),
        for_each: Some(ForEach { source: Some(Source::Template("[1,2]".to_owned())), max_parallel: 2 }),
        compensate: Some(Compensation {
            target: "weather-tool".to_owned(),
            operation: "forget".to_owned(),
            parameters: keys(&[("id", "{{result.id}}")]),
            payload: Some(switchboard_proto::goclaw::v1::compensation::Payload::InputJson(
                b"\"why\"".to_vec(),
            )),
            ..Compensation::default()
        }),
        metadata: keys(&[("owner", "Ada")]),
        ..task("a")
    });
    assert_eq!(keyed, typed);
    assert_eq!(keyed.metadata.into_iter().collect::<Vec<_>>(), [("owner".to_owned(), "Ada".to_owned())]);
    let Some(Work::Call(call)) = &typed.work else { panic!("{:?}", typed.work) };
    assert_eq!((call.kind(), call.input.as_ref()), (CallKind::Tool, &b"\"now\""[..]));
}

#[test]
fn what_is_said_twice_must_agree() {
    let both = |pairs: &[(&str, &str)]| TaskDefinition {
        target: "echo-agent".to_owned(),
        priority: Some(5),
        parameters: keys(&[("city", "Rome")]),
        payload: Some(Payload::InputJson(b"\"hi\"".to_vec())),
        ..bare(pairs)
    };
    accepted(both(&[("target", "echo-agent"), ("priority", "5"), ("param.city", "Rome"), ("input", "hi")]));
    assert_eq!(
        refused(workflow([both(&[
            ("target", "weather-tool"),
            ("priority", "6"),
            ("param.city", "Paris"),
            ("input", "ho"),
        ])])),
        [
            "tasks[0].metadata[\"input\"]: says something else than the field tasks[0].input_json; keep one of them",
            "tasks[0].metadata[\"target\"]: says something else than the field tasks[0].target; keep one of them",
            "tasks[0].metadata[\"param.city\"]: says something else than the field tasks[0].parameters; keep one of them",
            "tasks[0].metadata[\"priority\"]: says something else than the field tasks[0].priority; keep one of them",
        ]
    );
}

#[test]
fn the_type_is_said_or_implied() {
    let of = |type_: &str, target: &str| TaskDefinition {
        r#type: type_.to_owned(),
        target: target.to_owned(),
        ..task("a")
    };
    for (type_, target, kind) in [
        ("", "echo-agent", CallKind::Agent),
        ("", "weather-tool@v2", CallKind::Tool),
        ("", "itinerary-worker", CallKind::Worker),
        ("agent", "echo", CallKind::Agent),
        ("worker", "{{workflow.input.who}}", CallKind::Worker),
    ] {
        let Work::Call(call) = work(of(type_, target)) else { panic!("{type_} {target}") };
        assert_eq!((call.kind(), call.target.as_str()), (kind, target));
    }
    // A workflow of the origin, whose tasks say nothing, completes at once.
    assert!(matches!(work(task("a")), Work::Noop(_)));
    assert_eq!(
        refused(workflow([
            of("", "echo"),
            TaskDefinition { id: "b".to_owned(), ..of("agent", "weather-tool") }
        ])),
        [
            "tasks[0].type: missing; the target \"echo\" ends in none of -agent, -tool, -worker, which would imply it",
            "tasks[1].type: \"weather-tool\" is a tool; set the type to tool",
        ]
    );
}

#[test]
fn values_become_json_text_without_loss_of_form() {
    let number = |number| Value { kind: Some(Kind::NumberValue(number)) };
    let fields = [
        ("a".to_owned(), number(3.0)),
        ("b".to_owned(), number(0.5)),
        (
            "c".to_owned(),
            Value {
                kind: Some(Kind::ListValue(ListValue { values: vec![text("\"é\n"), Value::default()] })),
            },
        ),
        ("d".to_owned(), number(1e300)),
    ];
    let input = Value { kind: Some(Kind::StructValue(Struct { fields: fields.into() })) };
    let Work::Call(Call { input, .. }) = work(TaskDefinition {
        target: "echo-agent".to_owned(),
        payload: Some(Payload::Input(input)),
        ..task("a")
    }) else {
        panic!()
    };
    assert_eq!(input, Bytes::from(r#"{"a":3,"b":0.5,"c":["\"é\n",null],"d":1e+300}"#));

    let exact = b"12345678901234567890".to_vec();
    let Work::Call(Call { input, .. }) = work(TaskDefinition {
        target: "echo-agent".to_owned(),
        payload: Some(Payload::InputJson(exact.clone())),
        ..task("a")
    }) else {
        panic!()
    };
    assert_eq!(input, exact);
}

#[test]
fn sleeps_end_after_a_time_or_at_one() {
    let sleep = |key: &str, value: &str| {
        work(TaskDefinition { r#type: "sleep".to_owned(), parameters: keys(&[(key, value)]), ..task("a") })
    };
    assert_eq!(sleep("duration", "1h30m"), Work::Sleep(Sleep { duration_ms: 5_400_000, until_ms: 0 }));
    let until = Work::Sleep(Sleep { duration_ms: 0, until_ms: 1_798_099_200_500 });
    assert_eq!(sleep("until", "2026-12-24T08:00:00.5Z"), until);
    // Long past: at once, and not "no time at all".
    assert_eq!(sleep("until", "1960-01-01T00:00:00Z"), Work::Sleep(Sleep { duration_ms: 0, until_ms: 1 }));
}

#[test]
fn calls_that_name_no_timeout_get_the_engines() {
    let timeout = |type_: &str, target: &str, timeout_ms| {
        let task =
            TaskDefinition { r#type: type_.to_owned(), target: target.to_owned(), timeout_ms, ..task("a") };
        accepted(task).timeout_ms
    };
    let default_ms = Settings::default().call_timeout_ms;
    assert_eq!(timeout("agent", "echo-agent", 0), default_ms);
    assert_eq!(timeout("http", "https://example.com/", 0), default_ms);
    assert_eq!(timeout("agent", "echo-agent", 7), 7);
    // A lease guards it; a wait may be long.
    assert_eq!(timeout("function", "images", 0), 0);
    assert_eq!(timeout("wait_signal", "go", 0), 0);
}

#[test]
fn a_policy_that_says_little_gets_the_rest() {
    let retry =
        |policy| accepted(TaskDefinition { retry: Some(policy), ..task("a") }).retry.map(|retry| *retry);
    let retry = retry(RetryPolicy::default()).unwrap();
    assert_eq!((retry.max_attempts, retry.jitter), (3, 0.1));
    assert_eq!(accepted(task("a")).retry, None);
    let keyed = accepted(bare(&[("backoff", "1s")])).retry.unwrap();
    assert_eq!((keyed.max_attempts, keyed.initial_ms), (3, 1_000));
    let none = accepted(bare(&[("retries", "0")])).retry.unwrap();
    assert_eq!(none.max_attempts, 1);
}
