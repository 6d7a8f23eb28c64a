//! Random workflows.

use workflow_machine::{
    Call, Child, Compensate, ForEach, Function, Http, Noop, RetryPolicy, Sleep, Spec, TaskSpec, WaitSignal,
    Work,
};

use super::random::Random;

pub(crate) fn spec(random: &mut Random) -> Spec {
    let count = 1 + random.below(10);
    let saga = random.one_in(3);
    let tasks = (0..count).map(|number| task(random, number, saga)).collect();
    Spec {
        name: "random".to_owned(),
        tasks,
        metadata: [("flag".to_owned(), if random.one_in(2) { "on" } else { "off" }.to_owned())].into(),
        input: r#"{"list":[1,2,3],"n":4}"#.into(),
        timeout_ms: if random.one_in(4) { 1 + random.below(60_000) } else { 0 },
        failure_policy: random.below(3) as i32,
        compensation: random.below(3) as i32,
        ..Spec::default()
    }
}

fn task(random: &mut Random, number: u64, saga: bool) -> TaskSpec {
    let mut dependencies = Vec::new();
    for earlier in 0..number {
        if random.one_in(3) {
            dependencies.push(format!("t{earlier}"));
        }
    }
    let read = random.pick(&dependencies).cloned();
    let for_each = random.one_in(5).then(|| {
        let items = match &read {
            Some(read) if random.one_in(3) => format!("{{{{tasks.{read}.result.list}}}}"),
            _ if random.one_in(2) => "{{workflow.input.list}}".to_owned(),
            _ => ["[]", "[1]", "[\"a\",\"b\",\"c\",\"d\",\"e\"]"][random.below(3) as usize].to_owned(),
        };
        Box::new(ForEach { items, max_parallel: random.below(4) as u32 })
    });
    let when = match random.below(12) {
        0 => "{{workflow.metadata.flag}} == 'on'".to_owned(),
        1 => "!({{workflow.input.n}} > 3 && true)".to_owned(),
        _ => String::new(),
    };
    let input = match &read {
        Some(read) if random.one_in(3) => format!("{{\"of\":\"{{{{tasks.{read}.result}}}}\"}}"),
        Some(read) if random.one_in(9) => format!("{{{{tasks.{read}.result.list[1]}}}}"),
        _ if for_each.is_some() => "{{item}}".to_owned(),
        _ => String::new(),
    };
    TaskSpec {
        id: format!("t{number}"),
        dependencies,
        work: work(random, input),
        timeout_ms: if random.one_in(4) { 1 + random.below(20_000) } else { 0 },
        retry: random.one_in(2).then(|| Box::new(retry(random))),
        when,
        for_each,
        compensate: (saga && random.one_in(2)).then(|| Box::new(compensate(random))),
        ..TaskSpec::default()
    }
}

fn work(random: &mut Random, input: String) -> Option<Work> {
    Some(match random.below(14) {
        0 => return None,
        1 => Work::Noop(Noop {}),
        2 => Work::Sleep(Sleep { duration_ms: random.below(10_000), until_ms: 0 }),
        3 => Work::WaitSignal(WaitSignal { name: format!("s{}", random.below(3)) }),
        4 => Work::Child(Child { spec: Some(Box::new(child(input))) }),
        5 => Work::Http(Http { url: "http://localhost/".to_owned(), body: input.into(), ..Http::default() }),
        6 => Work::Function(Function { queue: "q".to_owned(), input: input.into(), ..Function::default() }),
        _ => Work::Call(Call { target: "worker".to_owned(), input: input.into(), ..Call::default() }),
    })
}

fn child(input: String) -> Spec {
    let tasks = vec![TaskSpec { id: "only".to_owned(), ..TaskSpec::default() }];
    Spec { name: "child".to_owned(), tasks, input: input.into(), ..Spec::default() }
}

fn retry(random: &mut Random) -> RetryPolicy {
    RetryPolicy {
        max_attempts: 1 + random.below(4) as u32,
        initial_ms: 1 + random.below(2_000),
        jitter: 0.3,
        non_retryable: vec!["INVALID".to_owned()],
        ..RetryPolicy::default()
    }
}

fn compensate(random: &mut Random) -> Compensate {
    let undo = Call { target: "undo".to_owned(), input: "{{result}}".into(), ..Call::default() };
    let work = if random.one_in(4) { None } else { Some(Work::Call(undo)) };
    let retry = random.one_in(2).then(|| retry(random));
    Compensate { work, retry, timeout_ms: if random.one_in(4) { 1_000 } else { 0 } }
}
