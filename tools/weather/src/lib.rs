//! The weather tool: what the weather is like in some 500 cities, by climatology or by a weather service.
//!
//! | module | step |
//! |---|---|
//! | `service` | `ToolService`: parameters in, JSON out |
//! | [`lookup`] | from a caller's words to a city |
//! | [`climate`] | from city and date to a plausible day; holds the table of cities |
//! | [`upstream`] | the optional weather service |
//! | [`report`] | the JSON |
//!
//! It measures nothing and is no forecast unless an upstream is set; every answer says which it is.

pub mod climate;
pub mod date;
pub mod lookup;
pub mod report;
mod service;
pub mod upstream;

pub use service::{WeatherTool, When};

use switchboard_backend::{Backend, MAX_MESSAGE_BYTES, Parameter};
use switchboard_proto::agentplatform::tool_service_server::ToolServiceServer;
use tonic::codec::CompressionEncoding;

/// Describes the backend that clients call as `weather-tool`; not started yet.
pub fn backend(tool: WeatherTool) -> Backend {
    Backend::tool("weather")
        .display_name("Weather")
        .description("Weather and forecast for some 500 cities of the world")
        .detailed_description(
            "Answers from long-term means unless it is started with a weather service; `source` in each answer \
             says which. The same city and date give the same answer everywhere.",
        )
        .how_it_works(
            "Operations: get_weather(location) for today; get_forecast(location, days) for today and the days \
             after it.",
        )
        .return_format(
            "JSON: location, latitude, longitude, elevation_m, source, and per day date, temperature_c, \
             temperature_min_c, temperature_max_c, precipitation_mm, precipitation_probability_percent, \
             condition, climate_mean_c. get_forecast has the days under `days`.",
        )
        .use_cases(["What to pack", "Plan a trip by the day", "Compare cities in a month"])
        .version(env!("CARGO_PKG_VERSION"))
        .capabilities(["data"])
        .parameters([
            parameter("location", "string", true, "City, or city and country: \"Paris, France\""),
            parameter("days", "integer", false, "get_forecast: days from today, 1 to 16; default 3"),
        ])
        .add_service(
            ToolServiceServer::new(tool)
                // Routers pass a client's compressed messages on as they are.
                .accept_compressed(CompressionEncoding::Gzip)
                .max_decoding_message_size(MAX_MESSAGE_BYTES),
        )
}

fn parameter(name: &str, type_: &str, required: bool, description: &str) -> Parameter {
    Parameter { name: name.into(), type_: type_.into(), required, description: description.into() }
}
