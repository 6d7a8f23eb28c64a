//! Who a caller is and what it may do: one set of concepts for the router and every backend.
//!
//! It makes decisions and does no I/O beyond reading the files it is told of: credentials in, principal or refusal out;
//! principal and call in, decision out. Connections, headers and metrics are the caller's business.
//!
//! In the order of a call: [`Authenticator::authenticate`] says who calls, [`Policy::grants`] what applies to it,
//! [`Grants::decide`] whether it may, [`Limits::admit`] whether it may now.

mod authenticate;
mod base64url;
mod cells;
mod claims;
mod clock;
mod decision;
mod denial;
mod error;
#[cfg(feature = "fetch")]
mod fetch;
mod grants;
mod jwks;
mod jwks_url;
mod jwt;
mod limit_settings;
mod limits;
mod pattern;
mod policy;
mod principal;
mod rules;
mod settings;
mod tokens;

pub use authenticate::{Authenticated, Authenticator, Credentials, MAX_TOKEN_BYTES};
pub use cells::MAX_KEYS;
pub use decision::{Decision, Reason};
pub use denial::{Denial, DenialKind};
pub use error::Error;
#[cfg(feature = "fetch")]
pub use fetch::fetch;
pub use governor::clock::FakeRelativeClock;
pub use grants::{Grants, ROUTER_ID, is_administrative};
pub use jwks::MAX_JWKS_BYTES;
pub use jwks_url::Refresh;
pub use limit_settings::{Dimension, Limit, LimitSettings};
pub use limits::{Exceedance, Exceeded, Keys, Limits, Permit};
pub use policy::Policy;
pub use principal::{MAX_NAME_BYTES, MAX_ROLE_BYTES, MAX_ROLES, Principal, Proof};
pub use settings::{DEFAULT_LEEWAY, DEFAULT_ROLES_CLAIM, JwtSettings, KeySource, Mode, Settings, list};
