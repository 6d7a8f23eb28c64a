//! Tasks that talk, and people who submit, while the disk is full.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use futures_util::FutureExt;
use workflow_machine::{Call, Spec, TaskSpec, Work};

use super::{
    disk::Disk,
    process::{Asked, Process},
};
use crate::{attempt::Report, engine::EngineError, spec::Submission};

fn one_call() -> Spec {
    let call = Call { target: "echo-agent".to_owned(), ..Call::default() };
    let task = TaskSpec { id: "a".to_owned(), work: Some(Work::Call(call)), ..TaskSpec::default() };
    Spec { name: "w".to_owned(), tasks: vec![task], ..Spec::default() }
}

#[test]
fn a_refusal_does_not_wait_for_room() {
    let disk = Arc::new(Disk::default());
    let mut process = Process::start(&disk, 1, 2_048);
    let engine = process.handle.clone();
    let one = || vec![Submission { id: None, spec: one_call() }];
    let mut before = engine.submit(one(), false, None).boxed();
    assert!((&mut before).now_or_never().is_none());
    process.round(usize::MAX);
    disk.fill(true);
    let mut refused = engine.submit(one(), false, None).boxed();
    assert!((&mut refused).now_or_never().is_none());
    process.round(usize::MAX);
    // Nothing was synced.
    let refused = refused.now_or_never().expect("it is answered");
    assert!(matches!(refused, Err(EngineError::DiskFull)), "{refused:?}");
    assert!((&mut before).now_or_never().is_none(), "what was taken waits for room");
    disk.fill(false);
    process.sync(true);
    assert!(before.now_or_never().unwrap().unwrap()[0].is_ok());
}

#[test]
fn what_tasks_say_does_not_pile_up_before_a_full_disk() {
    let disk = Arc::new(Disk::default());
    let mut process = Process::start(&disk, 1, 2_048);
    let engine = process.handle.clone();
    let mut submitted = engine.submit(vec![Submission { id: None, spec: one_call() }], false, None).boxed();
    assert!((&mut submitted).now_or_never().is_none());
    process.round(usize::MAX);
    process.sync(true);
    let [Asked::Run(attempt, _)] = &process.asked()[..] else { panic!("an attempt is made") };

    disk.fill(true);
    for percent in 0..100 {
        for _ in 0..20 {
            let message = "x".repeat(1 << 10);
            let line = Report::Log { at: 1, level: 2, message, fields: Vec::new() };
            assert!(process.reports.offer(attempt.clone(), line));
        }
        let beat = Report::Progress { percent, message: "on it".to_owned() };
        assert!(process.reports.offer(attempt.clone(), beat));
        process.round(usize::MAX);
    }
    let waiting = process.engine().committer.gauges().queue_commits.load(Relaxed);
    assert!(waiting < 10, "{waiting} commits wait for room");
    disk.fill(false);

    let done = Report::Completed { result: "1".into() };
    let reports = process.reports.clone();
    let mut reported = reports.report(attempt.clone(), done).boxed();
    assert!((&mut reported).now_or_never().is_none());
    process.round(usize::MAX);
    process.sync(true);
    assert!(reported.now_or_never().unwrap().is_ok());
}
