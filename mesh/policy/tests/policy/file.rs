//! The file itself: mistakes are told with their place, and bounds hold.

use std::path::Path;

use proptest::prelude::*;
use switchboard_policy::{Dimension, Mode, Policy};

fn problem(text: &str) -> String {
    Policy::parse(text, Mode::Any).unwrap_err()
}

#[test]
fn a_mistake_is_told_with_its_line_or_rule() {
    let cases = [
        ("[[rules]]\nalow = [\"*\"]", "line 2: unknown field `alow`"),
        ("[[rules]\n", "line 1"),
        ("\n[rule]\n", "line 2: unknown field `rule`"),
        ("[[rules]]\nallow = \"*\"", "line 2: invalid type"),
        ("[[rules]]\nids = [\"*\"]", "rule 1 (\"rule 1\"): needs either allow or deny"),
        ("[[rules]]\nallow = [\"*\"]\ndeny = [\"*\"]", "not both"),
        ("[[rules]]\nname = \"a\"\nallow = []", "rule 1 (\"a\"): allow is empty"),
        ("[[rules]]\nallow = [\"*\"]\nids = []", "ids is empty"),
        ("[[rules]]\nallow = [\"*\"]\nmethods = [\"\"]", "methods: \"\" is empty"),
        ("[[rules]]\nallow = [\"*\"]\nids = [\"echo-agent@v2\"]", "names a version"),
        ("[[rules]]\nallow = [\"role:\"]", "names no role"),
        ("[[rules]]\nname = \"a\\nb\"\nallow = [\"*\"]", "control characters"),
        (
            "[[rules]]\nname = \"a\"\nallow = [\"*\"]\n[[rules]]\nname = \"a\"\nallow = [\"*\"]",
            "rule 2 (\"a\"): another",
        ),
        ("[limits.user]\nrate = \"1/s\"", "unknown field `user`"),
        ("[limits.source]\nrate = \"1\"", "[limits.source]: rate \"1\" is no rate"),
        ("[limits.source]\nrate = \"0/s\"", "is no rate"),
        ("[limits.source]\nrate = \"1/d\"", "is no rate"),
        ("[limits.source]\nrate = \"-1/s\"", "is no rate"),
        ("[limits.source]\nrate = \"4000000000/s\"", "is more than"),
        ("[limits.source]\nrate = 5", "line 2: invalid type"),
        ("[limits.id]\nburst = 5", "burst needs rate"),
        ("[limits.id]\nrate = \"1/s\"\nburst = 0", "line 3"),
        ("[limits.id]\nconcurrency = 0", "line 2"),
        ("[limits.id]\nrate = \"1/h\"\nburst = 4000000000", "more than a year"),
    ];
    for (text, expected) in cases {
        let problem = problem(text);
        assert!(problem.contains(expected), "{text}\n{problem}");
    }
}

#[test]
fn the_file_is_named_and_its_size_is_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("policy.toml");
    let load = |path: &Path, mode| Policy::load(Some(path), mode).map_err(|error| error.to_string());
    assert!(load(&path, Mode::Any).unwrap_err().contains("policy.toml"));
    std::fs::write(&path, "[[rules]]\nallow = 1\n").unwrap();
    let wrong = load(&path, Mode::Any).unwrap_err();
    assert!(wrong.contains("policy.toml: line 2"), "{wrong}");
    std::fs::write(&path, "#".repeat((1 << 20) + 1)).unwrap();
    assert!(load(&path, Mode::Any).unwrap_err().contains("more than 1048576 bytes"));
    assert!(problem(&"[[rules]]\nallow = [\"*\"]\n".repeat(1_001)).contains("at most 1000"));
    let many = format!("[[rules]]\nallow = [{}]\n", "\"a\",".repeat(1_001));
    assert!(problem(&many).contains("at most 1000"));
    assert!(problem(&format!("[[rules]]\nallow = [\"{}\"]\n", "a".repeat(513))).contains("too long"));
}

#[test]
fn rules_where_nobody_is_known_are_a_mistake_but_limits_are_not() {
    let rules = Policy::parse("[[rules]]\nallow = [\"*\"]\n", Mode::None).unwrap_err();
    assert!(rules.contains("auth is none"), "{rules}");
    let limits = Policy::parse("[limits.source]\nrate = \"5/s\"\n", Mode::None).unwrap();
    assert!(limits.limits().of(Dimension::Source).rate.is_some());
    assert!(limits.limits().of(Dimension::Principal).rate.is_none());
    assert!(Policy::parse("", Mode::Any).unwrap().limits().is_empty());
}

#[test]
fn equal_limits_are_equal_so_that_a_change_of_rules_keeps_what_was_counted() {
    let parse = |text: &str| *Policy::parse(text, Mode::Any).unwrap().limits();
    let limits = "[limits.id]\nrate = \"5/s\"\n";
    assert_eq!(parse(limits), parse(&format!("{limits}burst = 5\n[[rules]]\nallow = [\"*\"]\n")));
    assert_ne!(parse(limits), parse(&format!("{limits}burst = 6\n")));
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,100}", key in "rules|limits.id|limits.source", field in "allow|deny|ids|rate|burst|name", value in "\\PC{0,20}") {
        let _ = Policy::parse(&text, Mode::Any);
        let _ = Policy::parse(&format!("[[{key}]]\n{field} = {value}"), Mode::Any);
        let _ = Policy::parse(&format!("[{key}]\n{field} = \"{value}\""), Mode::Any);
    }

    #[test]
    fn no_call_makes_a_decision_panic(id in "\\PC{0,20}", path in "\\PC{0,40}", name in "[^\\pC]{1,20}") {
        let policy = Policy::parse("[[rules]]\nallow = [\"a*\"]\nmethods = [\"a*b\"]\n", Mode::Any).unwrap();
        let principal = crate::principal(&name, &["caller"]);
        let grants = policy.grants(Some(&principal), None);
        let _ = grants.decide(&id, &path);
        let _ = grants.may_register(&id);
        let _ = policy.explain(&principal, &id, &path);
    }
}
