//! When calls begin: each at its turn, `1 / rate` after the one before, however slow the answers are.

use crate::account::{Account, Outcome};
use crate::call::{Caller, Mix};
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior};

/// Calls that wait at the same time. At 2,000 calls per second and a deadline of 5 s all of them fit.
const MAX_IN_FLIGHT: u64 = 20_000;
/// Beyond its deadline a call has this long to say that it failed; then it counts as lost.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is called, and how often.
pub(crate) struct Plan {
    pub(crate) rate: f64,
    pub(crate) seed: u64,
    pub(crate) mix: Mix,
}

/// Begins calls until it is dropped.
pub(crate) async fn run(plan: Plan, caller: &Caller, account: &Rc<Account>) {
    let mut random = StdRng::seed_from_u64(plan.seed);
    let begun = Instant::now();
    let mut ticks = tokio::time::interval(Duration::from_millis(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut number: u64 = 0;
    loop {
        ticks.tick().await;
        let due = (begun.elapsed().as_secs_f64() * plan.rate) as u64;
        while number < due {
            let turn = begun + Duration::from_secs_f64((number + 1) as f64 / plan.rate);
            number += 1;
            if account.in_flight() >= MAX_IN_FLIGHT {
                account.held_back();
                continue;
            }
            account.sent();
            let (kind, caller, account) = (plan.mix.choose(&mut random), caller.clone(), account.clone());
            tokio::task::spawn_local(async move {
                let limit = caller.deadline() + PATIENCE;
                let call = caller.call(kind, number, &account);
                let outcome = tokio::time::timeout(limit, call).await.unwrap_or(Outcome::Lost);
                account.ended(outcome, turn.into_std(), kind.timed());
            });
        }
    }
}

/// Waits until every call has ended, which all do within their limit.
pub(crate) async fn finish(account: &Account, deadline: Duration) {
    let until = Instant::now() + deadline + 2 * PATIENCE;
    while account.in_flight() > 0 && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
