//! Sagas are workflows; the origin's steps without work only take their time.

use switchboard_proto::goclaw::v1::{
    Compensation, SagaCompensationPolicy, SagaStepDefinition, SubmitSagaRequest, TaskDefinition,
};
use workflow_machine::{Invalid, Sleep, WaitSignal, Work, Workflow, WorkflowId};

use super::Settings;
use crate::spec::{Submission, saga};

fn step(id: &str) -> SagaStepDefinition {
    SagaStepDefinition { id: id.to_owned(), ..SagaStepDefinition::default() }
}

fn request(steps: impl IntoIterator<Item = SagaStepDefinition>) -> SubmitSagaRequest {
    SubmitSagaRequest {
        name: "s".to_owned(),
        steps: steps.into_iter().collect(),
        ..SubmitSagaRequest::default()
    }
}

fn read(request: SubmitSagaRequest) -> Result<Submission, Invalid> {
    saga(request, &Settings::default())
}

#[test]
fn the_origins_sagas_rehearse() {
    let saga = request([
        SagaStepDefinition { delay_ms: 50, enable_compensation: true, ..step("a") },
        SagaStepDefinition { enable_compensation: true, skip_compensation: true, ..step("b") },
        SagaStepDefinition { depends_on: vec!["a".to_owned()], should_fail: true, delay_ms: 20, ..step("c") },
    ]);
    let spec = read(saga).unwrap().spec;
    assert_eq!(spec.timeout_ms, 300_000);
    assert_eq!(spec.attributes["kind"], "saga");
    let [a, b, c] = &spec.tasks[..] else { panic!("{:?}", spec.tasks) };
    assert_eq!(a.work, Some(Work::Sleep(Sleep { duration_ms: 50, until_ms: 0 })));
    assert!(matches!(a.compensate.as_ref().unwrap().work, Some(Work::Noop(_))));
    assert!(matches!((&b.work, &b.compensate), (Some(Work::Noop(_)), None)));
    assert_eq!(c.work, Some(Work::WaitSignal(WaitSignal { name: "saga.should_fail".to_owned() })));
    assert_eq!((c.timeout_ms, &c.dependencies[..]), (20, &["a".to_owned()][..]));
    assert!(Workflow::submit(WorkflowId::new("s"), spec, 0).is_ok());
}

#[test]
fn a_step_may_do_something() {
    let task = TaskDefinition {
        target: "echo-agent".to_owned(),
        compensate: Some(Compensation { target: "echo-agent".to_owned(), ..Compensation::default() }),
        ..TaskDefinition::default()
    };
    let saga = SubmitSagaRequest {
        policy: SagaCompensationPolicy::Manual.into(),
        step_timeout_ms: 700,
        ..request([SagaStepDefinition { task: Some(task), ..step("a") }])
    };
    let spec = read(saga).unwrap().spec;
    assert_eq!(spec.compensation, i32::from(workflow_machine::CompensationPolicy::Manual));
    assert_eq!((spec.tasks[0].id.as_str(), spec.tasks[0].timeout_ms), ("a", 700));
    assert!(matches!(&spec.tasks[0].work, Some(Work::Call(call)) if call.target == "echo-agent"));
}

#[test]
fn violations_speak_of_steps() {
    let saga = SubmitSagaRequest {
        policy: 9,
        saga_id: "a b".to_owned(),
        ..request([
            SagaStepDefinition { depends_on: vec!["x".to_owned()], delay_ms: -1, ..step("a") },
            SagaStepDefinition {
                task: Some(TaskDefinition {
                    id: "b".to_owned(),
                    r#type: "agent".to_owned(),
                    ..TaskDefinition::default()
                }),
                ..step("b")
            },
        ])
    };
    let violations = read(saga).unwrap_err().violations;
    let fields: Vec<&str> = violations.iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(
        fields,
        ["policy", "steps[0].delay_ms", "steps[1].task", "saga_id", "steps[0].depends_on[0]"],
        "{violations:?}"
    );
}
