//! A file as values that know where they stand.

/// Where something stands in a file, both counted from 1; columns count characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The character in it.
    pub column: usize,
}

/// A value and its place.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) value: Value,
}

/// What a file may hold.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    /// As it is written, and as JSON writes it.
    Number {
        written: String,
        json: String,
    },
    Text(String),
    List(Vec<Node>),
    /// In the order of the file; no key stands twice.
    Map(Vec<Entry>),
}

/// A key and what it stands for.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) place: Place,
    pub(crate) node: Node,
}

impl Node {
    /// Says what it is, for errors: `"soon"`, `3`, `a list`.
    pub(crate) fn shown(&self) -> String {
        /// Of a text that errors repeat.
        const MAX_SHOWN_CHARS: usize = 40;
        match &self.value {
            Value::Null => "nothing".to_owned(),
            Value::Bool(value) => value.to_string(),
            Value::Number { written, .. } => written.chars().take(MAX_SHOWN_CHARS).collect(),
            Value::Text(text) if text.chars().count() <= MAX_SHOWN_CHARS => format!("{text:?}"),
            Value::Text(text) => {
                format!("{:?}…", text.chars().take(MAX_SHOWN_CHARS).collect::<String>())
            }
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a mapping".to_owned(),
        }
    }
}
