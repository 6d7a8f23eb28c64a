//! What is wrong with a file is said with field, line and column, all of it at once.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use workflow_file::{Invalid, workflow, workflows};

fn errors(text: &str) -> Vec<String> {
    let error = workflow("w.yaml", text.as_bytes()).unwrap_err();
    error.to_string().lines().map(str::to_owned).collect()
}

/// Of a task with these lines, each indented already; the task begins in line 3.
fn task_errors(lines: &str) -> Vec<String> {
    errors(&format!("name: n\ntasks:\n- id: a\n{lines}"))
}

#[test]
fn every_problem_is_named_with_its_place_in_the_order_of_the_file() {
    let text = "name: n
timeout: 5
tasks:
  - id: a
    timeout: soon
    retry: { max_attempts: 0, initial: 1s, multiplyer: 2 }
  - name: no id
    depends_on: [a]
  - id: b
    type: agnet
    priority: high
failure_policy: fail_fast
";
    assert_eq!(
        errors(text),
        [
            "timeout: expected a duration such as 30s, got 5 (w.yaml:2:10)",
            "tasks[0].timeout: expected a duration such as 30s, got \"soon\" (w.yaml:5:14)",
            "tasks[0].retry.max_attempts: expected a whole number from 1 to 1000, got 0 (w.yaml:6:28)",
            "tasks[0].retry.multiplyer: unknown key; did you mean `multiplier`? (w.yaml:6:44)",
            "tasks[1].id: missing; expected a name for the task, unique in the workflow (w.yaml:7:5)",
            "tasks[1].depends_on: unknown key; did you mean `dependencies`? (w.yaml:8:5)",
            "tasks[2].type: expected one of agent, tool, worker, http, function, sleep, wait_signal, workflow, noop, \
             got \"agnet\"; did you mean `agent`? (w.yaml:10:11)",
            "tasks[2].priority: expected a whole number from -1000 to 1000, got \"high\" (w.yaml:11:15)",
            "failure_policy: expected one of fail_fast_drain, fail_fast_cancel, continue, got \"fail_fast\"; did you mean \
             `fail_fast_drain`? (w.yaml:12:17)",
        ]
    );
}

#[test]
fn each_type_has_its_own_keys() {
    let cases = [
        ("  type: http\n", "tasks[0].url: missing; expected what a task of type http is about (w.yaml:3:3)"),
        ("  type: sleep\n", "tasks[0].duration: expected either `duration` or `until` (w.yaml:3:3)"),
        (
            "  type: sleep\n  until: tomorrow\n",
            "tasks[0].until: expected a time such as 2026-12-24T08:00:00Z, got \"tomorrow\" (w.yaml:5:10)",
        ),
        (
            "  type: agent\n  target: echo-agent\n  url: http://a\n",
            "tasks[0].url: unknown key; `url` belongs to http; a task of type agent has target, operation, parameters, \
             input (w.yaml:6:3)",
        ),
        (
            "  type: workflow\n",
            "tasks[0].workflow: missing; expected the child: a mapping with `name` and `tasks` (w.yaml:3:3)",
        ),
        (
            "  target: echo-agent\n  parameters: { a: [1] }\n",
            "tasks[0].parameters.a: expected a text (structured data goes into `input`), got a list (w.yaml:5:20)",
        ),
        (
            "  compensate: { type: sleep, duration: 1s }\n",
            "tasks[0].compensate.type: a compensation cannot be of type sleep; it is a call, http, function or noop (w.yaml:4:15)",
        ),
        (
            "  for_each: 3\n",
            "tasks[0].for_each: expected a list, or a template that gives one, got 3 (w.yaml:4:13)",
        ),
    ];
    for (lines, expected) in cases {
        assert_eq!(task_errors(lines), [expected], "{lines}");
    }
}

#[test]
fn what_is_no_yaml_is_shown_where_it_begins() {
    let cases: [(&str, &str); 12] = [
        ("name: [a", "this is not YAML: while parsing a flow sequence, expected ',' or ']' (w.yaml:2:1)"),
        (
            "name: a: b",
            "this is not YAML: mapping values are not allowed in this context; put a text that contains `: ` in quotes \
             (w.yaml:1:8)",
        ),
        (
            "input: {{x}}",
            "a list or mapping cannot be a key; if this is a template, put it in quotes: \"{{ … }}\" (w.yaml:1:9)",
        ),
        ("name: a\nname: b", "the key \"name\" stands twice, first in line 1; keep one (w.yaml:2:1)"),
        ("name: !!binary a", "the tag !!binary means nothing here; leave it out (w.yaml:1:7)"),
        (
            "a: &x 1\nb: { <<: *x }",
            "merge keys (<<) are not YAML 1.2; repeat the whole value by an alias, or write it out (w.yaml:2:6)",
        ),
        ("a: &x [*x]", "the alias stands inside of what it repeats (w.yaml:1:8)"),
        ("", "the file is empty; a workflow has at least `name` and `tasks` (w.yaml:1:1)"),
        ("# nothing\n", "the file is empty; a workflow has at least `name` and `tasks` (w.yaml:1:1)"),
        ("hello", "expected a workflow: a mapping with `name` and `tasks`, got \"hello\" (w.yaml:1:1)"),
        (
            "name: a\ntasks: []\n---\nname: b\ntasks: []\n",
            "expected one workflow, got 2 (separated by ---); submit them as a batch, or split the file (w.yaml:4:1)",
        ),
        (
            "schedule: { id: x }\nname: a\ntasks: []",
            "schedule.cron: expected either `cron` (\"0 3 * * *\") or `every` (a duration such as 15m) (w.yaml:1:11)",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(errors(text), [expected], "{text}");
    }
    let not_text: Result<_, Invalid> = workflows("w.yaml", b"name: \xff\xfe");
    assert_eq!(
        not_text.unwrap_err().to_string(),
        "the file is not UTF-8 text; save it as UTF-8 (w.yaml:1:7)"
    );
}

#[test]
fn a_file_cannot_fill_the_memory() {
    let deep = format!("input: {}{}", "- ".repeat(100), "x");
    assert_eq!(
        errors(&format!("tasks:\n {deep}"))[0],
        "this is not YAML: block sequence entries are not allowed in this context (w.yaml:2:9)"
    );
    let deep = format!("input:\n {}x", "- ".repeat(100));
    assert!(
        errors(&deep)[0].starts_with("lists and mappings stand more than 64 deep"),
        "{:?}",
        errors(&deep)
    );

    let mut bomb = format!("a0: &a0 {}\n", "x".repeat(1_000));
    for level in 1..12 {
        let list = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb += &format!("a{level}: &a{level} [{list}]\n");
    }
    assert!(
        errors(&bomb)[0].starts_with("the file is too large with all that it repeats"),
        "{:?}",
        errors(&bomb)
    );

    // An alias is as deep as what it repeats.
    let mut nested = "a0: &a0 [x]\n".to_owned();
    for level in 1..100 {
        nested += &format!("a{level}: &a{level} [*a{}]\n", level - 1);
    }
    assert!(errors(&nested)[0].starts_with("lists and mappings stand more than 64 deep"));

    let large = vec![b' '; workflow_file::MAX_FILE_BYTES + 1];
    assert!(workflow("w.yaml", &large).unwrap_err().to_string().contains("the limit is 4194304"));

    let many: String = (0..10_000).map(|index| format!("k{index}: x\n")).collect();
    assert_eq!(workflow("w.yaml", many.as_bytes()).unwrap_err().problems.len(), workflow_file::MAX_PROBLEMS);
}
