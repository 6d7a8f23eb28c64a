//! What one principal may do.
//!
//! The first of these that speaks of a call decides:
//! 1. health checks at the router are open to everyone;
//! 2. a caller that proved nothing may do nothing else;
//! 3. a `deny` rule of the file: nothing is above it, not even the role `admin`;
//! 4. the role `admin` may do everything;
//! 5. `Register*` needs the role `backend`, or a certificate that was made for a service; both are let through here,
//!    and [`Grants::may_register`] says for which service; the workflow engine's `WorkerService`, which hands out everybody's
//!    tasks, needs the same;
//! 6. `AdminService` of any package, and the workflow engine's `OperatorService`, need `admin`; `operator` may call their
//!    Get, List, Describe and Watch;
//! 7. `operator` may call the router's own `List*` and reflection, `backend` the router's own `List*`;
//! 8. `caller` may call every ID; so may everyone who is known, where there is no file of rules;
//! 9. an `allow` rule of the file;
//! 10. all else is denied.

use std::fmt::Write as _;
use std::sync::Arc;

use switchboard_transport::PeerIdentity;

use crate::decision::{Decision, Reason};
use crate::rules::Rule;
use crate::{Mode, Policy, Principal};

/// The ID of the router's own methods.
pub const ROUTER_ID: &str = "router";

/// What administrators of the workflow engine have beside `AdminService`. A user's own service may have that name too.
const OPERATOR_SERVICE: &str = "goclaw.v1.OperatorService";
/// Where external workers take tasks of the workflow engine.
const WORKER_SERVICE: &str = "goclaw.v1.WorkerService";
/// The workflow engine's schedules.
const SCHEDULE_SERVICE: &str = "goclaw.v1.ScheduleService";

/// Whether a call of `path` (`/pkg.Service/Method`) of the client ID `id` changes the mesh, or asks what only operators
/// may know: the calls that rules 5 and 6 above are about, and those that change what the workflow engine starts by the
/// clock, which outlives whoever asked for it.
pub fn is_administrative(id: &str, path: &str) -> bool {
    let call = Call::of(id, without_query(path));
    call.registers || call.administers || (call.service == SCHEDULE_SERVICE && !call.reads)
}

/// What one principal may do: the rules that speak of it, and its built-in rights. Immutable.
#[derive(Debug, Clone)]
pub struct Grants {
    kind: Kind,
    roles: Roles,
    rules: Option<Arc<[Rule]>>,
    /// Places of the rules that speak of this principal.
    denies: Vec<u16>,
    allows: Vec<u16>,
    /// The certificate, if it may stand for a service.
    peer: Option<PeerIdentity>,
    /// For [`Grants::explain`].
    name: Arc<str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The mode is none.
    Open,
    Anonymous,
    Known,
}

/// The roles that the built-in rules know.
#[derive(Debug, Clone, Copy, Default)]
struct Roles {
    admin: bool,
    operator: bool,
    caller: bool,
    backend: bool,
}

impl Grants {
    pub(crate) fn new(policy: &Policy, principal: Option<&Principal>, peer: Option<&PeerIdentity>) -> Self {
        let kind = match (policy.mode, principal) {
            (Mode::None, _) => Kind::Open,
            (_, None) => Kind::Anonymous,
            (_, Some(_)) => Kind::Known,
        };
        let mut grants = Self {
            kind,
            roles: Roles::default(),
            rules: policy.rules.clone(),
            denies: Vec::new(),
            allows: Vec::new(),
            peer: peer.filter(|peer| !peer.uris.is_empty() || !peer.dns.is_empty()).cloned(),
            name: principal.map_or_else(|| "anonymous".into(), |principal| principal.name.clone()),
        };
        let Some(principal) = principal else { return grants };
        grants.roles = Roles {
            admin: principal.has_role("admin"),
            operator: principal.has_role("operator"),
            caller: principal.has_role("caller"),
            backend: principal.has_role("backend"),
        };
        // The file holds at most a thousand rules.
        for (at, rule) in (0u16..).zip(policy.rules.iter().flat_map(|rules| rules.iter())) {
            if rule.is_about(principal) {
                if rule.allows { grants.allows.push(at) } else { grants.denies.push(at) }
            }
        }
        grants
    }

