//! Consul Connect: the authorities of the mesh, the certificate of a service, and who may connect to whom.

use reqwest::Method;
use serde::{Deserialize, Serialize};

use super::exchange::Request;
use super::{Client, Indexed, check_name, write_service};
use crate::error::Error;

/// Authorities that certificates of the mesh are verified with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectRoots {
    /// The domain of every SPIFFE ID of this Consul: `<uuid>.consul`.
    pub trust_domain: String,
    /// Certificates in PEM, the one that signs now and those whose certificates may still be in use.
    pub roots: Vec<String>,
}

/// The certificate of a service. Its key is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct ConnectLeaf {
    /// The certificate in PEM, then intermediate ones.
    pub chain: String,
    /// Its private key in PEM.
    pub key: crate::Secret,
    /// Its SPIFFE ID.
    pub uri: String,
}

impl std::fmt::Debug for ConnectLeaf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConnectLeaf").field("uri", &self.uri).finish_non_exhaustive()
    }
}

/// What Consul's intentions say of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Authorization {
    /// Whether it is allowed.
    pub authorized: bool,
    /// Which intention says so, or that it is the default.
    #[serde(default)]
    pub reason: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RootsBody {
    trust_domain: String,
    roots: Option<Vec<RootBody>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RootBody {
    root_cert: String,
}

#[derive(Deserialize)]
struct LeafBody {
    #[serde(rename = "CertPEM")]
    chain: String,
    #[serde(rename = "PrivateKeyPEM")]
    key: String,
    #[serde(rename = "ServiceURI")]
    uri: String,
}

#[derive(Serialize)]
struct AuthorizeBody<'a> {
    #[serde(rename = "Target")]
    target: &'a str,
    #[serde(rename = "ClientCertURI")]
    uri: &'a str,
    #[serde(rename = "ClientCertSerial")]
    serial: &'a str,
}

impl Client {
    /// Reads the authorities, at once if `index` is 0, else when they have changed or the configuration's `wait` is over.
    ///
    /// # Errors
    /// Connect is off (500), the registry cannot be reached in time, or it refuses.
    pub async fn connect_roots(&self, index: u64) -> Result<Indexed<ConnectRoots>, Error> {
        let url = self.url(&["v1", "agent", "connect", "ca", "roots"]);
        let request = Request::new(Method::GET, url, "");
        let Indexed { value, index } = self.poll::<RootsBody>(request, index, None).await?;
        let roots = value.roots.unwrap_or_default().into_iter().map(|root| root.root_cert).collect();
        Ok(Indexed { value: ConnectRoots { trust_domain: value.trust_domain, roots }, index })
    }

    /// Reads the certificate of a service, which Consul makes at the first question and renews by itself. Waits as
    /// [`Client::connect_roots`] does.
    ///
    /// # Errors
    /// The name cannot be used, Connect is off (500), the registry cannot be reached in time, or the token may not
    /// write the service.
    pub async fn connect_leaf(&self, service: &str, index: u64) -> Result<Indexed<ConnectLeaf>, Error> {
        check_name("service", service)?;
        let url = self.url(&["v1", "agent", "connect", "ca", "leaf", service]);
        let request = Request::new(Method::GET, url, write_service(service));
        let Indexed { value, index } = self.poll::<LeafBody>(request, index, None).await?;
        let LeafBody { chain, key, uri } = value;
        Ok(Indexed { value: ConnectLeaf { chain, key: crate::Secret::new(key), uri }, index })
    }

    /// Asks whether the holder of a client certificate may connect to `target`. [`crate::Intentions`] remembers answers.
    ///
    /// `serial` is written as in [`switchboard_transport::PeerIdentity::serial`].
    ///
    /// # Errors
    /// The name cannot be used, the URI is no SPIFFE ID of a service (400), the registry cannot be reached in time, or
    /// the token may not write the target.
    pub async fn connect_authorize(
        &self,
        target: &str,
        uri: &str,
        serial: &str,
    ) -> Result<Authorization, Error> {
        check_name("service", target)?;
        let url = self.url(&["v1", "agent", "connect", "authorize"]);
        let request = Request::new(Method::POST, url, write_service(target));
        let request = request.json(&AuthorizeBody { target, uri, serial });
        let answer = self.short(&request).await?;
        self.decode(&request.url, answer.body).await
    }
}
