//! Without an upstream: the table's weather, and the words for wrong calls.

use crate::fixture::start;
use serde_json::json;
use switchboard_backend::RegistryConfig;
use switchboard_proto::agentplatform::ListToolsRequest;
use switchboard_registry::{Client, Description, Query};
use tonic::Code;
use weather_tool::WeatherTool;

#[tokio::test]
async fn get_weather_answers_for_today_and_says_that_it_is_climatology() {
    let mut tool = start(WeatherTool::default()).await;
    let answer = tool.call("get_weather", &[("location", "Paris")]).await;
    assert_eq!(answer.session_id, "s-1");
    let weather = tool.ask("get_weather", &[("location", "PARIS, France")]).await;
    let again: serde_json::Value = serde_json::from_str(&answer.result).unwrap();
    assert_eq!(weather, again, "the same at every call, however the city is written");

    assert_eq!(weather["location"], "Paris, France");
    assert_eq!((&weather["latitude"], &weather["longitude"]), (&json!(48.86), &json!(2.35)));
    assert_eq!(weather["date"], "2026-07-15");
    assert_eq!(weather["source"], "climatology");
    assert!(weather["note"].as_str().unwrap().contains("neither a measurement nor a forecast"));
    assert!(weather.get("fallback").is_none());
    let number = |key: &str| weather[key].as_f64().unwrap();
    assert!(number("temperature_min_c") < number("temperature_c"));
    assert!(number("temperature_c") < number("temperature_max_c"));
    assert!((number("climate_mean_c") - 21.0).abs() < 1.0, "{weather}");
    assert!((number("temperature_c") - number("climate_mean_c")).abs() < 12.0, "{weather}");
}

#[tokio::test]
async fn get_forecast_gives_the_days_asked_for_and_three_by_default() {
    let mut tool = start(WeatherTool::default()).await;
    for (days, count) in [(None, 3), (Some("1"), 1), (Some(" 7 "), 7), (Some("16"), 16), (Some(""), 3)] {
        let mut parameters = vec![("location", "Tokyo")];
        parameters.extend(days.map(|days| ("days", days)));
        let forecast = tool.ask("get_forecast", &parameters).await;
        let days = forecast["days"].as_array().unwrap();
        assert_eq!(days.len(), count);
        // Noon in London is evening in Tokyo, of the same day.
        assert_eq!(days[0]["date"], "2026-07-15");
        assert_eq!(forecast["location"], "Tokyo, Japan");
    }
    let today = tool.ask("get_weather", &[("location", "Tokyo")]).await;
    let forecast = tool.ask("get_forecast", &[("location", "Tokyo")]).await;
    assert_eq!(today["temperature_c"], forecast["days"][0]["temperature_c"], "one day, one weather");
    assert_eq!(forecast["days"][2]["date"], "2026-07-17");
}

/// Operation, parameters, and how the error begins.
type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);

#[tokio::test]
async fn wrong_calls_are_answered_with_the_words_that_clients_know() {
    let mut tool = start(WeatherTool::default()).await;
    let long = "x".repeat(1000);
    let cases: &[Case] = &[
        ("get_weather", &[], "Location parameter is required"),
        ("get_forecast", &[("location", "  ")], "Location parameter is required"),
        ("get_tides", &[("location", "Paris")], "Unknown operation: get_tides"),
        ("", &[], "Unknown operation: "),
        (&long, &[], &format!("Unknown operation: {}", "x".repeat(80))),
        ("get_weather", &[("location", "Pariss")], "Unknown location: Pariss. Did you mean Paris, France"),
        ("get_weather", &[("location", "Qqqqqq")], "Unknown location: Qqqqqq"),
        (
            "get_weather",
            &[("location", "Paris, Texas")],
            "Unknown location: Paris, Texas. Did you mean Paris, France",
        ),
        (
            "get_forecast",
            &[("location", "Paris"), ("days", "0")],
            "days must be a whole number from 1 to 16, not 0",
        ),
        (
            "get_forecast",
            &[("location", "Paris"), ("days", "17")],
            "days must be a whole number from 1 to 16, not 17",
        ),
        (
            "get_forecast",
            &[("location", "Paris"), ("days", "two")],
            "days must be a whole number from 1 to 16, not two",
        ),
    ];
    for (operation, parameters, words) in cases {
        let answer = tool.call(operation, parameters).await;
        assert!(!answer.success && answer.result.is_empty(), "{answer:?}");
        assert!(answer.error.starts_with(words), "{:?} is not {words:?}", answer.error);
    }
}

#[tokio::test]
async fn the_registry_describes_the_tool_and_its_parameters() {
    let mut tool = start(WeatherTool::default()).await;
    tool.running.registered().await;
    let registry = RegistryConfig::at(&tool.registry.addr().to_string()).unwrap();
    let found = Client::new(registry).unwrap().health("tool-weather", &Query::passing()).await.unwrap().value;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].tags[..3], ["tool", "weather", "data"]);
    let description = Description::decode("tool-weather", &found[0].meta, &found[0].tags);
    let parameters: Vec<_> = description.parameters.iter().map(|p| (p.name.as_str(), p.required)).collect();
    assert_eq!(parameters, [("location", true), ("days", false)]);
    assert!(description.return_format.ends_with("under `days`."), "nothing is cut: {description:?}");

    let refused = tool.client.list_tools(ListToolsRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented, "the router lists");
}
