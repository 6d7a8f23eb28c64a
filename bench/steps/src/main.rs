//! `switchboard-steps`: the router's hot steps on their own, without sockets: how many instructions each takes (`check`), and
//! one of them many times for a profiler (`run`). Not part of `switchboard-bench`, which is built without the router.

mod check;
mod step;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Debug, Parser)]
#[command(name = "switchboard-steps", version, about)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Check(check::Args),
    Run(step::Args),
}

#[expect(clippy::print_stderr, reason = "errors are for the terminal")]
fn main() -> ExitCode {
    let done = match Args::parse().command {
        Command::Check(args) => check::run(args),
        Command::Run(args) => step::run(args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("switchboard-steps: {error:#}");
            ExitCode::FAILURE
        }
    }
}
