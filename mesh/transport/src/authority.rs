//! A certificate authority in memory: for development (`switchboard certs`) and for tests. Not for production, where an
//! authority's key must not lie beside what it signs.

use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, SerialNumber,
};
use std::time::{Duration, SystemTime};

/// Clocks differ; a certificate that is valid from now on is not yet valid elsewhere.
const BACKDATED: Duration = Duration::from_secs(5 * 60);

/// What a certificate is to say, and for how long.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The common name.
    pub common_name: String,
    /// URI subject alternative names.
    pub uris: Vec<String>,
    /// DNS subject alternative names and IP addresses.
    pub hosts: Vec<String>,
    /// Organizational units: the roles of the holder.
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
    pub fn new(common_name: &str, lifetime: Duration) -> Result<Self, rcgen::Error> {
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
    pub fn open(issued: Issued) -> Result<Self, rcgen::Error> {
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
    pub fn issue(&self, subject: &Subject) -> Result<Issued, rcgen::Error> {
        let mut params = params(subject)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        Ok(Issued { cert: params.signed_by(&key, &self.issuer)?.pem(), key: key.serialize_pem() })
    }
}

fn params(subject: &Subject) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(subject.hosts.clone())?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, subject.common_name.as_str());
    for unit in &subject.units {
        params.distinguished_name.push(DnType::OrganizationalUnitName, unit.as_str());
    }
    for uri in &subject.uris {
        params.subject_alt_names.push(SanType::URI(Ia5String::try_from(uri.as_str())?));
    }
    params.serial_number = None::<SerialNumber>;
    params.not_before = subject.not_before.into();
    // Certificates count whole seconds and hold to the end of the last one.
    params.not_after = (SystemTime::now() + subject.lifetime - Duration::from_secs(1)).into();
    Ok(params)
}
