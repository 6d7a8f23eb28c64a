//! From the bytes of a file to nodes.

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Tag};

use crate::{
    MAX_FILE_BYTES, Place, Problem,
    node::{Entry, Node, Value},
    scalar, surrogates,
};

/// Lists and mappings inside of each other; the readers behind this one descend as deep.
const MAX_DEPTH: usize = 64;

/// What all nodes may cost, repeated ones (`*alias`) counted each time: a few lines of aliases could fill any memory.
const MAX_COST: usize = 64 << 20;

/// What a node costs beside its text.
const NODE_COST: usize = 64;

/// Documents (workflows) of a file: the largest batch that an engine takes.
const MAX_DOCUMENTS: usize = 1_000;

/// Reads all documents of a file, up to the first place where it is no YAML.
pub(crate) fn documents(bytes: &[u8]) -> Result<Vec<Node>, Problem> {
    if bytes.len() > MAX_FILE_BYTES {
        let message = format!("the file has {} bytes; the limit is {MAX_FILE_BYTES}", bytes.len());
        return Err(problem(Place { line: 1, column: 1 }, message));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let place = end_of(&bytes[..error.valid_up_to()]);
        problem(place, "the file is not UTF-8 text; save it as UTF-8".to_owned())
    })?;
    let text = surrogates::join(text);
    let mut builder = Builder::default();
    for event in Parser::new_from_str(&text) {
        let (event, span) = event.map_err(|error| {
            let place = place(error.marker());
            problem(place, format!("this is not YAML: {}{}", error.info(), advice(&text, place)))
        })?;
        builder.take(event, place(&span.start))?;
    }
    Ok(builder.documents)
}

/// Makes nodes of events.
#[derive(Default)]
struct Builder {
    documents: Vec<Node>,
    open: Vec<Open>,
    /// Finished nodes that have an anchor, by its number.
    anchored: HashMap<usize, Built>,
    cost: usize,
}

/// A finished node, and what it is made of.
#[derive(Clone)]
struct Built {
    node: Node,
    cost: usize,
    depth: usize,
}

/// A list or mapping whose end has not come.
struct Open {
    place: Place,
    anchor: usize,
    cost: usize,
    depth: usize,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, keys: HashMap<String, Place>, key: Option<(String, Place)> },
}

