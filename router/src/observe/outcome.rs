//! How a call ended, as it is counted: by whom, and if it failed, why.

use crate::error::Reason;
use switchboard_http2::Headers;

/// Who ended a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Origin {
    Router,
    Backend,
    Client,
}

impl Origin {
    /// The value of the label `origin`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Origin::Router => "router",
            Origin::Backend => "backend",
            Origin::Client => "client",
        }
    }
}

/// How a call ended. A closed set, so that it can be a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Outcome {
    /// With the backend's status, good or bad.
    BackendStatus,
    /// The backend ended its response without a status.
    BackendNoStatus,
    /// The backend reset the stream.
    BackendReset,
    /// With the status of one of the router's own services.
    OwnStatus,
    /// With an error of the router.
    Error(Reason),
    /// The client reset the stream.
    ClientCancelled,
    /// The client broke HTTP/2 on the stream.
    ClientBroke,
    /// The client's connection was lost.
    ClientGone,
}

impl Outcome {
    /// Of a backend's response that ended with these fields.
    pub(crate) fn of_trailers(fields: &Headers) -> Self {
        match fields.get(b"grpc-status") {
            Some(_) => Outcome::BackendStatus,
            None => Outcome::BackendNoStatus,
        }
    }

    pub(crate) fn origin(self) -> Origin {
        match self {
            Outcome::BackendStatus | Outcome::BackendNoStatus | Outcome::BackendReset => Origin::Backend,
            Outcome::OwnStatus | Outcome::Error(_) => Origin::Router,
            Outcome::ClientCancelled | Outcome::ClientBroke | Outcome::ClientGone => Origin::Client,
        }
    }

    /// The `reason` of a call that did not end with OK.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Outcome::BackendStatus => "BACKEND_STATUS",
            Outcome::BackendNoStatus => "BACKEND_NO_STATUS",
            Outcome::BackendReset => "BACKEND_RESET",
            Outcome::OwnStatus => "OWN_STATUS",
            Outcome::Error(reason) => reason.as_str(),
            Outcome::ClientCancelled => "CLIENT_CANCELLED",
            Outcome::ClientBroke => "CLIENT_BROKE",
            Outcome::ClientGone => "CLIENT_GONE",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_is_documented_and_no_two_share_a_name() {
        let others = [
            Outcome::BackendStatus,
            Outcome::BackendNoStatus,
            Outcome::BackendReset,
            Outcome::OwnStatus,
            Outcome::ClientCancelled,
            Outcome::ClientBroke,
            Outcome::ClientGone,
        ];
        let documented = include_str!("../../ERRORS.md");
        for outcome in others {
            let row = format!("| `{}` | {} |", outcome.reason(), outcome.origin().as_str());
            assert!(documented.contains(&row), "router/ERRORS.md has no row {row}");
        }
        let all = others.into_iter().chain(Reason::ALL.iter().map(|reason| Outcome::Error(*reason)));
        let mut names: Vec<_> = all.map(Outcome::reason).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
