//! Tasks run in the order of their dependencies, and results pass from one to the next.

use crate::support::*;
use workflow_machine::{Child, Sleep, Status, Work, Workflow};

#[test]
fn tasks_run_when_their_dependencies_are_over() {
    test(async {
        let mut engine = Scripted::start().await;
        let id = engine.submit(workflow(vec![call("a", &[]), call("b", &[]), call("c", &["a", "b"])])).await;
        let (a, b) = (engine.attempt().await, engine.attempt().await);
        assert_eq!((a.run.task.as_str(), b.run.task.as_str()), ("a", "b"));
        assert_eq!(a.run.idempotency_key, format!("{id}/a"));
        engine.complete(&b, "2").await.unwrap();
        assert!(engine.nothing_asked(), "c waits for a too");
        engine.complete(&a, "1").await.unwrap();
        let c = engine.attempt().await;
        assert_eq!(c.run.task, "c");
        assert_eq!(engine.status(&id).await, Status::Running);
        engine.complete(&c, r#"{"all":3}"#).await.unwrap();
        let outcome = engine.engine.read(&id, Workflow::outcome).await.unwrap().unwrap();
        assert_eq!((outcome.status, &outcome.result[..]), (Status::Completed, br#"{"all":3}"#.as_slice()));
    });
}

#[test]
fn a_result_is_the_input_of_the_next_task() {
    test(async {
        let mut engine = Scripted::start().await;
        let mut second = call("b", &["a"]);
        let Some(Work::Call(request)) = &mut second.work else { unreachable!() };
        request.input = r#"{"city":"{{tasks.a.result.cities[1]}}"}"#.into();
        engine.submit(workflow(vec![call("a", &[]), second])).await;
        let a = engine.attempt().await;
        engine.complete(&a, r#"{"cities":["Rome","Oslo"]}"#).await.unwrap();
        let b = engine.attempt().await;
        assert_eq!(&called(&b).input[..], br#"{"city":"Oslo"}"#);
    });
}

#[test]
fn a_child_runs_as_a_workflow_of_its_own_and_its_result_is_the_tasks() {
    test(async {
        let mut engine = Scripted::start().await;
        let child = Child { spec: Some(Box::new(workflow(vec![call("inner", &[])]))) };
        let id = engine
            .submit(workflow(vec![task("outer", &[], Work::Child(child)), call("last", &["outer"])]))
            .await;
        let inner = engine.attempt().await;
        assert_ne!(inner.workflow, id);
        engine.complete(&inner, "7").await.unwrap();
        let last = engine.attempt().await;
        assert_eq!((last.workflow.clone(), last.run.task.as_str()), (id.clone(), "last"));
        let result = engine.engine.read(&id, |workflow| workflow.task("outer").unwrap().result.clone()).await;
        assert_eq!(&result.unwrap()[..], b"7");
        assert_eq!(engine.status(&inner.workflow).await, Status::Completed);
    });
}

#[test]
fn a_sleep_needs_no_slot_and_ends_by_itself() {
    test(async {
        let mut engine = Scripted::start().await;
        let sleep = task("sleep", &[], Work::Sleep(Sleep { duration_ms: 20, until_ms: 0 }));
        engine.submit(workflow(vec![sleep, call("after", &["sleep"])])).await;
        assert_eq!(engine.attempt().await.run.task, "after");
    });
}

#[test]
fn a_workflow_without_work_is_over_at_once_and_is_read_from_the_store() {
    test(async {
        let engine = Scripted::start().await;
        let id = engine.submit(workflow(vec![task("n", &[], Work::Noop(Default::default()))])).await;
        assert_eq!(engine.status(&id).await, Status::Completed);
        // It leaves memory when its end is durable, which the next command finds.
        engine.engine.lanes().await.unwrap();
        assert_eq!(engine.status(&id).await, Status::Completed);
        let (page, count) = engine.engine.list(Default::default(), None, 10).await.unwrap();
        assert_eq!((page.summaries.len(), count), (1, workflow_store::Count::Exact(1)));
        assert_eq!(page.summaries[0].tasks.completed, 1);
    });
}
