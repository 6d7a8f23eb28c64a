//! Retry policies.

use switchboard_proto::goclaw::v1;
use workflow_file::duration;
use workflow_machine::RetryPolicy;

use super::{
    MAX_MS,
    keyed::Keyed,
    milliseconds,
    violations::{At, Violations},
};

/// Attempts of a policy that names no number.
const DEFAULT_ATTEMPTS: u32 = 3;

/// At the default backoff a thousand attempts take most of a day; more hide a task that never succeeds.
const MAX_ATTEMPTS: u32 = 1_000;

const MAX_MULTIPLIER: f64 = 100.0;

/// Spreads the retries of many tasks that failed together.
const DEFAULT_JITTER: f64 = 0.1;

/// Codes that a policy may name.
const MAX_CODES: usize = 64;

/// Bytes of a code, as errors keep them.
const MAX_CODE_BYTES: usize = 128;

/// Reads the policy that stands at `at`.
pub(super) fn read(policy: v1::RetryPolicy, violations: &mut Violations, at: At<'_>) -> RetryPolicy {
    let max_attempts = match u32::try_from(policy.max_attempts) {
        Ok(0) => DEFAULT_ATTEMPTS,
        Ok(attempts) if attempts <= MAX_ATTEMPTS => attempts,
        _ => {
            let reason = format!("{} is out of range; use 1 to {MAX_ATTEMPTS}", policy.max_attempts);
            violations.add(at.field("max_attempts"), reason);
            DEFAULT_ATTEMPTS
        }
    };
    // Zero is the default; NaN is in no range.
    if policy.multiplier != 0.0 && !(1.0..=MAX_MULTIPLIER).contains(&policy.multiplier) {
        let reason = format!("{} is out of range; use 1 to {MAX_MULTIPLIER}", policy.multiplier);
        violations.add(at.field("multiplier"), reason);
    }
    let jitter = policy.jitter.unwrap_or(DEFAULT_JITTER);
    if !(0.0..=1.0).contains(&jitter) {
        violations.add(at.field("jitter"), format!("{jitter} is out of range; use 0 to 1"));
    }
    if policy.non_retryable_codes.len() > MAX_CODES {
        violations.add(at.field("non_retryable_codes"), format!("at most {MAX_CODES} codes"));
    }
    for (index, code) in policy.non_retryable_codes.iter().take(MAX_CODES).enumerate() {
        if code.is_empty() || code.len() > MAX_CODE_BYTES {
            let reason = format!("a code has 1 to {MAX_CODE_BYTES} bytes, for example INVALID_ARGUMENT");
            violations.add(at.field("non_retryable_codes").index(index), reason);
        }
    }
    let initial_ms = milliseconds(policy.initial_ms, violations, at.field("initial_ms"));
    let max_ms = milliseconds(policy.max_ms, violations, at.field("max_ms"));
    if max_ms > 0 && max_ms < initial_ms {
        let reason = format!("{max_ms} is less than initial_ms, {initial_ms}; raise it, or leave it out");
        violations.add(at.field("max_ms"), reason);
    }
    RetryPolicy {
        max_attempts,
        initial_ms,
        max_ms,
        multiplier: policy.multiplier,
        jitter,
        non_retryable: policy.non_retryable_codes,
    }
}

/// Reads the keys `retries` and `backoff`.
pub(super) fn keyed(keyed: &mut Keyed<'_>, violations: &mut Violations) -> Option<RetryPolicy> {
    let number = |text: &str| text.trim().parse::<u32>().ok().filter(|retries| *retries < MAX_ATTEMPTS);
    let retries = keyed.parse(
        "retries",
        violations,
        format_args!("a whole number from 0 to {}", MAX_ATTEMPTS - 1),
        number,
    );
    let backoff = keyed.parse(
        "backoff",
        violations,
        format_args!("a first pause and, if wanted, multiplier and longest pause, such as 500ms or 1s,3,1m"),
        backoff,
    );
    if retries.is_none() && backoff.is_none() {
        return None;
    }
    let max_attempts = retries.map_or(DEFAULT_ATTEMPTS, |retries| retries + 1);
    Some(RetryPolicy { max_attempts, jitter: DEFAULT_JITTER, ..backoff.unwrap_or_default() })
}

fn backoff(text: &str) -> Option<RetryPolicy> {
    let mut parts = text.split(',').map(str::trim);
    let pause = |text: &str| duration::parse(text).filter(|ms| (1..=MAX_MS).contains(ms));
    let mut policy = RetryPolicy { initial_ms: pause(parts.next()?)?, ..RetryPolicy::default() };
    if let Some(multiplier) = parts.next() {
        policy.multiplier = multiplier.parse().ok().filter(|value| (1.0..=MAX_MULTIPLIER).contains(value))?;
    }
    if let Some(max) = parts.next() {
        policy.max_ms = pause(max).filter(|max| *max >= policy.initial_ms)?;
    }
    parts.next().is_none().then_some(policy)
}
