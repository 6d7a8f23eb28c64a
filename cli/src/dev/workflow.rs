//! The workflow engine of `dev`: the only part that keeps anything, and where.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use workflow_worker::worker::{HTTP_PORT, Settings, Worker};

use crate::dev::secure::Secure;
use crate::failure::Failure;

/// Its name in the registry, and in its certificate.
pub(super) const SERVICE: &str = "worker-workflow";

/// Starts it over a directory.
pub(super) async fn start(
    data: &Path,
    router: SocketAddr,
    secure: Option<&Secure>,
) -> Result<Worker, Failure> {
    let settings = Settings {
        client: secure.map(|secure| secure.client(SERVICE)).unwrap_or_default(),
        ..Settings::new(data, router.to_string())
    };
    Worker::start(settings).await.map_err(|error| Failure::Start {
        part: "the workflow engine (--data DIR takes another directory, --backends none leaves it out)",
        reason: switchboard_transport::chain(&error),
    })
}

/// More engines at once nobody has on one machine.
const HTTP_PORTS: u16 = 100;

/// Where HTTP may be served, in the order in which to try: where somebody says, or at the usual port and those above it.
pub(super) fn http(asked: Option<SocketAddr>) -> impl Iterator<Item = SocketAddr> {
    let usual = (HTTP_PORT..HTTP_PORT + HTTP_PORTS).map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    asked.into_iter().chain(usual.filter(move |_| asked.is_none()))
}

/// The directory of whoever asks for none: the user's for what programs keep, by the XDG rules; without a home, the
/// present one.
pub(super) fn default_directory() -> PathBuf {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let state = variable("XDG_STATE_HOME").filter(|path| path.is_absolute());
    let state = state.or_else(|| variable("HOME").map(|home| home.join(".local/state")));
    state.unwrap_or_default().join("switchboard/dev")
}
