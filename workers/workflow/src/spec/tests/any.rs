//! No request makes the reader panic; what it takes, the state machine takes or refuses in the request's words.

use std::{collections::BTreeMap, fs, path::Path};

use proptest::{collection::vec, option, prelude::*, sample::select};
use prost::Message;
use prost_types::{ListValue, Struct, Value, value::Kind};
use switchboard_proto::goclaw::v1::{
    Compensation, ForEach, RetryPolicy, SagaStepDefinition, SubmitSagaRequest, SubmitWorkflowRequest,
    TaskDefinition, compensation, for_each::Source, submit_workflow_request, task_definition,
};

use super::{Settings, accept};
use crate::spec::{saga, status};

const TEXTS: [&str; 34] = [
    "",
    "a",
    "b",
    "c",
    "echo-agent",
    "weather-tool",
    "-agent",
    "x@y",
    "agent",
    "tool",
    "http",
    "function",
    "sleep",
    "wait_signal",
    "workflow",
    "noop",
    "http://a",
    "GET",
    "30s",
    "1h",
    "2026-12-24T08:00:00Z",
    "0",
    "-1",
    "99999999999999999999",
    "{{item}}",
    "{{tasks.a.result}}",
    "{{",
    "}}",
    "{{workflow.input}} == 1",
    "[1,2]",
    "{\"a\":1}",
    "\"",
    "a b",
    "é\n",
];

const KEYS: [&str; 22] = [
    "type",
    "target",
    "operation",
    "input",
    "param.duration",
    "param.until",
    "param.",
    "param.x",
    "lane",
    "priority",
    "timeout_ms",
    "retries",
    "backoff",
    "when",
    "for_each",
    "for_each.max_parallel",
    "compensate",
    "compensate.input",
    "compensate.param.a",
    "compensate.param.",
    "other",
    "",
];

fn text() -> impl Strategy<Value = String> {
    prop_oneof![4 => select(&TEXTS[..]).prop_map(str::to_owned), 1 => "\\PC{0,20}"]
}

fn map() -> impl Strategy<Value = BTreeMap<String, String>> {
    let key = select(&KEYS[..]).prop_map(str::to_owned);
    vec((key, text()), 0..5).prop_map(|pairs| pairs.into_iter().collect())
}

fn json() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![text().prop_map(String::into_bytes), vec(any::<u8>(), 0..20)]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<f64>().prop_map(|number| Value { kind: Some(Kind::NumberValue(number)) }),
        text().prop_map(|text| Value { kind: Some(Kind::StringValue(text)) }),
        any::<bool>().prop_map(|value| Value { kind: Some(Kind::BoolValue(value)) }),
        Just(Value::default()),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4)
                .prop_map(|values| Value { kind: Some(Kind::ListValue(ListValue { values })) }),
            vec((text(), inner), 0..4).prop_map(|fields| {
                Value { kind: Some(Kind::StructValue(Struct { fields: fields.into_iter().collect() })) }
            }),
        ]
    })
}

fn small() -> impl Strategy<Value = i64> {
    prop_oneof![Just(0), 0_i64..100_000, any::<i64>()]
}

fn retry() -> impl Strategy<Value = RetryPolicy> {
    (any::<i16>(), small(), small(), any::<f64>(), option::of(any::<f64>()), vec(text(), 0..3)).prop_map(
        |(attempts, initial_ms, max_ms, multiplier, jitter, codes)| RetryPolicy {
            max_attempts: attempts.into(),
            initial_ms,
            max_ms,
            multiplier,
            jitter,
            non_retryable_codes: codes,
        },
    )
}

fn compensate() -> impl Strategy<Value = Compensation> {
    (text(), text(), text(), json(), map(), small(), option::of(retry())).prop_map(
        |(type_, target, operation, input, parameters, timeout_ms, retry)| Compensation {
            r#type: type_,
            target,
            operation,
            parameters,
            timeout_ms,
            retry,
            payload: Some(compensation::Payload::InputJson(input)),
        },
    )
}

fn for_each() -> impl Strategy<Value = ForEach> {
    let source = prop_oneof![
        text().prop_map(Source::Template),
        vec(value(), 0..3).prop_map(|values| Source::Items(ListValue { values })),
    ];
    (option::of(source), any::<i16>()).prop_map(|(source, max)| ForEach { source, max_parallel: max.into() })
}

