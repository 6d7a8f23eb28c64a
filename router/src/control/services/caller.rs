//! Who calls the router's own services: as the data plane says, which alone can reach them.

use super::Services;
use crate::{
    control::access,
    policy::{PRINCIPAL_HEADER, ROLES_HEADER, SERVICES_HEADER, SOURCE_HEADER, services_of_header},
};
use switchboard_policy::{Grants, Principal};
use tonic::metadata::MetadataMap;
use tracing::info;

/// The caller of one of the router's own methods.
#[derive(Debug)]
pub(super) struct Caller {
    /// `None`: nobody is asked, or it proved nothing.
    pub(super) principal: Option<Principal>,
    pub(super) grants: Grants,
    source: String,
    request_id: String,
}

impl Services {
    /// Reads what the data plane added to the call; a client's own headers of these names never come so far.
    pub(super) fn caller(&self, metadata: &MetadataMap) -> Caller {
        let text = |name: &str| metadata.get(name).and_then(|value| value.to_str().ok());
        let roles = text(ROLES_HEADER).map(str::as_bytes);
        let name = text(PRINCIPAL_HEADER).map(str::as_bytes);
        let principal = name.and_then(|name| Principal::from_headers(name, roles).ok());
        let peer = text(SERVICES_HEADER).map(services_of_header);
        Caller {
            grants: self.policy.borrow().policy.grants(principal.as_ref(), peer.as_ref()),
            principal,
            source: text(SOURCE_HEADER).unwrap_or("-").to_owned(),
            request_id: text("x-request-id").unwrap_or("-").to_owned(),
        }
    }
}

impl Caller {
    /// Writes down what was decided on something that changes the mesh.
    pub(super) fn audit(&self, allowed: bool, what: &str) {
        let (principal, what) = (access::name(self.principal.as_ref()), what.escape_debug());
        let (source, request_id) = (&self.source, self.request_id.escape_debug());
        info!(target: "audit", allowed, principal, %what, source, %request_id, "administration");
    }
}
