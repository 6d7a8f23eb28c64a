//! A certificate authority in memory: for development (`switchboard certs`) and for tests. Not for production, where an
//! authority's key must not lie beside what it signs.

use crate::PeerIdentity;
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, SerialNumber,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, SystemTime};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Clocks differ; a certificate that is valid from now on is not yet valid elsewhere.
const BACKDATED: Duration = Duration::from_secs(5 * 60);

/// Why a certificate could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The names cannot stand in a certificate, or the authority's PEM is none.
    #[error("the certificate cannot be written: {0}")]
    Certificate(#[from] rcgen::Error),
    /// rcgen keeps one organizational unit; without a word it would drop the others.
    #[error("{0} organizational units were asked for, at most one can be written")]
    Units(usize),
}

/// What a certificate is to say, and for how long.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The common name.
    pub common_name: String,
    /// URI subject alternative names.
    pub uris: Vec<String>,
    /// DNS subject alternative names and IP addresses.
    pub hosts: Vec<String>,
    /// Organizational units: the roles of the holder. At most one can be written.
    pub units: Vec<String>,
    /// From when it is valid; five minutes ago unless set.
    pub not_before: SystemTime,
    /// How long from now on; zero makes one that has just ended.
    pub lifetime: Duration,
}

impl Subject {
    /// A holder without further names, for a day.
    pub fn new(common_name: &str) -> Self {
        Self {
            common_name: common_name.to_owned(),
            uris: Vec::new(),
            hosts: Vec::new(),
            units: Vec::new(),
            not_before: SystemTime::now() - BACKDATED,
            lifetime: Duration::from_secs(24 * 3600),
        }
    }

    /// An instance of a service of the registry (`agent-echo`, `router`), on this machine too.
    pub fn service(service: &str) -> Self {
        let hosts = [service, &format!("{service}.service.consul"), "localhost", "127.0.0.1", "::1"];
        Self {
            uris: vec![format!("spiffe://switchboard/svc/{service}")],
            hosts: hosts.map(str::to_owned).to_vec(),
            ..Self::new(service)
        }
    }

    /// The holder of a certificate (PEM), to make it another: its names, its roles, and as long a life from now on.
    /// `None` if it is no X.509 certificate.
    pub fn of(certificate: &str) -> Option<Self> {
        let der = CertificateDer::from_pem_slice(certificate.as_bytes()).ok()?;
        let peer = PeerIdentity::of(&der)?;
        let (_, parsed) = X509Certificate::from_der(&der).ok()?;
        let mut hosts = peer.dns;
        if let Ok(Some(names)) = parsed.subject_alternative_name() {
            hosts.extend(names.value.general_names.iter().filter_map(|name| match name {
                GeneralName::IPAddress(bytes) => address(bytes).map(|address| address.to_string()),
                _ => None,
            }));
        }
        let seconds = parsed.validity().not_after.timestamp() - parsed.validity().not_before.timestamp();
        let life = Duration::from_secs(u64::try_from(seconds).ok()?);
        Some(Self {
            common_name: peer.common_name.unwrap_or_default(),
            uris: peer.uris,
            hosts,
            units: peer.units,
            not_before: SystemTime::now() - BACKDATED,
            lifetime: life.saturating_sub(BACKDATED),
        })
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(|octets| Ipv4Addr::from(octets).into()),
        _ => <[u8; 16]>::try_from(bytes).ok().map(|octets| Ipv6Addr::from(octets).into()),
    }
}

/// A certificate with its key, both PEM.
#[derive(Clone)]
pub struct Issued {
    /// The certificate, without the authority's.
    pub cert: String,
    /// PKCS#8.
    pub key: String,
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issued").finish_non_exhaustive()
    }
}

/// An authority and its key.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    issued: Issued,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

impl Authority {
    /// Makes a new authority (EC P-256).
    ///
    /// # Errors
    /// The names cannot stand in a certificate.
    pub fn new(common_name: &str, lifetime: Duration) -> Result<Self, Error> {
        let subject = Subject { lifetime, ..Subject::new(common_name) };
        let mut params = params(&subject)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let issued = Issued { cert: params.self_signed(&key)?.pem(), key: key.serialize_pem() };
        Ok(Self { issuer: Issuer::new(params, key), issued })
    }

    /// Takes up an authority whose certificate and key were kept.
    ///
    /// # Errors
    /// They are no certificate and key in PEM.
    pub fn open(issued: Issued) -> Result<Self, Error> {
        let issuer = Issuer::from_ca_cert_pem(&issued.cert, KeyPair::from_pem(&issued.key)?)?;
        Ok(Self { issuer, issued })
    }

    /// The authority's own certificate and key.
    pub fn issued(&self) -> &Issued {
        &self.issued
    }

    /// Makes a certificate for both ends of a connection, with a new key.
    ///
    /// # Errors
    /// The subject's names cannot stand in a certificate.
    pub fn issue(&self, subject: &Subject) -> Result<Issued, Error> {
        let mut params = params(subject)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        Ok(Issued { cert: params.signed_by(&key, &self.issuer)?.pem(), key: key.serialize_pem() })
    }
}

fn params(subject: &Subject) -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::new(subject.hosts.clone())?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, subject.common_name.as_str());
    if subject.units.len() > 1 {
        return Err(Error::Units(subject.units.len()));
    }
    for unit in &subject.units {
        params.distinguished_name.push(DnType::OrganizationalUnitName, unit.as_str());
    }
    for uri in &subject.uris {
        params.subject_alt_names.push(SanType::URI(Ia5String::try_from(uri.as_str())?));
    }
    params.serial_number = None::<SerialNumber>;
    params.not_before = subject.not_before.into();
    // Certificates count whole seconds and hold to the end of the last one: none is one less.
    let ended = Duration::from_secs(u64::from(subject.lifetime.is_zero()));
    params.not_after = (SystemTime::now() + subject.lifetime - ended).into();
    Ok(params)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_says_of_whom_to_make_another() {
        let authority = Authority::new("test", Duration::from_secs(3600)).unwrap();
        let mut wanted = Subject::service("agent-echo");
        wanted.units = vec!["caller".to_owned()];
        let first = authority.issue(&wanted).unwrap();
        let read = Subject::of(&first.cert).unwrap();
        assert_eq!((&read.common_name, &read.uris), (&wanted.common_name, &wanted.uris));
        assert_eq!((&read.hosts, &read.units), (&wanted.hosts, &wanted.units));
        let second = authority.issue(&read).unwrap();
        assert_ne!(first.key, second.key);
        let again = Subject::of(&second.cert).unwrap();
        assert_eq!((again.hosts, again.lifetime.as_secs()), (wanted.hosts, wanted.lifetime.as_secs()));
    }

    #[test]
    fn a_role_is_never_dropped_without_a_word() {
        let authority = Authority::new("test", Duration::from_secs(3600)).unwrap();
        let units = vec!["caller".to_owned(), "operator".to_owned()];
        let refused = authority.issue(&Subject { units, ..Subject::new("ci") }).unwrap_err();
        assert!(refused.to_string().contains("2 organizational units"), "{refused}");
    }

    #[test]
    fn what_is_no_certificate_is_nobody() {
        for text in ["", "x", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            assert!(Subject::of(text).is_none(), "{text:?}");
        }
    }
}
