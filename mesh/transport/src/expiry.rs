//! When the own certificate ends, and who hears of it in time.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;
use tracing::warn;

use crate::PeerIdentity;

/// A certificate's end comes at a minute, and the warnings of it days before.
const LOOK_INTERVAL: Duration = Duration::from_secs(3600);
const DAY_S: i64 = 24 * 3600;

/// A configuration of rustls, and the names of the certificate that it shows.
#[derive(Debug)]
pub struct Loaded<C> {
    /// What connections are made with.
    pub config: Arc<C>,
    /// The own certificate; `None` where none is shown.
    pub own: Option<PeerIdentity>,
}

impl<C> Loaded<C> {
    /// Seconds from now until the own certificate ends, negative afterwards.
    pub fn expires_in_s(&self) -> Option<i64> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Some(self.own.as_ref()?.not_after.saturating_sub_unsigned(now))
    }
}

/// Logs one line seven days before the own certificate ends, one a day before, and one when it has ended; each for each
/// certificate. `what` names it. Runs until the states end; cancel safe.
pub async fn warn_before_expiry<C>(what: &str, mut newest: watch::Receiver<Arc<Loaded<C>>>) {
    let mut told = None;
    loop {
        let loaded = newest.borrow_and_update().clone();
        let serial = loaded.own.as_ref().map(|own| own.serial.clone());
        let near = loaded.expires_in_s().and_then(Nearness::of);
        if let Some(near) = near
            && told != Some((serial.clone(), near))
        {
            let advice = "issue a new one in its place; it is taken over without a restart";
            match near {
                Nearness::Ended => warn!(serial, "{what} has expired: peers refuse it; {advice}"),
                Nearness::Day => warn!(serial, "{what} expires within a day; {advice}"),
                Nearness::Week => warn!(serial, "{what} expires within seven days; {advice}"),
            }
            told = Some((serial, near));
        }
        tokio::select! {
            changed = newest.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(LOOK_INTERVAL) => {}
        }
    }
}

/// How near an end is that people have to hear of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nearness {
    Week,
    Day,
    Ended,
}

impl Nearness {
    fn of(expires_in_s: i64) -> Option<Self> {
        match expires_in_s {
            ..=0 => Some(Nearness::Ended),
            left if left <= DAY_S => Some(Nearness::Day),
            left if left <= 7 * DAY_S => Some(Nearness::Week),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_hear_of_the_end_a_week_and_a_day_before() {
        for (left, near) in [
            (8 * DAY_S, None),
            (7 * DAY_S, Some(Nearness::Week)),
            (DAY_S + 1, Some(Nearness::Week)),
            (DAY_S, Some(Nearness::Day)),
            (1, Some(Nearness::Day)),
            (0, Some(Nearness::Ended)),
            (i64::MIN, Some(Nearness::Ended)),
        ] {
            assert_eq!(Nearness::of(left), near, "{left}");
        }
    }
}
