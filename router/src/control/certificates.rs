//! Certificates of the data plane: read at the start, and again when they change.
//!
//! Files are compared by content every [`LOOK`] and on SIGHUP, because renewal tools replace them in as many ways as there
//! are tools. A good set serves the next handshake; connections that there are live on. A set that cannot be used changes
//! nothing: it is counted, and logged once. Certificate and key are two files and are not replaced in one step, so a bad
//! set is looked at twice before it is called so, unless somebody asked by SIGHUP.
//!
//! Another source than files only has to call [`Publisher::publish`] with what TLS begins with from then on.

use crate::{
    config::Config,
    link::{Certificates, Update, WorkerLink},
    observe::{Metrics, Role},
};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use std::{
    fs,
    hash::{BuildHasher, RandomState},
    path::PathBuf,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};
use switchboard_transport::{ClientTls, Error, PeerIdentity, ServerTls};
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};

/// Between two looks at the files.
const LOOK: Duration = Duration::from_secs(5);

/// Gives certificates to the worker threads, and to the control plane's own connections.
#[derive(Debug)]
pub(crate) struct Publisher {
    workers: Vec<WorkerLink>,
    current: watch::Sender<Certificates>,
}

impl Publisher {
    /// To be started with what was read before; the receiver sees what follows.
    pub(super) fn new(
        workers: Vec<WorkerLink>,
        first: Certificates,
    ) -> (Self, watch::Receiver<Certificates>) {
        let (current, receiver) = watch::channel(first);
        (Publisher { workers, current }, receiver)
    }

    /// Has the next handshakes of both directions begin with these.
    pub(super) fn publish(&self, certificates: &Certificates) {
        for worker in &self.workers {
            // One that has ended has no handshakes.
            let _ended = !worker.send(Update::Certificates(certificates.clone()));
        }
        self.current.send_replace(certificates.clone());
    }
}

/// Certificates in files.
#[derive(Debug)]
pub(crate) struct Files {
    server: Option<ServerTls>,
    client: Option<ClientTls>,
    metrics: Arc<Metrics>,
    hasher: RandomState,
    /// What the files held when they were last used, or found unusable: a hash, since keys are not kept.
    seen: u64,
    /// What they held at the last look, if that cannot be used and nothing was said of it yet.
    suspect: Option<u64>,
}

impl Files {
    /// Reads them for the first time.
    ///
    /// # Errors
    /// Each error names the file at fault.
    pub(crate) fn open(config: &Config, metrics: Arc<Metrics>) -> Result<(Self, Certificates), Error> {
        let (server, client) = (config.server_tls(), config.client_tls());
        let mut files = Files { server, client, metrics, hasher: RandomState::new(), seen: 0, suspect: None };
        files.seen = files.contents();
        let certificates = files.load()?;
        Ok((files, certificates))
    }

    /// Publishes what changes, until the task is dropped. A change of `reload` asks for a look at once.
    pub(super) async fn watch(mut self, publisher: Publisher, mut reload: watch::Receiver<()>) {
        if self.server.is_none() && self.client.is_none() {
            return;
        }
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut reloads = true;
        loop {
            let asked = tokio::select! {
                _ = look.tick() => false,
                asked = reload.changed(), if reloads => {
                    // A closed channel will never ask again.
                    reloads = asked.is_ok();
                    reloads
                }
            };
            if let Some(certificates) = self.look(asked) {
                publisher.publish(&certificates);
            }
        }
    }

    /// Reads the files; what they hold, if that is new and good. `asked`: by a person, who wants to know at once.
    fn look(&mut self, asked: bool) -> Option<Certificates> {
        let contents = self.contents();
        if contents == self.seen {
            self.suspect = None;
            if asked {
                tracing::info!("certificates have not changed");
            }
            return None;
        }
        match self.load() {
            Ok(certificates) => {
                self.seen = contents;
                self.suspect = None;
                self.metrics.tls.reloads.fetch_add(1, Relaxed);
                tracing::info!("certificates have changed: new connections use them");
                Some(certificates)
            }
            Err(error) if asked || self.suspect == Some(contents) => {
                self.seen = contents;
                self.suspect = None;
                self.metrics.tls.reload_failures.fetch_add(1, Relaxed);
                let error = super::chain(&error);
                tracing::error!(error, "changed certificates cannot be used, the former ones stay");
                None
            }
            Err(_) => {
                self.suspect = Some(contents);
                None
            }
        }
    }

    /// Makes configurations of what the files hold now, and notes when it expires.
    fn load(&self) -> Result<Certificates, Error> {
        let mut expiry = [0, 0];
        let server = match &self.server {
            None => None,
            Some(files) => {
                let (config, own) = files.server_config()?;
                expiry[Role::Downstream as usize] = own.not_after;
                Some(Arc::new(config))
            }
        };
        let client = match &self.client {
            None => None,
            Some(files) => {
                let own = files.cert.as_ref().and_then(|cert| {
                    let chain = CertificateDer::from_pem_file(cert).ok()?;
                    PeerIdentity::of(&chain)
                });
                expiry[Role::Upstream as usize] = own.map_or(0, |own| own.not_after);
                Some(Arc::new(files.service_config()?))
            }
        };
        for role in Role::ALL {
            self.metrics.tls.of(role).expiry.store(expiry[role as usize], Relaxed);
        }
        Ok(Certificates { server, client })
    }

    /// A hash of all files; one that cannot be read counts as another content.
    fn contents(&self) -> u64 {
        let server = self
            .server
            .iter()
            .flat_map(|files| [Some(&files.cert), Some(&files.key), files.client_ca.as_ref()]);
        let client =
            self.client.iter().flat_map(|files| [Some(&files.ca), files.cert.as_ref(), files.key.as_ref()]);
        let paths: Vec<&PathBuf> = server.chain(client).flatten().collect();
        self.hasher.hash_one(paths.into_iter().map(|path| fs::read(path).ok()).collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests;
