//! `weather-tool`: flags in, backend out.

use clap::Parser;
use switchboard_backend::Options;
use weather_tool::WeatherTool;
use weather_tool::upstream::Upstream;

/// Weather and forecast for some 500 cities; called as `weather-tool` through any router of the same registry.
#[derive(Parser)]
#[command(
    version,
    after_help = "\
Examples:
  weather-tool                                    on port 50053, from its table of long-term means
  weather-tool --upstream https://api.open-meteo.com
                                                  from a weather service, and the table when that fails
  weather-tool --listen 0 --consul http://consul:8500
                                                  on any free port, with another registry"
)]
struct Arguments {
    /// Weather service with the API of Open-Meteo, asked first; without it only the table answers
    #[arg(long, value_name = "URL", env = "WEATHER_API_URL")]
    upstream: Option<String>,
    #[command(flatten)]
    options: Options,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Arguments { upstream, options } = Arguments::parse();
    // Compose files pass an unset variable as an empty one.
    let upstream = upstream.filter(|url| !url.is_empty()).map(|url| Upstream::new(&url)).transpose()?;
    Ok(weather_tool::backend(WeatherTool::new(upstream)).options(options).serve().await?)
}
