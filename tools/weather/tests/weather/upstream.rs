//! With an upstream: its numbers, and climatology when it fails.

use crate::fixture::start;
use axum::extract::Query;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::future::pending;
use std::net::SocketAddr;
use tokio::net::TcpListener;
use weather_tool::WeatherTool;
use weather_tool::upstream::{Error, Upstream};

/// Serves `routes` on loopback until the test ends.
async fn serve(routes: Router) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, routes).into_future());
    addr
}

async fn tool_with(addr: SocketAddr) -> crate::fixture::Tool {
    start(WeatherTool::new(Some(Upstream::new(&format!("http://{addr}/")).unwrap()))).await
}

/// Answers as the service does, for as many days as asked.
async fn forecast(Query(asked): Query<HashMap<String, String>>) -> Json<Value> {
    let days: usize = asked["forecast_days"].parse().unwrap();
    assert_eq!((asked["latitude"].as_str(), asked["longitude"].as_str()), ("48.86", "2.35"));
    Json(json!({
        "latitude": 48.86, "longitude": 2.36, "utc_offset_seconds": 7200,
        "current": { "time": "2026-07-15T14:00", "temperature_2m": 31.26, "weather_code": 95 },
        "daily": {
            "time": (0..days).map(|day| format!("2026-07-{}", 15 + day)).collect::<Vec<_>>(),
            "weather_code": vec![61; days],
            "temperature_2m_max": vec![28.0; days],
            "temperature_2m_min": vec![18.5; days],
            "precipitation_sum": vec![2.44; days],
            "precipitation_probability_max": vec![55; days],
        }
    }))
}

#[tokio::test]
async fn the_upstreams_numbers_are_passed_on_and_marked() {
    let mut tool = tool_with(serve(Router::new().route("/v1/forecast", get(forecast))).await).await;
    let weather = tool.ask("get_weather", &[("location", "Paris")]).await;
    assert_eq!(weather["source"], "upstream");
    assert_eq!(
        (&weather["temperature_c"], &weather["condition"]),
        (&json!(31.3), &json!("thunderstorm")),
        "the present"
    );
    assert_eq!((&weather["temperature_min_c"], &weather["temperature_max_c"]), (&json!(18.5), &json!(28.0)));
    assert!(weather.get("note").is_none() && weather.get("fallback").is_none());

    let forecast = tool.ask("get_forecast", &[("location", "Paris"), ("days", "5")]).await;
    assert_eq!(forecast["source"], "upstream");
    let days = forecast["days"].as_array().unwrap();
    assert_eq!(days.len(), 5);
    assert_eq!((&days[4]["date"], &days[4]["condition"]), (&json!("2026-07-19"), &json!("light rain")));
    assert_eq!((&days[0]["temperature_c"], &days[0]["precipitation_mm"]), (&json!(23.3), &json!(2.4)));
    assert_eq!(days[0]["precipitation_probability_percent"], 55);
}

#[tokio::test]
async fn a_failing_upstream_is_replaced_by_climatology_and_named() {
    let gone = TcpListener::bind(("127.0.0.1", 0)).await.unwrap().local_addr().unwrap();
    let route = |answer| serve(Router::new().route("/v1/forecast", answer));
    let short = json!({ "daily": { "time": [], "weather_code": [], "temperature_2m_max": [],
        "temperature_2m_min": [], "precipitation_sum": [] } });
    let cases = [
        (gone, "the upstream is unreachable"),
        (route(get(async || StatusCode::TOO_MANY_REQUESTS)).await, "the upstream answered with status 429"),
        (route(get(async || "<html>")).await, "the answer of the upstream is no forecast"),
        (route(get(async || Json(short))).await, "the answer of the upstream is no forecast"),
        (route(get(async || "x".repeat(1 << 20))).await, "the answer of the upstream is too large"),
        (route(get(pending::<()>)).await, "the upstream did not answer within 3 s"),
    ];
    let expected = start(WeatherTool::default()).await.ask("get_weather", &[("location", "Paris")]).await;
    for (addr, reason) in cases {
        let mut weather = tool_with(addr).await.ask("get_weather", &[("location", "Paris")]).await;
        assert_eq!(weather.as_object_mut().unwrap().remove("fallback"), Some(json!(reason)));
        assert_eq!(weather, expected, "the same as without upstream");
    }
}

#[test]
fn an_address_that_is_none_is_refused_at_the_start() {
    for bad in ["", "api.example.com", "ftp://example.com", "http://"] {
        assert!(matches!(Upstream::new(bad), Err(Error::Address { .. })), "{bad:?}");
    }
}
