//! The forecast, asked of `weather-tool` through the router like any client would.
//!
//! A plan without weather is still a plan: whatever goes wrong here ends as [`Weather::Unavailable`] with a
//! reason for people.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchboard_client::Client;

/// A forecast that is not there by then is not worth waiting for.
const DEADLINE: Duration = Duration::from_secs(5);

/// The longest text that is taken over from the tool's answer, in characters.
const MAX_TEXT_CHARS: usize = 200;

/// A day with at least this much rain or snow is spent indoors; less is a shower to wait out.
const WET_FROM_MM: f64 = 1.0;

/// What is known of the weather during the journey.
#[derive(Debug)]
pub(crate) enum Weather {
    /// What the tool knows.
    Forecast {
        /// The days in order; perhaps fewer than the journey has.
        days: Vec<DayWeather>,
        /// What the tool says about its numbers, for example that they are no measurement.
        note: Option<String>,
    },
    /// Why nothing is known.
    Unavailable(String),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct DayWeather {
    /// `YYYY-MM-DD`: the tool's forecast begins today.
    pub(crate) date: String,
    /// "light rain, 9 to 14 °C".
    pub(crate) summary: String,
    /// Whether to stay indoors.
    pub(crate) wet: bool,
}

/// The part of the tool's JSON that a plan needs.
#[derive(Debug, Deserialize)]
struct Answer {
    days: Vec<AnswerDay>,
    note: Option<String>,
}

#[derive(Debug, Deserialize)]
struct AnswerDay {
    date: String,
    condition: String,
    temperature_min_c: f64,
    temperature_max_c: f64,
    precipitation_mm: f64,
}

/// Asks for as many days as the journey has.
pub(crate) async fn forecast(router: &Client, destination: &str, days: u32) -> Weather {
    let parameters = [("location", destination.to_owned()), ("days", days.to_string())];
    let router = router.clone().with_deadline(Some(DEADLINE));
    match router.execute_tool("weather-tool", "get_forecast", parameters).await {
        Ok(answer) if answer.success => read(&answer.result),
        Ok(answer) => Weather::Unavailable(cut(&answer.error)),
        Err(error) => Weather::Unavailable(cut(&error.to_string())),
    }
}

fn read(json: &str) -> Weather {
    match serde_json::from_str::<Answer>(json) {
        Ok(answer) => Weather::Forecast {
            days: answer.days.iter().map(day).collect(),
            note: answer.note.as_deref().map(cut),
        },
        Err(error) => {
            tracing::warn!(%error, "the weather tool's answer cannot be read");
            Weather::Unavailable("the weather tool's answer cannot be read".to_owned())
        }
    }
}

fn day(day: &AnswerDay) -> DayWeather {
    let (low, high) = (day.temperature_min_c, day.temperature_max_c);
    DayWeather {
        date: day.date.chars().take(10).collect(),
        summary: format!("{}, {low:.0} to {high:.0} °C", cut(&day.condition)),
        wet: day.precipitation_mm >= WET_FROM_MM,
    }
}

/// The start of another service's text: enough to read, and no more than a plan should repeat.
fn cut(text: &str) -> String {
    text.chars().take(MAX_TEXT_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forecast_is_read_and_rain_is_recognised() {
        let json = r#"{"location":"Oslo","days":[
            {"date":"2026-05-01","condition":"light rain","temperature_min_c":4.6,"temperature_max_c":9.2,
             "precipitation_mm":3.1},
            {"date":"2026-05-02","condition":"clear","temperature_min_c":6.0,"temperature_max_c":15.0,
             "precipitation_mm":0.2}],"note":"no measurement"}"#;
        let Weather::Forecast { days, note } = read(json) else { panic!("no forecast") };
        let expect = |date: &str, summary: &str, wet| DayWeather {
            date: date.to_owned(),
            summary: summary.to_owned(),
            wet,
        };
        assert_eq!(days[0], expect("2026-05-01", "light rain, 5 to 9 °C", true));
        assert_eq!(days[1], expect("2026-05-02", "clear, 6 to 15 °C", false));
        assert_eq!(note.as_deref(), Some("no measurement"));
    }

    #[test]
    fn strange_answers_are_no_forecast() {
        for json in ["", "[]", "{}", r#"{"days":[{"condition":1}]}"#] {
            assert!(matches!(read(json), Weather::Unavailable(_)), "{json}");
        }
    }
}
