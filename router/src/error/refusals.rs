//! The errors of the policy: who calls, whether it may, whether it may now.
//!
//! A caller is told who it was taken for and what was missing, and neither whether what it asked for exists nor the
//! names of rules.

use super::{Error, Reason, quote};
use std::time::Duration;
use switchboard_policy::{Denial, DenialKind, Exceedance, Exceeded, Principal};

/// How soon another token of the connection is looked at.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

impl Error {
    pub(crate) fn unauthenticated(denial: &Denial) -> Self {
        let reason = match denial.kind {
            DenialKind::NoCredentials | DenialKind::NoCertificate | DenialKind::NoToken => {
                Reason::CREDENTIALS_MISSING
            }
            DenialKind::Expired | DenialKind::NotYetValid => Reason::CREDENTIALS_EXPIRED,
            _ => Reason::CREDENTIALS_INVALID,
        };
        Error::new(reason, denial.to_string()).with("problem", denial.kind.as_str())
    }

    pub(crate) fn repeated_credentials() -> Self {
        Error::new(Reason::CREDENTIALS_INVALID, "the authorization header is there twice: send it once")
            .with("problem", "repeated_header")
    }

    pub(crate) fn too_many_bad_credentials() -> Self {
        Error::new(
            Reason::TOO_MANY_BAD_CREDENTIALS,
            "this connection sent too many bad tokens, so this one was not looked at: get a good one, then call again in 1 s",
        )
        .retry_after(LOOK_AGAIN)
    }

    /// Health checks alone get so far without credentials.
    pub(crate) fn not_for_the_anonymous(method: &str) -> Self {
        Error::new(Reason::CREDENTIALS_MISSING, format!("{method} is not answered without credentials"))
            .with("problem", "no_credentials")
    }

    pub(crate) fn permission_denied(
        principal: &Principal,
        id: &str,
        method: &str,
        reason: switchboard_policy::Reason,
    ) -> Self {
        let (name, roles) = (shown(&principal.name), shown(&principal.roles.join(",")));
        let of = if id == switchboard_policy::ROUTER_ID { "the router".to_owned() } else { id.to_owned() };
        let roles = if principal.roles.is_empty() { "no role".to_owned() } else { format!("roles {roles}") };
        Error::new(
            Reason::PERMISSION_DENIED,
            format!(
                "{name} ({roles}) may not call {method} of {of}: {}; an operator sees why with `switchboard auth explain --as {name} --call {id}{method}`",
                reason.sentence()
            ),
        )
        .with("principal", name)
        .with("id", id)
        .with("method", method)
        .with("problem", reason.as_str())
    }

    pub(crate) fn registration_denied(principal: Option<&Principal>, id: &str, service: &str) -> Self {
        let name = principal
            .map_or_else(|| "a caller without a name".to_owned(), |principal| shown(&principal.name));
        Error::new(
            Reason::REGISTRATION_DENIED,
            format!(
                "{name} may not register {id}: that takes the role backend or admin, or a certificate made for the service {service}, and no deny rule against it"
            ),
        )
        .with("principal", name)
        .with("id", id)
        .with("service", service)
    }

    pub(crate) fn exceeded(exceeded: &Exceeded) -> Self {
        let reason = match exceeded.what {
            Exceedance::Rate => Reason::RATE_LIMITED,
            Exceedance::Concurrency => Reason::CONCURRENCY_LIMITED,
        };
        Error::new(reason, exceeded.to_string())
            .with("limit", exceeded.as_str())
            .retry_after(exceeded.retry_after.max(Duration::from_millis(1)))
    }
}

/// A proved name, in printable ASCII and without the quotation marks that a client's own text gets.
fn shown(name: &str) -> String {
    quote(name.as_bytes()).trim_matches('"').to_owned()
}
