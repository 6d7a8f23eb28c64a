//! What the steps of a workflow cost. `NOTES.md` keeps the figures and says what bounds them.

#![expect(clippy::unwrap_used, reason = "a bench that fails has failed")]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use prost::Message;
use workflow_machine::{Call, Event, ForEach, Input, Spec, TaskSpec, Work, Workflow};

fn task(id: &str, dependencies: &[&str], input: &'static str) -> TaskSpec {
    let work = Work::Call(Call {
        target: "echo-agent".to_owned(),
        operation: "run".to_owned(),
        input: input.into(),
        ..Call::default()
    });
    TaskSpec {
        id: id.to_owned(),
        dependencies: dependencies.iter().map(|&id| id.to_owned()).collect(),
        work: Some(work),
        timeout_ms: 30_000,
        ..TaskSpec::default()
    }
}

fn spec(tasks: Vec<TaskSpec>) -> Spec {
    Spec { name: "bench".to_owned(), tasks, ..Spec::default() }
}

fn three() -> Spec {
    spec(vec![task("a", &[], "{}"), task("b", &["a"], "{}"), task("c", &["b"], "{}")])
}

fn run(workflow: &mut Workflow, task: &str, epoch: u64) -> Vec<Event> {
    let mut events = workflow.step(Input::Dispatch { task: task.to_owned() }, 2).unwrap().events;
    let result = "{\"x\":1}".into();
    events
        .extend(workflow.step(Input::Completed { task: task.to_owned(), epoch, result }, 3).unwrap().events);
    events
}

fn life() -> Vec<Event> {
    let (mut workflow, step) = Workflow::submit("0193a5f2".into(), three(), 1).unwrap();
    let mut events = step.events;
    for task in ["a", "b", "c"] {
        events.extend(run(&mut workflow, task, 1));
    }
    events
}

fn steps(c: &mut Criterion) {
    c.bench_function("submit, three tasks", |b| {
        b.iter_batched(
            three,
            |spec| Workflow::submit("0193a5f2".into(), spec, 1).unwrap(),
            BatchSize::SmallInput,
        );
    });
    let (submitted, _) = Workflow::submit("0193a5f2".into(), three(), 1).unwrap();
    c.bench_function("dispatch and complete, three tasks", |b| {
        b.iter_batched_ref(|| submitted.clone(), |workflow| run(workflow, "a", 1), BatchSize::SmallInput);
    });
    let reads = vec![
        task("a", &[], "{}"),
        task("b", &["a"], r#"{"x":"{{tasks.a.result.x}}","y":"{{workflow.id}}"}"#),
    ];
    let (mut reads, _) = Workflow::submit("0193a5f2".into(), spec(reads), 1).unwrap();
    run(&mut reads, "a", 1);
    c.bench_function("dispatch and complete, two templates", |b| {
        b.iter_batched_ref(|| reads.clone(), |workflow| run(workflow, "b", 1), BatchSize::SmallInput);
    });
    let events = life();
    c.bench_function("replay, three tasks", |b| b.iter(|| Workflow::replay(black_box(&events)).unwrap()));
    c.bench_function("encode, three tasks", |b| {
        b.iter(|| {
            black_box(&events).iter().map(Event::encode_to_vec).map(|bytes| bytes.len()).sum::<usize>()
        });
    });
    let encoded: Vec<Vec<u8>> = events.iter().map(Event::encode_to_vec).collect();
    c.bench_function("decode and replay, three tasks", |b| {
        b.iter(|| {
            let events: Vec<Event> = encoded.iter().map(|bytes| Event::decode(&bytes[..]).unwrap()).collect();
            Workflow::replay(&events).unwrap()
        });
    });
}

/// A workflow of 10,000 tasks that all wait for slots, and one of a task with 10,000 items.
fn large(c: &mut Criterion) {
    let ids: Vec<String> = (0..10_000).map(|number| format!("task-{number}")).collect();
    let many = || spec(ids.iter().map(|id| task(id, &[], "{}")).collect());
    c.bench_function("submit, 10,000 tasks", |b| {
        b.iter_batched(
            many,
            |spec| Workflow::submit("0193a5f2".into(), spec, 1).unwrap(),
            BatchSize::LargeInput,
        );
    });
    let (submitted, _) = Workflow::submit("0193a5f2".into(), many(), 1).unwrap();
    c.bench_function("run all, 10,000 tasks", |b| {
        let all = |workflow: &mut Workflow| ids.iter().map(|id| run(workflow, id, 1).len()).sum::<usize>();
        b.iter_batched_ref(|| submitted.clone(), all, BatchSize::LargeInput);
    });
    let items = format!("[{}]", vec!["1"; 10_000].join(","));
    let for_each = Some(Box::new(ForEach { items, max_parallel: 100 }));
    let each = spec(vec![TaskSpec { for_each, ..task("a", &[], "{{item}}") }]);
    let (expanded, _) = Workflow::submit("0193a5f2".into(), each, 1).unwrap();
    let names: Vec<String> = (0..10_000).map(|number| format!("a[{number}]")).collect();
    c.bench_function("run all, 10,000 items", |b| {
        let all = |workflow: &mut Workflow| names.iter().map(|id| run(workflow, id, 1).len()).sum::<usize>();
        b.iter_batched_ref(|| expanded.clone(), all, BatchSize::LargeInput);
    });
    let chain = |count: usize| {
        let tasks = (0..count).map(|number| {
            let before = number.checked_sub(1).map(|before| ids[before].as_str());
            TaskSpec { work: None, ..task(&ids[number], &before.into_iter().collect::<Vec<_>>(), "") }
        });
        spec(tasks.collect())
    };
    c.bench_function("a chain of 10,000 that does nothing", |b| {
        b.iter_batched(
            || chain(10_000),
            |spec| Workflow::submit("x".into(), spec, 1).unwrap(),
            BatchSize::LargeInput,
        );
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = steps, large
}
criterion_main!(benches);
