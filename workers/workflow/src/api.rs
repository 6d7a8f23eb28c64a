//! What the world calls: the services of `goclaw.v1` over one [`Engine`].
//!
//! | module | what |
//! |---|---|
//! | [`status`] | the one table from errors to gRPC and HTTP |
//! | [`workflow`] | submit, list, look, cancel |
//! | [`streaming`] | watch a workflow, its tasks, its log |
//! | [`batch`] | many workflows at once |
//! | [`saga`] | workflows that are undone when they fail |
//! | [`signal`] | word to running tasks |
//! | [`schedule`] | workflows that are submitted again and again |
//! | [`worker`] | external workers that pull |
//! | [`control`] | pause, retry, signal one workflow; its history |
//! | [`admin`], [`operator`] | the engine itself, its lanes, workflows by the thousand |
//! | `caller` | who calls, and what comes in headers |
//! | `page` | page sizes and opaque tokens |
//! | `lane_rates` | what lanes did over the last minute |
//! | `shown` | workflows and tasks as the wire has them |

pub mod admin;
pub mod batch;
mod caller;
pub mod control;
mod lane_rates;
pub mod operator;
mod page;
pub mod saga;
pub mod schedule;
mod shown;
pub mod signal;
pub mod status;
pub mod streaming;
pub mod worker;
pub mod workflow;

use std::{
    sync::{Arc, OnceLock, PoisonError, RwLock},
    time::Duration,
};

use switchboard_backend::Backend;
use switchboard_proto::goclaw::v1::{
    admin_service_server::AdminServiceServer, batch_service_server::BatchServiceServer,
    operator_service_server::OperatorServiceServer, saga_service_server::SagaServiceServer,
    schedule_service_server::ScheduleServiceServer, signal_service_server::SignalServiceServer,
    streaming_service_server::StreamingServiceServer,
    workflow_control_service_server::WorkflowControlServiceServer,
    workflow_service_server::WorkflowServiceServer,
};
use tonic::service::{Routes, RoutesBuilder};
use workflow_machine::WorkflowId;

use crate::{
    engine::{Engine, EngineError, Reach, wall},
    executor::functions::Functions,
    spec,
};
use lane_rates::LaneRates;
use status::Problem;
use streaming::{Outgoing, Places, Sender, outgoing};

/// Largest message that a service takes, in bytes: that of the origin.
pub const MAX_REQUEST_BYTES: usize = 4 << 20;

/// Does something with each service of the API, with the limit of what it takes. What it sends has none here: clients say
/// what they take.
macro_rules! each_service {
    ($api:expr, $service:ident => $does:expr) => {
        each_service!(@of $api, $service => $does;
            WorkflowServiceServer, StreamingServiceServer, BatchServiceServer, SagaServiceServer,
            SignalServiceServer, WorkflowControlServiceServer, ScheduleServiceServer, AdminServiceServer, OperatorServiceServer)
    };
    (@of $api:expr, $service:ident => $does:expr; $($server:ident),*) => {{
        $(let $service = $server::new($api.clone()).max_decoding_message_size(MAX_REQUEST_BYTES); $does;)*
    }};
}

/// What an operator may set of the API.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// What submissions are held to.
    pub spec: spec::Settings,
    /// Items of a batch; at most 1,000.
    pub max_batch: usize,
    /// How long a message may wait for a slow reader of a stream before the stream is closed.
    pub slow_consumer_grace: Duration,
    /// How long a stream may be silent before a heartbeat.
    pub heartbeat: Duration,
    /// Streams that may be open at once.
    pub max_streams: usize,
    /// Of them those of one principal, where callers are known.
    pub max_streams_per_principal: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            spec: spec::Settings::default(),
            max_batch: 100,
            slow_consumer_grace: Duration::from_secs(5),
            // Below the idle limits of proxies and NAT boxes, the shortest of which are 30 s.
            heartbeat: Duration::from_secs(15),
            // Some kilobytes each, and at worst a mebibyte for the seconds that a slow client has.
            max_streams: 10_000,
            // A page per person of a large team, and at worst a quarter of a gibibyte.
            max_streams_per_principal: 256,
        }
    }
}

