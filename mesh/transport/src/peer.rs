//! Who a certificate says its holder is.

use rustls::pki_types::CertificateDer;
use std::time::{SystemTime, UNIX_EPOCH};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// The names of a certificate that was verified against a trusted authority, and the end of its validity.
///
/// It says nothing of whether it was verified: only take it from a finished handshake.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct PeerIdentity {
    /// URI subject alternative names, such as `spiffe://…/svc/web`, as they stand in the certificate.
    pub uris: Vec<String>,
    /// DNS subject alternative names.
    pub dns: Vec<String>,
    /// The subject's common name.
    pub common_name: Option<String>,
    /// The subject's organizational units, which stand for roles.
    pub units: Vec<String>,
    /// Serial number in lower-case hexadecimal, bytes joined by colons, as Consul writes it.
    pub serial: String,
    /// End of validity, in seconds since 1970.
    pub not_after: i64,
}

impl PeerIdentity {
    /// Reads the names of an end-entity certificate; `None` if it is no X.509 certificate.
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
        let mut peer = PeerIdentity {
            serial: certificate.raw_serial_as_string(),
            not_after: certificate.validity().not_after.timestamp(),
            ..Self::default()
        };
        let text =
            |name: &x509_parser::x509::AttributeTypeAndValue<'_>| name.as_str().ok().map(str::to_owned);
        peer.common_name = certificate.subject().iter_common_name().find_map(text);
        peer.units = certificate.subject().iter_organizational_unit().filter_map(text).collect();
        if let Ok(Some(names)) = certificate.subject_alternative_name() {
            for name in &names.value.general_names {
                match name {
                    GeneralName::URI(uri) => peer.uris.push((*uri).to_owned()),
                    GeneralName::DNSName(dns) => peer.dns.push(dns.to_ascii_lowercase()),
                    _ => {}
                }
            }
        }
        Some(peer)
    }

    /// The one name by which policies know the holder: the first URI, else the first DNS name, else the common name.
    pub fn name(&self) -> Option<&str> {
        let alternative = self.uris.first().or(self.dns.first());
        alternative.or(self.common_name.as_ref()).map(String::as_str)
    }

    /// Whether its validity has ended. A session that resumes verifies nothing anew, and may be older than that end.
    pub fn has_ended(&self, now: SystemTime) -> bool {
        let now_unix_s = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        self.not_after.saturating_sub_unsigned(now_unix_s) < 0
    }

    /// Whether the certificate was made for this service in this trust domain: it has the SPIFFE ID
    /// `spiffe://<domain>/…/svc/<service>`. DNS names do not count, as they have no domain.
    pub fn is_service_of(&self, service: &str, trust_domain: &str) -> bool {
        let fits = |uri: &String| {
            service_of_uri(uri) == Some(service)
                && uri.strip_prefix("spiffe://").and_then(|rest| rest.split('/').next()) == Some(trust_domain)
        };
        self.uris.iter().any(fits)
    }

    /// Whether the certificate was made for this service of the registry (`agent-echo`, `router`): a SPIFFE ID whose path
    /// ends in `/svc/<service>`, as Consul Connect issues them, or the DNS name `<service>` or `<service>.service.consul`.
    pub fn is_service(&self, service: &str) -> bool {
        let spiffe = |uri: &String| uri.starts_with("spiffe://") && service_of_uri(uri) == Some(service);
        let dns = |name: &String| name == service || name.strip_suffix(".service.consul") == Some(service);
        self.uris.iter().any(spiffe) || self.dns.iter().any(dns)
    }
}

/// `web` of `spiffe://…/svc/web`.
fn service_of_uri(uri: &str) -> Option<&str> {
    let (front, service) = uri.rsplit_once('/')?;
    front.ends_with("/svc").then_some(service)
}
