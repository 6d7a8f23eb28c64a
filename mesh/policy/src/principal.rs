//! The verified identity of a caller.

use std::sync::Arc;

/// Who calls, as far as it was proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Its one name: a certificate's first URI, DNS name or common name; a token's `sub`; a static token's name.
    pub name: Arc<str>,
    /// Its roles, in the order in which they were stated.
    pub roles: Vec<Arc<str>>,
    /// What proved it.
    pub proof: Proof,
}

/// What proved a principal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Proof {
    /// A client certificate.
    Certificate,
    /// A signed token (JWT).
    Jwt,
    /// A token of the static file.
    Token,
    /// The router's word, over a connection on which the router proved itself.
    Router,
    /// A certificate and a token, both.
    Both,
}
