//! How many tokens are looked at in vain: a signature takes 100 us to find wrong, and a client can send a thousand bad ones
//! in the time of one.

/// Bad tokens of one connection that are looked at at once, and one more each second: a client that has just renewed its
/// token waits a second at most.
const CONNECTION: Rate = Rate { burst: 10, gap_ms: 1_000 };
/// Of all connections of a worker thread: a tenth of its time. Each connection's first is looked at all the same, so that a
/// flood keeps nobody else out.
const THREAD: Rate = Rate { burst: 1_000, gap_ms: 1 };

struct Rate {
    burst: u64,
    gap_ms: u64,
}

/// Counts failures, and forgets them at a steady pace.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Failures {
    /// When all are forgotten, in ms of the router clock; 0: there was none.
    forgotten_ms: u64,
}

impl Failures {
    fn is_within(self, rate: &Rate, now_ms: u64) -> bool {
        self.forgotten_ms <= now_ms + (rate.burst - 1) * rate.gap_ms
    }

    fn note(&mut self, rate: &Rate, now_ms: u64) {
        self.forgotten_ms = self.forgotten_ms.max(now_ms) + rate.gap_ms;
    }

    /// Whether another token of the connection `self` may be looked at.
    pub(super) fn may_look(self, thread: Failures, now_ms: u64) -> bool {
        self.is_within(&CONNECTION, now_ms) && (self.forgotten_ms == 0 || thread.is_within(&THREAD, now_ms))
    }

    /// A token of the connection `self` was bad.
    pub(super) fn failed(&mut self, thread: &mut Failures, now_ms: u64) {
        self.note(&CONNECTION, now_ms);
        thread.note(&THREAD, now_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_has_ten_at_once_and_one_each_second() {
        let (mut one, mut thread) = (Failures::default(), Failures::default());
        let mut looks = |now_ms| {
            let may = one.may_look(thread, now_ms);
            if may {
                one.failed(&mut thread, now_ms);
            }
            may
        };
        assert_eq!((0..100).filter(|_| looks(5_000)).count(), 10);
        assert_eq!((0..100).filter(|_| looks(5_999)).count(), 0);
        assert_eq!((0..100).filter(|_| looks(6_000)).count(), 1);
        assert_eq!((0..100).filter(|_| looks(60_000)).count(), 10);
    }

    #[test]
    fn many_connections_together_have_a_thousand_each_second_and_each_its_first() {
        let mut thread = Failures::default();
        let mut conns = vec![Failures::default(); 1_000];
        let mut looked = 0;
        for _ in 0..10 {
            for conn in &mut conns {
                if conn.may_look(thread, 1) {
                    conn.failed(&mut thread, 1);
                    looked += 1;
                }
            }
        }
        assert_eq!(looked, 1_000);
        assert!(Failures::default().may_look(thread, 1));
    }
}