impl Builder {
    fn take(&mut self, event: Event<'_>, place: Place) -> Result<(), Problem> {
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) => {
                self.anchored.clear();
                if self.documents.len() == MAX_DOCUMENTS {
                    return Err(problem(place, format!("the file has more than {MAX_DOCUMENTS} documents")));
                }
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                let value = match (tag.as_deref(), style) {
                    (None, ScalarStyle::Plain) => scalar::plain(&text),
                    (None, _) => Value::Text(text.into_owned()),
                    (Some(tag), _) if is_core(tag, "str") => Value::Text(text.into_owned()),
                    (Some(tag), _) => return Err(unknown_tag(tag, place)),
                };
                let cost = NODE_COST + text_bytes(&value);
                self.pay(cost, place)?;
                self.finish(Built { node: Node { place, value }, cost, depth: 0 }, anchor)
            }
            Event::SequenceStart(anchor, tag) => match tag {
                Some(tag) if !is_core(&tag, "seq") => Err(unknown_tag(&tag, place)),
                _ => self.begin(place, anchor, Content::List(Vec::new())),
            },
            Event::MappingStart(anchor, tag) => match tag {
                Some(tag) if !is_core(&tag, "map") => Err(unknown_tag(&tag, place)),
                _ => {
                    let content = Content::Map { entries: Vec::new(), keys: HashMap::new(), key: None };
                    self.begin(place, anchor, content)
                }
            },
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => match self.anchored.get(&anchor) {
                Some(built) => {
                    let cost = built.cost;
                    let mut built = built.clone();
                    built.node.place = place;
                    self.pay(cost, place)?;
                    self.finish(built, 0)
                }
                None => Err(problem(place, "the alias stands inside of what it repeats".to_owned())),
            },
        }
    }

    fn pay(&mut self, cost: usize, place: Place) -> Result<(), Problem> {
        self.cost += cost;
        if self.cost > MAX_COST {
            return Err(problem(
                place,
                "the file is too large with all that it repeats; split it".to_owned(),
            ));
        }
        Ok(())
    }

    fn begin(&mut self, place: Place, anchor: usize, content: Content) -> Result<(), Problem> {
        if let Some(Open { content: Content::Map { key: None, .. }, .. }) = self.open.last() {
            return Err(not_a_key(place));
        }
        if self.open.len() == MAX_DEPTH {
            return Err(too_deep(place));
        }
        self.pay(NODE_COST, place)?;
        self.open.push(Open { place, anchor, cost: NODE_COST, depth: 0, content });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Problem> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let value = match open.content {
            Content::List(nodes) => Value::List(nodes),
            Content::Map { entries, .. } => Value::Map(entries),
        };
        let node = Node { place: open.place, value };
        self.finish(Built { node, cost: open.cost, depth: open.depth }, open.anchor)
    }

    /// Puts a finished node where it belongs.
    fn finish(&mut self, built: Built, anchor: usize) -> Result<(), Problem> {
        let place = built.node.place;
        if self.open.len() + built.depth > MAX_DEPTH {
            return Err(too_deep(place));
        }
        if anchor != 0 {
            self.pay(built.cost, place)?;
            self.anchored.insert(anchor, built.clone());
        }
        let Some(open) = self.open.last_mut() else {
            self.documents.push(built.node);
            return Ok(());
        };
        open.cost += built.cost;
        open.depth = open.depth.max(built.depth + 1);
        match &mut open.content {
            Content::List(nodes) => nodes.push(built.node),
            Content::Map { entries, keys, key } => match key.take() {
                Some((key, place)) => entries.push(Entry { key, place, node: built.node }),
                None => {
                    let text = match built.node.value {
                        Value::Text(text) | Value::Number { written: text, .. } => text,
                        Value::Bool(value) => value.to_string(),
                        Value::Null | Value::List(_) | Value::Map(_) => return Err(not_a_key(place)),
                    };
                    if text == "<<" {
                        let message = "merge keys (<<) are not YAML 1.2; repeat the whole value by an alias, or write it out";
                        return Err(problem(place, message.to_owned()));
                    }
                    if let Some(first) = keys.insert(text.clone(), place) {
                        let message =
                            format!("the key {text:?} stands twice, first in line {}; keep one", first.line);
                        return Err(problem(place, message));
                    }
                    *key = Some((text, place));
                }
            },
        }
        Ok(())
    }
}

fn problem(place: Place, message: String) -> Problem {
    Problem { field: String::new(), place, message }
}

fn too_deep(place: Place) -> Problem {
    problem(place, format!("lists and mappings stand more than {MAX_DEPTH} deep inside of each other"))
}

fn not_a_key(place: Place) -> Problem {
    let message = "a list or mapping cannot be a key; if this is a template, put it in quotes: \"{{ … }}\"";
    problem(place, message.to_owned())
}

fn unknown_tag(tag: &Tag, place: Place) -> Problem {
    let shown = match tag.is_yaml_core_schema() {
        true => format!("!!{}", tag.suffix),
        false => format!("{}{}", tag.handle, tag.suffix),
    };
    problem(place, format!("the tag {shown} means nothing here; leave it out"))
}

fn is_core(tag: &Tag, suffix: &str) -> bool {
    // A plain `!` says "not a plain scalar".
    (tag.is_yaml_core_schema() && tag.suffix == suffix) || (tag.handle.is_empty() && tag.suffix == "!")
}

fn text_bytes(value: &Value) -> usize {
    match value {
        Value::Text(text) => text.len(),
        Value::Number { written, json } => written.len() + json.len(),
        _ => 0,
    }
}

fn place(marker: &Marker) -> Place {
    Place { line: marker.line(), column: marker.col() + 1 }
}

/// The place after a text.
fn end_of(bytes: &[u8]) -> Place {
    let text = String::from_utf8_lossy(bytes);
    let last = text.rsplit('\n').next().unwrap_or_default();
    Place { line: text.matches('\n').count() + 1, column: last.chars().count() + 1 }
}

/// What is most often the reason in such a line.
fn advice(text: &str, place: Place) -> &'static str {
    let line = text.lines().nth(place.line.saturating_sub(1)).unwrap_or_default();
    if line.trim_start_matches(' ').starts_with('\t') || line.contains(":\t") {
        "; use spaces instead of tabs"
    } else if line.matches(": ").count() > 1 {
        "; put a text that contains `: ` in quotes"
    } else {
        ""
    }
}
