//! A decision on one call, and what made it.

use std::fmt;

/// Whether a call may go on, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision<'a> {
    /// Whether it may.
    pub allowed: bool,
    /// What decided, for counters.
    pub reason: Reason,
    /// The name of the file's rule that decided, if it was one.
    pub rule: Option<&'a str>,
}

impl Decision<'_> {
    pub(crate) fn allow(reason: Reason) -> Self {
        Self { allowed: true, reason, rule: None }
    }

    pub(crate) fn deny(reason: Reason) -> Self {
        Self { allowed: false, reason, rule: None }
    }
}

/// For operators. A caller need not be told the name of a rule.
impl fmt::Display for Decision<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rule {
            Some(rule) => write!(f, "the rule {rule:?}"),
            None => f.write_str(self.reason.sentence()),
        }
    }
}

/// What decided a call. The refusals are PERMISSION_DENIED.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Allowed: the mode is none.
    Open,
    /// Allowed: a health check of the router.
    Health,
    /// Allowed: the role `admin`.
    Admin,
    /// Allowed: the role `operator`.
    Operator,
    /// Allowed: the role `backend`, or a certificate that was made for a service.
    Backend,
    /// Allowed: the role `caller`.
    Caller,
    /// Allowed: there are no rules, and the caller is known.
    NoRules,
    /// Allowed by a rule of the file.
    Allowed,
    /// Denied: nothing was proved.
    Anonymous,
    /// Denied by a rule of the file.
    Denied,
    /// Denied: `Register*`, or the engine's `WorkerService`, without the role.
    NeedsBackend,
    /// Denied: `AdminService`, or the engine's `OperatorService`, without the role.
    NeedsAdmin,
    /// Denied: there are rules, and none allows it.
    NoRuleAllows,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Reason; 13] = [
        Self::Open,
        Self::Health,
        Self::Admin,
        Self::Operator,
        Self::Backend,
        Self::Caller,
        Self::NoRules,
        Self::Allowed,
        Self::Anonymous,
        Self::Denied,
        Self::NeedsBackend,
        Self::NeedsAdmin,
        Self::NoRuleAllows,
    ];

    /// Gives the word for labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Health => "health",
            Self::Admin => "admin",
            Self::Operator => "operator",
            Self::Backend => "backend",
            Self::Caller => "caller",
            Self::NoRules => "no_rules",
            Self::Allowed => "allowed",
            Self::Anonymous => "anonymous",
            Self::Denied => "denied",
            Self::NeedsBackend => "needs_backend",
            Self::NeedsAdmin => "needs_admin",
            Self::NoRuleAllows => "no_rule_allows",
        }
    }

    /// Says it in words, for a status message: no names of rules.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Open => "nobody is asked for credentials (auth = none)",
            Self::Health => "health checks are open to everyone",
            Self::Admin => "the role admin may do everything that no rule denies",
            Self::Operator => "the role operator may look at everything",
            Self::Backend => "the role backend, or a service's certificate, may register and list",
            Self::Caller => "the role caller may call every ID",
            Self::NoRules => "there are no rules, and every known principal may call every ID",
            Self::Allowed => "a rule allows it",
            Self::Anonymous => "without credentials only health checks are answered",
            Self::Denied => "a rule denies it",
            Self::NeedsBackend => {
                "registering needs the role backend or admin, or the service's certificate; so does taking tasks as a worker"
            }
            Self::NeedsAdmin => {
                "AdminService and OperatorService need the role admin (operator for what only reads)"
            }
            Self::NoRuleAllows => "no rule allows it",
        }
    }
}
