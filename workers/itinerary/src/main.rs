//! The process `itinerary-worker`: reads flags and environment, serves until a signal.

use clap::Parser;
use itinerary_worker::RouterEndpoint;
use switchboard_backend::Options;

/// Plans journeys day by day as `itinerary-worker`, a worker of the mesh.
#[derive(Debug, Parser)]
#[command(name = "itinerary-worker", version)]
struct Args {
    /// Router through which the weather is asked for [env: SWITCHBOARD_ROUTER, or GRPC_ROUTER_HOST and
    /// GRPC_ROUTER_PORT; over TLS with SWITCHBOARD_CA, as somebody with SWITCHBOARD_CERT and SWITCHBOARD_KEY, or
    /// SWITCHBOARD_TOKEN or SWITCHBOARD_TOKEN_FILE] [default: 127.0.0.1:50051]
    #[arg(long, value_name = "URL")]
    router: Option<String>,
    #[command(flatten)]
    options: Options,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let router = RouterEndpoint::from_vars(|name| match (name, &args.router) {
        ("SWITCHBOARD_ROUTER", Some(address)) => Some(address.clone()),
        _ => std::env::var(name).ok(),
    })?;
    itinerary_worker::backend(router).options(args.options).serve().await?;
    Ok(())
}