fn payload() -> impl Strategy<Value = Option<task_definition::Payload>> {
    option::of(prop_oneof![
        value().prop_map(task_definition::Payload::Input),
        json().prop_map(task_definition::Payload::InputJson),
    ])
}

fn task() -> impl Strategy<Value = TaskDefinition> {
    let what = (text(), text(), text(), payload(), map());
    let how = (option::of(retry()), option::of(for_each()), option::of(compensate()), text(), small());
    (text(), vec(text(), 0..3), map(), what, how, text(), option::of(any::<i16>())).prop_map(
        |(id, dependencies, metadata, what, how, lane, priority)| {
            let (type_, target, operation, payload, parameters) = what;
            let (retry, for_each, compensate, when, timeout_ms) = how;
            TaskDefinition {
                id,
                name: String::new(),
                dependencies,
                metadata,
                r#type: type_,
                target,
                operation,
                payload,
                parameters,
                lane,
                priority: priority.map(i32::from),
                timeout_ms,
                retry,
                when,
                for_each,
                compensate,
                workflow: None,
            }
        },
    )
}

fn flat() -> impl Strategy<Value = SubmitWorkflowRequest> {
    (text(), vec(task(), 0..4), map(), text(), json(), map(), any::<i8>(), small()).prop_map(
        |(name, tasks, metadata, workflow_id, input, attributes, enums, timeout_ms)| SubmitWorkflowRequest {
            name,
            tasks,
            metadata,
            workflow_id,
            payload: Some(submit_workflow_request::Payload::InputJson(input)),
            attributes,
            failure_policy: enums.into(),
            timeout_ms,
            priority: enums.into(),
            lane: String::new(),
            compensation_policy: enums.into(),
        },
    )
}

fn request() -> impl Strategy<Value = SubmitWorkflowRequest> {
    (flat(), option::of(flat())).prop_map(|(mut request, child)| {
        if let (Some(task), Some(child)) = (request.tasks.first_mut(), child) {
            task.workflow = Some(child);
        }
        request
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn requests(request in request()) {
        if let Err(invalid) = accept(request.clone()) {
            prop_assert!(!invalid.violations.is_empty());
            for violation in &invalid.violations {
                prop_assert!(!violation.field.contains(".work."), "{}", violation.field);
                prop_assert!(!violation.field.ends_with(".work"), "{}", violation.field);
                prop_assert!(!violation.reason.is_empty());
            }
            prop_assert!(status(&invalid).details().len() < 6_000);
            // The same request gets the same answer.
            prop_assert_eq!(accept(request), Err(invalid));
        }
    }

    /// What arrives is bytes: good ones, some of which were changed on the way.
    #[test]
    fn messages(request in request(), changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..6)) {
        let mut bytes = request.encode_to_vec();
        for (index, byte) in changes {
            if !bytes.is_empty() {
                let at = index.index(bytes.len());
                bytes[at] = byte;
            }
        }
        if let Ok(request) = SubmitWorkflowRequest::decode(bytes.as_slice()) {
            let _ = accept(request);
        }
    }

    #[test]
    fn sagas(tasks in vec(option::of(task()), 0..4), delay_ms in any::<i32>(), timeout_ms in any::<i32>(), flags in any::<bool>()) {
        let steps = tasks.into_iter().enumerate().map(|(index, task)| SagaStepDefinition {
            id: format!("s{index}"),
            delay_ms,
            timeout_ms,
            should_fail: flags,
            enable_compensation: flags,
            task,
            ..SagaStepDefinition::default()
        });
        let request = SubmitSagaRequest {
            name: "s".to_owned(),
            steps: steps.collect(),
            step_timeout_ms: timeout_ms,
            ..SubmitSagaRequest::default()
        };
        let _ = saga(request, &Settings::default());
    }
}

#[test]
fn every_example_is_accepted() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.display().to_string();
        let read = workflow_file::workflow(&name, &fs::read(&path).unwrap()).unwrap();
        if let Err(invalid) = accept(read.request) {
            panic!("{name}: {invalid}");
        }
        count += 1;
    }
    assert!(count >= 7, "{count}");
}
