//! A page for people that lists what is registered. Plain HTML without script; it reloads itself.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::state::Entry;

const HEAD: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta http-equiv=\"refresh\" content=\"2\">\
<title>Services</title><style>body{font:15px system-ui,sans-serif;margin:2rem;color:#222}\
table{border-collapse:collapse}td,th{text-align:left;padding:.3rem 1rem .3rem 0;border-bottom:1px solid #ddd}\
.passing{color:#1a7f37}.warning{color:#9a6700}.critical{color:#cf222e}small{color:#666}</style><h1>Services</h1>";

/// Renders the page.
pub(super) fn render<'a>(entries: impl Iterator<Item = &'a Entry>) -> String {
    let mut services: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
    for entry in entries {
        services.entry(&entry.service.name).or_default().push(entry);
    }
    let mut page = HEAD.to_owned();
    if services.is_empty() {
        page.push_str("<p>Nothing is registered yet. Start a backend, and it appears here.");
        return page;
    }
    page.push_str("<table><tr><th>Service<th>Instance<th>Address<th>Status<th>Tags");
    for (name, entries) in services {
        for entry in entries {
            let service = &entry.service;
            let status = entry.status();
            let output =
                entry.checks.iter().find(|check| check.status == status).map_or("", |check| &check.output);
            // Writing to a string cannot fail.
            let _ = write!(
                page,
                "<tr><td>{}<td>{}<td>{}:{}<td class=\"{status}\" title=\"{}\">{status}<td><small>{}</small>",
                escape(name),
                escape(&service.id),
                escape(&service.address),
                service.port,
                escape(output),
                escape(&service.tags.join(", ")),
            );
        }
    }
    page.push_str("</table>");
    page
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded::body::parse;
    use crate::embedded::state::State;

    #[test]
    fn what_backends_say_of_themselves_is_text_and_no_markup() {
        let mut state = State::new();
        let json = br#"{"Name":"<script>alert(1)</script>","ID":"\"><b>","Address":"'&","Tags":["<i>"]}"#;
        state.register(parse(json).unwrap(), tokio::time::Instant::now()).unwrap();
        let page = render(state.entries());
        assert!(
            page.contains("&lt;script&gt;alert(1)&lt;/script&gt;") && page.contains("&quot;&gt;&lt;b&gt;")
        );
        assert!(!page.contains("<script") && !page.contains("<b>") && !page.contains("<i>"));
    }
}
