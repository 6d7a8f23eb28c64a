//! What happens to a workflow while its deletion is on its way to the disk.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use futures_util::{FutureExt, future::BoxFuture};
use workflow_machine::{Call, Input, Spec, TaskSpec, Work, WorkflowId};

use super::{disk::Disk, process::Process};
use crate::{
    engine::{EngineError, command::Command},
    spec::Submission,
};

/// What the answer is once the disk has what followed.
fn answered<T>(process: &mut Process, mut call: BoxFuture<'_, T>) -> T {
    assert!((&mut call).now_or_never().is_none(), "answered before anything is done");
    process.round(usize::MAX);
    process.sync(true);
    call.now_or_never().expect("it is answered")
}

#[test]
fn who_retries_what_is_being_deleted_is_told_that_it_is_gone() {
    let disk = Arc::new(Disk::default());
    let mut process = Process::start(&disk, 1, 2_048);
    let engine = process.handle.clone();
    let call = Call { target: "echo-agent".to_owned(), ..Call::default() };
    let task = TaskSpec { id: "a".to_owned(), work: Some(Work::Call(call)), ..TaskSpec::default() };
    let spec = Spec { name: "w".to_owned(), tasks: vec![task], ..Spec::default() };
    let id = WorkflowId::from("w");
    let one = Submission { id: Some(id.clone()), spec };
    assert!(answered(&mut process, engine.submit(vec![one], false, None).boxed()).unwrap()[0].is_ok());
    let cancel = Input::Cancel { force: true, reason: String::new() };
    assert!(answered(&mut process, engine.tell(&id, cancel).boxed()).is_ok());
    // It leaves memory.
    process.round(usize::MAX);

    let (reply, purged) = tokio::sync::oneshot::channel();
    let ids = disk.ids();
    assert!(engine.commands.try_send(Command::Purge { ids, before: u64::MAX, reply }).is_ok());
    let retry = Input::Retry { from: None, reason: String::new() };
    let answer = answered(&mut process, engine.tell(&id, retry).boxed());
    assert!(matches!(answer, Err(EngineError::NotFound)), "{answer:?}");
    assert_eq!(purged.now_or_never().unwrap().unwrap().unwrap(), 1);
    disk.check();
    assert!(!engine.shared().failed.load(Relaxed), "the engine goes on");
}
