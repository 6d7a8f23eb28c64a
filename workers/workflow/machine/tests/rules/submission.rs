//! What a specification has to be like.

use workflow_machine::{
    Call, Child, Compensate, ForEach, Http, Invalid, MAX_VIOLATIONS, Sleep, Spec, TaskSpec, WaitSignal, Work,
    Workflow, limits,
};

use crate::driver::{START, ask, call, spec, task};

fn invalid(spec: Spec) -> Vec<(String, String)> {
    let Err(Invalid { violations }) = Workflow::submit("wf".into(), spec, START) else {
        panic!("it was taken");
    };
    violations.into_iter().map(|violation| (violation.field, violation.reason)).collect()
}

fn check(spec: Spec, expected: &[(&str, &str)]) {
    let found = invalid(spec);
    let found: Vec<(&str, &str)> =
        found.iter().map(|(field, reason)| (field.as_str(), reason.as_str())).collect();
    assert_eq!(found, expected);
}

#[test]
fn every_violation_is_named_with_its_field() {
    let bad = Spec {
        name: String::new(),
        failure_policy: 9,
        ..spec([
            call("fine", &["nobody"]),
            call("not fine", &["fine"]),
            TaskSpec { when: "1 ==".to_owned(), ..call("self", &["self"]) },
            task("w", &[], Work::WaitSignal(WaitSignal::default())),
            task("h", &[], Work::Http(Http::default())),
            task("c", &[], Work::Call(Call { kind: 7, ..Call::default() })),
        ])
    };
    check(
        bad,
        &[
            ("name", "has 0 characters; 1 to 100 are allowed"),
            ("failure_policy", "is none of the values that this version knows"),
            ("tasks[1].id", "\"not fine\" is no id; 1 to 100 of A-Z a-z 0-9 . _ : - are allowed"),
            ("tasks[2].dependencies[0]", "the task depends on itself"),
            (
                "tasks[2].when",
                "at character 5: expected {{a template}}, a literal, '!' or '(', found the end",
            ),
            ("tasks[3].work.wait_signal.name", "is empty; name the signal to wait for"),
            ("tasks[4].work.http.url", "is empty; give an absolute URL"),
            ("tasks[5].work.call.kind", "is none of the values that this version knows"),
            ("tasks[5].work.call.target", "is empty; name what is called"),
            ("tasks[0].dependencies[0]", "there is no task \"nobody\""),
        ],
    );
}

#[test]
fn there_have_to_be_tasks_and_not_too_many() {
    check(spec([]), &[("tasks", "has 0 tasks; 1 to 10000 are allowed")]);
    let many = (0..=limits::MAX_TASKS).map(|number| call(&number.to_string(), &[]));
    check(spec(many), &[("tasks", "has 10001 tasks; 1 to 10000 are allowed")]);
}

#[test]
fn ids_are_unique() {
    check(
        spec([call("a", &[]), call("b", &[]), call("a", &[])]),
        &[("tasks[2].id", "\"a\" is the id of tasks[0] too")],
    );
}

#[test]
fn a_circle_is_shown() {
    let circle = spec([
        call("x", &[]),
        call("a", &["x", "c"]),
        call("b", &["a"]),
        call("c", &["b"]),
        call("d", &["c"]),
    ]);
    let reason = "tasks depend on each other in a circle: a -> c -> b -> a";
    check(circle, &[("tasks[1].dependencies", reason)]);
    let long =
        (0..10_000).map(|number: u32| call(&number.to_string(), &[&((number + 1) % 10_000).to_string()]));
    assert!(invalid(spec(long))[0].1.ends_with("18 -> 19 -> …"));
}

#[test]
fn templates_name_what_is_over_by_then() {
    let items = Some(Box::new(ForEach { items: "{{item}}".to_owned(), max_parallel: 0 }));
    let bad = spec([
        ask("a", &[], "{{tasks.b.result}}"),
        ask("b", &[], "{{tasks.nobody.result}}"),
        ask("c", &["a"], "{{item}} {{result}}"),
        ask("d", &["c"], "{{tasks.a.result}}"),
        TaskSpec { for_each: items, ..ask("e", &[], "{{tasks.") },
    ]);
    check(
        bad,
        &[
            (
                "tasks[0].work.call.input",
                "at character 3: tasks.b.result: b may not be over by then; add it to the dependencies of a",
            ),
            ("tasks[1].work.call.input", "at character 3: tasks.nobody.result: there is no task nobody"),
            (
                "tasks[2].work.call.input",
                "at character 3: item: there are items only in the work of a task with for_each",
            ),
            (
                "tasks[2].work.call.input",
                "at character 12: result: there is a result only in a compensation; elsewhere it is tasks.<id>.result",
            ),
            (
                "tasks[4].for_each.items",
                "at character 3: item: there are items only in the work of a task with for_each",
            ),
            ("tasks[4].work.call.input", "at character 9: expected a name, found the end"),
        ],
    );
}

#[test]
fn children_are_checked_with_their_parents_and_are_not_too_deep() {
    let child = |inner: Spec| task("child", &[], Work::Child(Child { spec: Some(Box::new(inner)) }));
    check(
        spec([child(spec([call("a", &["b"])]))]),
        &[("tasks[0].work.child.spec.tasks[0].dependencies[0]", "there is no task \"b\"")],
    );
    check(
        spec([task("child", &[], Work::Child(Child::default()))]),
        &[("tasks[0].work.child.spec", "is missing; say what the child does")],
    );
    let deep = (0..limits::MAX_CHILD_DEPTH).fold(spec([call("a", &[])]), |inner, _| spec([child(inner)]));
    assert!(invalid(deep)[0].1.contains("more than 8 workflows deep"));
}

#[test]
fn a_wait_undoes_nothing() {
    let compensate = Compensate { work: Some(Work::Sleep(Sleep::default())), ..Compensate::default() };
    let bad = TaskSpec { compensate: Some(Box::new(compensate)), ..call("a", &[]) };
    assert_eq!(invalid(spec([bad]))[0].0, "tasks[0].compensate.work");
}

#[test]
fn a_flood_of_violations_is_cut() {
    let flood = (0..5_000).map(|number| call(&format!("no id {number}"), &[]));
    assert_eq!(invalid(spec(flood)).len(), MAX_VIOLATIONS);
}
