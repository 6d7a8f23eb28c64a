//! The optional weather service: one GET per question, in the shape of Open-Meteo's `/v1/forecast`.
//!
//! It knows positions, not names: cities come from the table. It neither retries nor caches; when it
//! fails, its caller falls back to climatology at once.

use crate::climate::Day;
use crate::report::{DayReport, tenths};
use crate::service::When;
use serde::Deserialize;
use std::time::Duration;

/// A tool call is interactive: longer than this, and climatology is the better answer.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Sixteen days are about 2 KiB; more than this is not the answer we asked for.
const MAX_BODY_BYTES: usize = 256 * 1024;

/// Why the upstream gave no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be used.
    #[error("the upstream {url:?} is no http or https address")]
    Address {
        /// As given.
        url: String,
    },
    /// The HTTP client cannot be built.
    #[error("cannot set up the HTTP client of the upstream")]
    Setup(#[source] reqwest::Error),
    /// Nothing came within the time limit.
    #[error("the upstream did not answer within {} s", TIMEOUT.as_secs())]
    Timeout,
    /// The connection failed.
    #[error("the upstream is unreachable")]
    Unreachable(#[source] reqwest::Error),
    /// An HTTP status other than 200.
    #[error("the upstream answered with status {0}")]
    Status(u16),
    /// More bytes than any forecast has.
    #[error("the answer of the upstream is too large")]
    TooLarge,
    /// Not the JSON of a forecast, or not the days that were asked for.
    #[error("the answer of the upstream is no forecast")]
    Decode,
}

/// A weather service.
#[derive(Debug, Clone)]
pub struct Upstream {
    client: reqwest::Client,
    url: reqwest::Url,
}

impl Upstream {
    /// Prepares calls to the service at `base`, for example `https://api.open-meteo.com`. Opens no connection.
    ///
    /// # Errors
    /// [`Error::Address`] and [`Error::Setup`].
    pub fn new(base: &str) -> Result<Self, Error> {
        switchboard_backend::install_crypto();
        let refuse = || Error::Address { url: base.to_owned() };
        // Parsed before the path is added, which would pass for a host where there is none.
        let mut url = reqwest::Url::parse(base).map_err(|_| refuse())?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(refuse());
        }
        url.set_path(&format!("{}/v1/forecast", url.path().trim_end_matches('/')));
        let client = reqwest::Client::builder().timeout(TIMEOUT).build().map_err(Error::Setup)?;
        Ok(Self { client, url })
    }

    /// Asks for `climate.len()` days from today at a position and returns exactly as many.
    ///
    /// `climate` are the same days by climatology: they give the long-term means to compare with. With
    /// [`When::Now`] today's temperature and condition are the present ones, if the upstream has them.
    /// Dropping the future gives the question up.
    ///
    /// # Errors
    /// All but [`Error::Address`] and [`Error::Setup`].
    pub async fn days(
        &self,
        latitude: f64,
        longitude: f64,
        climate: &[Day],
        when: When,
    ) -> Result<Vec<DayReport>, Error> {
        let request = self.client.get(self.url.clone()).query(&[
            ("latitude", latitude.to_string()),
            ("longitude", longitude.to_string()),
            ("current", "temperature_2m,weather_code".to_owned()),
            (
                "daily",
                "weather_code,temperature_2m_max,temperature_2m_min,precipitation_sum,precipitation_probability_max"
                    .to_owned(),
            ),
            ("timezone", "auto".to_owned()),
            ("forecast_days", climate.len().to_string()),
        ]);
        let mut response = request.send().await.map_err(failed)?;
        if response.status() != reqwest::StatusCode::OK {
            return Err(Error::Status(response.status().as_u16()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > MAX_BODY_BYTES {
                return Err(Error::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        let answer: Answer = serde_json::from_slice(&body).map_err(|_| Error::Decode)?;
        let mut days = answer.daily.reports(climate).ok_or(Error::Decode)?;
        if let (When::Now, Some(now), Some(today)) = (when, answer.current, days.first_mut()) {
            today.temperature_c = tenths(now.temperature_2m);
            today.condition = condition(now.weather_code);
        }
        Ok(days)
    }
}

fn failed(error: reqwest::Error) -> Error {
    if error.is_timeout() { Error::Timeout } else { Error::Unreachable(error) }
}

#[derive(Deserialize)]
struct Answer {
    current: Option<Current>,
    daily: Daily,
}

#[derive(Deserialize)]
struct Current {
    temperature_2m: f64,
    weather_code: u8,
}

/// One array per variable, one element per day.
#[derive(Deserialize)]
struct Daily {
    time: Vec<String>,
    weather_code: Vec<u8>,
    temperature_2m_max: Vec<f64>,
    temperature_2m_min: Vec<f64>,
    precipitation_sum: Vec<f64>,
    #[serde(default)]
    precipitation_probability_max: Vec<Option<u8>>,
}

impl Daily {
    /// Gives the days, or `None` if any of them lacks a value.
    fn reports(&self, climate: &[Day]) -> Option<Vec<DayReport>> {
        let day = |(index, climate): (usize, &Day)| {
            let (min, max) = (*self.temperature_2m_min.get(index)?, *self.temperature_2m_max.get(index)?);
            Some(DayReport {
                date: self.time.get(index)?.clone(),
                temperature_c: tenths((min + max) / 2.0),
                temperature_min_c: tenths(min),
                temperature_max_c: tenths(max),
                precipitation_mm: tenths(*self.precipitation_sum.get(index)?),
                precipitation_probability_percent: self
                    .precipitation_probability_max
                    .get(index)
                    .copied()
                    .flatten(),
                condition: condition(*self.weather_code.get(index)?),
                climate_mean_c: tenths(climate.climate_mean_c),
            })
        };
        climate.iter().enumerate().map(day).collect()
    }
}

/// Words for WMO code table 4677 as far as forecasts use it.
fn condition(code: u8) -> &'static str {
    match code {
        0 => "clear",
        1 | 2 => "partly cloudy",
        3 => "overcast",
        45 | 48 => "fog",
        51..=57 => "drizzle",
        61 | 80 => "light rain",
        63 | 81 => "rain",
        65 | 82 => "heavy rain",
        66 | 67 => "freezing rain",
        71 | 85 => "light snow",
        73 | 77 => "snow",
        75 | 86 => "heavy snow",
        95..=99 => "thunderstorm",
        _ => "unknown",
    }
}
