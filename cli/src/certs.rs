//! `certs`: an authority for development, and what it vouches for.
//!
//! One directory holds everything that a secured mesh needs: certificates and keys for both ends of every hop, a static
//! token, a key that signs tokens, and a policy to begin with. Keys and tokens are readable by their owner only, and every
//! file is replaced as a whole, so that a process that watches it never reads half of one.

mod issue;
mod jwt;
mod renew;
mod store;
mod usage;

pub(crate) use usage::quoted;

use std::path::{Path, PathBuf};

use rand::RngExt;
use switchboard_transport::authority;

use crate::args::certs::{Certs, Init, What};
use crate::certs::store::Store;
use crate::output;

/// Who signs tokens, and for whom: what `SWITCHBOARD_AUTH_JWT_ISSUER` and `_AUDIENCE` have to say.
pub(crate) const ISSUER: &str = "switchboard";
/// See [`ISSUER`].
pub(crate) const AUDIENCE: &str = "switchboard";

/// How long a certificate is good unless it is said.
pub(crate) const DAYS: u32 = 365;

/// The services of the example backends.
const EXAMPLES: [&str; 4] = ["agent-echo", "tool-weather", "worker-itinerary", "worker-workflow"];

/// Why `certs` cannot do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{} holds an authority already", .dir.display())]
    Exists { dir: PathBuf },
    #[error("{} holds no authority: there is no {}", .dir.display(), .dir.join(.file).display())]
    NoAuthority { dir: PathBuf, file: &'static str },
    #[error("{what} {name:?}: {problem}")]
    Name { what: &'static str, name: String, problem: &'static str },
    #[error("cannot {doing} {}: {source}", .path.display())]
    File { doing: &'static str, path: PathBuf, source: std::io::Error },
    #[error("{} does not hold {what}", .path.display())]
    Unreadable { path: PathBuf, what: &'static str },
    #[error("cannot make a certificate for {name}: {source}")]
    Certificate { name: String, source: authority::Error },
    #[error("cannot sign a token: {0}")]
    Sign(#[from] jsonwebtoken::errors::Error),
}

impl Error {
    /// What to do about it.
    pub(crate) fn next_step(&self) -> Option<String> {
        match self {
            Self::Exists { dir } => {
                let dir = dir.display();
                Some(format!(
                    "add certificates with `switchboard certs issue {dir} --service NAME`, replace them with `switchboard certs renew {dir}`, or name another directory"
                ))
            }
            Self::NoAuthority { dir, .. } => {
                Some(format!("make one with `switchboard certs init {}`", dir.display()))
            }
            Self::Unreadable { path, .. } => {
                Some(format!("put {} back as it was, or begin with a new directory", path.display()))
            }
            _ => None,
        }
    }
}

/// Runs one of the commands.
pub(crate) fn run(certs: Certs) -> Result<(), crate::failure::Failure> {
    match certs.what {
        What::Init(init) => {
            create(&init)?;
            output::print(&usage::text(&init.dir)?)
        }
        What::Issue(asked) => output::print(&issue::run(&asked)?),
        What::Renew(asked) => output::print(&renew::run(&asked)?),
        What::Token(asked) => output::print(&jwt::sign(&Store::open(&asked.dir)?, &asked)?),
    }
}

/// Makes a directory with everything, unless it has an authority already.
pub(crate) fn create_if_missing(dir: &Path) -> Result<(), Error> {
    if Store::open(dir).is_ok() {
        return Ok(());
    }
    let init = Init { dir: dir.to_owned(), services: Vec::new(), hosts: Vec::new(), days: DAYS };
    create(&init)
}

/// Makes a directory with everything. What a first run that was cut short left behind is made again.
pub(crate) fn create(init: &Init) -> Result<(), Error> {
    let (store, authority) = Store::create(&init.dir)?;
    let lifetime = issue::days(init.days);
    let services = ["router"].into_iter().chain(EXAMPLES).chain(init.services.iter().map(String::as_str));
    for service in services {
        let mut subject = issue::service(service, &init.hosts, lifetime)?;
        if service == "router" {
            // Its name in docker-compose.yml: clients there know the routers by it.
            subject.hosts.push("haproxy".to_owned());
        }
        store.issue(&authority, service, &subject)?;
    }
    store.issue(&authority, "consul", &issue::consul(&init.hosts, lifetime)?)?;
    for (name, role) in [("client", "caller"), ("admin", "admin")] {
        store.issue(&authority, name, &issue::client(name, Some(role), lifetime)?)?;
    }
    let token: String = rand::rng().random::<[u8; 32]>().iter().map(|byte| format!("{byte:02x}")).collect();
    store.write_secret("client.token", &format!("{token}\n"))?;
    store.write_secret("tokens.toml", &tokens(&token))?;
    jwt::create(&store, &authority)?;
    store.write("policy.toml", include_str!("certs/policy.toml"))?;
    // Last: with them the directory counts as complete.
    store.write_authority(&authority)
}

fn tokens(token: &str) -> String {
    format!(
        "# Static tokens: whoever shows one is that principal. Secret; the file is read again when it changes.\n\
         # Instead of `token` an entry may have `sha256`, the hash of one in hexadecimal.\n\
         [[tokens]]\n\
         token = \"{token}\"\n\
         name = \"dev\"\n\
         roles = [\"caller\"]\n"
    )
}
