//! Whether the caller may call this method of this backend.

use super::refusal::Refusal;
use super::{CallInfo, Shared, Stage};
use tonic::Code;
use tonic::body::Body;
use tonic::codegen::http::Request;

pub(super) fn check(shared: &Shared, request: &mut Request<Body>) -> Result<(), Box<Refusal>> {
    // Health checks alone come without.
    let Some(known) = CallInfo::of(request).and_then(|call| call.known.as_ref()) else { return Ok(()) };
    let decision = known.grants.decide(&shared.id, request.uri().path());
    if decision.allowed {
        return Ok(());
    }
    tracing::debug!(path = request.uri().path(), "refused by {decision}");
    // The reason, not the rule: its name is for operators.
    let message = decision.reason.sentence();
    Err(Refusal::new(Stage::Authorization, Code::PermissionDenied, "PERMISSION_DENIED", message))
}
