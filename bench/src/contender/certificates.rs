//! One authority for a run, with a certificate for the proxies and one for the backend.

use anyhow::Result;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use switchboard_transport::authority::{Authority, Subject};

/// Longer than any run, and no certificate of a published result is good for anything afterwards.
const LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// What the proxy's certificate is asked for by clients.
pub(crate) const PROXY_NAME: &str = "localhost";

/// The files, in one folder that templates know as `@TLS_DIR@`.
#[derive(Debug, Clone)]
pub(crate) struct Certificates {
    /// The folder.
    pub(crate) folder: PathBuf,
}

impl Certificates {
    /// Makes `ca.pem`, `proxy.pem`, `proxy.key`, `proxy.both.pem` (HAProxy wants one file), `backend.pem`, `backend.key`.
    ///
    /// # Errors
    /// A file cannot be written.
    pub(super) fn make(folder: &Path) -> Result<Self> {
        let authority = Authority::new("switchboard-bench", LIFETIME)?;
        fs::write(folder.join("ca.pem"), &authority.issued().cert)?;
        for (file, service) in [("proxy", "router"), ("backend", "agent-bench")] {
            let issued = authority.issue(&Subject { lifetime: LIFETIME, ..Subject::service(service) })?;
            fs::write(folder.join(format!("{file}.pem")), &issued.cert)?;
            fs::write(folder.join(format!("{file}.key")), &issued.key)?;
            fs::write(folder.join(format!("{file}.both.pem")), format!("{}{}", issued.cert, issued.key))?;
        }
        Ok(Self { folder: folder.to_owned() })
    }

    /// One of the files above.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}
