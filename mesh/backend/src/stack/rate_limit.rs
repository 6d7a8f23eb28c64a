//! Whether the caller may call now.

use super::refusal::Refusal;
use super::{CallInfo, Shared, Stage};
use std::sync::Arc;
use switchboard_policy::Keys;
use tonic::Code;
use tonic::body::Body;
use tonic::codegen::http::Request;

pub(super) fn check(shared: &Shared, request: &mut Request<Body>) -> Result<(), Box<Refusal>> {
    let limits = &shared.gate.newest().limits;
    if limits.settings().is_empty() {
        return Ok(());
    }
    let Some(call) = CallInfo::of(request).filter(|call| call.known.is_some()) else { return Ok(()) };
    let keys = Keys {
        principal: call.principal().map(|principal| &*principal.name),
        source: call.source(),
        id: &shared.id,
        method: request.uri().path(),
    };
    match limits.admit(&keys) {
        Ok(permit) => {
            if let Some(call) = request.extensions_mut().get_mut::<CallInfo>() {
                call.permit = Some(Arc::new(permit));
            }
            Ok(())
        }
        Err(exceeded) => {
            let mut refusal =
                Refusal::new(Stage::RateLimit, Code::ResourceExhausted, "RATE_LIMITED", exceeded.to_string());
            refusal.retry_after = Some(exceeded.retry_after);
            Err(refusal)
        }
    }
}
