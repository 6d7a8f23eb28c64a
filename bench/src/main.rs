//! `switchboard-bench`: what a call through the router costs, beside a plain relay and the other proxies.
//!
//! `run` starts every contender on this machine and writes the tables; `engine` measures the workflow engine; the other subcommands are its parts, each a
//! process of its own so that its CPU time can be read.

mod alarm;
mod backend;
mod contender;
mod engine;
mod growth;
mod link;
mod load;
mod message;
mod proxy;
mod report;
mod results;
mod run;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Debug, Parser)]
#[command(name = "switchboard-bench", version, about)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Load(Box<load::Args>),
    Backend(backend::Args),
    Proxy(proxy::Args),
    Run(run::Args),
    Growth(growth::Args),
    Engine(engine::Args),
    Report(report::Args),
}

#[expect(clippy::print_stderr, reason = "errors are for the terminal")]
fn main() -> ExitCode {
    let done = match Args::parse().command {
        Command::Load(args) => load::run(&args),
        Command::Backend(args) => backend::run(args),
        Command::Proxy(args) => proxy::run(args),
        Command::Run(args) => run::run(args),
        Command::Growth(args) => growth::run(args),
        Command::Engine(args) => engine::run(args),
        Command::Report(args) => report::run(args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("switchboard-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