/// What every service works with. Cheap to clone.
///
/// Before it is told who calls (`Api::for_caller`) it reaches nobody's workflows.
#[derive(Clone)]
pub struct Api {
    pub(crate) engine: Engine,
    /// Who calls; empty where nobody is asked.
    principal: Arc<str>,
    shared: Arc<Shared>,
}

struct Shared {
    settings: RwLock<Arc<Settings>>,
    /// Unix ms.
    started_ms: u64,
    lane_rates: LaneRates,
    streams: Arc<Places>,
    workers: OnceLock<Functions>,
}

impl Api {
    /// An API over the engine, with what an operator had set and kept.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn start(engine: Engine, mut settings: Settings) -> Result<Self, EngineError> {
        let kept = engine.from_store(|store| store.settings()).await?;
        admin::restore(&mut settings, kept);
        let shared = Shared {
            settings: RwLock::new(Arc::new(settings)),
            started_ms: wall(),
            lane_rates: LaneRates::default(),
            streams: Arc::default(),
            workers: OnceLock::new(),
        };
        let engine = engine.within(Reach::Nothing);
        let api = Self { engine, principal: Arc::default(), shared: Arc::new(shared) };
        tokio::spawn(admin::sample_lanes(api.clone()));
        Ok(api)
    }

    /// Has it say which external workers have which tasks. The first ones count.
    #[must_use]
    pub fn with_workers(self, workers: Functions) -> Self {
        let _ = self.shared.workers.set(workers);
        self
    }

    /// Who knows which external worker has a task.
    pub(crate) fn workers(&self) -> Option<&Functions> {
        self.shared.workers.get()
    }

    /// The same for who calls: with the workflows that it may see and steer.
    pub(crate) fn for_caller<T>(&self, request: &tonic::Request<T>) -> Self {
        let (principal, reach) = caller::reach(request);
        Self { engine: self.engine.within(reach), principal, shared: self.shared.clone() }
    }

    /// A stream of the caller's, and where its messages come from.
    pub(crate) fn outgoing<T>(&self) -> Result<(Sender<T>, Outgoing<T>), Problem> {
        let settings = self.settings();
        let (max, own) = (settings.max_streams, settings.max_streams_per_principal);
        let place = self.shared.streams.take(&self.principal, max, own)?;
        Ok(outgoing(settings.slow_consumer_grace, Some(place)))
    }

    /// The streams that are open.
    pub(crate) fn streams(&self) -> &Places {
        &self.shared.streams
    }

    /// What counts now.
    pub(crate) fn settings(&self) -> Arc<Settings> {
        self.shared.settings.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Lets these count from now on.
    fn set_settings(&self, settings: Settings) {
        *self.shared.settings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
    }
}

/// All services of the API. Without that of external workers.
#[derive(Clone)]
pub struct Services {
    api: Api,
}

impl Services {
    /// The services of an API.
    pub fn new(api: Api) -> Self {
        Self { api }
    }

    /// Has the backend serve them.
    pub fn add_to(self, mut backend: Backend) -> Backend {
        each_service!(self.api, service => backend = backend.add_service(service));
        backend
    }

    /// The same for a server of tonic.
    pub fn routes(self) -> Routes {
        let mut routes = RoutesBuilder::default();
        each_service!(self.api, service => routes.add_service(service));
        routes.routes()
    }
}

/// The identifier that a field of the request names.
pub(crate) fn workflow_id(text: &str, field: &str) -> Result<WorkflowId, Problem> {
    if text.is_empty() {
        return Err(Problem::invalid(field, "is empty; name a workflow"));
    }
    // What no workflow can be called is not found, as what is none.
    Ok(WorkflowId::new(text))
}
