//! What a task or a compensation does, by its type.

use std::{collections::BTreeMap, fmt, str::FromStr};

use bytes::Bytes;
use prost_types::Timestamp;
use workflow_file::duration;
use workflow_machine::{Call, CallKind, Function, Http, Noop, Sleep, WaitSignal, Work};

use super::{
    MAX_MS, is_id,
    violations::{At, Violations, shown},
};

/// The types of tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Agent,
    Tool,
    Worker,
    Http,
    Function,
    Workflow,
    Sleep,
    WaitSignal,
    Noop,
}

/// Their names.
const TYPES: [(&str, Type); 9] = [
    ("agent", Type::Agent),
    ("tool", Type::Tool),
    ("worker", Type::Worker),
    ("http", Type::Http),
    ("function", Type::Function),
    ("workflow", Type::Workflow),
    ("sleep", Type::Sleep),
    ("wait_signal", Type::WaitSignal),
    ("noop", Type::Noop),
];

/// Suffixes of targets.
const SUFFIXES: [(&str, Type); 3] =
    [("-agent", Type::Agent), ("-tool", Type::Tool), ("-worker", Type::Worker)];

/// Bytes of an HTTP method, of which the longest registered one has 17.
const MAX_METHOD_BYTES: usize = 20;

/// Characters of a signal's name, as of a task's ID.
const MAX_SIGNAL_CHARS: usize = 100;

/// What was asked for.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) type_: String,
    pub(super) target: String,
    pub(super) operation: String,
    pub(super) parameters: BTreeMap<String, String>,
    pub(super) input: Bytes,
}

impl Type {
    /// Whether it calls something that may hang.
    pub(super) fn is_call(self) -> bool {
        matches!(self, Self::Agent | Self::Tool | Self::Worker | Self::Http)
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = TYPES.iter().find(|(_, type_)| type_ == self).map_or("", |(name, _)| name);
        f.write_str(name)
    }
}

impl Asked {
    /// Finds the type: as it is said, or as the rest implies it.
    pub(super) fn resolve(&self, has_child: bool, violations: &mut Violations, at: At<'_>) -> Option<Type> {
        let implied = suffix(&self.target);
        if self.type_.is_empty() {
            return match implied {
                _ if has_child => Some(Type::Workflow),
                Some(type_) => Some(type_),
                None if self.target.is_empty() => Some(Type::Noop),
                None => {
                    let reason = format!(
                        "missing; the target {} ends in none of -agent, -tool, -worker, which would imply it",
                        shown(&self.target)
                    );
                    violations.add(at.field("type"), reason);
                    None
                }
            };
        }
        let Some((_, type_)) = TYPES.iter().find(|(name, _)| *name == self.type_) else {
            violations.add(at.field("type"), unknown(&self.type_));
            return None;
        };
        if let Some(implied) = implied
            && SUFFIXES.iter().any(|(_, of_suffix)| of_suffix == type_)
            && implied != *type_
        {
            let reason = format!("{} is a {implied}; set the type to {implied}", shown(&self.target));
            violations.add(at.field("type"), reason);
        }
        Some(*type_)
    }

    /// Makes the work of every type but workflow.
    pub(super) fn work(self, type_: Type, violations: &mut Violations, at: At<'_>) -> Option<Work> {
        match type_ {
            Type::Agent => Some(self.call(CallKind::Agent, type_, violations, at)),
            Type::Tool => Some(self.call(CallKind::Tool, type_, violations, at)),
            Type::Worker => Some(self.call(CallKind::Worker, type_, violations, at)),
            Type::Http => Some(self.http(violations, at)),
            Type::Function => Some(self.function(violations, at)),
            Type::Sleep => Some(self.sleep(violations, at)),
            Type::WaitSignal => Some(self.wait_signal(violations, at)),
            Type::Noop => {
                self.refuse_all(type_, violations, at);
                Some(Work::Noop(Noop {}))
            }
            Type::Workflow => None,
        }
    }

    /// Refuses everything: of a type that has nothing of it.
    pub(super) fn refuse_all(&self, type_: Type, violations: &mut Violations, at: At<'_>) {
        self.refuse("target", !self.target.is_empty(), type_, violations, at);
        self.refuse("parameters", !self.parameters.is_empty(), type_, violations, at);
        self.refuse_operation_and_input(type_, violations, at);
    }

    fn refuse_operation_and_input(&self, type_: Type, violations: &mut Violations, at: At<'_>) {
        self.refuse("operation", !self.operation.is_empty(), type_, violations, at);
        self.refuse("input", !self.input.is_empty(), type_, violations, at);
    }

    fn refuse(&self, field: &str, is_there: bool, type_: Type, violations: &mut Violations, at: At<'_>) {
        if is_there {
            let reason = match self.type_.is_empty() {
                true => format!("a task without type and target does nothing; set type, or remove {field}"),
                false => format!("a task of type {type_} has none; remove it, or set another type"),
            };
            violations.add(at.field(field), reason);
        }
    }

    fn need_target(&self, what: fmt::Arguments<'_>, violations: &mut Violations, at: At<'_>) {
        if self.target.is_empty() {
            violations.add(at.field("target"), format!("missing; it says {what}"));
        }
    }

