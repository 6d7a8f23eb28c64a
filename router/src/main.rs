//! `switchboard-router`: arguments -> configuration -> [`App`] -> exit code.
//!
//! SIGTERM and SIGINT end it in order, a second one at once. SIGHUP has it read its certificates again. Exit codes: 0 orderly end, 64 wrong configuration,
//! 1 it cannot start or has failed; `healthcheck` 0 ready, 1 not.

use std::{
    error::Error,
    fmt::Display,
    io::{self, Write},
    process::ExitCode,
};
use switchboard_router::{
    app::{self, App},
    config::{self, Command, Config, LogFormat},
};
use switchboard_telemetry::Telemetry;
use tokio::signal::unix::{SignalKind, signal};
use tracing::info;

fn main() -> ExitCode {
    match config::load_process() {
        Ok(Command::Run(config)) => run(*config),
        Ok(Command::Print(config)) => print(&config.to_toml()),
        Ok(Command::Healthcheck(admin)) => match app::probe(admin) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(1, &format!("router at {admin}: {error}")),
        },
        Err(config::Error::Usage(usage)) if usage.use_stderr() => {
            fail(config::Error::EXIT_CODE, &usage.to_string())
        }
        // Help and version were asked for.
        Err(config::Error::Usage(usage)) => print(&usage.to_string()),
        Err(error) => fail(config::Error::EXIT_CODE, &error),
    }
}

fn run(config: Config) -> ExitCode {
    switchboard_telemetry::init(Telemetry {
        json: config.log_format == LogFormat::Json,
        filter: config.log_filter.clone(),
        ..Telemetry::new("router")
    });
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(1, &error),
    };
    runtime.block_on(async {
        match serve(config).await {
            Ok(code) => code,
            Err(error) => fail(1, &switchboard_transport::chain(&*error)),
        }
    })
}

/// Runs until a signal or a failure.
async fn serve(config: Config) -> Result<ExitCode, Box<dyn Error>> {
    let mut hangup = signal(SignalKind::hangup())?;
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    for (setting, value) in config.effective() {
        tracing::debug!(setting, value, "configured");
    }
    let app = App::start(config)?;
    let reload = async {
        while hangup.recv().await.is_some() {
            info!("SIGHUP: reading certificates again");
            app.reload();
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = reload => {}
        _ = terminate.recv() => info!("SIGTERM: ending in order, a second signal ends at once"),
        _ = interrupt.recv() => info!("SIGINT: ending in order, a second signal ends at once"),
        () = app.ended() => return Ok(ExitCode::FAILURE),
    }
    tokio::select! {
        () = app.shutdown() => {}
        _ = terminate.recv() => info!("second signal: ending at once"),
        _ = interrupt.recv() => info!("second signal: ending at once"),
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes to standard output; a closed pipe is the reader's business.
fn print(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Writes what went wrong to standard error.
fn fail(code: u8, error: &dyn Display) -> ExitCode {
    // Nobody is left to be told that telling failed.
    let _unheard = writeln!(io::stderr(), "switchboard-router: {error}").is_err();
    ExitCode::from(code)
}
