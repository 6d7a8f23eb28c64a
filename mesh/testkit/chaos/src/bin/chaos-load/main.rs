//! `chaos-load`: calls at a fixed rate through one address, each of them accounted for.
//!
//! The loop is open: a call begins when its turn comes, whatever became of the calls before it, and its latency counts
//! from that turn, so that a stall shows in full (no coordinated omission). Prints one line of JSON per second and a
//! last one with the totals. When its standard input is closed it begins no more calls and waits for those it has begun.
//!
//! One thread is enough: 2,000 calls per second cost it some 30 % of a core in the release build.

mod account;
mod call;
mod door;
mod latency;
mod pace;
mod refusal;
mod streams;

use crate::account::Account;
use crate::call::{Caller, Mix};
use crate::door::{Credentials, Door};
use crate::pace::Plan;
use clap::Parser;
use serde_json::json;
use std::io::Write;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::task::LocalSet;

/// Calls at a fixed rate, each accounted for, until standard input is closed.
#[derive(Parser)]
struct Arguments {
    /// Where to call: HOST:PORT
    #[arg(long)]
    target: String,
    /// Calls per second
    #[arg(long, default_value_t = 100.0)]
    rate: f64,
    /// Connections, used in turn
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// Shares of the kinds of calls: echo, weather, itinerary, chunks, chat, bytes
    #[arg(long, default_value = "echo=60,weather=20,chunks=10,chat=9,itinerary=1")]
    mix: Mix,
    /// Streams in both directions that stay open from the beginning to the end
    #[arg(long, default_value_t = 0)]
    streams: usize,
    /// Seconds between two messages of such a stream
    #[arg(long, default_value_t = 0.5, value_name = "SECONDS")]
    stream_rest: f64,
    /// Deadline of each call, in seconds
    #[arg(long, default_value_t = 5.0)]
    deadline: f64,
    /// Silence on a connection with calls after which a PING is sent, in seconds; a dead peer is noticed within twice that
    #[arg(long, default_value_t = 10.0, value_name = "SECONDS")]
    ping: f64,
    /// Make a connection for each call instead
    #[arg(long)]
    fresh: bool,
    /// Seed of the order of the calls
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    credentials: Credentials,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match LocalSet::new().run_until(run(Arguments::parse())).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to be told that telling failed.
            let _unheard = writeln!(std::io::stderr(), "chaos-load: {error:#}").is_err();
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let ping = Duration::try_from_secs_f64(arguments.ping)?;
    let mut door = Door::new(&arguments.target, ping, arguments.credentials)?;
    let deadline = Duration::try_from_secs_f64(arguments.deadline)?;
    let caller = Caller::new(door.clone(), arguments.connections, arguments.fresh, deadline);
    let account = Rc::new(Account::begin());
    let streams = streams::open(
        &caller,
        arguments.streams,
        Duration::try_from_secs_f64(arguments.stream_rest)?,
        account.clone(),
    );
    let reports = tokio::task::spawn_local({
        let account = account.clone();
        async move {
            let mut ticks = tokio::time::interval(Duration::from_secs(1));
            ticks.tick().await;
            loop {
                ticks.tick().await;
                print(&account.second());
            }
        }
    });
    let reloads = tokio::task::spawn_local(async move {
        while let Some(count) = door.reloaded().await {
            print(&json!({ "reloads": count }));
        }
    });
    let stopped = async {
        // Nothing is ever sent: the end of input, or its failure, is the signal.
        let _ended = tokio::io::stdin().read_to_end(&mut Vec::new()).await;
    };
    let plan = Plan { rate: arguments.rate, seed: arguments.seed, mix: arguments.mix };
    tokio::select! {
        () = pace::run(plan, &caller, &account) => {}
        () = stopped => {}
    }
    pace::finish(&account, deadline).await;
    streams.close().await;
    reports.abort();
    reloads.abort();
    print(&account.total());
    Ok(())
}

/// One line, at once: the reader reads while the load runs.
fn print(line: &serde_json::Value) {
    let mut out = std::io::stdout().lock();
    // A reader that has gone closes standard input as well, which ends the load.
    let _unread = writeln!(out, "{line}").and_then(|()| out.flush()).is_err();
}