    fn call(self, kind: CallKind, type_: Type, violations: &mut Violations, at: At<'_>) -> Work {
        let example = match type_ {
            Type::Agent => "echo-agent",
            Type::Tool => "weather-tool",
            _ => "itinerary-worker",
        };
        self.need_target(format_args!("which {type_} is called, for example {example}"), violations, at);
        Work::Call(Call {
            kind: kind.into(),
            target: self.target,
            operation: self.operation,
            input: self.input,
            parameters: self.parameters,
        })
    }

    fn http(self, violations: &mut Violations, at: At<'_>) -> Work {
        self.need_target(
            format_args!("which URL is called, for example https://example.com/"),
            violations,
            at,
        );
        let absolute = ["http://", "https://"].iter().any(|scheme| {
            self.target.get(..scheme.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(scheme))
        });
        if !self.target.is_empty() && !absolute && !self.target.starts_with("{{") {
            violations.add(at.field("target"), "expected a URL that begins with http:// or https://");
        }
        let method = self.operation.to_ascii_uppercase();
        if method.len() > MAX_METHOD_BYTES
            || !method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-')
        {
            let reason = format!("expected a method such as POST, got {}", shown(&self.operation));
            violations.add(at.field("operation"), reason);
        }
        for (name, value) in &self.parameters {
            if !is_token(name) || value.bytes().any(|byte| byte == b'\r' || byte == b'\n' || byte == 0) {
                let reason = "no header: names are letters, digits and -, values have no line breaks";
                violations.add(at.field("parameters").key(name), reason);
            }
        }
        Work::Http(Http { method, url: self.target, headers: self.parameters, body: self.input })
    }

    fn function(self, violations: &mut Violations, at: At<'_>) -> Work {
        self.need_target(format_args!("the queue from which workers pull"), violations, at);
        if !self.target.is_empty() && !is_id(&self.target) {
            violations.add(at.field("target"), "a queue's name has 1 to 100 of A-Z a-z 0-9 . _ : -");
        }
        Work::Function(Function {
            queue: self.target,
            operation: self.operation,
            input: self.input,
            parameters: self.parameters,
        })
    }

    fn sleep(mut self, violations: &mut Violations, at: At<'_>) -> Work {
        self.refuse("target", !self.target.is_empty(), Type::Sleep, violations, at);
        self.refuse_operation_and_input(Type::Sleep, violations, at);
        let (for_, until) = (self.parameters.remove("duration"), self.parameters.remove("until"));
        let parameters = at.field("parameters");
        for name in self.parameters.keys() {
            violations
                .add(parameters.key(name), "a sleep has only duration (90s) or until (2026-12-24T08:00:00Z)");
        }
        let mut sleep = Sleep::default();
        match (for_, until) {
            (Some(text), None) => match duration::parse(&text).filter(|ms| *ms <= MAX_MS) {
                Some(ms) => sleep.duration_ms = ms,
                None => {
                    let reason =
                        format!("expected {} of at most ten years, got {}", duration::EXPECTED, shown(&text));
                    violations.add(parameters.key("duration"), reason);
                }
            },
            (None, Some(text)) => match unix_ms(&text) {
                Some(ms) => sleep.until_ms = ms,
                None => {
                    let reason =
                        format!("expected a time such as 2026-12-24T08:00:00Z, got {}", shown(&text));
                    violations.add(parameters.key("until"), reason);
                }
            },
            _ => violations
                .add(parameters, "a sleep needs either duration (90s) or until (2026-12-24T08:00:00Z)"),
        }
        Work::Sleep(sleep)
    }

    fn wait_signal(self, violations: &mut Violations, at: At<'_>) -> Work {
        self.refuse("parameters", !self.parameters.is_empty(), Type::WaitSignal, violations, at);
        self.refuse_operation_and_input(Type::WaitSignal, violations, at);
        self.need_target(format_args!("the name of the signal"), violations, at);
        if self.target.chars().count() > MAX_SIGNAL_CHARS {
            let reason = format!("a signal's name has at most {MAX_SIGNAL_CHARS} characters");
            violations.add(at.field("target"), reason);
        }
        Work::WaitSignal(WaitSignal { name: self.target })
    }
}

/// Why a type cannot be used, and what can.
fn unknown(type_: &str) -> String {
    match type_ {
        "script" => "scripts are not run; use function, and a worker of yours that pulls".to_owned(),
        "push" => "push is not served by this engine; use a call of the service that pushes".to_owned(),
        _ if type_.starts_with("ai.") || type_.starts_with("dom.") => {
            format!("{} is not served by this engine; use agent, tool or worker", shown(type_))
        }
        _ => {
            let names = TYPES.map(|(name, _)| name).join(", ");
            format!("unknown type {}; use one of {names}", shown(type_))
        }
    }
}

/// What the suffix of a target says; of `echo-agent@v2`, too.
fn suffix(target: &str) -> Option<Type> {
    let id = target.split('@').next().unwrap_or_default();
    SUFFIXES
        .iter()
        .find(|(suffix, _)| id.ends_with(suffix) && id.len() > suffix.len())
        .map(|(_, type_)| *type_)
}

fn is_token(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// Reads RFC 3339; a time before 1970 is long past, as is the first millisecond.
fn unix_ms(text: &str) -> Option<u64> {
    // Longer ones are none, and the parser need not see them.
    let time = (text.len() <= 40).then(|| Timestamp::from_str(text).ok())??;
    let ms = time.seconds.checked_mul(1_000)?.checked_add(i64::from(time.nanos) / 1_000_000)?;
    Some(u64::try_from(ms).unwrap_or(0).max(1))
}
