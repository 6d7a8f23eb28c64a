//! What templates name has to be there: tasks that are over by then, items where there are some.

use serde_json::Value;

use super::Findings;
use crate::{
    SyntaxError, TaskSpec, Work,
    plan::Plan,
    template::{Condition, Path, Root, references},
};

/// Edges that may be walked to find out whether tasks come before each other. Beyond it a reference is believed; should it
/// be wrong the task fails with a template error instead.
const MAX_WALK: usize = 200_000;

/// Where a template stands, and so what it may name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// `when`, and the list of a `for_each`.
    Before,
    Work,
    Compensation,
}

/// Checks every template of every task.
pub(super) fn check(plan: &Plan, path: &str, found: &mut Findings) {
    let mut walk = Walk { left: MAX_WALK, searches: 0, seen: vec![0; plan.len() as usize] };
    for number in 0..plan.len() {
        let task = plan.task(number);
        let path = format!("{path}tasks[{number}]");
        for (field, place, paths) in templates(task) {
            let field = format!("{path}.{field}");
            match paths {
                Err(error) => found.add(field, error.to_string()),
                Ok(paths) => {
                    for named in paths {
                        if let Err(reason) = check_path(plan, number, place, &named, &mut walk) {
                            let at = named.at + 1;
                            found.add(field.clone(), format!("at character {at}: {}: {reason}", named.text));
                        }
                    }
                }
            }
        }
    }
}

fn check_path(plan: &Plan, number: u32, place: Place, named: &Path, walk: &mut Walk) -> Result<(), String> {
    let task = plan.task(number);
    match &named.root {
        Root::Item | Root::Index if task.for_each.is_none() || place == Place::Before => {
            Err("there are items only in the work of a task with for_each".to_owned())
        }
        Root::Result if place != Place::Compensation => {
            Err("there is a result only in a compensation; elsewhere it is tasks.<id>.result".to_owned())
        }
        root => {
            let Some(id) = root.task() else { return Ok(()) };
            let Some(other) = plan.find(id) else { return Err(format!("there is no task {id}")) };
            let own = place == Place::Compensation && other == number;
            if own || walk.comes_before(plan, other, number) {
                Ok(())
            } else {
                Err(format!("{id} may not be over by then; add it to the dependencies of {}", task.id))
            }
        }
    }
}

/// A search through dependencies, with a bound.
struct Walk {
    left: usize,
    /// Searches begun.
    searches: usize,
    /// By task: in which search it was last reached.
    seen: Vec<usize>,
}

impl Walk {
    fn comes_before(&mut self, plan: &Plan, earlier: u32, later: u32) -> bool {
        let id = &plan.task(earlier).id;
        if plan.task(later).dependencies.contains(id) {
            return true;
        }
        self.searches += 1;
        let mut open = vec![later];
        while let Some(task) = open.pop() {
            for dependency in &plan.task(task).dependencies {
                if self.left == 0 {
                    return true;
                }
                self.left -= 1;
                let Some(dependency) = plan.find(dependency) else { continue };
                if dependency == earlier {
                    return true;
                }
                if self.seen[dependency as usize] != self.searches {
                    self.seen[dependency as usize] = self.searches;
                    open.push(dependency);
                }
            }
        }
        false
    }
}

type Paths = Result<Vec<Path>, SyntaxError>;

/// Every field with templates: its name, where it stands, what it reads.
fn templates(task: &TaskSpec) -> Vec<(String, Place, Paths)> {
    let mut all = Vec::new();
    if !task.when.is_empty()
        && let Ok(condition) = Condition::parse(&task.when)
    {
        let mut paths = Vec::new();
        condition.paths(&mut paths);
        all.push(("when".to_owned(), Place::Before, Ok(paths.into_iter().cloned().collect())));
    }
    if let Some(for_each) = &task.for_each {
        let paths = in_json(for_each.items.as_bytes());
        all.push(("for_each.items".to_owned(), Place::Before, paths));
    }
    of_work(task.work.as_ref(), "work", Place::Work, &mut all);
    if let Some(compensate) = &task.compensate {
        of_work(compensate.work.as_ref(), "compensate.work", Place::Compensation, &mut all);
    }
    all
}

fn of_work(work: Option<&Work>, path: &str, place: Place, all: &mut Vec<(String, Place, Paths)>) {
    let mut add = |field: String, paths: Paths| {
        if !matches!(&paths, Ok(paths) if paths.is_empty()) {
            all.push((format!("{path}.{field}"), place, paths));
        }
    };
    match work {
        Some(Work::Call(call)) => {
            add("call.target".to_owned(), references(&call.target));
            add("call.operation".to_owned(), references(&call.operation));
            add("call.input".to_owned(), in_json(&call.input));
            call.parameters
                .iter()
                .for_each(|(key, value)| add(format!("call.parameters.{key}"), references(value)));
        }
        Some(Work::Http(http)) => {
            add("http.url".to_owned(), references(&http.url));
            http.headers
                .iter()
                .for_each(|(key, value)| add(format!("http.headers.{key}"), references(value)));
            add("http.body".to_owned(), in_json(&http.body));
        }
        Some(Work::Function(function)) => {
            add("function.operation".to_owned(), references(&function.operation));
            add("function.input".to_owned(), in_json(&function.input));
            let parameters = function.parameters.iter();
            parameters.for_each(|(key, value)| add(format!("function.parameters.{key}"), references(value)));
        }
        Some(Work::Child(child)) => {
            if let Some(spec) = &child.spec {
                add("child.spec.input".to_owned(), in_json(&spec.input));
                let metadata = spec.metadata.iter();
                metadata
                    .for_each(|(key, value)| add(format!("child.spec.metadata.{key}"), references(value)));
            }
        }
        _ => {}
    }
}

/// The paths in JSON text, or in a text that is none.
fn in_json(bytes: &[u8]) -> Paths {
    if !bytes.windows(2).any(|pair| pair == b"{{") {
        return Ok(Vec::new());
    }
    if let Ok(value) = serde_json::from_slice::<Value>(bytes) {
        let mut paths = Vec::new();
        in_value(&value, &mut paths)?;
        return Ok(paths);
    }
    std::str::from_utf8(bytes).map_or_else(|_| Ok(Vec::new()), references)
}

fn in_value(value: &Value, paths: &mut Vec<Path>) -> Result<(), SyntaxError> {
    match value {
        Value::String(text) => paths.extend(references(text)?),
        Value::Array(items) => items.iter().try_for_each(|item| in_value(item, paths))?,
        Value::Object(fields) => fields.values().try_for_each(|field| in_value(field, paths))?,
        _ => {}
    }
    Ok(())
}
