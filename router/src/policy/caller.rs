//! A caller that was believed, and all such that a worker thread remembers.

use super::{PRINCIPAL_HEADER, ROLES_HEADER, SERVICES_HEADER, SOURCE_HEADER};
use std::{
    collections::HashMap,
    fmt,
    hash::{BuildHasher, RandomState},
    mem,
    net::IpAddr,
    sync::Arc,
};
use switchboard_http2::Headers;
use switchboard_policy::{Grants, Policy, Principal};
use switchboard_transport::PeerIdentity;

/// Callers that are remembered, in two halves of which the older one goes when the younger one is full. A token and what
/// is known of its caller are 2 KiB or so; more callers at a time than one thread serves.
const MAX_CALLERS: usize = 10_000;
/// Bytes of a token, from its end, that are hashed: the last of a signature is as good as random, and all of a long
/// token would take longer than anything else here. Tokens are compared in full.
const HASHED: usize = 64;

/// Who calls, and what it may.
#[derive(Debug)]
pub(crate) struct Caller {
    /// `None`: it proved nothing.
    pub(crate) principal: Option<Arc<Principal>>,
    pub(crate) grants: Grants,
    /// First second since 1970 at which its credentials are no longer good.
    pub(super) valid_until_unix_s: u64,
    /// What backends are told of it.
    name: String,
    roles: String,
    /// What the router's own services are told as well.
    services: String,
}

impl Caller {
    pub(super) fn new(
        policy: &Policy,
        principal: Option<Arc<Principal>>,
        peer: Option<&PeerIdentity>,
        valid_until_unix_s: u64,
    ) -> Self {
        Caller {
            grants: policy.grants(principal.as_deref(), peer),
            name: principal.as_ref().map(|principal| principal.name_header()).unwrap_or_default(),
            roles: principal.as_ref().map(|principal| principal.roles_header()).unwrap_or_default(),
            services: peer.map(services_header).unwrap_or_default(),
            principal,
            valid_until_unix_s,
        }
    }

    /// Adds what an instance, or one of the router's `own` services, is told of the caller.
    pub(super) fn tell(&self, source: IpAddr, own: bool, request: &mut Headers) {
        if self.principal.is_none() {
            return;
        }
        request.push(PRINCIPAL_HEADER.as_bytes(), self.name.as_bytes());
        if !self.roles.is_empty() {
            request.push(ROLES_HEADER.as_bytes(), self.roles.as_bytes());
        }
        if own && !self.services.is_empty() {
            request.push(SERVICES_HEADER.as_bytes(), self.services.as_bytes());
        }
        request.push(SOURCE_HEADER.as_bytes(), source.to_string().as_bytes());
    }
}

/// The services that a certificate was made for, with commas between them.
fn services_header(peer: &PeerIdentity) -> String {
    let of_uri = |uri: &'_ String| uri.rsplit('/').next().unwrap_or_default().to_owned();
    let of_dns = |name: &'_ String| name.strip_suffix(".service.consul").unwrap_or(name).to_owned();
    let named = peer.uris.iter().map(of_uri).chain(peer.dns.iter().map(of_dns));
    let plain = |name: &String| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
    };
    let mut services: Vec<String> = named.filter(|name| plain(name) && peer.is_service(name)).collect();
    services.dedup();
    services.join(",")
}

/// A certificate that was made for the services of [`SERVICES_HEADER`].
pub(crate) fn services_of_header(value: &str) -> PeerIdentity {
    let dns = value.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
    PeerIdentity { dns, ..PeerIdentity::default() }
}

/// Credentials and whom they prove.
struct Known {
    token: Box<[u8]>,
    peer: Option<Arc<PeerIdentity>>,
    caller: Arc<Caller>,
}

/// Callers by their credentials: a digest that nobody can foresee, then the credentials in full.
#[derive(Default)]
pub(super) struct Callers {
    hasher: RandomState,
    young: HashMap<u64, Known>,
    old: HashMap<u64, Known>,
}

/// Tokens are secrets.
impl fmt::Debug for Callers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callers").field("known", &(self.young.len() + self.old.len())).finish_non_exhaustive()
    }
}

impl Callers {
    fn key(&self, token: &[u8], peer: Option<&Arc<PeerIdentity>>) -> u64 {
        let end = &token[token.len().saturating_sub(HASHED)..];
        self.hasher.hash_one((end, token.len(), peer.map(|peer| &*peer.serial)))
    }

