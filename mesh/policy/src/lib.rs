//! Who a caller is and what it may do: one set of concepts for the router and every backend.
//!
//! It makes decisions and does no I/O beyond reading the files it is told of: credentials in, principal or refusal out;
//! principal and call in, decision out. Connections, headers and metrics are the caller's business.

mod principal;

pub use principal::{Principal, Proof};
