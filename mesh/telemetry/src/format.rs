//! The two shapes of a log line: human and JSON, each with the name of the service.
//!
//! Both lean on the subscriber's own formatters for fields and spans; they only put the service, time
//! and level in front.

use std::fmt::Result;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::{Compact, Format, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, format};
use tracing_subscriber::registry::LookupSpan;

/// `2026-11-21T08:00:00.000000Z  INFO echo-agent message field=value`
pub(crate) struct Line {
    service: String,
    /// Writes the message, the fields and the spans.
    rest: Format<Compact, ()>,
}

impl Line {
    pub(crate) fn new(service: String) -> Self {
        Self { service, rest: format().compact().without_time().with_level(false).with_target(false) }
    }
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, ctx: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> Result {
        let level = *event.metadata().level();
        SystemTime.format_time(&mut writer)?;
        if writer.has_ansi_escapes() {
            write!(writer, " \x1b[{}m{level:>5}\x1b[0m \x1b[1m{}\x1b[0m ", colour(level), self.service)?;
        } else {
            write!(writer, " {level:>5} {} ", self.service)?;
        }
        self.rest.format_event(ctx, writer, event)
    }
}

/// The ANSI colour of a level.
fn colour(level: Level) -> u8 {
    match level {
        Level::ERROR => 31,
        Level::WARN => 33,
        Level::INFO => 32,
        Level::DEBUG => 34,
        Level::TRACE => 35,
    }
}

/// `{"service":"echo-agent","timestamp":…,"level":…,"message":…,<fields>,"target":…}`
pub(crate) struct Json {
    /// The start of every line: an opened object with its first member.
    head: String,
    rest: Format<format::Json>,
}

impl Json {
    pub(crate) fn new(service: String) -> Self {
        let mut head = String::from("{\"service\":\"");
        for c in service.chars() {
            match c {
                '"' | '\\' => head.extend(['\\', c]),
                c if c.is_control() => head.push(' '),
                c => head.push(c),
            }
        }
        head.push_str("\",");
        Self { head, rest: format().json().flatten_event(true).with_current_span(true).with_span_list(false) }
    }
}

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, ctx: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> Result {
        let mut object = String::new();
        self.rest.format_event(ctx, Writer::new(&mut object), event)?;
        match object.strip_prefix('{') {
            Some(members) => {
                writer.write_str(&self.head)?;
                writer.write_str(members)
            }
            None => writer.write_str(&object),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Json, Line};
    use std::io::Write;
    use std::sync::{Arc, Mutex};
    use tracing_subscriber::prelude::*;

    /// A writer whose output the test reads.
    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl Captured {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    #[test]
    fn a_human_line_has_level_service_message_and_fields() {
        let captured = Captured::default();
        let out = captured.clone();
        let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(move || out.clone());
        let subscriber =
            tracing_subscriber::registry().with(layer.event_format(Line::new("echo-agent".to_owned())));
        tracing::subscriber::with_default(subscriber, || tracing::info!(port = 7, "listening"));
        assert!(captured.text().ends_with("Z  INFO echo-agent listening port=7\n"), "{}", captured.text());
    }

    #[test]
    fn a_json_line_is_one_object_that_names_the_service() {
        let captured = Captured::default();
        let out = captured.clone();
        let layer = tracing_subscriber::fmt::layer().json().with_writer(move || out.clone());
        let subscriber =
            tracing_subscriber::registry().with(layer.event_format(Json::new("odd \"name\"".to_owned())));
        tracing::subscriber::with_default(subscriber, || tracing::warn!(port = 7, "listening"));
        let line = captured.text();
        assert!(line.starts_with("{\"service\":\"odd \\\"name\\\"\",\"timestamp\":"), "{line}");
        assert!(line.contains("\"message\":\"listening\",\"port\":7"), "{line}");
        assert_eq!(line.matches('\n').count(), 1);
    }
}
