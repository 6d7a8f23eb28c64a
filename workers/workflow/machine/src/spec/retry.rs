//! When a failed attempt is made again.

use prost::Message;

/// When a failed attempt is made again: exponential backoff with a cap and jitter.
///
/// The n-th retry waits `initial_ms * multiplier^(n-1)`, at most `max_ms`, then moved by up to `jitter` of itself in
/// either direction. Zero stands for the default of a field.
#[derive(Clone, PartialEq, Message)]
pub struct RetryPolicy {
    /// Attempts in all, the first one included; 0 and 1 are no retry.
    #[prost(uint32, tag = "1")]
    pub max_attempts: u32,
    /// Wait before the first retry, in milliseconds; 0 is 100.
    #[prost(uint64, tag = "2")]
    pub initial_ms: u64,
    /// Longest wait, in milliseconds; 0 is 60,000.
    #[prost(uint64, tag = "3")]
    pub max_ms: u64,
    /// Growth per retry; 0 is 2, less than 1 is 1.
    #[prost(double, tag = "4")]
    pub multiplier: f64,
    /// Part of the wait by which it is moved, 0 (none) to 1.
    #[prost(double, tag = "5")]
    pub jitter: f64,
    /// Error codes after which no attempt helps.
    #[prost(string, repeated, tag = "6")]
    pub non_retryable: Vec<String>,
}

impl RetryPolicy {
    /// What compensations get that name no policy: 3 attempts, 100 ms, doubled, at most 5 s.
    pub fn compensation() -> Self {
        Self { max_attempts: 3, initial_ms: 100, max_ms: 5_000, multiplier: 2.0, ..Self::default() }
    }
}
