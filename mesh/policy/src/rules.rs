//! The rules of a policy file, as they are written and as they are matched.

use serde::Deserialize;

use crate::Principal;
use crate::pattern::Pattern;

/// Every principal is matched with each of them once; a thousand take some 50 us.
const MAX_RULES: usize = 1_000;
/// Lists this long are generated, and by mistake.
const MAX_PATTERNS: usize = 1_000;
/// Twice the longest name.
const MAX_PATTERN_BYTES: usize = 512;

/// A rule as it stands in the file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Written {
    name: Option<String>,
    allow: Option<Vec<String>>,
    deny: Option<Vec<String>>,
    ids: Option<Vec<String>>,
    methods: Option<Vec<String>>,
}

/// A rule, prepared once.
#[derive(Debug)]
pub(crate) struct Rule {
    /// Its name, or `rule 3` where it has none.
    pub(crate) name: Box<str>,
    pub(crate) allows: bool,
    who: Vec<Who>,
    ids: Vec<Pattern>,
    methods: Vec<Pattern>,
}

/// A pattern of principals.
#[derive(Debug)]
enum Who {
    Name(Pattern),
    Role(Pattern),
}

impl Rule {
    /// Prepares the rules of a file; an error names the rule.
    pub(crate) fn prepare(written: Vec<Written>) -> Result<Vec<Self>, String> {
        if written.len() > MAX_RULES {
            return Err(format!("{} rules; at most {MAX_RULES} are taken", written.len()));
        }
        let mut rules: Vec<Self> = Vec::with_capacity(written.len());
        for (at, written) in written.into_iter().enumerate() {
            let name = written.name.clone().unwrap_or_else(|| format!("rule {}", at + 1));
            let wrong = |problem: String| format!("rule {} ({name:?}): {problem}", at + 1);
            if rules.iter().any(|rule| *rule.name == *name) {
                return Err(wrong("another rule has this name".to_owned()));
            }
            rules.push(Self::prepare_one(&name, written).map_err(wrong)?);
        }
        Ok(rules)
    }

    fn prepare_one(name: &str, written: Written) -> Result<Self, String> {
        if name.is_empty() || name.len() > MAX_PATTERN_BYTES || name.chars().any(char::is_control) {
            return Err("the name is empty, too long or holds control characters".to_owned());
        }
        let (allows, who) = match (written.allow, written.deny) {
            (Some(who), None) => (true, checked("allow", who)?),
            (None, Some(who)) => (false, checked("deny", who)?),
            _ => return Err("needs either allow or deny, and not both".to_owned()),
        };
        let ids = written.ids.map_or(Ok(vec!["*".to_owned()]), |ids| checked("ids", ids))?;
        if let Some(id) = ids.iter().find(|id| id.contains('@')) {
            return Err(format!("ids: {id:?} names a version; rules hold for all versions of an ID"));
        }
        let methods = written.methods.map_or(Ok(vec!["*".to_owned()]), |paths| checked("methods", paths))?;
        let who = who.iter().map(|text| match text.strip_prefix("role:") {
            Some("") => Err(format!("{text:?} names no role")),
            Some(role) => Ok(Who::Role(Pattern::new(role))),
            None => Ok(Who::Name(Pattern::new(text))),
        });
        Ok(Self {
            name: name.into(),
            allows,
            who: who.collect::<Result<_, _>>()?,
            ids: ids.iter().map(|id| Pattern::new(id)).collect(),
            methods: methods.iter().map(|path| Pattern::new(&method(path))).collect(),
        })
    }

    /// Whether it speaks of this principal.
    pub(crate) fn is_about(&self, principal: &Principal) -> bool {
        self.who.iter().any(|who| match who {
            Who::Name(pattern) => pattern.matches(&principal.name),
            Who::Role(pattern) => principal.roles.iter().any(|role| pattern.matches(role)),
        })
    }

    /// Whether it speaks of this call.
    pub(crate) fn covers(&self, id: &str, path: &str) -> bool {
        self.ids.iter().any(|pattern| pattern.matches(id))
            && self.methods.iter().any(|pattern| pattern.matches(path))
    }
}

fn checked(field: &str, patterns: Vec<String>) -> Result<Vec<String>, String> {
    if patterns.is_empty() {
        return Err(format!("{field} is empty, so that the rule speaks of nothing; leave it out for all"));
    }
    if patterns.len() > MAX_PATTERNS {
        return Err(format!("{field} has {} patterns; at most {MAX_PATTERNS} are taken", patterns.len()));
    }
    let bad = |text: &&String| {
        text.is_empty() || text.len() > MAX_PATTERN_BYTES || text.chars().any(char::is_control)
    };
    match patterns.iter().find(bad) {
        Some(text) => Err(format!("{field}: {text:?} is empty, too long or holds control characters")),
        None => Ok(patterns),
    }
}

/// `/pkg.Service/Method` for all ways to write it: a leading slash may be missing, a service alone means its methods.
fn method(text: &str) -> String {
    let text = text.strip_suffix('/').unwrap_or(text);
    match (text.starts_with('/'), text.trim_start_matches('/').contains('/')) {
        _ if text == "*" => text.to_owned(),
        (true, true) => text.to_owned(),
        (false, true) => format!("/{text}"),
        (true, false) => format!("{text}/*"),
        (false, false) => format!("/{text}/*"),
    }
}
