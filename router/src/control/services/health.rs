//! `grpc.health.v1` for the router itself and for everything behind it, by client ID.
//!
//! | `service` | answer |
//! |---|---|
//! | empty, or one of the router's own services | SERVING, until the router drains |
//! | `echo-agent`, `echo-agent@v2` | SERVING with a healthy instance, NOT_SERVING with none of those known |
//! | anything else | NOT_FOUND; in Watch SERVICE_UNKNOWN, until it is known |

use super::{OWN_SERVICES, Phase, Services};
use crate::{
    control::reads::Failed,
    error::{self, Error},
};
use futures_util::{Stream, stream};
use std::{pin::Pin, sync::Arc, time::Duration};
use switchboard_registry::ClientId;
use tonic::{Request, Response, Status};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus, health_server,
};

/// How often a watched ID is looked at when no directory change says so. Reads are remembered and shared.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Longest client ID with a version; longer names are nobody's and are not repeated in errors.
const MAX_NAME_BYTES: usize = 128;

/// The health service.
#[derive(Debug)]
pub(super) struct Health(Arc<Services>);

impl Health {
    pub(super) fn new(services: Arc<Services>) -> Self {
        Health(services)
    }
}

impl Services {
    /// Health of a name; `None` if it is nobody's.
    async fn health(&self, name: &str) -> Result<Option<ServingStatus>, Failed> {
        let serving =
            |serving| Some(if serving { ServingStatus::Serving } else { ServingStatus::NotServing });
        if name.is_empty() || OWN_SERVICES.contains(&name) {
            return Ok(serving(*self.phase.borrow() == Phase::Running));
        }
        let Ok(id) = ClientId::parse(name, None) else { return Ok(None) };
        let instances = self.instances(&id.service().into()).await?;
        let wanted = |version: Option<&str>| id.version.is_none() || id.version.as_deref() == version;
        let healthy = instances.iter().any(|known| known.healthy().is_some() && wanted(known.version()));
        Ok(if instances.is_empty() { None } else { serving(healthy) })
    }
}

#[tonic::async_trait]
impl health_server::Health for Health {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let name = named(request)?;
        match self.0.health(&name).await {
            Ok(Some(serving)) => Ok(Response::new(response(serving))),
            Ok(None) => Err(unknown(&name).into()),
            Err(reason) => Err(Error::registry_failed(&format!("health of {name}"), &reason).into()),
        }
    }

    /// Sends the health now and whenever it changes; ends when the router closes its calls.
    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let watched = Watched {
            name: named(request)?,
            view: self.0.view.clone(),
            phase: self.0.phase.clone(),
            services: self.0.clone(),
            last: None,
            ended: false,
        };
        let changes = stream::unfold(watched, |mut watched| async move {
            let item = watched.next().await?;
            Some((item, watched))
        });
        Ok(Response::new(Box::pin(changes)))
    }
}

/// One Watch call.
struct Watched {
    name: String,
    services: Arc<Services>,
    view: tokio::sync::watch::Receiver<Arc<super::View>>,
    phase: tokio::sync::watch::Receiver<Phase>,
    last: Option<ServingStatus>,
    ended: bool,
}

impl Watched {
    async fn next(&mut self) -> Option<Result<HealthCheckResponse, Status>> {
        if self.ended {
            return None;
        }
        loop {
            self.view.borrow_and_update();
            let closing = *self.phase.borrow_and_update() == Phase::Closing;
            let now = match self.services.health(&self.name).await {
                Ok(health) => health.unwrap_or(ServingStatus::ServiceUnknown),
                // Fail static: the last answer stands, at the start it is not known.
                Err(_) => self.last.unwrap_or(ServingStatus::Unknown),
            };
            if self.last != Some(now) {
                self.last = Some(now);
                return Some(Ok(response(now)));
            }
            if closing {
                self.ended = true;
                return Some(Err(Error::shutting_down().into()));
            }
            // Whatever comes first, a look costs little; a closed channel means that the router is ending.
            tokio::select! {
                changed = self.view.changed() => changed.ok()?,
                changed = self.phase.changed() => changed.ok()?,
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
        }
    }
}

fn response(serving: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: serving as i32 }
}

fn named(request: Request<HealthCheckRequest>) -> Result<String, Status> {
    let name = request.into_inner().service;
    if name.len() > MAX_NAME_BYTES { Err(unknown("a name of that length").into()) } else { Ok(name) }
}

fn unknown(name: &str) -> Error {
    let message = format!("{} is neither a service of the router nor a registered ID", name.escape_debug());
    Error::new(error::Reason::ID_UNKNOWN, message)
}
