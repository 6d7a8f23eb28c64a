//! The itinerary worker: a day-by-day travel plan, with the weather that `weather-tool` knows of.
//!
//! One task passes the files in this order: `request` reads its parameters, `history` gives it its place,
//! `weather` asks the tool through the router, `plan` chooses from the `catalogue`, `service` answers.
//! Registration, health and shutdown are the mesh's (`switchboard_backend`).
//!
//! # Tasks
//! - `ProcessTask` plans; the answer's `output` is for people, `metadata["itinerary"]` is the same as JSON.
//! - Wrong parameters are an answer with `success` false and the words in `error`.
//! - A `task_id` that is running is ALREADY_EXISTS. One that completed gets its answer again for the same
//!   parameters, so a client may repeat the call after a lost connection; for others it is ALREADY_EXISTS.
//!   One that failed runs anew.
//! - `GetTaskStatus` says `running` with "day 2 of 3", `completed` with the plan, `failed` with the words,
//!   or NOT_FOUND.

mod catalogue;
mod history;
mod plan;
mod request;
mod service;
mod weather;

use std::time::Duration;

use switchboard_backend::{Backend, MAX_MESSAGE_BYTES, Parameter};
use switchboard_client::{Client, Config, Error};
use switchboard_proto::agentplatform::task_worker_server::TaskWorkerServer;
use tonic::codec::CompressionEncoding;

use crate::service::Itineraries;

/// The router is near; a connection that takes longer would cost the plan more than its weather is worth.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Where the worker finds the other members of the mesh, above all `weather-tool`.
///
/// It connects at the first task: the router need not run yet.
#[derive(Clone, Debug)]
pub struct RouterEndpoint(Client);

impl RouterEndpoint {
    /// Names the router by its address, `http://host:port` or `host:port`.
    ///
    /// # Errors
    /// [`Error::Endpoint`] for an address that is none.
    ///
    /// # Panics
    /// Outside a tokio runtime, which the connection needs.
    pub fn new(address: &str) -> Result<Self, Error> {
        Self::with(address, Config::default())
    }

    /// Names the router by its address, and says in `config` whom it must prove itself by and who we are: with
    /// [`Config::tls`] the address may be `https://host:port`, and `host:port` means that.
    ///
    /// # Errors
    /// Those of [`Client::connect_lazy_with`].
    ///
    /// # Panics
    /// As [`RouterEndpoint::new`].
    pub fn with(address: &str, config: Config) -> Result<Self, Error> {
        let config = Config { connect_timeout: CONNECT_TIMEOUT, ..config };
        Client::connect_lazy_with(address, config).map(Self)
    }

    /// Names the router by variables: `SWITCHBOARD_ROUTER`, else `GRPC_ROUTER_HOST` and `GRPC_ROUTER_PORT`
    /// (one of them is enough), else `127.0.0.1:50051`. Empty ones count as absent. What proves who the router is, and who
    /// we are, comes from the variables of [`Config::from_vars`].
    ///
    /// # Errors
    /// As [`RouterEndpoint::with`] and [`Config::from_vars`].
    ///
    /// # Panics
    /// As [`RouterEndpoint::new`].
    pub fn from_vars(get: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        Self::with(&switchboard_client::router_address(&get), Config::from_vars(&get)?)
    }
}

/// Makes the backend `itinerary-worker`, port 50054, ready to be served.
pub fn backend(router: RouterEndpoint) -> Backend {
    let service = TaskWorkerServer::new(Itineraries::new(router.0))
        // Routers pass a client's compressed messages on as they are.
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    Backend::worker("itinerary")
        .display_name("Itinerary")
        .description("Plans a journey day by day, with the weather")
        .detailed_description(
            "Chooses something to do for every morning, afternoon and evening of a journey, by the \
             traveller's interests and the forecast. The ideas hold for any destination; it knows no addresses.",
        )
        .how_it_works("Asks weather-tool through the router, then chooses from a catalogue; a wet day stays indoors")
        .return_format("Text in output; the same as JSON in metadata.itinerary")
        .use_cases(["Plan a city trip", "Fill a rainy day", "Watch the progress of a long task"])
        .version(env!("CARGO_PKG_VERSION"))
        .parameters([
            parameter("destination", "string", true, "where to, for example Rome"),
            parameter("days", "integer", false, "1 to 14, default 3"),
            parameter("interests", "string", false, "comma-separated; default culture,food,nature"),
            parameter("pace_ms", "integer", false, "pause before each day, 0 to 10000, default 0"),
        ])
        .tags(["travel"])
        .add_service(service)
}

fn parameter(name: &str, type_: &str, required: bool, description: &str) -> Parameter {
    Parameter {
        name: name.to_owned(),
        type_: type_.to_owned(),
        required,
        description: description.to_owned(),
    }
}
