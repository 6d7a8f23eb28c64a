//! SIGTERM and SIGINT as something to wait for, and SIGHUP as something to act on.

use crate::Error;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Receives both signals from its creation on, so that none is lost while the backend starts.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Installs the handlers. From now on the signals no longer end the process by themselves.
    pub(crate) fn install() -> Result<Self, Error> {
        Ok(Self {
            terminate: signal(SignalKind::terminate()).map_err(Error::Signals)?,
            interrupt: signal(SignalKind::interrupt()).map_err(Error::Signals)?,
        })
    }

    /// Waits for either and names it. Cancel safe: a signal that nobody waited for is kept.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Runs `act` at each SIGHUP, for ever. Without anything to read anew the signal keeps its usual meaning: to end.
///
/// # Errors
/// The handler cannot be installed.
pub(crate) fn on_hangup(act: impl Fn() + Send + 'static) -> Result<impl Future<Output = ()> + Send, Error> {
    let mut hangup = signal(SignalKind::hangup()).map_err(Error::Signals)?;
    Ok(async move {
        while hangup.recv().await.is_some() {
            act();
        }
    })
}
