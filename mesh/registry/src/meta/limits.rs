//! Limits that a service sets for its own calls; routers keep them.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::quantity;

/// What the calls of a service are held to, as its instances say it in their meta. `None` is the router's own setting.
///
/// The instances of a service should agree; a router goes by the first healthy one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Deadline of unary calls whose client sent none, instead of the router's `default_unary_deadline`; a client that
    /// sends one may go beyond it.
    pub timeout: Option<Duration>,
    /// Longest deadline of unary calls, whoever set it. Streams are not ended by it.
    pub timeout_max: Option<Duration>,
    /// How long a call may pass no bytes; zero is for ever.
    pub stream_idle: Option<Duration>,
    /// How long calls may go on at an instance that left; zero is for ever.
    pub drain_streams_after: Option<Duration>,
    /// Longest message in bytes, in either direction, as it goes over the wire; at most what the router lets pass.
    pub max_message_bytes: Option<u32>,
    /// Calls that wait for the service, on each worker thread of a router.
    pub max_queue: Option<u32>,
    /// Calls in flight over one router, those that wait included.
    pub max_calls: Option<u32>,
}

/// One key: how its value is read into the limits, and how it is written if it is set.
struct Row {
    key: &'static str,
    read: fn(&mut Limits, &str) -> Result<(), String>,
    write: fn(&Limits) -> Option<String>,
}

/// A row of [`ROWS`]: key, field, reader, writer.
macro_rules! row {
    ($field:ident, $read:expr, $write:expr) => {
        Row {
            key: stringify!($field),
            read: |limits, text| $read(text).map(|value| limits.$field = Some(value)),
            write: |limits| limits.$field.map($write),
        }
    };
}

const ROWS: &[Row] = &[
    row!(timeout, quantity::positive, quantity::show_duration),
    row!(timeout_max, quantity::positive, quantity::show_duration),
    row!(stream_idle, quantity::duration, quantity::show_duration),
    row!(drain_streams_after, quantity::duration, quantity::show_duration),
    row!(max_message_bytes, size, |bytes: u32| bytes.to_string()),
    row!(max_queue, count, |calls: u32| calls.to_string()),
    row!(max_calls, count, |calls: u32| calls.to_string()),
];

impl Limits {
    /// Reads the limits out of an instance's meta, and names the keys whose values cannot be used: those count as unset.
    pub fn decode(meta: &BTreeMap<String, String>) -> (Self, Vec<&'static str>) {
        let (mut limits, mut broken) = (Self::default(), Vec::new());
        for row in ROWS {
            if let Some(text) = meta.get(row.key)
                && (row.read)(&mut limits, text.trim()).is_err()
            {
                broken.push(row.key);
            }
        }
        (limits, broken)
    }

    /// Writes what is set. Values that [`Limits::decode`] would refuse are left out.
    pub fn encode(&self) -> BTreeMap<String, String> {
        let texts = ROWS.iter().filter_map(|row| Some((row, (row.write)(self)?)));
        let fine = texts.filter(|(row, text)| (row.read)(&mut Self::default(), text).is_ok());
        fine.map(|(row, text)| (row.key.to_owned(), text)).collect()
    }
}

fn size(text: &str) -> Result<u32, String> {
    u32::try_from(quantity::bytes(text)?)
        .map_err(|_| format!("`{text}` is more than a gRPC message can have"))
}

fn count(text: &str) -> Result<u32, String> {
    let wrong = || format!("`{text}` is no whole number of at least 1");
    text.parse().ok().filter(|count| *count > 0).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn all_keys_are_read_and_written_as_documented() {
        let written = meta(&[
            ("timeout", "300ms"),
            ("timeout_max", "5m"),
            ("stream_idle", "0ms"),
            ("drain_streams_after", "90s"),
            ("max_message_bytes", "4194304"),
            ("max_queue", "10"),
            ("max_calls", "200"),
        ]);
        let (limits, broken) = Limits::decode(&written);
        let expected = Limits {
            timeout: Some(Duration::from_millis(300)),
            timeout_max: Some(Duration::from_secs(300)),
            stream_idle: Some(Duration::ZERO),
            drain_streams_after: Some(Duration::from_secs(90)),
            max_message_bytes: Some(4 << 20),
            max_queue: Some(10),
            max_calls: Some(200),
        };
        assert_eq!((limits, broken), (expected, vec![]));
        assert_eq!(limits.encode(), written);
        let (by_hand, _) = Limits::decode(&meta(&[("max_message_bytes", " 4MiB "), ("timeout", " 2m")]));
        assert_eq!(
            (by_hand.max_message_bytes, by_hand.timeout),
            (Some(4 << 20), Some(Duration::from_secs(120)))
        );
    }

    #[test]
    fn broken_values_are_named_and_count_as_unset() {
        let (limits, broken) = Limits::decode(&meta(&[
            ("timeout", "0s"),
            ("timeout_max", "5"),
            ("stream_idle", "for ever"),
            ("drain_streams_after", "-1s"),
            ("max_message_bytes", "4GB"),
            ("max_queue", "0"),
            ("max_calls", "many"),
            ("max_concurrency", "not one of these"),
        ]));
        assert_eq!(limits, Limits::default());
        assert_eq!(broken, ROWS.iter().map(|row| row.key).collect::<Vec<_>>());
        // What cannot be read is not written either.
        let unusable = Limits { timeout: Some(Duration::ZERO), max_calls: Some(0), ..Limits::default() };
        assert!(unusable.encode().is_empty());
    }
}
