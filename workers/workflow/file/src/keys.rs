//! The keys of a mapping, each taken once; those that nobody takes are unknown.

use std::collections::BTreeMap;

use crate::{
    MAX_PROBLEMS, Place, Problem,
    node::{Entry, Node, Value},
};

/// Below this Jaro-Winkler similarity a key is not "near".
const NEAR: f64 = 0.8;

/// What people write who come from other systems.
const SYNONYMS: [(&str, &str); 16] = [
    ("depends_on", "dependencies"),
    ("needs", "dependencies"),
    ("after", "dependencies"),
    ("if", "when"),
    ("condition", "when"),
    ("with", "parameters"),
    ("args", "parameters"),
    ("params", "parameters"),
    ("uses", "target"),
    ("retries", "retry"),
    ("with_items", "for_each"),
    ("foreach", "for_each"),
    ("on_failure", "failure_policy"),
    ("steps", "tasks"),
    ("timeout_ms", "timeout"),
    ("workflow_id", "id"),
];

/// What is found in a file beside the request: what is wrong, and where the fields stand.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) problems: Vec<Problem>,
    /// By the path of the field in the request.
    pub(crate) places: BTreeMap<String, Place>,
}

impl Report {
    /// Adds a problem with the key at `path`.
    pub(crate) fn problem(&mut self, path: &str, place: Place, message: impl Into<String>) {
        // One more than is listed costs nothing; ten thousand would.
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(Problem { field: path.to_owned(), place, message: message.into() });
        }
    }

    /// Adds that a key holds something else than it should.
    pub(crate) fn expected(&mut self, field: &Field<'_>, expected: &str) {
        let message = format!("expected {expected}, got {}", field.node.shown());
        self.problem(&field.path, field.node.place, message);
    }
}

/// A value that was taken from its mapping.
#[derive(Debug)]
pub(crate) struct Field<'n> {
    /// Its path in the file: `tasks[2].timeout`.
    pub(crate) path: String,
    pub(crate) node: &'n Node,
}

/// A mapping whose keys are being taken.
pub(crate) struct Keys<'n> {
    path: String,
    /// The path of the message that it becomes.
    target: String,
    place: Place,
    entries: BTreeMap<&'n str, &'n Entry>,
    /// Keys that were asked for, there or not.
    known: Vec<&'static str>,
}

impl<'n> Keys<'n> {
    /// Opens a mapping that becomes the message at `target`; nothing, and a problem, if the node is no mapping.
    pub(crate) fn open(
        report: &mut Report,
        field: &Field<'n>,
        target: impl Into<String>,
        expected: &str,
    ) -> Option<Self> {
        let target = target.into();
        report.places.insert(target.clone(), field.node.place);
        let Value::Map(entries) = &field.node.value else {
            report.expected(field, expected);
            return None;
        };
        let entries = entries.iter().map(|entry| (entry.key.as_str(), entry)).collect();
        Some(Self { path: field.path.clone(), target, place: field.node.place, entries, known: Vec::new() })
    }

    /// Takes a key that becomes the field `to` of the message. One that says nothing (`key:`) counts as absent.
    pub(crate) fn take(&mut self, report: &mut Report, key: &'static str, to: &str) -> Option<Field<'n>> {
        self.known.push(key);
        let entry = self.entries.remove(key)?;
        report.places.insert(join(&self.target, to), entry.node.place);
        let field = Field { path: join(&self.path, key), node: &entry.node };
        (!matches!(entry.node.value, Value::Null)).then_some(field)
    }

    /// Takes a key that has to be there.
    pub(crate) fn need(
        &mut self,
        report: &mut Report,
        key: &'static str,
        to: &str,
        expected: &str,
    ) -> Option<Field<'n>> {
        let field = self.take(report, key, to);
        if field.is_none() {
            report.problem(&join(&self.path, key), self.place, format!("missing; expected {expected}"));
        }
        field
    }

    /// The path of a key of this mapping, in the file.
    pub(crate) fn path(&self, key: &str) -> String {
        join(&self.path, key)
    }

    /// The path of a field of the message.
    pub(crate) fn target(&self, field: &str) -> String {
        join(&self.target, field)
    }

    /// Where the mapping stands.
    pub(crate) fn place(&self) -> Place {
        self.place
    }

    /// Whether a key is there and was not taken yet.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// Ends the mapping: what nobody took is unknown. `explain` knows more about some of it.
    pub(crate) fn close(self, report: &mut Report, explain: impl Fn(&str) -> Option<String>) {
        for entry in self.entries.into_values() {
            // Words are compared for what is listed only.
            if report.problems.len() >= MAX_PROBLEMS {
                return;
            }
            let key = entry.key.as_str();
            let advice = match explain(key) {
                Some(text) => format!("; {text}"),
                None => match nearest(key, &self.known) {
                    Some(near) => format!("; did you mean `{near}`?"),
                    None => {
                        let mut known = self.known.clone();
                        known.sort_unstable();
                        known.dedup();
                        format!("; known are {}", known.join(", "))
                    }
                },
            };
            let shown: String = key.chars().take(40).collect();
            report.problem(&join(&self.path, &shown), entry.place, format!("unknown key{advice}"));
        }
    }
}

/// Joins the steps of a path.
pub(crate) fn join(path: &str, step: &str) -> String {
    if path.is_empty() { step.to_owned() } else { format!("{path}.{step}") }
}

/// Finds the word that was meant.
pub(crate) fn nearest<'w>(word: &str, known: &[&'w str]) -> Option<&'w str> {
    // Comparing takes time by length times length.
    if word.len() > 64 {
        return None;
    }
    let folded = word.to_ascii_lowercase().replace('-', "_");
    let synonym = SYNONYMS.iter().find(|(synonym, _)| *synonym == folded).map(|(_, key)| *key);
    if let Some(key) = synonym.and_then(|key| known.iter().find(|known| **known == key)) {
        return Some(key);
    }
    let score = |key: &&str| strsim::jaro_winkler(&folded, key);
    let best = known.iter().max_by(|one, other| score(one).total_cmp(&score(other)))?;
    (score(best) >= NEAR).then_some(*best)
}