    /// Decides on a call of `path` (`/pkg.Service/Method`) of the client ID `id` (without version; `router` for the
    /// router's own methods). Takes tens of nanoseconds, and more per rule that speaks of the principal.
    pub fn decide(&self, id: &str, path: &str) -> Decision<'_> {
        if self.kind == Kind::Open {
            return Decision::allow(Reason::Open);
        }
        let path = without_query(path);
        let call = Call::of(id, path);
        if call.own && call.service == "grpc.health.v1.Health" {
            return Decision::allow(Reason::Health);
        }
        if self.kind == Kind::Anonymous {
            return Decision::deny(Reason::Anonymous);
        }
        if let Some(rule) = self.first(&self.denies, id, path) {
            return Decision { allowed: false, reason: Reason::Denied, rule: Some(&rule.name) };
        }
        if self.roles.admin {
            return Decision::allow(Reason::Admin);
        }
        if call.registers || call.service == WORKER_SERVICE {
            let may = self.roles.backend || self.peer.is_some();
            return if may { Decision::allow(Reason::Backend) } else { Decision::deny(Reason::NeedsBackend) };
        }
        if call.administers {
            let may = self.roles.operator && call.reads;
            return if may { Decision::allow(Reason::Operator) } else { Decision::deny(Reason::NeedsAdmin) };
        }
        if call.own && self.roles.operator && (call.lists || call.reflects) {
            return Decision::allow(Reason::Operator);
        }
        if call.own && self.roles.backend && call.lists {
            return Decision::allow(Reason::Backend);
        }
        if self.roles.caller {
            return Decision::allow(Reason::Caller);
        }
        if self.rules.is_none() {
            return Decision::allow(Reason::NoRules);
        }
        match self.first(&self.allows, id, path) {
            Some(rule) => Decision { allowed: true, reason: Reason::Allowed, rule: Some(&rule.name) },
            None => Decision::deny(Reason::NoRuleAllows),
        }
    }

    /// Whether the caller may register instances of this service of the registry, for example `agent-echo`.
    ///
    /// The roles `admin` and `backend` may register any service, a certificate those it was made for. A `deny` rule that
    /// covers a `Register*` method takes the right away for its IDs (`echo-agent` for `agent-echo`), and everywhere if
    /// it covers the ID `router`.
    pub fn may_register(&self, service: &str) -> bool {
        if self.kind == Kind::Open {
            return true;
        }
        let right = self.roles.admin
            || self.roles.backend
            || self.peer.as_ref().is_some_and(|peer| peer.is_service(service));
        let (id, path) = registration(service);
        right
            && self.first(&self.denies, &id, path).is_none()
            && self.first(&self.denies, ROUTER_ID, path).is_none()
    }

    fn first(&self, places: &[u16], id: &str, path: &str) -> Option<&Rule> {
        let rules = self.rules.as_ref()?;
        places.iter().filter_map(|at| rules.get(usize::from(*at))).find(|rule| rule.covers(id, path))
    }

    /// Says in words which rules speak of a call and which of them decides.
    pub(crate) fn explain(&self, id: &str, path: &str) -> String {
        let decision = self.decide(id, path);
        let verb = if decision.allowed { "may" } else { "may not" };
        let mut text = format!("{:?} {verb} call {path} of {id:?}\n", self.name);
        let _ = writeln!(text, "decided by: {decision}");
        let Some(rules) = &self.rules else {
            text.push_str("rules: none; every known principal has the rights of the role caller\n");
            return text;
        };
        let mut places: Vec<u16> = self.denies.iter().chain(&self.allows).copied().collect();
        places.sort_unstable();
        let _ = writeln!(text, "rules: {}, of which {} speak of this principal", rules.len(), places.len());
        for rule in places.iter().filter_map(|at| rules.get(usize::from(*at))) {
            let verb = if rule.allows { "allow" } else { "deny" };
            let covers = match (rule.covers(id, without_query(path)), decision.rule == Some(&*rule.name)) {
                (true, true) => "covers the call and decides",
                (true, false) => "covers the call, but does not decide",
                (false, _) => "is about other calls",
            };
            let _ = writeln!(text, "  {verb} {:?}: {covers}", rule.name);
        }
        text
    }
}

/// What the built-in rules ask of a call.
struct Call<'a> {
    service: &'a str,
    /// The router answers it.
    own: bool,
    registers: bool,
    administers: bool,
    reads: bool,
    lists: bool,
    reflects: bool,
}

impl<'a> Call<'a> {
    fn of(id: &str, path: &'a str) -> Self {
        let path = path.strip_prefix('/').unwrap_or(path);
        let (service, method) = path.rsplit_once('/').unwrap_or((path, ""));
        let (package, name) = service.rsplit_once('.').unwrap_or(("", service));
        let begins = |words: &[&str]| words.iter().any(|word| method.starts_with(word));
        let own = id == ROUTER_ID;
        Self {
            service,
            own,
            // A user's own service behind an ID may well have a RegisterUser.
            registers: (own || package == "agentplatform") && begins(&["Register"]),
            administers: name == "AdminService" || service == OPERATOR_SERVICE,
            reads: begins(&["Get", "List", "Describe", "Watch"]),
            lists: begins(&["List"]),
            reflects: name == "ServerReflection" && package.starts_with("grpc.reflection."),
        }
    }
}

/// The part of a path that servers look at to find the method: a query must not hide a method from its rule or limit.
pub(crate) fn without_query(path: &str) -> &str {
    // Hardly any path has one, and to see that costs a few nanoseconds.
    let bytes = path.as_bytes();
    if !bytes.contains(&b'?') && !bytes.contains(&b'#') {
        return path;
    }
    path.split(['?', '#']).next().unwrap_or_default()
}

/// The client ID of a service, and the method that registers such: `agent-echo` is `echo-agent`.
fn registration(service: &str) -> (String, &'static str) {
    const AGENT: &str = "/agentplatform.AgentService/RegisterAgent";
    const TOOL: &str = "/agentplatform.ToolService/RegisterTool";
    match service.split_once('-') {
        Some((kind @ "tool", name)) => (format!("{name}-{kind}"), TOOL),
        Some((kind @ ("agent" | "worker"), name)) => (format!("{name}-{kind}"), AGENT),
        _ => (service.to_owned(), AGENT),
    }
}
