//! Window arithmetic (RFC 9113 section 5.2 and 6.9). A send window may become negative when the peer shrinks its initial
//! window; a receive window may when the peer acknowledges that we did.

use crate::frame::MAX_31;

/// How many flow-controlled bytes we may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SendWindow(i32);

/// A window passed 2^31-1: FLOW_CONTROL_ERROR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Overflow;

impl SendWindow {
    pub(super) fn new(size: u32) -> Self {
        Self(size.min(MAX_31) as i32)
    }

    /// Returns the bytes that may be sent now.
    #[inline]
    pub(super) fn available(self) -> usize {
        usize::try_from(self.0).unwrap_or(0)
    }

    /// Returns the window, which may be negative.
    pub(super) fn size(self) -> i64 {
        i64::from(self.0)
    }

    /// Takes `n` bytes, of which [`SendWindow::available`] said that they may be sent.
    #[inline]
    pub(super) fn take(&mut self, n: usize) {
        debug_assert!(n <= self.available());
        self.0 -= n as i32;
    }

    /// Applies a WINDOW_UPDATE (positive) or a change of the initial window.
    pub(super) fn shift(&mut self, by: i64) -> Result<(), Overflow> {
        self.0 = i32::try_from(i64::from(self.0) + by).map_err(|_| Overflow)?;
        Ok(())
    }
}

/// How many flow-controlled bytes the peer may send, and what was freed but not announced yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RecvWindow {
    available: i32,
    freed: u32,
}

impl RecvWindow {
    pub(super) fn new(size: u32) -> Self {
        Self { available: size.min(MAX_31) as i32, freed: 0 }
    }

    /// Takes `n` received bytes; false if the peer sent more than it was allowed to. An empty frame is always allowed, also
    /// when the window is negative.
    #[inline]
    pub(super) fn receive(&mut self, n: u32) -> bool {
        if n > 0 && i64::from(n) > i64::from(self.available) {
            return false;
        }
        self.available -= n as i32;
        true
    }

    /// Frees `n` bytes of a window whose full size is `size`. Returns the increment to announce once it is at least half
    /// of it: one WINDOW_UPDATE for many frames, and never so late that the peer stalls while everything is freed. More
    /// than was received is not freed.
    #[inline]
    pub(super) fn free(&mut self, n: u32, size: u32) -> Option<u32> {
        let held = i64::from(size) - i64::from(self.available) - i64::from(self.freed);
        self.freed += i64::from(n).min(held).max(0) as u32;
        if self.freed == 0 || self.freed < size / 2 {
            return None;
        }
        self.available += self.freed as i32;
        Some(std::mem::take(&mut self.freed))
    }

    /// Applies a change of our initial window, from now on `size`. Returns an increment to announce, as
    /// [`RecvWindow::free`] does: what was freed and was too little for the larger window may be enough for the smaller.
    pub(super) fn resize(&mut self, by: i64, size: u32) -> Option<u32> {
        let shifted = i64::from(self.available) + by;
        self.available = shifted.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32;
        self.free(0, size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn send_window_goes_negative_and_recovers() {
        let mut window = SendWindow::new(100);
        window.take(80);
        window.shift(-90).unwrap();
        assert_eq!(window.available(), 0);
        window.shift(69).unwrap();
        assert_eq!(window.available(), 0);
        window.shift(2).unwrap();
        assert_eq!(window.available(), 1);
    }

    #[test]
    fn send_window_refuses_to_pass_31_bits() {
        let mut window = SendWindow::new(MAX_31);
        assert_eq!(window.shift(1), Err(Overflow));
        window.take(1);
        assert_eq!(window.shift(1), Ok(()));
    }

    #[test]
    fn freed_bytes_are_announced_at_half_the_window() {
        let mut window = RecvWindow::new(100);
        assert!(window.receive(60));
        assert_eq!(window.free(49, 100), None);
        assert_eq!(window.free(1, 100), Some(50));
        assert!(window.receive(90));
        assert!(!window.receive(1));
    }

    #[test]
    fn more_than_was_received_is_not_freed() {
        let mut window = RecvWindow::new(100);
        assert!(window.receive(60));
        assert_eq!(window.free(1000, 100), Some(60));
        assert_eq!(window.free(1000, 100), None);
        assert!(window.receive(100));
    }

    #[test]
    fn freed_bytes_that_waited_are_announced_when_the_window_shrinks() {
        let mut window = RecvWindow::new(1000);
        assert!(window.receive(900));
        assert_eq!(window.free(400, 1000), None);
        assert_eq!(window.resize(-900, 100), Some(400));
        // Of the peer's 1000, 900 are gone, 400 came back, and 900 were taken away: it has to wait for the rest.
        assert!(!window.receive(1));
        assert!(window.receive(0), "the end of the stream");
        assert_eq!(window.free(500, 100), Some(500));
        assert!(window.receive(100));
    }

    #[test]
    fn smallest_window_still_moves() {
        let mut window = RecvWindow::new(1);
        assert!(window.receive(1));
        assert_eq!(window.free(1, 1), Some(1));
    }
}
