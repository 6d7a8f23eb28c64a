//! SIGTERM and SIGINT as something to wait for.

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
