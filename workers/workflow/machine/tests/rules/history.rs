//! Histories: what was written by others, damaged, or made up.

use proptest::prelude::*;
use prost::Message;
use workflow_machine::{
    Corrupt, Event, EventKind, ForEach, Input, RetryPolicy, Status, TaskSpec, Workflow, WorkflowStarted,
};

use crate::driver::{Driver, call, permanent, spec, transient};

/// A history with a bit of everything.
fn history() -> Vec<Event> {
    let retry = Some(Box::new(RetryPolicy { max_attempts: 3, ..RetryPolicy::default() }));
    let for_each = Some(Box::new(ForEach { items: "[1,2,3]".to_owned(), max_parallel: 2 }));
    let mut driver = Driver::submit(spec([
        TaskSpec { retry, ..call("a", &[]) },
        TaskSpec { for_each, ..call("b", &["a"]) },
        call("c", &["b"]),
    ]));
    driver.dispatch("a");
    driver.fail("a", transient());
    driver.fire("a");
    driver.run("a", "1");
    driver.step(Input::Signal { name: "s".to_owned(), payload: "1".into() });
    for item in ["b[0]", "b[1]", "b[2]"] {
        driver.run(item, "1");
    }
    driver.dispatch("c");
    driver.fail("c", permanent());
    driver.step(Input::Retry { from: Some("b".to_owned()), reason: String::new() });
    driver.run("b[0]", "2");
    driver.step(Input::Cancel { force: true, reason: String::new() });
    driver.history
}

fn corrupt(history: &[Event]) -> Corrupt {
    Workflow::replay(history).unwrap_err()
}

#[test]
fn every_prefix_of_a_step_is_a_history() {
    let history = history();
    for end in 1..=history.len() {
        let workflow = Workflow::replay(&history[..end]).unwrap();
        assert_eq!(workflow.last_seq(), end as u64);
        workflow.outstanding();
    }
}

#[test]
fn what_does_not_fit_is_named_by_its_sequence() {
    let history = history();
    assert_eq!(corrupt(&[]).to_string(), "event 0 of the history: there are no events");
    let reason = "event 2 of the history: a history begins with event 1, and this one with 2";
    assert_eq!(corrupt(&history[1..]).to_string(), reason);
    let mut gap = history.clone();
    gap.remove(3);
    assert_eq!(
        corrupt(&gap).to_string(),
        "event 5 of the history: follows event 3: events are missing or out of order"
    );
    let mut twice = history.clone();
    let last = twice.last().unwrap();
    let again = Event { seq: last.seq + 1, at: last.at, ..twice[2].clone() };
    twice.push(again);
    assert!(corrupt(&twice).reason.starts_with("the workflow starts a task, and it is CANCELLED"));
    let mut backwards = history.clone();
    backwards[4].at -= 1_000;
    assert!(corrupt(&backwards).reason.starts_with("is older than the event before it"));
}

#[test]
fn a_kind_that_is_not_known_is_passed_over_only_if_it_may_be() {
    let mut history = history();
    let last = history.last().unwrap().clone();
    let mut unknown = Event { seq: last.seq + 1, at: last.at, ignorable: false, kind: None };
    history.push(unknown.clone());
    assert_eq!(corrupt(&history).reason, "is of a kind that this version does not know");
    unknown.ignorable = true;
    *history.last_mut().unwrap() = unknown;
    assert_eq!(Workflow::replay(&history).unwrap().last_seq(), last.seq + 1);
}

#[test]
fn fields_that_are_not_known_are_passed_over() {
    let event =
        Event { seq: 2, at: 3, ignorable: false, kind: Some(EventKind::WorkflowStarted(WorkflowStarted {})) };
    let mut bytes = event.encode_to_vec();
    // Field 900, a varint.
    prost::encoding::encode_key(900, prost::encoding::WireType::Varint, &mut bytes);
    prost::encoding::encode_varint(7, &mut bytes);
    assert_eq!(Event::decode(&bytes[..]).unwrap(), event);
}

/// A history as version 0.1 wrote it: each line is an event in hexadecimal digits.
const WRITTEN: &str = include_str!("history.hex");

#[test]
fn what_was_written_once_is_read_for_ever() {
    let digits = |line: &str| -> Vec<u8> {
        (0..line.len()).step_by(2).map(|at| u8::from_str_radix(&line[at..at + 2], 16).unwrap()).collect()
    };
    let written: Vec<Vec<u8>> = WRITTEN.lines().map(digits).collect();
    let events: Vec<Event> = written.iter().map(|bytes| Event::decode(&bytes[..]).unwrap()).collect();
    let workflow = Workflow::replay(&events).unwrap();
    assert_eq!((workflow.status(), workflow.run()), (Status::Cancelled, 2));
    assert_eq!(&workflow.task("b[0]").unwrap().result[..], b"2");
    for (event, bytes) in events.iter().zip(&written) {
        assert_eq!(event.encode_to_vec(), *bytes, "the encoding of event {} has changed", event.seq);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the log holds, reading it neither panics nor makes a workflow that does.
    #[test]
    fn damaged_histories_do_not_panic(
        drop in proptest::collection::vec(0_usize..60, 0..3),
        swap in (0_usize..60, 0_usize..60),
        renumber in any::<bool>(),
        bit in (0_usize..60, 0_usize..4_000),
    ) {
        let mut history = history();
        for index in drop {
            if index > 0 && index < history.len() {
                history.remove(index);
            }
        }
        let (from, to) = (swap.0 % history.len(), swap.1 % history.len());
        history.swap(from, to);
        let index = bit.0 % history.len();
        let mut bytes = history[index].encode_to_vec();
        let place = bit.1 % (bytes.len() * 8);
        bytes[place / 8] ^= 1 << (place % 8);
        if let Ok(event) = Event::decode(&bytes[..]) {
            history[index] = event;
        }
        if renumber {
            let at = history[0].at;
            for (event, seq) in history.iter_mut().zip(1..) {
                event.seq = seq;
                event.at = at;
            }
        }
        if let Ok(mut workflow) = Workflow::replay(&history) {
            workflow.outstanding();
            workflow.outcome();
            let now = workflow.updated_at();
            workflow.step(Input::Cancel { force: true, reason: String::new() }, now).ok();
        }
    }

    /// Texts from outside are read or refused.
    #[test]
    fn any_text_is_a_template_or_a_syntax_error(text in r#"[ -~{}'"\[\].é]{0,40}|(\{\{|\}\}|tasks|\.a|result|\[0\]|'x'|workflow|item| ){0,12}"#) {
        workflow_machine::check_template(&text).ok();
        workflow_machine::check_condition(&text).ok();
    }
}
