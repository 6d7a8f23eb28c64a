//! `switchboard`: a mesh on this machine (`dev`), calls by ID (`call`), what is there (`ls`), what goes on there
//! (`top`), workflows (`workflow`), certificates for it (`certs`), and who may call what (`auth`).
//!
//! Reads the arguments, runs one command, and turns its outcome into an exit code. Standard output carries
//! results only; everything said to people about them goes to standard error.

mod args;
mod auth;
mod call;
mod certs;
mod dev;
mod failure;
mod list;
mod output;
mod top;
mod workflow;

use std::process::ExitCode;

use crate::args::{Args, Command};
use crate::failure::Failure;
use clap::{CommandFactory, Parser};

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // Help and version are asked for and no failure; clap prints each where it belongs.
            let _ = error.print();
            return if error.use_stderr() { failure::USAGE.into() } else { ExitCode::SUCCESS };
        }
    };
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn run(args: Args) -> Result<(), Failure> {
    switchboard_telemetry::init(args.telemetry());
    let runtime = tokio::runtime::Runtime::new().map_err(Failure::Runtime)?;
    let done = runtime.block_on(async {
        match args.command {
            Command::Dev(dev) => dev::run(dev).await,
            Command::Call(call) => call::run(call, &args.connection.client(variable)?).await,
            Command::Ls(ls) => list::run(ls, &args.connection.client(variable)?).await,
            Command::Workflow(workflow) => workflow::run(workflow, &args.connection.client(variable)?).await,
            Command::Top(top) => top::run(top).await,
            Command::Certs(certs) => certs::run(certs),
            Command::Auth(auth) => auth::run(auth).await,
            Command::Completions { shell } => {
                let mut script = Vec::new();
                clap_complete::generate(shell, &mut Args::command(), "switchboard", &mut script);
                output::print(&String::from_utf8_lossy(&script))
            }
        }
    });
    // A blocked read of the terminal (`call … -`) must not keep a finished process alive.
    runtime.shutdown_background();
    done
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
