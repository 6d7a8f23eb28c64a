//! Reads the families of a router's `/metrics` that `top` shows: calls by service and code, and their durations.
//!
//! The Prometheus text format as far as the router writes it: no timestamps, no exemplars. Families and labels
//! that are not known are skipped, so that a newer router can be looked at.

use std::collections::BTreeMap;

/// grpc-status codes that say that something is broken, not that a caller was wrong: UNKNOWN,
/// DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, INTERNAL, UNAVAILABLE, DATA_LOSS.
const ERRORS: [&str; 6] = ["2", "4", "8", "13", "14", "15"];

/// Counters of one service since its router started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Calls {
    pub(super) ended: u64,
    pub(super) errors: u64,
    /// Calls by upper bound of their duration in us, each counted once; `u64::MAX` is the last bucket's.
    pub(super) durations: BTreeMap<u64, u64>,
}

/// What `/metrics` said at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Figures {
    pub(super) services: BTreeMap<String, Calls>,
    pub(super) in_flight: u64,
    pub(super) connections: u64,
}

/// One line with a value.
#[derive(Debug, PartialEq)]
struct Sample<'a> {
    name: &'a str,
    labels: Vec<(&'a str, String)>,
    value: f64,
}

impl Sample<'_> {
    fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(label, _)| *label == name).map(|(_, value)| value.as_str())
    }

    /// The value as a count: never negative, never more than a counter holds.
    fn count(&self) -> u64 {
        self.value as u64
    }
}

/// Reads the whole text.
///
/// # Errors
/// A line of a family of ours that cannot be read: the other end is no router, or one from another world.
pub(super) fn parse(text: &str) -> Result<Figures, String> {
    let mut figures = Figures::default();
    for line in text.lines() {
        let Some(rest) = line.strip_prefix("switchboard_") else { continue };
        let sample = sample(rest).ok_or_else(|| format!("a metric that cannot be read: {}", shown(line)))?;
        match (sample.name, sample.label("service")) {
            ("calls_in_flight", _) => figures.in_flight = sample.count(),
            ("downstream_connections", _) => figures.connections = sample.count(),
            ("calls_total", Some(service)) => {
                let calls = figures.services.entry(service.to_owned()).or_default();
                calls.ended += sample.count();
                if sample.label("code").is_some_and(|code| ERRORS.contains(&code)) {
                    calls.errors += sample.count();
                }
            }
            ("call_duration_seconds_bucket", Some(service)) => {
                let bound = sample.label("le").and_then(bound_us);
                let bound = bound.ok_or_else(|| format!("a bucket without bound: {}", shown(line)))?;
                let calls = figures.services.entry(service.to_owned()).or_default();
                calls.durations.insert(bound, sample.count());
            }
            _ => {}
        }
    }
    for calls in figures.services.values_mut() {
        let mut below = 0;
        for count in calls.durations.values_mut() {
            let upto = *count;
            *count = upto.saturating_sub(below);
            below = below.max(upto);
        }
    }
    Ok(figures)
}

fn sample(line: &str) -> Option<Sample<'_>> {
    let (name, mut rest) = line.split_at(line.find(['{', ' '])?);
    let mut labels = Vec::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (label, quoted) = rest.split_once("=\"")?;
            let (value, after) = unquoted(quoted)?;
            labels.push((label, value));
            rest = after.strip_prefix(',').unwrap_or(after);
        }
        rest = &rest[1..];
    }
    let value = rest.strip_prefix(' ')?.trim().parse().ok()?;
    Some(Sample { name, labels, value })
}

/// A label's value up to its closing quote, and what follows.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                escaped => value.push(escaped),
            },
            c => value.push(c),
        }
    }
    None
}

fn bound_us(text: &str) -> Option<u64> {
    match text.parse::<f64>().ok()? {
        seconds if seconds.is_nan() || seconds < 0.0 => None,
        seconds if seconds.is_infinite() => Some(u64::MAX),
        seconds => Some((seconds * 1e6).round() as u64),
    }
}

/// A line for a message: short, and nothing in it that moves a cursor.
fn shown(line: &str) -> String {
    line.chars().filter(|c| !c.is_control()).take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# HELP switchboard_calls_in_flight Calls in flight.
# TYPE switchboard_calls_in_flight gauge
switchboard_calls_in_flight 3
switchboard_downstream_connections 2
switchboard_calls_total{service=\"agent-echo\",method=\"other\",code=\"0\",origin=\"backend\"} 10
switchboard_calls_total{service=\"agent-echo\",method=\"other\",code=\"5\",origin=\"backend\"} 1
switchboard_calls_total{service=\"agent-echo\",method=\"other\",code=\"14\",origin=\"router\"} 2
switchboard_call_duration_seconds_bucket{service=\"agent-echo\",le=\"0.001\"} 4
switchboard_call_duration_seconds_bucket{service=\"agent-echo\",le=\"0.25\"} 12
switchboard_call_duration_seconds_bucket{service=\"agent-echo\",le=\"+Inf\"} 13
switchboard_call_duration_seconds_sum{service=\"agent-echo\"} 1.5
switchboard_something_new{a=\"b\"} 1e3
process_resident_memory_bytes 5
";

    #[test]
    fn calls_are_summed_by_service_and_buckets_counted_apart() {
        let figures = parse(TEXT).unwrap();
        assert_eq!((figures.in_flight, figures.connections), (3, 2));
        let durations = BTreeMap::from([(1_000, 4), (250_000, 8), (u64::MAX, 1)]);
        let echo = Calls { ended: 13, errors: 2, durations };
        assert_eq!(figures.services, BTreeMap::from([("agent-echo".to_owned(), echo)]));
    }

    #[test]
    fn escaped_labels_are_read_back() {
        let read = sample(r#"x{a="q\"b\\c\nd",b="}, "} 1"#).unwrap();
        assert_eq!(read.labels, [("a", "q\"b\\c\nd".to_owned()), ("b", "}, ".to_owned())]);
    }

    #[test]
    fn lines_that_are_no_metrics_are_told() {
        for wrong in [
            "calls_total",
            "calls_total{",
            "calls_total{a=\"b} 1",
            "calls_total{a} 1",
            "calls_total x",
            "x{a=\"b\"}1",
        ] {
            let said = parse(&format!("switchboard_{wrong}\n")).unwrap_err();
            assert!(said.contains("cannot be read"), "{wrong}: {said}");
        }
        assert!(parse("switchboard_call_duration_seconds_bucket{service=\"a\",le=\"x\"} 1").is_err());
        assert_eq!(parse("<html>not found</html>").unwrap(), Figures::default());
    }

    #[test]
    fn buckets_that_shrink_do_not_count_below_zero() {
        let bucket = |le: &str, count: u32| {
            format!("switchboard_call_duration_seconds_bucket{{service=\"a\",le=\"{le}\"}} {count}\n")
        };
        let figures = parse(&(bucket("1", 5) + &bucket("2", 4) + &bucket("+Inf", 6))).unwrap();
        assert_eq!(figures.services["a"].durations.values().copied().collect::<Vec<_>>(), [5, 0, 1]);
    }
}
