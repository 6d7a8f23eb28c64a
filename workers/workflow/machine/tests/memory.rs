//! What a live workflow costs, as the system sees it. A test binary of its own: nothing else allocates meanwhile.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use workflow_machine::{Call, CallKind, Input, Spec, TaskSpec, Work, Workflow};

/// Live workflows of the measurement: enough that the pages of everything else do not count.
const WORKFLOWS: usize = 20_000;

/// Resident bytes of this process.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// Three tasks in a row, as a client submits them; the last one reads the result of the first.
fn spec() -> Spec {
    let task = |id: &str, dependency: Option<&str>, target: &str, input: &'static str| TaskSpec {
        id: id.to_owned(),
        name: format!("the task {id}"),
        dependencies: dependency.into_iter().map(str::to_owned).collect(),
        work: Some(Work::Call(Call {
            kind: CallKind::Agent.into(),
            target: target.to_owned(),
            operation: "run".to_owned(),
            input: input.into(),
            ..Call::default()
        })),
        timeout_ms: 30_000,
        ..TaskSpec::default()
    };
    Spec {
        name: "itinerary".to_owned(),
        tasks: vec![
            task("weather", None, "weather-tool", "{}"),
            task("trip", Some("weather"), "itinerary-worker", "{}"),
            task("echo", Some("trip"), "echo-agent", "{\"of\":\"{{tasks.weather.result}}\"}"),
        ],
        owner: "somebody".to_owned(),
        namespace: "default".to_owned(),
        ..Spec::default()
    }
}

#[test]
fn a_live_workflow_of_three_tasks_costs_less_than_4_kib() {
    let live = |number: usize| {
        let id = format!("0193a5f2-0000-7000-8000-{number:012}");
        let (mut workflow, _) = Workflow::submit(id.into(), spec(), 1).unwrap();
        workflow.step(Input::Dispatch { task: "weather".to_owned() }, 2).unwrap();
        let result = "{}".into();
        workflow.step(Input::Completed { task: "weather".to_owned(), epoch: 1, result }, 3).unwrap();
        workflow.step(Input::Dispatch { task: "trip".to_owned() }, 4).unwrap();
        workflow
    };
    let mut all = Vec::with_capacity(WORKFLOWS);
    all.extend((0..100).map(live));
    let before = resident();
    all.extend((100..WORKFLOWS).map(live));
    let each = (resident() - before) / (WORKFLOWS - 100);
    println!("{each} bytes for a live workflow of three tasks");
    assert!(each < 4096, "{each} bytes");
    assert!(each > 512, "{each} bytes: the measurement does not measure");
}
