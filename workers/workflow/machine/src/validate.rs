//! What a specification has to be like to be taken. Histories are not held to it: rules change.

mod references;

use std::collections::HashSet;

use crate::{
    CallKind, Compensate, CompensationPolicy, FailurePolicy, Invalid, MAX_VIOLATIONS, Spec, TaskSpec,
    Violation, Work, check_condition,
    error::cut,
    limits,
    plan::{Plan, Unusable},
};

/// The plan of a specification, if nothing is wrong with it.
pub(crate) fn plan(spec: Spec) -> Result<Plan, Invalid> {
    let mut found = Findings { violations: Vec::new() };
    let plan = check(spec, "", 0, &mut found);
    match plan {
        Some(plan) if found.violations.is_empty() => Ok(plan),
        _ => Err(Invalid { violations: found.violations }),
    }
}

/// What was found to be wrong.
struct Findings {
    violations: Vec<Violation>,
}

impl Findings {
    fn add(&mut self, field: impl Into<String>, reason: impl Into<String>) {
        if self.violations.len() < MAX_VIOLATIONS {
            self.violations.push(Violation { field: field.into(), reason: reason.into() });
        }
    }
}

/// Checks a specification, and those inside of it. `path` is empty, or where it is with a dot behind.
fn check(spec: Spec, path: &str, depth: usize, found: &mut Findings) -> Option<Plan> {
    let name = spec.name.chars().count();
    if name == 0 || name > limits::MAX_NAME_CHARS {
        let limit = limits::MAX_NAME_CHARS;
        found.add(format!("{path}name"), format!("has {name} characters; 1 to {limit} are allowed"));
    }
    let tasks = spec.tasks.len();
    if tasks == 0 || tasks > limits::MAX_TASKS {
        let limit = limits::MAX_TASKS;
        found.add(format!("{path}tasks"), format!("has {tasks} tasks; 1 to {limit} are allowed"));
        return None;
    }
    one_of(found, &format!("{path}failure_policy"), FailurePolicy::try_from(spec.failure_policy).is_ok());
    one_of(found, &format!("{path}compensation"), CompensationPolicy::try_from(spec.compensation).is_ok());
    for (task, number) in spec.tasks.iter().zip(0..) {
        check_task(task, &format!("{path}tasks[{number}]"), depth, found);
    }
    let before = found.violations.len();
    let ids: HashSet<&str> = spec.tasks.iter().map(|task| task.id.as_str()).collect();
    for (task, number) in spec.tasks.iter().zip(0..) {
        for (id, index) in task.dependencies.iter().zip(0..) {
            if !ids.contains(id.as_str()) {
                let field = format!("{path}tasks[{number}].dependencies[{index}]");
                found.add(field, format!("there is no task {}", shown(id)));
            }
        }
    }
    if found.violations.len() > before {
        return None;
    }
    let plan = match Plan::new(spec) {
        Ok(plan) => plan,
        Err(Unusable(reason)) => {
            found.add(format!("{path}tasks"), reason);
            return None;
        }
    };
    if let Some((first, second)) = plan.duplicate() {
        let id = shown(&plan.task(first).id);
        let field = format!("{path}tasks[{}].id", first.max(second));
        found.add(field, format!("{id} is the id of tasks[{}] too", first.min(second)));
        return None;
    }
    if let Some(cycle) = plan.cycle() {
        // Read as "needs": a -> b says that a depends on b.
        let mut names: Vec<&str> = cycle.iter().take(20).map(|task| plan.task(*task).id.as_str()).collect();
        names.push(if cycle.len() > 20 { "…" } else { names[0] });
        let field = format!("{path}tasks[{}].dependencies", cycle[0]);
        found.add(field, format!("tasks depend on each other in a circle: {}", names.join(" -> ")));
        return None;
    }
    references::check(&plan, path, found);
    Some(plan)
}

fn check_task(task: &TaskSpec, path: &str, depth: usize, found: &mut Findings) {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | ':' | '-');
    let length = task.id.chars().count();
    if length == 0 || length > limits::MAX_TASK_ID_CHARS || !task.id.chars().all(legal) {
        let limit = limits::MAX_TASK_ID_CHARS;
        let reason = format!("{} is no id; 1 to {limit} of A-Z a-z 0-9 . _ : - are allowed", shown(&task.id));
        found.add(format!("{path}.id"), reason);
    }
    for (dependency, index) in task.dependencies.iter().zip(0..) {
        if *dependency == task.id {
            found.add(format!("{path}.dependencies[{index}]"), "the task depends on itself");
        }
    }
    if let Err(error) = when(&task.when) {
        found.add(format!("{path}.when"), error);
    }
    match &task.work {
        Some(Work::WaitSignal(wait)) if wait.name.is_empty() => {
            found.add(format!("{path}.work.wait_signal.name"), "is empty; name the signal to wait for");
        }
        Some(Work::Call(call)) => {
            one_of(found, &format!("{path}.work.call.kind"), CallKind::try_from(call.kind).is_ok());
            if call.target.is_empty() {
                found.add(format!("{path}.work.call.target"), "is empty; name what is called");
            }
        }
        Some(Work::Http(http)) if http.url.is_empty() => {
            found.add(format!("{path}.work.http.url"), "is empty; give an absolute URL");
        }
        Some(Work::Child(child)) => check_child(child.spec.as_deref(), path, depth, found),
        _ => {}
    }
    if let Some(compensate) = &task.compensate {
        check_compensate(compensate, &format!("{path}.compensate"), found);
    }
}

fn check_child(spec: Option<&Spec>, path: &str, depth: usize, found: &mut Findings) {
    let path = format!("{path}.work.child.spec");
    match spec {
        None => found.add(path, "is missing; say what the child does"),
        Some(_) if depth + 1 >= limits::MAX_CHILD_DEPTH => {
            found.add(path, format!("is more than {} workflows deep", limits::MAX_CHILD_DEPTH));
        }
        Some(spec) => {
            check(spec.clone(), &format!("{path}."), depth + 1, found);
        }
    }
}

fn check_compensate(compensate: &Compensate, path: &str, found: &mut Findings) {
    match &compensate.work {
        Some(Work::Sleep(_) | Work::WaitSignal(_) | Work::Child(_)) => {
            let reason =
                "cannot undo anything; a compensation is a noop, a call, an http request or a function";
            found.add(format!("{path}.work"), reason);
        }
        Some(Work::Call(call)) if call.target.is_empty() => {
            found.add(format!("{path}.work.call.target"), "is empty; name what is called");
        }
        Some(Work::Http(http)) if http.url.is_empty() => {
            found.add(format!("{path}.work.http.url"), "is empty; give an absolute URL");
        }
        _ => {}
    }
}

fn when(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Ok(());
    }
    check_condition(text).map_err(|error| error.to_string())
}

fn one_of(found: &mut Findings, field: &str, known: bool) {
    if !known {
        found.add(field, "is none of the values that this version knows");
    }
}

/// A text from outside, in quotes and not too long.
fn shown(text: &str) -> String {
    let mut text = text.to_owned();
    cut(&mut text, 120);
    format!("{text:?}")
}
