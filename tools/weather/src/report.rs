//! The JSON that the tool answers with. Field names carry their unit; numbers are rounded to tenths.

use crate::climate::Day;
use crate::climate::cities::City;
use crate::lookup::label;
use serde::Serialize;

/// Where an answer's numbers come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// Long-term means and a draw from them.
    Climatology,
    /// The weather service that the tool was started with.
    Upstream,
}

/// Said with every answer from climatology, so that nobody takes it for a measurement.
const CLIMATOLOGY_NOTE: &str =
    "a plausible day drawn from long-term monthly means; neither a measurement nor a forecast";

/// What every answer begins with.
#[derive(Debug, Clone, Serialize)]
pub struct Place {
    /// City, region and country.
    pub location: String,
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
    /// Metres above the sea.
    pub elevation_m: i16,
}

impl Place {
    /// Describes a city.
    pub fn of(city: &City) -> Self {
        Self {
            location: label(city),
            latitude: city.latitude,
            longitude: city.longitude,
            elevation_m: city.elevation_m,
        }
    }
}

/// What every answer ends with.
#[derive(Debug, Clone, Serialize)]
pub struct Origin {
    /// Where the numbers come from.
    pub source: Source,
    /// What they are not, if that needs saying.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<&'static str>,
    /// Why the upstream was not used although there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback: Option<String>,
}

impl Origin {
    /// Marks climatology; `fallback` says why it stands in for the upstream.
    pub fn climatology(fallback: Option<String>) -> Self {
        Self { source: Source::Climatology, note: Some(CLIMATOLOGY_NOTE), fallback }
    }

    /// Marks numbers of the upstream.
    pub fn upstream() -> Self {
        Self { source: Source::Upstream, note: None, fallback: None }
    }
}

/// The weather of one day.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DayReport {
    /// `YYYY-MM-DD`, local to the place.
    pub date: String,
    /// The day's mean; of the upstream, the middle of minimum and maximum.
    pub temperature_c: f64,
    /// The day's minimum.
    pub temperature_min_c: f64,
    /// The day's maximum.
    pub temperature_max_c: f64,
    /// The day's sum.
    pub precipitation_mm: f64,
    /// Chance of any precipitation, 0 to 100; absent if the upstream does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub precipitation_probability_percent: Option<u8>,
    /// One or two words: "clear", "light rain".
    pub condition: &'static str,
    /// The long-term mean of this day of the year, to compare with; from the table in either case.
    pub climate_mean_c: f64,
}

impl DayReport {
    /// Describes a drawn day.
    pub fn of(day: &Day) -> Self {
        Self {
            date: day.date.to_string(),
            temperature_c: tenths(day.mean_c),
            temperature_min_c: tenths(day.min_c),
            temperature_max_c: tenths(day.max_c),
            precipitation_mm: tenths(day.precipitation_mm),
            precipitation_probability_percent: Some((day.wet_probability * 100.0).round() as u8),
            condition: day.condition,
            climate_mean_c: tenths(day.climate_mean_c),
        }
    }
}

/// The answer of `get_weather`: today.
#[derive(Debug, Clone, Serialize)]
pub struct Weather {
    /// Where.
    #[serde(flatten)]
    pub place: Place,
    /// Today; an upstream's `temperature_c` and `condition` are the present ones.
    #[serde(flatten)]
    pub today: DayReport,
    /// Whence.
    #[serde(flatten)]
    pub origin: Origin,
}

/// The answer of `get_forecast`: today and the days after it.
#[derive(Debug, Clone, Serialize)]
pub struct Forecast {
    /// Where.
    #[serde(flatten)]
    pub place: Place,
    /// One entry per day, the first is today.
    pub days: Vec<DayReport>,
    /// Whence.
    #[serde(flatten)]
    pub origin: Origin,
}

/// Rounds to one decimal, without a negative zero.
pub fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0 + 0.0
}
