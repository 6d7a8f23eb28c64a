//! The Prometheus text format (version 0.0.4), as far as the router writes it.

use std::fmt::{Display, Write};

/// What a family of metrics is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(non_camel_case_types, reason = "the words of the format")]
pub(crate) enum Kind {
    /// Only grows.
    counter,
    /// As of now.
    gauge,
    /// Cumulative buckets, sum and count.
    histogram,
}

/// Begins a family: `switchboard_` is put before its name.
pub(crate) fn family(out: &mut String, name: &str, kind: Kind, help: &str) {
    let _ = writeln!(out, "# HELP switchboard_{name} {help}.\n# TYPE switchboard_{name} {kind:?}");
}

/// Writes a family of one sample without labels.
pub(crate) fn single(out: &mut String, name: &str, kind: Kind, help: &str, value: impl Display) {
    family(out, name, kind, help);
    let _ = writeln!(out, "switchboard_{name} {value}");
}

/// Writes a sample of the family that was begun last.
pub(crate) fn sample(out: &mut String, name: &str, labels: &[(&str, &str)], value: impl Display) {
    let _ = write!(out, "switchboard_{name}");
    for (index, (label, text)) in labels.iter().enumerate() {
        let _ = write!(out, "{}{label}=\"", if index == 0 { '{' } else { ',' });
        for c in text.chars() {
            match c {
                '\\' => out.push_str("\\\\"),
                '"' => out.push_str("\\\""),
                '\n' => out.push_str("\\n"),
                c => out.push(c),
            }
        }
        out.push('"');
    }
    let _ = writeln!(out, "{} {value}", if labels.is_empty() { "" } else { "}" });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_cannot_break_the_format() {
        let mut out = String::new();
        family(&mut out, "x", Kind::gauge, "Help");
        sample(&mut out, "x", &[("a", "a\"b\\c\nd"), ("b", "")], 0.5);
        sample(&mut out, "x", &[], 1);
        let expected = "# HELP switchboard_x Help.\n# TYPE switchboard_x gauge\n\
                        switchboard_x{a=\"a\\\"b\\\\c\\nd\",b=\"\"} 0.5\nswitchboard_x 1\n";
        assert_eq!(out, expected);
    }
}
