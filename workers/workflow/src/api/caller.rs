//! Who calls, and what comes in headers.

use std::sync::Arc;

use aws_lc_rs::digest;
use bytes::Bytes;
use switchboard_backend::CallInfo;
use tonic::{Code, Request, metadata::MetadataMap};

use super::status::Problem;
use crate::engine::{Key, Reach};

/// The role of those who may do what `AdminService` and `OperatorService` offer.
const ADMIN: &str = "admin";

/// The header of an idempotency key, and the one that says that an answer was given before.
const KEY_HEADER: &str = "idempotency-key";
pub(super) const REPLAYED_HEADER: &str = "idempotent-replayed";

/// Who calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Caller {
    /// The principal's name; empty where nobody is asked.
    pub(super) name: String,
    pub(super) roles: Vec<String>,
    pub(super) request_id: String,
}

/// The principal's name, empty where nobody is asked, and whose workflows it may see and steer: its own, as an admin
/// everybody's, and everybody's, too, where nobody is known.
pub(super) fn reach<T>(request: &Request<T>) -> (Arc<str>, Reach) {
    let principal = request.extensions().get::<CallInfo>().and_then(CallInfo::principal);
    match principal {
        None => (Arc::default(), Reach::All),
        Some(principal) if principal.has_role(ADMIN) => (principal.name.clone(), Reach::All),
        Some(principal) => (principal.name.clone(), Reach::Of(principal.name.clone())),
    }
}

impl Caller {
    pub(super) fn of<T>(request: &Request<T>) -> Self {
        let Some(call) = request.extensions().get::<CallInfo>() else { return Self::default() };
        let request_id = call.request_id().to_owned();
        let Some(principal) = call.principal() else { return Self { request_id, ..Self::default() } };
        let roles = principal.roles.iter().map(|role| role.to_string()).collect();
        Self { name: principal.name.to_string(), roles, request_id }
    }

    /// The caller, if it may administer the engine. Where nobody is asked who they are, everybody may.
    pub(super) fn admin<T>(request: &Request<T>) -> Result<Self, Problem> {
        let principal = request.extensions().get::<CallInfo>().and_then(CallInfo::principal);
        if principal.is_some_and(|principal| !principal.has_role(ADMIN)) {
            let Self { name: principal, request_id, .. } = Self::of(request);
            tracing::warn!(target: "audit", principal, request_id, "administration refused: not an admin");
            let message = "only principals with the role admin may call this; ask whoever keeps the tokens";
            return Err(Problem::new(Code::PermissionDenied, "ADMIN_ONLY", message));
        }
        Ok(Self::of(request))
    }

    /// The idempotency key of a call: that of the header, in the scope of the principal and the method.
    ///
    /// `digests` are of what is submitted.
    pub(super) fn key(&self, method: &str, key: &str, hash: [u8; 32]) -> Result<Option<Key>, Problem> {
        if key.is_empty() {
            return Ok(None);
        }
        if key.len() > 255 || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Problem::invalid(
                KEY_HEADER,
                "an idempotency key has 1 to 255 visible ASCII characters",
            ));
        }
        let scope = format!("{method}\0{}", self.name);
        Ok(Some(Key { scope: Bytes::from(scope), key: key.to_owned(), hash }))
    }
}

/// The idempotency key in the headers; empty if there is none.
pub(super) fn key_header(metadata: &MetadataMap) -> Result<&str, Problem> {
    let unreadable =
        || Problem::invalid(KEY_HEADER, "an idempotency key has 1 to 255 visible ASCII characters");
    match metadata.get(KEY_HEADER) {
        None => Ok(""),
        Some(value) if value.is_empty() => Err(unreadable()),
        Some(value) => value.to_str().map_err(|_| unreadable()),
    }
}

/// SHA-256 of parts, each with its length, so that no two lists of parts are alike.
pub(super) fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_le_bytes());
        context.update(part);
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}
