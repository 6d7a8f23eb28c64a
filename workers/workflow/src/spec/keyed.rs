//! Fields that can be said twice: typed, and in a task's metadata.

use std::{collections::BTreeMap, fmt};

use super::violations::{At, Violations, shown};

/// The metadata of a task, out of which the reserved keys are taken.
pub(super) struct Keyed<'a> {
    metadata: BTreeMap<String, String>,
    /// Where the task stands.
    at: At<'a>,
}

impl<'a> Keyed<'a> {
    pub(super) fn new(metadata: BTreeMap<String, String>, at: At<'a>) -> Self {
        Self { metadata, at }
    }

    /// Adds what is wrong with a key of the metadata.
    pub(super) fn wrong(&self, key: &str, violations: &mut Violations, reason: impl Into<String>) {
        violations.add(self.at.field("metadata").key(key), reason);
    }

    /// Takes a key.
    pub(super) fn take(&mut self, key: &str) -> Option<String> {
        self.metadata.remove(key)
    }

    /// Takes a key and reads it; adds what was `expected` if it cannot be read.
    pub(super) fn parse<T>(
        &mut self,
        key: &str,
        violations: &mut Violations,
        expected: fmt::Arguments<'_>,
        read: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.take(key)?;
        let value = read(&text);
        if value.is_none() {
            self.wrong(key, violations, format!("expected {expected}, got {}", shown(&text)));
        }
        value
    }

    /// Gives the text of a field or of the key of the same name.
    pub(super) fn text(&mut self, key: &str, field: String, violations: &mut Violations) -> String {
        let keyed = self.take(key).filter(|text| !text.is_empty());
        let field = Some(field).filter(|text| !text.is_empty());
        self.agreed(key, key, keyed, field, violations).unwrap_or_default()
    }

    /// Gives what field and key say together; adds that they contradict each other.
    pub(super) fn agreed<T: PartialEq>(
        &self,
        key: &str,
        name: &str,
        keyed: Option<T>,
        field: Option<T>,
        violations: &mut Violations,
    ) -> Option<T> {
        if let (Some(keyed), Some(field)) = (&keyed, &field)
            && keyed != field
        {
            let field = self.at.field(name);
            self.wrong(
                key,
                violations,
                format!("says something else than the field {field}; keep one of them"),
            );
        }
        field.or(keyed)
    }

    /// Gives the parameters of a field and of all keys that begin with `prefix`.
    pub(super) fn parameters(
        &mut self,
        prefix: &str,
        name: &str,
        mut parameters: BTreeMap<String, String>,
        violations: &mut Violations,
    ) -> BTreeMap<String, String> {
        let keys: Vec<String> = self.metadata.keys().filter(|key| key.starts_with(prefix)).cloned().collect();
        for key in keys {
            let parameter = key[prefix.len()..].to_owned();
            if parameter.is_empty() {
                self.wrong(&key, violations, format!("a parameter needs a name: {prefix}<name>"));
            }
            let keyed = self.take(&key);
            let value = self.agreed(&key, name, keyed, parameters.remove(&parameter), violations);
            parameters.extend(value.map(|value| (parameter, value)));
        }
        parameters
    }

    /// What is left: the user's own.
    pub(super) fn into_rest(self) -> BTreeMap<String, String> {
        self.metadata
    }
}
