//! One workflow as a pure state machine: input in, events and actions out.
//!
//! No clock, no I/O, no randomness: the same inputs at the same times give the same events. The events are the truth.
//! A workflow is the fold of its events, and [`Workflow::replay`] of what [`Workflow::step`] returned gives the very
//! same value. What has to be done in the world comes as actions, to be performed when the step's events are durable.
//!
//! ```text
//!            submit / step(input, now)                            events ──► log, watchers
//!  input ──► decide: which facts follow? ──► apply, fact by fact ──┤
//!                          (reads state)        (changes state)     actions ──► executors, timers, lanes
//!
//!  log ────► replay: apply, fact by fact ──► the same state ──► outstanding(): actions that are still to be done
//! ```
//!
//! # A task, or an item of one
//!
//! ```text
//!             dependencies over             Dispatch             Completed
//!  PENDING ─────────────────────► SCHEDULED ────────► RUNNING ──────────────► COMPLETED ──► COMPENSATING ──► COMPENSATED
//!     │ when: false                ▲  ▲               │  │ │                                  └──► COMPENSATION_FAILED
//!     ▼                      Timer │  └─LeaseExpired──┘  │ └─Failed, none left──► FAILED, TIMED_OUT
//!  SKIPPED                         └───── RETRYING ◄─────┘ Failed, timed out
//!
//!  sleep, wait_signal, child:    PENDING ──► WAITING ──► COMPLETED, FAILED     without a slot
//!  noop:                         PENDING ──► COMPLETED                         at once
//!  any that is not over ──► CANCELLED (cancel, sibling failed) or SKIPPED (a dependency failed, fail fast)
//! ```
//!
//! # A workflow
//!
//! ```text
//!  PENDING ──first start──► RUNNING ◄──Pause/Resume──► PAUSED
//!                              │
//!          ┌───────────────────┼─task fails, timeout──► FAILING ───────┐  attempts in flight end or are given up
//!          │ all tasks over    └─Cancel───────────────► CANCELLING ────┤
//!          ▼                                                           ▼
//!      COMPLETED                                      [PENDING_COMPENSATION ──Compensate──►] COMPENSATING
//!                                                                      ▼
//!                                            FAILED, TIMED_OUT, CANCELLED ──Retry, Compensate──► a new run
//! ```
//!
//! An end is final. What follows it is refused, and nothing happens by itself any more. [`Input::Retry`] and
//! [`Input::Compensate`] do not change an end; they are requests, and `Reopened` or `CompensationStarted` with their own
//! sequence begin another run of the same history. A watcher that stopped at the end saw the truth, and one that resumes
//! from there sees what was asked for since. A COMPLETED workflow is never reopened.
//!
//! # A life
//! ```
//! use workflow_machine::{Action, Call, Input, Spec, Status, TaskSpec, Work, Workflow};
//!
//! let call = Call { target: "echo-agent".into(), input: "\"hello\"".into(), ..Call::default() };
//! let task = TaskSpec { id: "a".into(), work: Some(Work::Call(call)), ..TaskSpec::default() };
//! let spec = Spec { name: "hello".into(), tasks: vec![task], ..Spec::default() };
//!
//! let (mut workflow, submitted) = Workflow::submit("wf-1".into(), spec, 1_000)?;
//! let mut log = submitted.events;
//! assert!(matches!(&submitted.actions[..], [Action::Ready { task, .. }] if task == "a"));
//!
//! let started = workflow.step(Input::Dispatch { task: "a".into() }, 1_001)?;
//! log.extend(started.events);
//! let [Action::Run(run)] = &started.actions[..] else { panic!("nothing runs") };
//!
//! let result = Input::Completed { task: "a".into(), epoch: run.epoch, result: "\"hello\"".into() };
//! let ended = workflow.step(result.clone(), 1_002)?;
//! log.extend(ended.events);
//! assert_eq!(ended.actions, [Action::Finished { status: Status::Completed }]);
//! assert!(workflow.step(result, 1_003).is_err(), "a result counts once");
//!
//! assert_eq!(Workflow::replay(&log)?, workflow);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What others see of it
//! [`Workflow::tasks`], [`Workflow::task`], [`Workflow::status`] and their like read the state. Who reads only the history has
//! [`Event::task_change`], [`Event::workflow_change`] and [`Event::message`]: one after another they tell the same.
//!
//! # What the caller has to do
//! - Keep the events of a step in one atomic write, and only then perform its actions, in order, and answer.
//! - Give `now` that never goes back for a workflow.
//! - After a replay perform [`Workflow::outstanding`]. Attempts that had started are among it, with their epochs.
//! - Bound what comes in: results, and how often an attempt says how far it is, for each is an event.

mod action;
mod apply;
mod backoff;
mod error;
mod event;
mod ids;
mod input;
pub mod limits;
mod outstanding;
mod plan;
mod refusal;
mod request;
mod spec;
mod status;
mod step;
mod template;
mod unit;
mod validate;
mod workflow;

pub use action::{Action, Request, Run, TimerKey};
pub use error::{TaskError, codes};
pub use event::*;
pub use ids::{Millis, WorkflowId};
pub use input::{Input, Outcome, SignalKind};
pub use refusal::{Corrupt, Invalid, MAX_VIOLATIONS, Refusal, Violation};
pub use spec::{
    Call, CallKind, Child, Compensate, CompensationPolicy, FailurePolicy, ForEach, Function, Http, Noop,
    Parent, RetryPolicy, Sleep, Spec, TaskSpec, WaitSignal, Work,
};
pub use status::{SagaState, Status, TaskDetail, WorkflowDetail};
pub use template::{SyntaxError, check_condition, check_template};
pub use workflow::{Step, TaskView, Workflow};
