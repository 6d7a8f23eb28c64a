//! `ToolService` as the weather tool serves it: parameters in, JSON out.
//!
//! A wrong operation or parameter is an answer, not a gRPC error: status OK with `success` false and the
//! reason in `error`, because that is where existing clients of the contract look. Listing and registering
//! tools is the router's business.

use crate::climate::Day;
use crate::climate::cities::City;
use crate::date::Date;
use crate::lookup;
use crate::report::{DayReport, Forecast, Origin, Place, Weather};
use crate::upstream::Upstream;
use serde::Serialize;
use std::collections::HashMap;
use std::error::Error as _;
use std::time::SystemTime;
use switchboard_backend::status::answered_by_router;
use switchboard_proto::agentplatform::tool_service_server::ToolService;
use switchboard_proto::agentplatform::{
    ListToolsRequest, ListToolsResponse, RegistrationResponse, ToolInfo, ToolRequest, ToolResponse,
};
use tonic::{Request, Response, Status};
use tracing::warn;

/// Days of a forecast if the caller does not say.
const DEFAULT_DAYS: usize = 3;
/// As far as the usual upstream looks ahead.
const MAX_DAYS: usize = 16;
/// How much of a caller's text an error repeats.
const MAX_QUOTED_CHARS: usize = 80;

/// Why a call has no answer; the words are read by clients.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("Unknown operation: {0}")]
    UnknownOperation(String),
    #[error("Location parameter is required")]
    NoLocation,
    #[error("Unknown location: {asked}{}", suggestion(.near))]
    UnknownLocation { asked: String, near: Vec<String> },
    #[error("days must be a whole number from 1 to {MAX_DAYS}, not {0}")]
    Days(String),
}

fn suggestion(near: &[String]) -> String {
    if near.is_empty() { String::new() } else { format!(". Did you mean {}?", near.join(" or ")) }
}

/// The tool.
#[derive(Debug, Clone, Default)]
pub struct WeatherTool {
    upstream: Option<Upstream>,
    /// Stands still in tests.
    fixed_now: Option<SystemTime>,
}

impl WeatherTool {
    /// Makes a tool that asks `upstream` first, or none.
    pub fn new(upstream: Option<Upstream>) -> Self {
        Self { upstream, fixed_now: None }
    }

    /// Takes `now` for the present instead of the clock.
    pub fn at(self, now: SystemTime) -> Self {
        Self { fixed_now: Some(now), ..self }
    }

    async fn run(&self, operation: &str, parameters: &HashMap<String, String>) -> Result<String, Refusal> {
        match operation {
            "get_weather" => Ok(json(&self.weather(location(parameters)?).await)),
            "get_forecast" => {
                let city = location(parameters)?;
                Ok(json(&self.forecast(city, days(parameters)?).await))
            }
            other => Err(Refusal::UnknownOperation(quoted(other))),
        }
    }

    async fn weather(&self, city: &'static City) -> Weather {
        let (mut days, origin) = self.days(city, 1, When::Now).await;
        Weather { place: Place::of(city), today: days.swap_remove(0), origin }
    }

    async fn forecast(&self, city: &'static City, count: usize) -> Forecast {
        let (days, origin) = self.days(city, count, When::AllDay).await;
        Forecast { place: Place::of(city), days, origin }
    }

    /// Gives exactly `count` days from today, of the upstream or else of climatology.
    async fn days(&self, city: &City, count: usize, when: When) -> (Vec<DayReport>, Origin) {
        let drawn = self.draw(city, count);
        let fallback = match &self.upstream {
            None => None,
            Some(upstream) => match upstream.days(city.latitude, city.longitude, &drawn, when).await {
                Ok(days) => return (days, Origin::upstream()),
                Err(error) => {
                    warn!(%error, cause = error.source().map(tracing::field::display), "climatology stands in");
                    Some(error.to_string())
                }
            },
        };
        (drawn.iter().map(DayReport::of).collect(), Origin::climatology(fallback))
    }

    fn draw(&self, city: &City, count: usize) -> Vec<Day> {
        let today = Date::local(self.fixed_now.unwrap_or_else(SystemTime::now), city.longitude);
        (0..count as i64).map(|offset| city.draw(today.plus_days(offset))).collect()
    }
}

/// Which temperature and condition today's are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Those of this hour.
    Now,
    /// Those of the whole day.
    AllDay,
}

fn location(parameters: &HashMap<String, String>) -> Result<&'static City, Refusal> {
    let asked = parameters.get("location").map(|text| text.trim()).unwrap_or_default();
    if asked.is_empty() {
        return Err(Refusal::NoLocation);
    }
    lookup::find(asked).map_err(|near| Refusal::UnknownLocation { asked: quoted(asked), near })
}

fn days(parameters: &HashMap<String, String>) -> Result<usize, Refusal> {
    match parameters.get("days").map(|text| text.trim()) {
        None | Some("") => Ok(DEFAULT_DAYS),
        Some(text) => match text.parse() {
            Ok(days) if (1..=MAX_DAYS).contains(&days) => Ok(days),
            _ => Err(Refusal::Days(quoted(text))),
        },
    }
}

fn quoted(text: &str) -> String {
    text.chars().take(MAX_QUOTED_CHARS).collect()
}

fn json(report: &impl Serialize) -> String {
    serde_json::to_string(report).expect("a report has string keys and finite numbers")
}

#[tonic::async_trait]
impl ToolService for WeatherTool {
    async fn execute_tool(&self, request: Request<ToolRequest>) -> Result<Response<ToolResponse>, Status> {
        let ToolRequest { operation, parameters, session_id, .. } = request.into_inner();
        let response = match self.run(&operation, &parameters).await {
            Ok(result) => ToolResponse { success: true, result, error: String::new(), session_id },
            Err(refusal) => {
                ToolResponse { success: false, result: String::new(), error: refusal.to_string(), session_id }
            }
        };
        Ok(Response::new(response))
    }

    async fn list_tools(&self, _: Request<ListToolsRequest>) -> Result<Response<ListToolsResponse>, Status> {
        Err(answered_by_router("ListTools"))
    }

    async fn register_tool(&self, _: Request<ToolInfo>) -> Result<Response<RegistrationResponse>, Status> {
        Err(answered_by_router("RegisterTool"))
    }
}
