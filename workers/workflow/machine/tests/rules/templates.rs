//! What tasks read of those before them, and conditions.

use workflow_machine::{
    Call, Request, Spec, Status, TaskDetail, TaskSpec, Work, check_condition, check_template, codes,
};

use crate::driver::{Driver, ask, call, spec};

/// The input that a task gets whose template this is.
fn resolved(template: &'static str) -> Result<String, String> {
    let workflow = Spec {
        input: r#"{"n":7,"deep":{"list":[10,{"x":null}]}}"#.into(),
        metadata: [("key.with.dots".to_owned(), "dots".to_owned()), ("k".to_owned(), "v".to_owned())].into(),
        ..spec([call("a", &[]), call("b.c", &["a"]), ask("t", &["b.c"], template)])
    };
    let mut driver = Driver::submit(workflow);
    driver.run("a", r#"{"text":"hi","list":[1,2,{"x":true}],"quote":"\"","n":2.5}"#);
    driver.run("b.c", "plain text");
    if driver.try_step(workflow_machine::Input::Dispatch { task: "t".to_owned() }).is_err() {
        return Err("refused".to_owned());
    }
    let run = driver.actions.iter().find_map(|action| match action {
        workflow_machine::Action::Run(run) => Some(run.clone()),
        _ => None,
    });
    match run.map(|run| run.request) {
        Some(Request::Call(call)) => Ok(String::from_utf8(call.input.to_vec()).unwrap()),
        _ => {
            let error = driver.workflow.error().unwrap();
            assert_eq!(error.code, codes::TEMPLATE);
            Err(error.message.clone())
        }
    }
}

#[test]
fn a_whole_template_keeps_its_type_and_a_part_becomes_text() {
    let check =
        |template, expected: &str| assert_eq!(resolved(template).as_deref(), Ok(expected), "{template}");
    check("{{tasks.a.result.list}}", r#"[1,2,{"x":true}]"#);
    check("{{tasks.a.result.text}}", r#""hi""#);
    check("{{ tasks.a.result.list[2].x }}", "true");
    check("{{tasks.a.result['list'][0]}}", "1");
    check("{{tasks.a.result.list.1}}", "2");
    check(r#"{"q":"{{tasks.a.result.n}}","s":"{{tasks.a.result.quote}}!"}"#, r#"{"q":2.5,"s":"\"!"}"#);
    check(r#"["{{tasks.a.result.list}} and {{workflow.input.n}}"]"#, r#"["[1,2,{\"x\":true}] and 7"]"#);
    check("say {{tasks.a.result.text}} to {{workflow.metadata.k}}", "say hi to v");
    check("{{tasks['b.c'].result}}", r#""plain text""#);
    check("{{workflow.metadata['key.with.dots']}}", r#""dots""#);
    check("{{workflow.input.deep.list[1]}}", r#"{"x":null}"#);
    check("{{workflow.id}}/{{workflow.name}}/{{tasks.a.status}}", "wf/test/COMPLETED");
    check("{{'{{'}}literal", "{{literal");
    check("no template, no { change }", "no template, no { change }");
    check("", "");
}

#[test]
fn what_is_not_there_is_an_error_that_names_it() {
    let check =
        |template, expected: &str| assert_eq!(resolved(template), Err(expected.to_owned()), "{template}");
    check("{{tasks.a.result.nothing}}", "work: input: tasks.a.result.nothing (character 3) is not there");
    check(
        "x {{workflow.input.deep.list[9]}}",
        "work: input: workflow.input.deep.list[9] (character 5) is not there",
    );
    check("{{workflow.metadata.none}}", "work: input: workflow.metadata.none (character 3) is not there");
}

#[test]
fn a_template_cannot_make_a_request_without_bound() {
    let big = Box::leak(format!("[{}0]", r#""{{tasks.a.result}}","#.repeat(40)).into_boxed_str());
    let mut driver = Driver::submit(spec([call("a", &[]), ask("t", &["a"], big)]));
    driver.run("a", &format!("\"{}\"", "x".repeat(1024 * 1024)));
    driver.step(workflow_machine::Input::Dispatch { task: "t".to_owned() });
    let error = driver.workflow.error().unwrap();
    assert_eq!(error.message, "work: input: templates put in more than 16777216 bytes");
}

#[test]
fn syntax_errors_say_where() {
    let check = |template: &str, expected: &str| {
        assert_eq!(check_template(template).unwrap_err().to_string(), expected, "{template}");
    };
    check("{{", "at character 3: expected tasks, workflow, item, index, result, or a literal");
    check("é {{tasks.a.result", "at character 3: the template that begins here has no closing }}");
    check("{{tasks.a.results}}", "at character 10: a task has .result and .status");
    check("{{task.a}}", "at character 3: expected tasks, workflow, item, index, result, or a literal");
    check(
        "{{tasks.a.result.x y}}",
        "at character 20: expected '.', '[' or '}}' (keys with other characters are written ['so']), found 'y'",
    );
    check("{{tasks.a.result[x]}}", "at character 18: expected a number or a text in quotes");
    check("{{tasks}}", "at character 8: expected a task, as .id or ['id'], found '}'");
    check("{{'abc}}", "at character 3: the text that begins here has no closing '");
    check("{{1.2.3}}", "at character 3: 1.2.3 is no number");
    let check = |condition: &str, expected: &str| {
        assert_eq!(check_condition(condition).unwrap_err().to_string(), expected, "{condition}");
    };
    check("", "at character 1: expected {{a template}}, a literal, '!' or '(', found the end");
    check("1 == ", "at character 6: expected {{a template}}, a literal, '!' or '(', found the end");
    check("(1 == 1", "at character 8: expected ')', found the end");
    check("1 = 1", "at character 3: expected an operator or the end, found '='");
    check("tasks.a == 1", "at character 1: expected {{a template}}, a literal, '!' or '(', found 't'");
    assert!(check_condition(&"(".repeat(1_000)).is_err());
    assert!(check_condition(&"!".repeat(1_000)).is_err());
    assert!(check_condition(&format!("'{}'", "x".repeat(5_000))).is_err());
}

/// What a condition decides about a task after `a`.
fn asked(condition: &str) -> Result<bool, String> {
    let workflow = Spec {
        input: r#"{"n":7,"no":false,"text":"abc","list":[]}"#.into(),
        ..spec([call("a", &[]), TaskSpec { when: condition.to_owned(), ..call("t", &["a"]) }])
    };
    let mut driver = Driver::submit(workflow);
    driver.run("a", r#"{"n":5,"word":"yes"}"#);
    match driver.detail("t") {
        TaskDetail::Scheduled => Ok(true),
        TaskDetail::Skipped => Ok(false),
        _ => Err(driver.workflow.error().unwrap().message.clone()),
    }
}

#[test]
fn conditions_decide() {
    for (condition, expected) in [
        ("true", true),
        ("!true", false),
        ("{{workflow.input.n}} == 7", true),
        ("{{workflow.input.n}} == 7.0", true),
        ("{{workflow.input.n}} == '7'", false),
        ("{{workflow.input.n}} != '7'", true),
        ("{{tasks.a.result.n}} < {{workflow.input.n}}", true),
        ("{{tasks.a.result.n}} >= 5 && {{tasks.a.result.n}} <= 5", true),
        ("{{tasks.a.result.word}} == 'yes'", true),
        ("{{tasks.a.result.word}} > \"no\"", true),
        ("{{tasks.a.result.nothing}} == null", true),
        ("{{tasks.a.result.nothing}}", false),
        ("{{workflow.input.no}} || {{workflow.input.text}}", true),
        ("({{workflow.input.no}} || true) && !({{workflow.input.n}} < 3)", true),
        ("false && false || true", true),
        // As in C: the sign belongs to what is next to it.
        ("!false == true", true),
        ("!true == 'x'", false),
        ("!(true == 'x')", true),
        ("{{workflow.input.list}}", true),
        ("0 || ''", false),
        ("9007199254740993 == 9007199254740992", false),
    ] {
        assert_eq!(asked(condition), Ok(expected), "{condition}");
    }
}

#[test]
fn what_cannot_be_compared_fails_the_task() {
    let reason = "when: a number and a text have no order; < <= > >= take two numbers or two texts";
    assert_eq!(asked("{{workflow.input.n}} < 'x'"), Err(reason.to_owned()));
    // What is not asked cannot fail.
    assert_eq!(asked("true || {{workflow.input.n}} < 'x'"), Ok(true));
}

#[test]
fn a_task_whose_condition_is_false_counts_as_over_and_reads_as_null() {
    let tasks = [
        TaskSpec { when: "false".to_owned(), ..call("a", &[]) },
        ask("b", &["a"], r#"{"a":"{{tasks.a.result.x}}","is":"{{tasks.a.status}}"}"#),
    ];
    let mut driver = Driver::submit(spec(tasks));
    assert_eq!(driver.detail("a"), TaskDetail::Skipped);
    let Request::Call(call) = driver.dispatch("b").request else { panic!("not a call") };
    assert_eq!(&call.input[..], br#"{"a":null,"is":"SKIPPED"}"#);
    driver.complete("b", "");
    assert_eq!(driver.status(), Status::Completed);
}

#[test]
fn parameters_and_targets_are_templates_too() {
    let call = Call {
        target: "{{workflow.metadata.who}}".to_owned(),
        operation: "do-{{workflow.input.n}}".to_owned(),
        parameters: [("n".to_owned(), "{{workflow.input.n}}".to_owned())].into(),
        ..Call::default()
    };
    let workflow = Spec {
        input: r#"{"n":7}"#.into(),
        metadata: [("who".to_owned(), "me".to_owned())].into(),
        ..spec([TaskSpec { work: Some(Work::Call(call)), ..crate::driver::call("a", &[]) }])
    };
    let Request::Call(call) = Driver::submit(workflow).dispatch("a").request else { panic!("not a call") };
    assert_eq!(
        (call.target.as_str(), call.operation.as_str(), call.parameters["n"].as_str()),
        ("me", "do-7", "7")
    );
}
