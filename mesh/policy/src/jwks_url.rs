//! Keys from a URL: which URLs are taken, and when to ask again.

use std::net::IpAddr;
use std::time::{Duration, Instant};

/// How long keys are used before the URL is asked again: issuers announce a new key hours before they use it.
const PERIOD: Duration = Duration::from_secs(300);
/// Between two attempts, whatever asks for them: a flood of unknown keys must not become a flood towards the issuer.
const GAP: Duration = Duration::from_secs(10);

/// Decides when to fetch keys: at once, then every 5 minutes, 10 s after a failure, and at an unknown key at most every 10 s.
#[derive(Debug, Clone)]
pub struct Refresh {
    due: Instant,
    attempted: Option<Instant>,
}

impl Refresh {
    /// Starts with a fetch that is due now.
    pub fn new(now: Instant) -> Self {
        Self { due: now, attempted: None }
    }

    /// How long to wait before the next fetch; zero if it is due.
    pub fn wait(&self, now: Instant) -> Duration {
        self.due.saturating_duration_since(now)
    }

    /// Notes that a fetch has ended.
    pub fn fetched(&mut self, now: Instant, worked: bool) {
        self.attempted = Some(now);
        self.due = now + if worked { PERIOD } else { GAP };
    }

    /// Notes a token with an unknown key, which may be new: the next fetch is due as soon as the gap allows.
    pub fn unknown_key(&mut self, now: Instant) {
        let earliest = self.attempted.map_or(now, |attempted| now.max(attempted + GAP));
        self.due = self.due.min(earliest);
    }
}

/// Takes `https://host…`, and `http://` for this machine only: whoever can change the keys on their way can sign tokens.
pub(crate) fn check_url(url: &str) -> Result<(), &'static str> {
    const WRONG: &str = "is no URL; write for example https://issuer.example/.well-known/jwks.json";
    let (secure, rest) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
        (Some(rest), _) => (true, rest),
        (None, Some(rest)) => (false, rest),
        (None, None) => return Err(WRONG),
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err("holds a user name or password, which would be shown with the setting");
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
    if authority.is_empty()
        || !authority.bytes().all(plain)
        || url.bytes().any(|byte| !byte.is_ascii_graphic())
    {
        return Err(WRONG);
    }
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    let here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    if secure || here { Ok(()) } else { Err("must be https: only this machine itself may be asked by http") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_over_https_or_from_this_machine() {
        for right in [
            "https://issuer.example/keys",
            "https://issuer.example:8443?x=1",
            "http://127.0.0.1:8080/keys",
            "http://[::1]:8080/",
            "http://localhost/keys",
        ] {
            assert_eq!(check_url(right), Ok(()), "{right}");
        }
        for wrong in [
            "http://issuer.example/keys",
            "http://localhost.example/keys",
            "http://127.0.0.1@issuer.example/keys",
            "http://127.0.0.1\\@issuer.example/keys",
            "https://user:secret@issuer.example/keys",
            "https:///keys",
            "https://issuer.example/a b",
            "file:///etc/passwd",
        ] {
            assert!(check_url(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn unknown_keys_hasten_a_fetch_but_never_below_the_gap() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut refresh = Refresh::new(start);
        assert_eq!(refresh.wait(start), Duration::ZERO);
        refresh.fetched(start, true);
        assert_eq!(refresh.wait(start), Duration::from_secs(300));
        refresh.unknown_key(at(3));
        assert_eq!(refresh.wait(at(3)), Duration::from_secs(7));
        refresh.unknown_key(at(9));
        assert_eq!(refresh.wait(at(9)), Duration::from_secs(1));
        refresh.fetched(at(10), true);
        refresh.unknown_key(at(100));
        assert_eq!(refresh.wait(at(100)), Duration::ZERO);
        refresh.fetched(at(100), false);
        assert_eq!(refresh.wait(at(100)), Duration::from_secs(10));
        // A thousand unknown keys ask for one fetch.
        (0..1_000).for_each(|_| refresh.unknown_key(at(101)));
        assert_eq!(refresh.wait(at(101)), Duration::from_secs(9));
    }
}
