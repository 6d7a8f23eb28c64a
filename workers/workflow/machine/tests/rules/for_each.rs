//! Tasks that run once for each item of a list.

use workflow_machine::{
    Action, FailurePolicy, ForEach, Input, Request, RetryPolicy, Spec, Status, TaskDetail, TaskSpec, codes,
};

use crate::driver::{Driver, ask, call, finished, permanent, spec, transient};

fn each(id: &str, dependencies: &[&str], items: &str, max_parallel: u32) -> TaskSpec {
    let for_each = ForEach { items: items.to_owned(), max_parallel };
    TaskSpec {
        for_each: Some(Box::new(for_each)),
        ..ask(id, dependencies, r#"{"city":"{{item}}","place":"{{index}}"}"#)
    }
}

#[test]
fn the_list_comes_from_an_earlier_task_and_results_keep_its_order() {
    let mut driver = Driver::submit(spec([
        call("cities", &[]),
        each("weather", &["cities"], "{{tasks.cities.result.all}}", 0),
        ask("trip", &["weather"], "{{tasks.weather.result}}"),
    ]));
    driver.run("cities", r#"{"all":["Rome","Oslo","Kyiv"]}"#);
    assert_eq!(driver.announced(), ["weather[0]", "weather[1]", "weather[2]"]);
    assert_eq!(driver.detail("weather"), TaskDetail::Running);
    let run = driver.dispatch("weather[1]");
    assert_eq!(run.idempotency_key, "wf/weather[1]");
    let Request::Call(call) = run.request else { panic!("not a call") };
    assert_eq!(&call.input[..], br#"{"city":"Oslo","place":1}"#);
    driver.complete("weather[1]", "\"snow\"");
    driver.run("weather[2]", "sun");
    driver.run("weather[0]", "{\"rain\":true}");
    assert_eq!(driver.result("weather"), r#"[{"rain":true},"snow","sun"]"#);
    assert_eq!(driver.result("weather[1]"), "\"snow\"");
    let Request::Call(call) = driver.dispatch("trip").request else { panic!("not a call") };
    assert_eq!(&call.input[..], br#"[{"rain":true},"snow","sun"]"#);
}

#[test]
fn no_more_than_max_parallel_are_under_way() {
    let mut driver = Driver::submit(spec([each("a", &[], "[1,2,3,4,5]", 2)]));
    assert_eq!(driver.announced(), ["a[0]", "a[1]"]);
    driver.run("a[1]", "");
    assert_eq!(driver.announced(), ["a[2]"]);
    for (task, next) in [("a[0]", "a[3]"), ("a[2]", "a[4]")] {
        driver.run(task, "");
        assert_eq!(driver.announced(), [next]);
    }
    driver.run("a[3]", "");
    assert_eq!(finished(&driver.run("a[4]", "")), Some(Status::Completed));
    assert_eq!(driver.result("a"), "[null,null,null,null,null]");
}

#[test]
fn an_empty_list_is_over_at_once() {
    let driver = Driver::submit(spec([each("a", &[], "[]", 0)]));
    assert_eq!(driver.status(), Status::Completed);
    assert_eq!(driver.result("a"), "[]");
}

#[test]
fn ten_thousand_items_are_linear_and_more_are_refused() {
    let list = |count: usize| format!("[{}]", vec!["0"; count].join(","));
    let tasks = |count| [TaskSpec { work: None, ..each("a", &[], &list(count), 3) }];
    let driver = Driver::submit(spec(tasks(10_000)));
    assert_eq!(driver.status(), Status::Completed);
    let driver = Driver::submit(spec(tasks(10_001)));
    let error = driver.workflow.error().unwrap();
    assert_eq!(error.code, codes::TEMPLATE);
    assert_eq!(error.message, "for_each.items: 10001 items, and the limit is 10000");
}

#[test]
fn the_first_item_that_fails_fails_the_task_when_those_in_flight_are_over() {
    let retry = Some(Box::new(RetryPolicy { max_attempts: 2, ..RetryPolicy::default() }));
    let mut driver = Driver::submit(spec([TaskSpec { retry, ..each("a", &[], "[1,2,3,4]", 3) }]));
    driver.dispatch("a[0]");
    driver.dispatch("a[1]");
    driver.fail("a[0]", transient());
    driver.fire("a[0]");
    driver.dispatch("a[0]");
    driver.fail("a[0]", permanent());
    assert_eq!(driver.detail("a[2]"), TaskDetail::Skipped);
    assert_eq!(driver.detail("a[3]"), TaskDetail::Skipped);
    assert_eq!(driver.detail("a"), TaskDetail::Running);
    assert_eq!(finished(&driver.fail("a[1]", transient())), Some(Status::Failed));
    let error = driver.workflow.error().unwrap();
    assert_eq!(error.code, codes::ITEM_FAILED);
    assert_eq!(error.message, "item a[0] failed: BROKEN: for good");
}

#[test]
fn with_the_policy_cancel_the_others_are_asked_to_stop() {
    let policy = FailurePolicy::FailFastCancel.into();
    let mut driver = Driver::submit(Spec { failure_policy: policy, ..spec([each("a", &[], "[1,2,3]", 0)]) });
    for item in ["a[0]", "a[1]", "a[2]"] {
        driver.dispatch(item);
    }
    let actions = driver.fail("a[0]", permanent());
    let stopped = actions.iter().filter(|action| matches!(action, Action::Stop { .. })).count();
    assert_eq!(stopped, 2);
    driver.fail("a[1]", transient());
    assert_eq!(driver.detail("a[1]"), TaskDetail::Cancelled);
    assert_eq!(finished(&driver.fire("a[2]")), Some(Status::Failed));
    assert_eq!(driver.detail("a[2]"), TaskDetail::Cancelled);
}

#[test]
fn with_the_policy_continue_every_item_runs() {
    let policy = FailurePolicy::Continue.into();
    let mut driver = Driver::submit(Spec { failure_policy: policy, ..spec([each("a", &[], "[1,2,3]", 1)]) });
    driver.dispatch("a[0]");
    driver.fail("a[0]", permanent());
    assert_eq!(driver.announced(), ["a[1]"]);
    driver.run("a[1]", "");
    assert_eq!(finished(&driver.run("a[2]", "")), Some(Status::Failed));
}

#[test]
fn items_have_one_name_each() {
    let driver = Driver::submit(spec([each("a", &[], "[1,2]", 0)]));
    assert!(driver.workflow.task("a[1]").is_some());
    for name in ["a[2]", "a[01]", "a[+1]", "a[]", "a[1", "a[1][0]", "b[0]", "a[99999999999999999999]"] {
        assert!(driver.workflow.task(name).is_none(), "{name}");
    }
}

#[test]
fn what_is_no_list_fails_the_task() {
    let mut driver = Driver::submit(spec([call("a", &[]), each("b", &["a"], "{{tasks.a.result}}", 0)]));
    driver.run("a", "{\"x\":1}");
    let error = driver.workflow.error().unwrap();
    assert_eq!(error.message, "for_each.items: a list is needed, and this is {\"x\":1}");
    let refusal = driver.try_step(Input::Dispatch { task: "b".to_owned() });
    assert!(refusal.is_err());
}
