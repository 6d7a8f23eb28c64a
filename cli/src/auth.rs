//! `auth`: who may call what by a policy, and whether the files that say so are right.
//!
//! It asks nobody: the decisions are those of `mesh/policy`, which routers and backends make too.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use prost::Message as _;
use prost_types::FileDescriptorSet;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use switchboard_policy::{Authenticator, Credentials, Mode, Policy, Principal, Proof, Settings};
use switchboard_transport::PeerIdentity;

use crate::args::auth::{Auth, Check, Explain, What};
use crate::failure::Failure;
use crate::output;

/// Why `auth` failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A setting or file is wrong.
    #[error(transparent)]
    Settings(#[from] switchboard_policy::Error),
    /// The caller's token or certificate cannot be read.
    #[error("cannot read {}: {reason}", path.display())]
    Credential { path: PathBuf, reason: String },
    /// The caller would not be believed.
    #[error("{0} (UNAUTHENTICATED)")]
    Unauthenticated(#[from] switchboard_policy::Denial),
    /// The caller would be refused.
    #[error("the call is denied: {0} (PERMISSION_DENIED)")]
    Denied(String),
}

/// Runs one of the commands.
pub(crate) async fn run(auth: Auth) -> Result<(), Failure> {
    match auth.what {
        What::Explain(explain) => explained(&explain),
        What::Check(check) => checked(&check).await,
    }
}

fn explained(asked: &Explain) -> Result<(), Failure> {
    let roles = asked.roles.iter().map(String::as_str);
    let caller = Principal::new(&asked.name, roles, Proof::Token)
        .map_err(|problem| Failure::Usage(format!("--as, --role: {problem}")))?;
    let (id, method) = asked.call.split_once('/').ok_or_else(|| {
        Failure::Usage(format!("--call {:?}: expected ID/METHOD, as in echo-agent/ExecuteTask", asked.call))
    })?;
    // Rules hold for all versions of an ID.
    let id = id.split('@').next().unwrap_or_default();
    let path = full_path(method)?;
    let policy = Policy::load(asked.policy.as_deref(), Mode::Any).map_err(Error::from)?;
    output::print(&policy.explain(&caller, id, &path))?;
    let grants = policy.grants(Some(&caller), None);
    let decision = grants.decide(id, &path);
    if decision.allowed { Ok(()) } else { Err(Error::Denied(decision.to_string()).into()) }
}

/// `/pkg.Service/Method` for a full name, or for a short one that only one method of the contract has.
fn full_path(method: &str) -> Result<String, Failure> {
    if method.contains('/') {
        return Ok(format!("/{}", method.trim_start_matches('/')));
    }
    let set = FileDescriptorSet::decode(switchboard_proto::DESCRIPTOR_SET).expect("the build made it");
    let mut paths = Vec::new();
    for file in &set.file {
        for service in &file.service {
            let named = service.method.iter().filter(|known| known.name() == method);
            paths.extend(named.map(|_| format!("/{}.{}/{method}", file.package(), service.name())));
        }
    }
    match paths.as_slice() {
        [path] => Ok(path.clone()),
        [] => Err(Failure::Usage(format!(
            "--call: the contract has no method {method:?}; write package.Service/Method for other methods"
        ))),
        several => Err(Failure::Usage(format!("--call: {method:?} may be {}", several.join(" or ")))),
    }
}

async fn checked(asked: &Check) -> Result<(), Failure> {
    let settings = settings(asked)?;
    let mut said = format!("auth: {}\n", settings.mode.as_str());
    let keys = match settings.jwks_url() {
        Some(url) => Some(switchboard_policy::fetch(url).await.map_err(Error::from)?),
        None => None,
    };
    let server = Authenticator::load(&settings, keys.as_deref()).map_err(Error::from)?;
    Policy::load(settings.policy.as_deref(), settings.mode).map_err(Error::from)?;
    for (what, is_set) in [
        ("static tokens", settings.tokens.is_some()),
        ("keys of signed tokens", settings.jwt.is_some()),
        ("policy", settings.policy.is_some()),
    ] {
        let _ = writeln!(said, "{what}: {}", if is_set { "can be used" } else { "none" });
    }
    let peer = asked.caller_cert.as_deref().map(certificate).transpose()?;
    let header = asked.caller_token.as_deref().map(bearer).transpose()?;
    if peer.is_none() && header.is_none() {
        return output::print(&said);
    }
    let now_unix_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let credentials = Credentials { peer: peer.as_ref(), authorization: header.as_deref() };
    let known = server.authenticate(&credentials, now_unix_s).map_err(Error::from);
    // What was found right is said also if the caller is refused.
    let known = match known {
        Ok(known) => known,
        Err(error) => {
            output::print(&said)?;
            return Err(error.into());
        }
    };
    let Some(caller) = known.principal else {
        said.push_str("caller: nobody is asked\n");
        return output::print(&said);
    };
    let _ = writeln!(said, "caller: {:?}, proved by {}", caller.name, caller.proof.as_str());
    let _ = writeln!(said, "roles: {:?}", caller.roles);
    let _ = match known.valid_until_unix_s {
        u64::MAX => writeln!(said, "valid: until it is taken out of the file"),
        end => writeln!(said, "valid: for {} s more", end - now_unix_s),
    };
    output::print(&said)
}

/// The settings as a backend reads them, from flags that stand above the environment.
fn settings(asked: &Check) -> Result<Settings, Error> {
    let given = [
        ("SWITCHBOARD_AUTH", &asked.auth),
        ("SWITCHBOARD_AUTH_TOKENS", &asked.tokens),
        ("SWITCHBOARD_AUTH_JWT_KEYS", &asked.jwt_keys),
        ("SWITCHBOARD_AUTH_JWT_ISSUER", &asked.jwt_issuer),
        ("SWITCHBOARD_AUTH_JWT_AUDIENCE", &asked.jwt_audience),
        ("SWITCHBOARD_AUTH_JWT_LEEWAY", &asked.jwt_leeway),
        ("SWITCHBOARD_AUTH_JWT_ROLES_CLAIM", &asked.jwt_roles_claim),
        ("SWITCHBOARD_POLICY", &asked.policy),
    ];
    let settings = Settings::from_vars(|name| {
        given.iter().find(|(known, _)| *known == name).and_then(|(_, value)| (*value).clone())
    })?;
    // Whether a listener asks for certificates is not among these settings: it may.
    settings.check(true)?;
    Ok(settings)
}

fn certificate(path: &Path) -> Result<PeerIdentity, Error> {
    let failed = |reason: String| Error::Credential { path: path.to_owned(), reason };
    let der = CertificateDer::from_pem_file(path).map_err(|error| failed(error.to_string()))?;
    PeerIdentity::of(&der).ok_or_else(|| failed("no X.509 certificate".to_owned()))
}

/// The header that carries the token of a file.
fn bearer(path: &Path) -> Result<Vec<u8>, Error> {
    let failed =
        |error: std::io::Error| Error::Credential { path: path.to_owned(), reason: error.to_string() };
    let token = std::fs::read(path).map_err(failed)?;
    Ok([b"Bearer ", token.trim_ascii()].concat())
}
