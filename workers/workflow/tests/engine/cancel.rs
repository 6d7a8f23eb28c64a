//! Cancel is final: nothing starts after it and no result is taken.

use crate::support::*;
use workflow_machine::{Child, Input, Refusal, Status, Work};
use workflow_worker::engine::EngineError;

fn cancel(force: bool) -> Input {
    Input::Cancel { force, reason: "enough".to_owned() }
}

#[test]
fn a_forced_cancel_ends_at_once_and_takes_no_result() {
    test(async {
        let mut engine = Scripted::start().await;
        let id = engine.submit(workflow(vec![call("a", &[]), call("b", &["a"])])).await;
        let a = engine.attempt().await;
        let taken = engine.engine.tell(&id, cancel(true)).await.unwrap();
        assert_eq!(taken.status, Status::Cancelled);
        assert!(matches!(engine.asked().await, Asked::Stop(attempt, 0) if attempt == name(&a)));
        assert!(engine.complete(&a, "1").await.is_err());
        assert!(engine.nothing_asked());
        assert_eq!(engine.status(&id).await, Status::Cancelled);
    });
}

#[test]
fn a_graceful_cancel_gives_attempts_time_and_takes_what_they_answer() {
    test(async {
        let mut engine = Scripted::start().await;
        let id = engine.submit(workflow(vec![call("a", &[]), call("b", &["a"])])).await;
        let a = engine.attempt().await;
        engine.engine.tell(&id, cancel(false)).await.unwrap();
        assert!(matches!(engine.asked().await, Asked::Stop(attempt, 30_000) if attempt == name(&a)));
        assert_eq!(engine.status(&id).await, Status::Running);
        engine.complete(&a, "1").await.unwrap();
        assert_eq!(engine.status(&id).await, Status::Cancelled);
        assert!(engine.nothing_asked(), "b never begins");
    });
}

#[test]
fn cancel_again_is_fine_and_of_what_is_over_is_not() {
    test(async {
        let mut engine = Scripted::start().await;
        let id = engine.submit(workflow(vec![call("a", &[])])).await;
        engine.engine.tell(&id, cancel(true)).await.unwrap();
        let again = engine.engine.tell(&id, cancel(true)).await.unwrap();
        assert_eq!((again.status, again.changed), (Status::Cancelled, false));
        let _ = (engine.asked().await, engine.asked().await);
        let done = engine.submit(workflow(vec![call("a", &[])])).await;
        let attempt = engine.attempt().await;
        engine.complete(&attempt, "1").await.unwrap();
        let late = engine.engine.tell(&done, cancel(false)).await;
        let Err(EngineError::Refused(Refusal::AlreadyTerminal { status })) = late else { panic!("{late:?}") };
        assert_eq!(status, Status::Completed);
    });
}

#[test]
fn children_are_cancelled_with_their_parent() {
    test(async {
        let mut engine = Scripted::start().await;
        let child = Child { spec: Some(Box::new(workflow(vec![call("inner", &[])]))) };
        let id = engine.submit(workflow(vec![task("outer", &[], Work::Child(child))])).await;
        let inner = engine.attempt().await;
        engine.engine.tell(&id, cancel(true)).await.unwrap();
        assert_eq!(engine.status(&inner.workflow).await, Status::Cancelled);
        assert!(engine.complete(&inner, "1").await.is_err());
    });
}
