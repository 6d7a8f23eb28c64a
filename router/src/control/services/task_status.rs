//! GetTaskStatus without a worker's name: asks every worker service for the task.
//!
//! Of each service only the instance that owns the task ID is asked, by the same hash as the data plane routes
//! calls that name their worker. The first one that knows the task answers.

use super::Services;
use crate::{
    balance::affinity,
    control::{dial::Dial, instances::Instances, reads},
    directory::{Endpoint, Load},
    error::{Error, Reason},
};
use futures_util::{StreamExt, stream};
use moka::future::Cache;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use switchboard_proto::agentplatform::{
    TaskStatusRequest, TaskStatusResponse, task_worker_client::TaskWorkerClient,
};
use switchboard_registry::{ClientId, Kind};
use tonic::{Request, Response, Status, metadata::MetadataMap, transport::Channel};

/// Longest text of a client that is repeated in an error's facts.
const MAX_FACT_CHARS: usize = 128;
/// Workers asked at the same time.
const AT_ONCE: usize = 8;
/// One worker that does not answer must not use up the caller's deadline for the others.
const PATIENCE: Duration = Duration::from_secs(3);
/// Open channels, and how long an unused one is kept.
const MAX_CHANNELS: u64 = 256;
const CHANNEL_UNUSED: Duration = Duration::from_secs(60);

/// Channels to the instances that were asked lately.
#[derive(Debug)]
pub(super) struct Askers {
    dial: Dial,
    channels: Cache<(SocketAddr, Arc<str>), Channel>,
}

/// What one worker said.
enum Said {
    Known(TaskStatusResponse),
    Unknown,
    /// It could not be asked: the ID of the worker and why.
    Nothing(String),
}

impl Askers {
    pub(super) fn new(dial: Dial) -> Self {
        let channels = Cache::builder().max_capacity(MAX_CHANNELS).time_to_idle(CHANNEL_UNUSED).build();
        Askers { dial, channels }
    }

    async fn channel(&self, addr: SocketAddr, service: &Arc<str>) -> Channel {
        let connect = async { self.dial.channel(addr, service) };
        self.channels.get_with((addr, service.clone()), connect).await
    }
}

impl Services {
    pub(super) async fn task_status(
        &self,
        request: Request<TaskStatusRequest>,
    ) -> Result<Response<TaskStatusResponse>, Status> {
        let (metadata, _, TaskStatusRequest { task_id, .. }) = request.into_parts();
        if task_id.is_empty() {
            return Err(Error::invalid_field(Reason::TASK_ID_MISSING, "task_id", "say which task").into());
        }
        let failed = |reason: reads::Failed| Error::registry_failed("list of workers", &reason);
        let names = self.reads.names_of(Kind::Worker).await.map_err(failed)?;
        if names.len() > self.reads.max_services() {
            return Err(
                Error::invalid_field(Reason::TOO_MANY_WORKERS, "worker_id", "say whose task it is").into()
            );
        }
        let services = self.reads.services_of(names).await.map_err(failed)?;
        let asked: Vec<_> = services
            .iter()
            .map(|(service, instances)| self.ask(service, instances, &metadata, &task_id))
            .collect();
        let mut answers = stream::iter(asked).buffer_unordered(AT_ONCE);
        let mut silent = Vec::new();
        while let Some(said) = answers.next().await {
            match said {
                Said::Known(answer) => return Ok(Response::new(answer)),
                Said::Unknown => {}
                Said::Nothing(why) => silent.push(why),
            }
        }
        let error = match silent.is_empty() {
            true => unknown(services.len()),
            false => unsure(&silent),
        };
        Err(error.with("task_id", task_id.chars().take(MAX_FACT_CHARS).collect::<String>()).into())
    }

    /// Asks the instance of one worker service that owns the task.
    async fn ask(
        &self,
        service: &Arc<str>,
        instances: &Instances,
        metadata: &MetadataMap,
        task_id: &str,
    ) -> Said {
        let Some(owner) = self.owner(service, instances, task_id.as_bytes()) else { return Said::Unknown };
        let worker_id = ClientId::from_service(service).map_or_else(String::new, |id| id.to_string());
        let mut request = Request::new(TaskStatusRequest { task_id: task_id.to_owned(), worker_id });
        // The caller's identity and trace go with it; its deadline ends this whole call from outside.
        *request.metadata_mut() = metadata.clone();
        request.metadata_mut().remove("grpc-timeout");
        request.set_timeout(PATIENCE);
        let mut client = TaskWorkerClient::new(self.askers.channel(owner.addr, service).await);
        match tokio::time::timeout(PATIENCE, client.get_task_status(request)).await {
            Ok(Ok(answer)) => match answer.into_inner() {
                // Older workers answer so instead of with a status.
                answer if matches!(answer.status.as_str(), "" | "unknown" | "not_found") => Said::Unknown,
                answer => Said::Known(answer),
            },
            Ok(Err(error)) if matches!(error.code(), tonic::Code::NotFound | tonic::Code::Unimplemented) => {
                Said::Unknown
            }
            Ok(Err(error)) => Said::Nothing(format!("{service} ({}): {}", owner.instance, error.message())),
            Err(_) => Said::Nothing(format!("{service} ({}): no answer in time", owner.instance)),
        }
    }

    /// The instance to which the data plane would send calls with this key.
    fn owner(&self, service: &Arc<str>, instances: &Instances, key: &[u8]) -> Option<Arc<Endpoint>> {
        let view = self.view.borrow().clone();
        let now_ms = self.clock.now_ms();
        let read: Vec<Arc<Endpoint>>;
        let endpoints = match view.directory.services.get(service) {
            Some(held) => &held.endpoints,
            None => {
                read = endpoints(service, instances);
                &read
            }
        };
        affinity::owner(key, endpoints, |endpoint| !endpoint.load.is_down(now_ms))
            .or_else(|| affinity::owner(key, endpoints, |_| true))
            .cloned()
    }
}

/// Endpoints of a service that the directory does not hold.
fn endpoints(service: &Arc<str>, instances: &Instances) -> Vec<Arc<Endpoint>> {
    let healthy = instances.iter().filter_map(|known| Some((known, known.healthy()?)));
    let endpoint = healthy.map(|(known, addr)| {
        Arc::new(Endpoint {
            instance: known.instance.id.as_str().into(),
            service: service.clone(),
            addr,
            version: known.version().map(Arc::from),
            capacity: known.capacity(),
            weight: known.weight(),
            load: Arc::new(Load::default()),
        })
    });
    endpoint.collect()
}

fn unknown(workers: usize) -> Error {
    let message = format!(
        "none of {workers} worker services knows the task: name its worker in worker_id, or see how long it keeps its history"
    );
    Error::new(Reason::TASK_UNKNOWN, message)
}

fn unsure(silent: &[String]) -> Error {
    let message = format!("the task may be known to workers that did not answer: {}", silent.join("; "));
    Error::new(Reason::WORKERS_UNREACHABLE, message).retry_after(Duration::from_secs(1))
}
