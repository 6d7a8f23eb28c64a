//! A condition that never holds is reported with what was seen last, at the limit and not later.

use std::{cell::Cell, convert::Infallible, time::Duration};
use switchboard_testkit::eventually;
use tokio::time::Instant;

const LIMIT: Duration = Duration::from_secs(3);

#[tokio::test(start_paused = true)]
async fn the_error_carries_the_last_value() {
    let tries = Cell::new(0);
    let begun = Instant::now();
    let outcome = eventually(LIMIT, async || {
        tries.set(tries.get() + 1);
        Err::<(), _>(format!("value {}", tries.get()))
    })
    .await;
    let text = outcome.unwrap_err().to_string();
    assert!(text.ends_with(&format!("last seen: \"value {}\"", tries.get())), "{text}");
    assert!(tries.get() > 100, "{tries:?}");
    assert!(begun.elapsed() <= LIMIT, "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_try_that_hangs_is_cut_at_the_limit() {
    let begun = Instant::now();
    let outcome = eventually(LIMIT, async || std::future::pending::<Result<(), Infallible>>().await).await;
    assert!(outcome.unwrap_err().to_string().contains("try 1 was still running"));
    assert_eq!(begun.elapsed(), LIMIT);
}
