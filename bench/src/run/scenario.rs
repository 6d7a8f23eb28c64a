//! The loads, by the names that results and tables use.

use anyhow::{Context, Result};

/// What a figure is per.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// A call from its request to its status.
    Call,
    /// A message of a stream.
    Message,
    /// A million bytes of payload.
    Megabyte,
}

impl Unit {
    /// The word in results.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Message => "message",
            Self::Megabyte => "MB",
        }
    }
}

/// One load.
#[derive(Debug)]
pub(crate) struct Scenario {
    /// The key in results.
    pub(crate) name: &'static str,
    /// What it is, for people.
    pub(crate) title: &'static str,
    /// What its figures are per.
    pub(crate) unit: Unit,
    /// Whether it is measured with the contenders that speak TLS.
    pub(crate) tls: bool,
    /// Whether a quick run has it.
    pub(crate) quick: bool,
    /// Flags of `switchboard-bench load`, with spaces between.
    pub(crate) flags: &'static str,
}

const UNARY_8X32: &str = "--shape unary --connections 8 --streams 32";
const UNARY_1X1: &str = "--shape unary --connections 1 --streams 1";
const BURST: &str = "--shape burst --connections 8 --streams 8 --messages 100 --bytes 60";
const UPLOAD_1MB: &str = "--shape upload --connections 4 --streams 2 --bytes 1000000";
const DOWNLOAD_1MB: &str = "--shape download --connections 4 --streams 2 --bytes 1000000";

/// A row of the table; `quick` says whether a quick run has it.
const fn row(
    name: &'static str,
    title: &'static str,
    unit: Unit,
    quick: bool,
    flags: &'static str,
) -> Scenario {
    let tls = matches!(name.as_bytes(), [b't', b'l', b's', b'-', ..]);
    Scenario { name, title, unit, tls, quick, flags }
}

/// All of them, in the order of measuring and of the tables.
#[rustfmt::skip]
pub(crate) const SCENARIOS: &[Scenario] = &[
    row("unary-8x32", "Unary, 8 connections with 32 calls in flight each", Unit::Call, true, UNARY_8X32),
    row("unary-64x8", "Unary, 64 connections with 8 calls in flight each", Unit::Call, false, "--shape unary --connections 64 --streams 8"),
    row("unary-1x1", "Unary, one call at a time", Unit::Call, true, UNARY_1X1),
    row("unary-4000rps", "Unary, 4,000 calls per second", Unit::Call, false, "--shape unary --connections 8 --streams 32 --rate 4000"),
    row("headers-8x32", "Unary, 8 x 32, three headers per call that never repeat", Unit::Call, false, "--shape unary --connections 8 --streams 32 --unique-headers 3"),
    row("burst", "Streaming, 8 x 8 calls of 100 messages of 60 bytes at once", Unit::Message, true, BURST),
    row("paced", "Streaming, 64 streams with a message every 10 ms", Unit::Message, false, "--shape paced --connections 8 --streams 8 --messages 100 --interval-us 10000 --bytes 60"),
    row("upload-1mb", "Uploads of 1 MB, 4 x 2", Unit::Megabyte, true, UPLOAD_1MB),
    row("download-1mb", "Downloads of 1 MB, 4 x 2", Unit::Megabyte, true, DOWNLOAD_1MB),
    row("upload-10mb", "Uploads of 10 MB, 4 x 1", Unit::Megabyte, false, "--shape upload --connections 4 --streams 1 --bytes 10000000"),
    row("download-10mb", "Downloads of 10 MB, 4 x 1", Unit::Megabyte, false, "--shape download --connections 4 --streams 1 --bytes 10000000"),
    row("tls-unary-8x32", "TLS: unary, 8 x 32", Unit::Call, true, UNARY_8X32),
    row("tls-unary-1x1", "TLS: unary, one call at a time", Unit::Call, false, UNARY_1X1),
    row("tls-upload-1mb", "TLS: uploads of 1 MB, 4 x 2", Unit::Megabyte, false, UPLOAD_1MB),
    row("tls-download-1mb", "TLS: downloads of 1 MB, 4 x 2", Unit::Megabyte, false, DOWNLOAD_1MB),
    row("tls-burst", "TLS: streaming, 8 x 8 calls of 100 messages of 60 bytes at once", Unit::Message, false, BURST),
];

/// Finds one by its name.
///
/// # Errors
/// There is none of that name; the text lists those that are.
pub(crate) fn find(name: &str) -> Result<&'static Scenario> {
    SCENARIOS.iter().find(|scenario| scenario.name == name).with_context(|| {
        let names: Vec<_> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
        format!("there is no scenario {name:?}; there are {}", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_speaks_tls_and_a_quick_run_has_both() {
        for scenario in SCENARIOS {
            assert_eq!(scenario.tls, scenario.name.starts_with("tls-"), "{}", scenario.name);
        }
        let quick: Vec<_> = SCENARIOS.iter().filter(|it| it.quick).map(|it| it.name).collect();
        assert!(quick.contains(&"unary-8x32") && quick.contains(&"tls-unary-8x32"));
        assert!(quick.len() < SCENARIOS.len() / 2 + 1);
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        assert_eq!(find("paced").unwrap().unit, Unit::Message);
        let error = find("pased").unwrap_err().to_string();
        assert!(error.contains("paced") && error.contains("tls-burst"), "{error}");
    }
}