    /// The caller of these credentials, if it is known and they are still good.
    pub(super) fn get(
        &mut self,
        token: &[u8],
        peer: Option<&Arc<PeerIdentity>>,
        now_unix_s: u64,
    ) -> Option<Arc<Caller>> {
        let key = self.key(token, peer);
        if let Some(known) = self.young.get(&key) {
            return known.caller_if(token, peer, now_unix_s);
        }
        let known = self.old.remove(&key)?;
        let caller = known.caller_if(token, peer, now_unix_s)?;
        self.keep(key, known);
        Some(caller)
    }

    pub(super) fn insert(&mut self, token: &[u8], peer: Option<Arc<PeerIdentity>>, caller: Arc<Caller>) {
        let key = self.key(token, peer.as_ref());
        self.keep(key, Known { token: token.into(), peer, caller });
    }

    fn keep(&mut self, key: u64, known: Known) {
        if self.young.len() >= MAX_CALLERS / 2 {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(key, known);
    }
}

impl Known {
    fn caller_if(
        &self,
        token: &[u8],
        peer: Option<&Arc<PeerIdentity>>,
        now_unix_s: u64,
    ) -> Option<Arc<Caller>> {
        let same_peer = match (&self.peer, peer) {
            (None, None) => true,
            (Some(known), Some(peer)) => Arc::ptr_eq(known, peer) || known == peer,
            _ => false,
        };
        let good = same_peer && *self.token == *token && now_unix_s < self.caller.valid_until_unix_s;
        good.then(|| self.caller.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use switchboard_policy::{Mode, Proof};

    fn caller(name: &str, valid_until_unix_s: u64) -> Arc<Caller> {
        let principal = Arc::new(Principal::new(name, [], Proof::Token).unwrap());
        let policy = Policy::parse("", Mode::Any).unwrap();
        Arc::new(Caller::new(&policy, Some(principal), None, valid_until_unix_s))
    }

    fn peer(serial: &str) -> Arc<PeerIdentity> {
        Arc::new(PeerIdentity { serial: serial.to_owned(), ..PeerIdentity::default() })
    }

    #[test]
    fn callers_are_found_by_all_of_their_credentials_and_for_as_long_as_these_are_good() {
        let mut callers = Callers::default();
        let (end, one) = ("e".repeat(100), peer("1"));
        callers.insert(format!("a{end}").as_bytes(), Some(one.clone()), caller("a", 50));
        let mut found = |token: &str, peer: Option<&Arc<PeerIdentity>>, now| {
            callers.get(token.as_bytes(), peer, now).is_some()
        };
        assert!(found(&format!("a{end}"), Some(&one), 49));
        assert!(found(&format!("a{end}"), Some(&peer("1")), 49), "another connection, the same certificate");
        assert!(!found(&format!("a{end}"), Some(&one), 50), "the end of its validity");
        assert!(!found(&format!("b{end}"), Some(&one), 49), "another token with the same end");
        assert!(!found(&format!("a{end}"), Some(&peer("2")), 49));
        assert!(!found(&format!("a{end}"), None, 49));
    }

    #[test]
    fn those_that_call_stay_and_there_are_never_too_many() {
        let (mut callers, known) = (Callers::default(), caller("a", u64::MAX));
        callers.insert(b"steady", None, known.clone());
        for i in 0..3 * MAX_CALLERS {
            callers.insert(i.to_string().as_bytes(), None, known.clone());
            if i % 1_000 == 0 {
                assert!(callers.get(b"steady", None, 0).is_some(), "{i}");
            }
            assert!(callers.young.len() + callers.old.len() <= MAX_CALLERS);
        }
        assert!(callers.get(b"0", None, 0).is_none());
        assert!(!format!("{callers:?}").contains("steady"));
    }

    #[test]
    fn the_services_of_a_certificate_survive_the_header() {
        let of = |uris: &[&str], dns: &[&str]| PeerIdentity {
            uris: uris.iter().map(|uri| (*uri).to_owned()).collect(),
            dns: dns.iter().map(|name| (*name).to_owned()).collect(),
            ..PeerIdentity::default()
        };
        let peer =
            of(&["spiffe://td/ns/default/dc/dc1/svc/agent-echo"], &["tool-x.service.consul", "laptop"]);
        let header = services_header(&peer);
        assert_eq!(header, "agent-echo,tool-x,laptop");
        let again = services_of_header(&header);
        assert!(again.is_service("agent-echo") && again.is_service("tool-x") && !again.is_service("agent"));
        assert_eq!(services_header(&of(&["spiffe://td/svc/a,agent-b", "https://x/agent-echo"], &[])), "");
        assert!(!services_of_header("").is_service(""));
    }
}
