//! What is known of a call beside its message: an extension of every request.

use super::callers::Known;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use switchboard_policy::{Permit, Principal};
use tonic::codegen::http::Request;

/// What is known of a call beside its message. Handlers find it among the request's extensions:
///
/// ```
/// # use switchboard_backend::CallInfo;
/// fn caller<T>(request: &tonic::Request<T>) -> &str {
///     let call = request.extensions().get::<CallInfo>();
///     call.and_then(CallInfo::principal).map_or("anonymous", |principal| &principal.name)
/// }
/// ```
#[derive(Debug, Clone)]
pub struct CallInfo {
    pub(super) request_id: Arc<str>,
    pub(super) source: IpAddr,
    pub(super) known: Option<Arc<Known>>,
    /// Taken out before the handler sees it: the call counts until its end, whatever the handler keeps.
    pub(super) permit: Option<Arc<Permit>>,
}

impl CallInfo {
    pub(super) fn new(request_id: Arc<str>) -> Self {
        Self { request_id, source: IpAddr::V4(Ipv4Addr::UNSPECIFIED), known: None, permit: None }
    }

    /// The client's `x-request-id`, or the one that was made: at most 128 characters of visible ASCII.
    pub fn request_id(&self) -> &str {
        &self.request_id
    }

    /// Who calls, as far as it was proved; `None` where nobody is asked, and for health checks.
    pub fn principal(&self) -> Option<&Principal> {
        self.known.as_ref()?.principal.as_deref()
    }

    /// The client's address: as the router states it, or that of the connection.
    pub fn source(&self) -> IpAddr {
        self.source
    }

    pub(super) fn of<B>(request: &Request<B>) -> Option<&Self> {
        request.extensions().get()
    }
}
