//! When a failed attempt is made again: pure, so that the same attempt always waits equally long.

use crate::{RetryPolicy, TaskError, WorkflowId};

const DEFAULT_INITIAL_MS: u64 = 100;
const DEFAULT_MAX_MS: u64 = 60_000;
const DEFAULT_MULTIPLIER: f64 = 2.0;

/// Whether another attempt follows the `attempt`-th, which failed with this error.
pub(crate) fn again(policy: &RetryPolicy, attempt: u32, error: &TaskError) -> bool {
    error.retryable && attempt < policy.max_attempts && !policy.non_retryable.contains(&error.code)
}

/// How long to wait after the `attempt`-th attempt, in milliseconds.
pub(crate) fn wait_ms(policy: &RetryPolicy, workflow: &WorkflowId, task: &str, attempt: u32) -> u64 {
    let or = |value: u64, default: u64| if value == 0 { default } else { value } as f64;
    let multiplier = match policy.multiplier {
        0.0 => DEFAULT_MULTIPLIER,
        // Not a number, too.
        value if value >= 1.0 => value,
        _ => 1.0,
    };
    let exponent = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
    let longest = or(policy.max_ms, DEFAULT_MAX_MS);
    let wait = (or(policy.initial_ms, DEFAULT_INITIAL_MS) * multiplier.powi(exponent)).min(longest);
    let jitter = if policy.jitter > 0.0 { policy.jitter.min(1.0) } else { 0.0 };
    let moved = wait * (1.0 + jitter * (2.0 * fraction(workflow, task, attempt) - 1.0));
    // From here on it is a number between 0 and twice the longest wait; the cast saturates.
    moved.round() as u64
}

/// A number from 0 to 1 that looks random and depends on nothing but the attempt: FNV-1a, mixed as in SplitMix64.
fn fraction(workflow: &WorkflowId, task: &str, attempt: u32) -> f64 {
    let bytes = workflow.as_str().bytes().chain([b'/']).chain(task.bytes()).chain(attempt.to_le_bytes());
    let mut hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^= hash >> 31;
    (hash >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(policy: &RetryPolicy) -> Vec<u64> {
        (1..=6).map(|attempt| wait_ms(policy, &"wf".into(), "a", attempt)).collect()
    }

    #[test]
    fn waits_grow_up_to_the_longest() {
        let policy =
            RetryPolicy { initial_ms: 100, max_ms: 1_000, multiplier: 2.0, ..RetryPolicy::default() };
        assert_eq!(waits(&policy), [100, 200, 400, 800, 1_000, 1_000]);
        assert_eq!(waits(&RetryPolicy::default()), [100, 200, 400, 800, 1_600, 3_200]);
        let odd = RetryPolicy { multiplier: f64::NAN, jitter: f64::NAN, ..RetryPolicy::default() };
        assert_eq!(waits(&odd), [100; 6]);
        assert_eq!(wait_ms(&RetryPolicy::default(), &"wf".into(), "a", u32::MAX), 60_000);
    }

    #[test]
    fn jitter_moves_waits_within_its_part_and_differs_by_task() {
        let policy =
            RetryPolicy { initial_ms: 1_000, multiplier: 1.0, jitter: 0.5, ..RetryPolicy::default() };
        let all: Vec<u64> =
            (0..1_000).map(|task| wait_ms(&policy, &"wf".into(), &task.to_string(), 1)).collect();
        assert!(all.iter().all(|wait| (500..=1_500).contains(wait)));
        assert!(all.iter().any(|wait| *wait < 600) && all.iter().any(|wait| *wait > 1_400));
        assert_eq!(waits(&policy), waits(&policy));
    }
}
