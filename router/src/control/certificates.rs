//! Certificates of the data plane, now and after every change.
//!
//! `switchboard_transport` looks at the files every five seconds and on SIGHUP, and keeps the former state while they
//! cannot be used. Here it is handed to the worker threads: a new certificate serves the next handshake, connections that
//! there are live on. With Consul Connect as source every handshake fails until Consul gave the first certificate.

use crate::{
    config::{Config, TlsSource},
    control::registration,
    link::{Certificates, Update, WorkerLink},
    observe::{
        Role,
        text::{self, Kind},
    },
};
use rustls::{ClientConfig, ServerConfig};
use std::sync::Arc;
use switchboard_registry::{Client, ConnectSource};
use switchboard_transport::{Error, Loaded, RELOAD_INTERVAL, Watched, warn_before_expiry};
use tokio::sync::watch;

/// Where the certificates of both directions come from; `None` for one in clear.
#[derive(Debug, Clone)]
pub(crate) struct Sources {
    server: Option<Watched<Loaded<ServerConfig>>>,
    client: Option<Watched<Loaded<ClientConfig>>>,
    /// Where both come from, if not from files.
    connect: Option<ConnectSource>,
}

impl Sources {
    /// Reads what the configuration names for the first time. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// Each error names the file at fault.
    pub(crate) fn open(config: &Config, registry: &Client) -> Result<Self, Error> {
        if config.tls_source == TlsSource::Connect {
            let connect = ConnectSource::start(registry.clone(), registration::SERVICE);
            return Ok(Sources {
                server: Some(connect.listener_at_once(config.tls_client_auth)),
                client: Some(connect.towards_services_at_once()),
                connect: Some(connect),
            });
        }
        Ok(Sources {
            connect: None,
            server: config.server_tls().map(|files| files.watch(RELOAD_INTERVAL)).transpose()?,
            client: config.client_tls().map(|files| files.watch_services(RELOAD_INTERVAL)).transpose()?,
        })
    }

    /// Why no handshake can succeed yet, or `None`.
    pub(super) fn unready(&self) -> Option<String> {
        let connect = self.connect.as_ref().filter(|connect| connect.latest().is_none())?;
        let why = connect.last_error();
        Some(format!(
            "Consul Connect gave no certificate yet: {}",
            why.as_deref().unwrap_or("it has not answered")
        ))
    }

    /// What TLS connections begin with now.
    pub(crate) fn newest(&self) -> Certificates {
        Certificates {
            server: self.server.as_ref().map(|watched| watched.newest().config.clone()),
            client: self.client.as_ref().map(|watched| watched.newest().config.clone()),
        }
    }

    /// Hands every change to the worker threads and to the control plane's own connections, until the task is dropped.
    pub(super) async fn publish(self, workers: Vec<WorkerLink>, current: watch::Sender<Certificates>) {
        let mut server = self.server.as_ref().map(Watched::receiver);
        let mut client = self.client.as_ref().map(Watched::receiver);
        loop {
            tokio::select! {
                changed = changed(&mut server) => if !changed { server = None },
                changed = changed(&mut client) => if !changed { client = None },
            }
            let newest = self.newest();
            for worker in &workers {
                // One that has ended has no handshakes.
                let _ended = !worker.send(Update::Certificates(newest.clone()));
            }
            current.send_replace(newest);
        }
    }

    /// Looks at once whenever somebody asks for it, and warns of certificates that are about to expire.
    pub(super) async fn attend(self, mut reload: watch::Receiver<()>) {
        let asked = async {
            while reload.changed().await.is_ok() {
                self.server.iter().for_each(Watched::trigger);
                self.client.iter().for_each(Watched::trigger);
            }
        };
        let server = async {
            if let Some(watched) = &self.server {
                warn_before_expiry("the certificate of the gRPC port", watched.receiver()).await;
            }
        };
        let client = async {
            if let Some(watched) = &self.client {
                warn_before_expiry("the certificate towards instances", watched.receiver()).await;
            }
        };
        tokio::join!(asked, server, client);
    }

    /// Appends when they expire, and how their changes went.
    pub(super) fn render(&self, out: &mut String) {
        let (server, client) = (self.server.as_ref(), self.client.as_ref());
        let sum = |of_server: fn(&Watched<Loaded<ServerConfig>>) -> u64,
                   of_client: fn(&Watched<Loaded<ClientConfig>>) -> u64| {
            server.map_or(0, of_server) + client.map_or(0, of_client)
        };
        let renewed = self.connect.as_ref().map_or(0, ConnectSource::renewals);
        let refused = self.connect.as_ref().map_or(0, ConnectSource::failures);
        let reloads = renewed + sum(Watched::reloads, Watched::reloads);
        let help = "Changed certificates that were taken up, each direction for itself";
        text::single(out, "tls_reloads_total", Kind::counter, help, reloads);
        let failures = refused + sum(Watched::failures, Watched::failures);
        let help = "Changed certificates that cannot be read or used, so that the former stay";
        text::single(out, "tls_reload_failures_total", Kind::counter, help, failures);
        let name = "tls_certificate_expiry_seconds";
        text::family(out, name, Kind::gauge, "When our certificate expires, in seconds since 1970");
        let server = server.and_then(|watched| Some(watched.newest().own.as_ref()?.not_after));
        let client = client.and_then(|watched| Some(watched.newest().own.as_ref()?.not_after));
        for (role, not_after) in [(Role::Downstream, server), (Role::Upstream, client)] {
            if let Some(not_after) = not_after {
                text::sample(out, name, &[("role", role.name())], not_after);
            }
        }
    }
}

/// Waits for a change of one direction; false if there will be none.
async fn changed<C>(direction: &mut Option<watch::Receiver<Arc<Loaded<C>>>>) -> bool {
    match direction {
        Some(receiver) => receiver.changed().await.is_ok(),
        None => std::future::pending().await,
    }
}
