//! Ctrl-C, SIGTERM, a closed terminal: the run ends as after an error, so that everything it started is ended too.

use anyhow::{Context, Result, bail};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use tokio::signal::unix::{SignalKind, signal};

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// Catches these signals from now on.
///
/// # Errors
/// The system refuses.
pub(crate) fn watch() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let (mut interrupt, mut terminate, mut hangup) = {
        let _entered = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::hangup())?)
    };
    let wait = async move {
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {}, _ = hangup.recv() => {} }
        REQUESTED.store(true, Ordering::Relaxed);
    };
    // Lives as long as the process: there is nothing to wait for after the last measurement.
    thread::Builder::new().spawn(move || runtime.block_on(wait)).context("cannot start a thread")?;
    Ok(())
}

/// Fails once a signal has come. Whoever waits asks between two looks.
///
/// # Errors
/// A signal has come.
pub(crate) fn check() -> Result<()> {
    if REQUESTED.load(Ordering::Relaxed) {
        bail!("interrupted");
    }
    Ok(())
}
