//! The token and the TLS of the connection to Consul, made again when their files change. It sends nothing.
//!
//! Files are looked at when a request is about to be sent and the last look is 5 s old, and at once when Consul refuses
//! the token. A request under way keeps what it began with. What cannot be used is logged once and changes nothing.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use reqwest::header::HeaderValue;
use switchboard_transport::ClientTls;
use tokio::time::Instant;

use super::{CONNECT_TIMEOUT, MAX_SHORT_REQUESTS};
use crate::config::{Config, Secret, read_token};
use crate::error::Error;

/// Three files of some kilobytes, in the page cache: cheap, and soon enough for a rotation that keeps the old valid.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// What a request is sent with.
pub(super) struct Access {
    pub(super) http: reqwest::Client,
    pub(super) token: Option<HeaderValue>,
}

/// Keeps an [`Access`] as its files are.
pub(super) struct Credentials {
    config: Config,
    current: RwLock<Arc<Access>>,
    /// Counts the tokens.
    generation: AtomicU64,
    last_look: tokio::sync::Mutex<Look>,
}

struct Look {
    began: Instant,
    tls: Option<u64>,
    complaint: Option<String>,
}

impl Credentials {
    /// Makes the first ones of what the configuration holds.
    pub(super) fn new(config: Config) -> Result<Self, Error> {
        let http = http_client(&config)?;
        let token = config.token.as_ref().map(header).transpose()?;
        let look =
            Look { began: Instant::now(), tls: config.tls.as_ref().and_then(fingerprint), complaint: None };
        Ok(Self {
            config,
            current: RwLock::new(Arc::new(Access { http, token })),
            generation: AtomicU64::new(0),
            last_look: tokio::sync::Mutex::new(look),
        })
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    /// Changes with the token.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    /// What a request that begins now is sent with.
    pub(super) async fn get(&self) -> Arc<Access> {
        if self.has_files() {
            // Who comes while another one looks does not wait for it.
            let due = self.last_look.try_lock().is_ok_and(|look| look.began.elapsed() >= LOOK_INTERVAL);
            if due {
                self.look().await;
            }
        }
        self.current()
    }

    /// Looks at the files, unless somebody has begun to after this call. Cancel safe: the next one looks again.
    pub(super) async fn look(&self) {
        if !self.has_files() {
            return;
        }
        let asked = Instant::now();
        let mut last = self.last_look.lock().await;
        if last.began > asked {
            return;
        }
        let (config, tls) = (self.config.clone(), last.tls);
        let began = Instant::now();
        let Ok(found) = tokio::task::spawn_blocking(move || Found::read(&config, tls)).await else { return };
        last.began = began;
        last.tls = found.tls;
        let complaint = self.take(found).err().map(|error| switchboard_transport::chain(&error));
        if let Some(text) = &complaint
            && last.complaint != complaint
        {
            tracing::warn!(
                error = text,
                "a file of the connection to Consul cannot be used; keeping what it held before"
            );
        }
        last.complaint = complaint;
    }

    fn has_files(&self) -> bool {
        self.config.token_file.is_some() || self.config.tls.is_some()
    }

    fn current(&self) -> Arc<Access> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn take(&self, found: Found) -> Result<(), Error> {
        let old = self.current();
        let mut next = Access { http: old.http.clone(), token: old.token.clone() };
        let http = found.http.transpose();
        if let Ok(Some(http)) = &http {
            tracing::info!("the certificates of the connection to Consul have changed");
            next.http = http.clone();
        }
        let token = found.token.and_then(|token| token.as_ref().map(header).transpose());
        let renewed = token.as_ref().is_ok_and(|token| token.is_some() && *token != old.token);
        if renewed {
            tracing::info!("the token for Consul has changed");
            next.token = token.as_ref().ok().cloned().flatten();
        }
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        if renewed {
            self.generation.fetch_add(1, Ordering::Relaxed);
        }
        http.and(token).map(drop)
    }
}

/// What the files hold now.
struct Found {
    /// `None` without a token file.
    token: Result<Option<Secret>, Error>,
    /// Made anew only if the certificates are others than before.
    http: Option<Result<reqwest::Client, Error>>,
    tls: Option<u64>,
}

impl Found {
    fn read(config: &Config, known_tls: Option<u64>) -> Self {
        let tls = config.tls.as_ref().and_then(fingerprint);
        let changed = tls.is_some() && tls != known_tls;
        Self {
            token: config.token_file.as_deref().map(read_token).transpose(),
            http: changed.then(|| http_client(config)),
            tls: tls.or(known_tls),
        }
    }
}

/// Tells two contents of the files apart; `None` while one cannot be read, as in the middle of a replacement.
fn fingerprint(tls: &ClientTls) -> Option<u64> {
    let mut hasher = DefaultHasher::new();
    let files = [Some(&tls.ca), tls.cert.as_ref(), tls.key.as_ref()];
    for file in files.into_iter().flatten() {
        std::fs::read(Path::new(file)).ok()?.hash(&mut hasher);
    }
    Some(hasher.finish())
}

fn header(token: &Secret) -> Result<HeaderValue, Error> {
    let mut value = HeaderValue::from_str(token.expose()).map_err(|_| Error::Config {
        setting: "CONSUL_HTTP_TOKEN",
        reason: "holds characters that no header can carry".to_owned(),
    })?;
    value.set_sensitive(true);
    Ok(value)
}

fn http_client(config: &Config) -> Result<reqwest::Client, Error> {
    let mut builder = reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .pool_max_idle_per_host(MAX_SHORT_REQUESTS)
        // Consul does not redirect; a redirect would carry the token to a stranger. A proxy would see it too.
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy();
    if let Some(tls) = &config.tls {
        builder = builder.tls_backend_preconfigured(tls.client_config().map_err(Error::Tls)?);
    }
    builder.build().map_err(|source| Error::Setup { address: config.address.clone(), source })
}
