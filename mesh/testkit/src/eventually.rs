//! Waiting for a condition instead of for a time.

use anyhow::{Result, bail};
use std::{fmt::Debug, time::Duration};
use tokio::time::{Instant, sleep_until, timeout_at};

/// How long to rest between two tries: short against any limit a test sets, long against a scheduler tick.
const REST: Duration = Duration::from_millis(10);

/// Calls `probe` until it returns `Ok`, and returns that value.
///
/// The `Err` value is what was seen instead; the last one is part of the error after `limit`. A try that
/// hangs is cut at the limit. Uses tokio's time, so a paused clock advances through the rests.
///
/// ```
/// # use std::{cell::Cell, time::Duration};
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let tries = Cell::new(0);
/// let probe = async || {
///     tries.set(tries.get() + 1);
///     if tries.get() == 3 { Ok("done") } else { Err(tries.get()) }
/// };
/// assert_eq!(switchboard_testkit::eventually(Duration::from_secs(5), probe).await.unwrap(), "done");
/// # });
/// ```
pub async fn eventually<T, E: Debug>(
    limit: Duration,
    mut probe: impl AsyncFnMut() -> std::result::Result<T, E>,
) -> Result<T> {
    let deadline = Instant::now() + limit;
    let mut last = None;
    for tries in 1_u64.. {
        match timeout_at(deadline, probe()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(seen)) => last = Some(seen),
            Err(_) => bail!("not within {limit:?}: try {tries} was still running; seen before: {last:?}"),
        }
        if Instant::now() + REST >= deadline {
            break;
        }
        sleep_until(Instant::now() + REST).await;
    }
    match last {
        Some(seen) => bail!("not within {limit:?}; last seen: {seen:?}"),
        None => bail!("not within {limit:?}"),
    }
}
