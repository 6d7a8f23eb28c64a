//! Signals: for whoever waits for them, and for attempts that run.

use crate::support::*;
use workflow_machine::{Input, Refusal, SignalKind, Status, WaitSignal, Work, WorkflowId};
use workflow_worker::engine::EngineError;

fn signal(name: &str, payload: &'static str) -> Input {
    Input::Signal { name: name.to_owned(), payload: payload.into() }
}

#[test]
fn a_signal_is_the_result_of_the_task_that_waits_for_it_also_if_it_came_before() {
    test(async {
        let mut engine = Scripted::start().await;
        let wait = |id: &str, after: &[&str], name: &str| {
            task(id, after, Work::WaitSignal(WaitSignal { name: name.to_owned() }))
        };
        let tasks = vec![call("a", &[]), wait("early", &["a"], "first"), wait("late", &["early"], "second")];
        let id = engine.submit(workflow(tasks)).await;
        let a = engine.attempt().await;
        engine.engine.tell(&id, signal("first", "1")).await.unwrap();
        let engine_after = Scripted::on(engine.stop().await).await;
        engine_after.complete(&a, "0").await.unwrap();
        assert_eq!(engine_after.status(&id).await, Status::Running);
        engine_after.engine.tell(&id, signal("second", "2")).await.unwrap();
        let results = engine_after
            .engine
            .read(&id, |workflow| ["early", "late"].map(|task| workflow.task(task).unwrap().result.clone()));
        assert_eq!(results.await.unwrap(), ["1", "2"]);
        assert_eq!(engine_after.status(&id).await, Status::Completed);
    });
}

#[test]
fn steer_and_collect_reach_the_attempt_and_interrupt_stops_it() {
    test(async {
        let mut engine = Scripted::start().await;
        let id = engine.submit(workflow(vec![call("a", &[])])).await;
        let a = engine.attempt().await;
        let to_a = |kind| Input::SignalTask {
            task: "a".to_owned(),
            kind,
            payload: "{}".into(),
            graceful: true,
            timeout_ms: 500,
        };
        for kind in [SignalKind::Steer, SignalKind::Collect] {
            engine.engine.tell(&id, to_a(kind)).await.unwrap();
            let asked = engine.asked().await;
            assert!(
                matches!(&asked, Asked::Signal(attempt, got) if *attempt == name(&a) && *got == kind),
                "{asked:?}"
            );
        }
        engine.engine.tell(&id, to_a(SignalKind::Interrupt)).await.unwrap();
        assert!(matches!(engine.asked().await, Asked::Stop(attempt, 500) if attempt == name(&a)));
        let nobody = engine.engine.tell(&WorkflowId::from("nobody"), to_a(SignalKind::Steer)).await;
        assert!(matches!(nobody, Err(EngineError::NotFound)), "{nobody:?}");
        let unknown = Input::SignalTask {
            task: "b".to_owned(),
            kind: SignalKind::Steer,
            payload: "".into(),
            graceful: false,
            timeout_ms: 0,
        };
        let unknown = engine.engine.tell(&id, unknown).await;
        assert!(matches!(unknown, Err(EngineError::Refused(Refusal::UnknownTask { .. }))), "{unknown:?}");
    });
}
