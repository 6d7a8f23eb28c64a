//! What others may do in the mesh, for a backend that calls in their name.

use crate::stack::Gate;
use std::sync::Arc;
use switchboard_policy::{Principal, Proof, Reason};
use switchboard_registry::{ClientId, Kind};
use switchboard_transport::Watched;
use tokio::sync::watch;
use tracing::debug;

/// What principals may do in the mesh, by the policy that a backend goes by, as its file has it at the moment.
///
/// For a backend that makes calls in the name of those who asked it to: what they may not call themselves it must not call
/// for them. Clones share it. It knows nothing before the backend that it was given to ([`Backend::rights`]) has read its
/// policy.
///
/// [`Backend::rights`]: crate::Backend::rights
#[derive(Clone, Debug)]
pub struct Rights {
    gate: Arc<watch::Sender<Option<Watched<Gate>>>>,
}

impl Default for Rights {
    fn default() -> Self {
        Self { gate: Arc::new(watch::Sender::new(None)) }
    }
}

impl Rights {
    /// Decides whether the principal of this name and these roles may call `path` (`/pkg.Service/Method`) of the client ID
    /// `id`, which is of this kind if it names none. Where the policy has no rules everybody may. An empty name is of a
    /// caller that proved nothing.
    ///
    /// Waits until the backend has read its policy. Cancel safe.
    ///
    /// # Errors
    /// Why it may not.
    pub async fn check(
        &self,
        name: &str,
        roles: &[String],
        id: &str,
        kind: Kind,
        path: &str,
    ) -> Result<(), Reason> {
        let mut known = self.gate.subscribe();
        let gate = match known.wait_for(Option::is_some).await {
            Ok(gate) => gate.clone(),
            // The sender is in `self`.
            Err(_) => None,
        };
        let Some(gate) = gate.map(|gate| gate.newest()) else { return Err(Reason::Anonymous) };
        let policy = gate.policy();
        if !policy.has_rules() {
            return Ok(());
        }
        // A version is a choice among instances, not another ID.
        let id = match ClientId::parse(id, Some(kind)) {
            Ok(id) => ClientId { version: None, ..id }.to_string(),
            // Nobody can be called by it.
            Err(_) => id.to_owned(),
        };
        let principal = Principal::new(name, roles.iter().map(String::as_str), Proof::Router).ok();
        let grants = policy.grants(principal.as_ref(), None);
        let decision = grants.decide(&id, path);
        if decision.allowed {
            return Ok(());
        }
        // The rule's name is for operators.
        debug!(principal = name, id, path, "a call in its name is refused by {decision}");
        Err(decision.reason)
    }

    pub(crate) fn follow(&self, gate: Watched<Gate>) {
        self.gate.send_replace(Some(gate));
    }
}
