//! Tasks that run once per item.

use serde::de::IgnoredAny;
use switchboard_proto::goclaw::v1::{self, for_each::Source};
use workflow_machine::{ForEach, limits};

use super::{
    json,
    keyed::Keyed,
    violations::{At, Violations, shown},
};

/// Reads the field and the keys `for_each` and `for_each.max_parallel`.
pub(super) fn read(
    field: Option<v1::ForEach>,
    keyed: &mut Keyed<'_>,
    at: At<'_>,
    violations: &mut Violations,
) -> Option<ForEach> {
    let from_field = field.map(|for_each| read_field(for_each, violations, at.field("for_each")));
    let read =
        |text: &str| text.trim().parse::<u32>().ok().filter(|count| *count as usize <= limits::MAX_ITEMS);
    let max_parallel = keyed.parse(
        "for_each.max_parallel",
        violations,
        format_args!("a whole number from 0 to {}", limits::MAX_ITEMS),
        read,
    );
    let items = keyed.take("for_each").filter(|items| !items.is_empty());
    if max_parallel.is_some() && items.is_none() && from_field.is_none() {
        keyed.wrong("for_each.max_parallel", violations, "there is no for_each; add one, or remove it");
    }
    let from_keys = items.map(|items| {
        if !gives_list(&items) {
            keyed.wrong("for_each", violations, not_a_list(&items));
        }
        ForEach { items, max_parallel: max_parallel.unwrap_or(0) }
    });
    keyed.agreed("for_each", "for_each", from_keys, from_field, violations)
}

fn read_field(for_each: v1::ForEach, violations: &mut Violations, at: At<'_>) -> ForEach {
    let items = match for_each.source {
        Some(Source::Items(list)) => {
            if list.values.len() > limits::MAX_ITEMS {
                let reason = format!(
                    "{} items, at most {}; use child workflows",
                    list.values.len(),
                    limits::MAX_ITEMS
                );
                violations.add(at.field("items"), reason);
            }
            let json = json::of_list(&list, violations, at.field("items"));
            // JSON text is UTF-8; an empty one was refused above.
            String::from_utf8(json.into()).unwrap_or_default()
        }
        Some(Source::Template(template)) => {
            if !gives_list(&template) {
                violations.add(at.field("template"), not_a_list(&template));
            }
            template
        }
        None => {
            violations.add(at, "missing items; set items, or a template that gives a JSON array");
            String::new()
        }
    };
    let max_parallel = match u32::try_from(for_each.max_parallel) {
        Ok(count) if count as usize <= limits::MAX_ITEMS => count,
        _ => {
            let reason = format!("{} is out of range; use 0 to {}", for_each.max_parallel, limits::MAX_ITEMS);
            violations.add(at.field("max_parallel"), reason);
            0
        }
    };
    ForEach { items, max_parallel }
}

fn gives_list(items: &str) -> bool {
    items.contains("{{") || serde_json::from_str::<Vec<IgnoredAny>>(items).is_ok()
}

fn not_a_list(items: &str) -> String {
    format!(
        "expected a JSON array or a template that gives one, such as {{{{workflow.input.cities}}}}, got {}",
        shown(items)
    )
}
