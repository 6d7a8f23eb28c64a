//! Who calls.
//!
//! The router proves itself by its certificate; only then what it says of its client is believed. From anybody else
//! the same headers are removed, so that no handler can mistake them for the router's.

use super::callers::{Known, Offered};
use super::refusal::Refusal;
use super::{CallInfo, Gate, Shared, Stage, is_health};
use crate::connection::ConnectionInfo;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use switchboard_policy::{Credentials, Principal};
use switchboard_transport::PeerIdentity;
use tonic::Code;
use tonic::body::Body;
use tonic::codegen::http::header::AUTHORIZATION;
use tonic::codegen::http::{HeaderValue, Request};

const PRINCIPAL: &str = "x-switchboard-principal";
const ROLES: &str = "x-switchboard-roles";
const SOURCE: &str = "x-switchboard-source";
/// What a router's certificate was made for.
const ROUTER: &str = "router";

pub(super) fn check(shared: &Shared, request: &mut Request<Body>) -> Result<(), Box<Refusal>> {
    let connection = request.extensions().get::<ConnectionInfo>();
    let peer = connection.and_then(|connection| connection.peer.clone());
    let remote = connection.and_then(|connection| connection.tcp.remote_addr());
    let headers = request.headers_mut();
    let [name, roles, source] = [PRINCIPAL, ROLES, SOURCE].map(|header| headers.remove(header));
    let from_router = peer.as_ref().is_some_and(|peer| peer.is_service(ROUTER));
    let stated = source.filter(|_| from_router).and_then(|source| address(&source));
    let name = name.filter(|_| from_router);
    // First, so that the line of a refusal says it.
    if let Some(call) = request.extensions_mut().get_mut::<CallInfo>()
        && let Some(source) = stated.or_else(|| remote.map(|remote| remote.ip()))
    {
        call.source = source;
    }

    let known = if is_health(request.uri().path()) {
        None
    } else {
        let mut repeated = request.headers().get_all(AUTHORIZATION).iter();
        let (authorization, again) = (repeated.next(), repeated.next());
        if again.is_some() {
            return Err(refuse("the authorization header stands there twice: send it once".to_owned()));
        }
        let gate = shared.gate.newest();
        let authorization = authorization.filter(|_| gate.judges_tokens).map(HeaderValue::as_bytes);
        let word = name.as_ref().map(|name| (name.as_bytes(), roles.as_ref().map(HeaderValue::as_bytes)));
        Some(believe(&gate, word, peer.as_deref(), authorization)?)
    };
    if let Some(call) = request.extensions_mut().get_mut::<CallInfo>() {
        call.known = known;
    }
    Ok(())
}

/// Finds the caller among those who were believed, or looks at its credentials.
fn believe(
    gate: &Gate,
    word: Option<(&[u8], Option<&[u8]>)>,
    peer: Option<&PeerIdentity>,
    authorization: Option<&[u8]>,
) -> Result<Arc<Known>, Box<Refusal>> {
    let now_unix_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let offered = match word {
        Some((name, roles)) => Offered::Router(name, roles),
        None => Offered::Own(peer, authorization),
    };
    let key = gate.callers.key(&offered);
    if let Some(known) = gate.callers.find(key, now_unix_s) {
        return Ok(known);
    }
    let known = match offered {
        Offered::Router(name, roles) => {
            let principal = Principal::from_headers(name, roles)
                .map_err(|problem| refuse(format!("the router's word of the caller: {problem}")))?;
            // The certificate is the router's: its rights are not the caller's.
            let grants = gate.policy.grants(Some(&principal), None);
            Known { principal: Some(Arc::new(principal)), grants, valid_until_unix_s: u64::MAX }
        }
        Offered::Own(peer, authorization) => {
            let credentials = Credentials { peer, authorization };
            let authenticated = gate.authenticator.authenticate(&credentials, now_unix_s);
            let authenticated = authenticated.map_err(|denial| refuse(denial.to_string()))?;
            let grants = gate.policy.grants(authenticated.principal.as_deref(), peer);
            let valid_until_unix_s = authenticated.valid_until_unix_s;
            Known { principal: authenticated.principal, grants, valid_until_unix_s }
        }
    };
    let known = Arc::new(known);
    gate.callers.keep(key, known.clone());
    Ok(known)
}

fn refuse(message: String) -> Box<Refusal> {
    Refusal::new(Stage::Auth, Code::Unauthenticated, "UNAUTHENTICATED", message)
}

fn address(source: &HeaderValue) -> Option<IpAddr> {
    source.to_str().ok()?.parse().ok()
}
