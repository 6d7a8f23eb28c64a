//! The facts behind a failed call (`ErrorInfo.metadata`), in one line for a person.
//!
//! The router's own keys, which `router/ERRORS.md` lists, are put into words; all others, a backend's too, are shown as
//! they are. What the message or the next step says already is left out.

use std::collections::{BTreeMap, HashMap};

/// Said elsewhere: in the message, or as the next step.
const SAID: [&str; 3] = ["nearest", "next_step", "id"];

/// All facts that are worth a line; `None` if there are none.
pub(super) fn in_words(metadata: &HashMap<String, String>) -> Option<String> {
    let mut left: BTreeMap<&str, String> =
        metadata.iter().map(|(key, value)| (key.as_str(), plain(value))).collect();
    let mut words = Vec::new();
    let mut take = |key: &str| left.remove(key);
    for key in SAID {
        take(key);
    }
    let [service, known, healthy, ejected] =
        ["service", "instances_known", "instances_healthy", "instances_ejected"].map(&mut take);
    match (service, known) {
        (Some(service), Some(known)) => {
            let of = |count: Option<String>, word| {
                count.map(|count| format!(", {count} {word}")).unwrap_or_default()
            };
            let instances = if known == "1" { "instance" } else { "instances" };
            words.push(format!(
                "{service} has {known} {instances}{}{}",
                of(healthy, "healthy"),
                of(ejected.filter(|count| count != "0"), "ejected")
            ));
        }
        (Some(service), None) => words.push(format!("service {service}")),
        _ => {}
    }
    if let Some(seconds) = take("last_seen_seconds_ago").filter(|seconds| seconds != "0") {
        words.push(format!("last seen {seconds} s ago"));
    }
    for (key, phrase) in [("instance", "at instance"), ("waited_for", "it waited for")] {
        words.extend(take(key).map(|value| format!("{phrase} {value}")));
    }
    words.extend(take("attempts").map(|count| format!("{count} attempts")));
    let request = take("request_id");
    words.extend(left.into_iter().map(|(key, value)| format!("{} {value}", plain(key))));
    words.extend(request.map(|id| format!("request {id}")));
    (!words.is_empty()).then(|| words.join("; "))
}

/// Servers say what they like: nothing in it moves a cursor.
fn plain(text: &str) -> String {
    text.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(facts: &[(&str, &str)]) -> Option<String> {
        in_words(&facts.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn the_facts_of_each_kind_of_error_read_as_sentences() {
        let service = [("id", "echo-agent"), ("service", "agent-echo"), ("request_id", "r-1")];
        let counts = |known, healthy, ejected| {
            [("instances_known", known), ("instances_healthy", healthy), ("instances_ejected", ejected)]
        };
        let with = |more: &[(&'static str, &'static str)], counts: &[(&'static str, &'static str)]| {
            words(&[&service, counts, more].concat()).unwrap()
        };
        for (said, expected) in [
            (
                with(&[("last_seen_seconds_ago", "12")], &counts("2", "0", "0")),
                "agent-echo has 2 instances, 0 healthy; last seen 12 s ago; request r-1",
            ),
            (
                with(&[("instance", "echo-7"), ("last_seen_seconds_ago", "0")], &counts("1", "1", "0")),
                "agent-echo has 1 instance, 1 healthy; at instance echo-7; request r-1",
            ),
            (
                with(&[("waited_for", "room at an instance")], &counts("3", "3", "1")),
                "agent-echo has 3 instances, 3 healthy, 1 ejected; it waited for room at an instance; request r-1",
            ),
            (with(&[("attempts", "2")], &[]), "service agent-echo; 2 attempts; request r-1"),
        ] {
            assert_eq!(said, expected);
        }
    }

    #[test]
    fn what_is_not_known_is_shown_as_it_is_and_moves_no_cursor() {
        assert_eq!(words(&[("quota", "10\x1b[2J"), ("a\n", "b")]).unwrap(), "a  b; quota 10 [2J");
        assert_eq!(words(&[("nearest", "echo-agent"), ("next_step", "do"), ("id", "x")]), None);
        assert_eq!(words(&[]), None);
    }
}
