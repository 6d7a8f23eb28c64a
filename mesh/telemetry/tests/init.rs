//! Installing the subscriber: once per process, and never a panic.

use switchboard_telemetry::{Telemetry, init};

#[test]
fn a_second_init_keeps_the_first_and_a_bad_filter_is_survived() {
    let bad_filter = Telemetry { filter: Some("info,=,=".to_owned()), ..Telemetry::new("echo-agent") };
    assert!(init(bad_filter));
    assert!(!init(Telemetry { json: true, ..Telemetry::new("weather-tool") }));
    assert!(tracing::enabled!(tracing::Level::INFO), "the default level applies");
    assert!(!tracing::enabled!(tracing::Level::DEBUG));
}
