//! The command line of `certs`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;

const CERTS_HELP: &str = "\
For development and for a first secure setup. The authority's key lies beside what it signs: whoever can read the
directory can become anybody. In production certificates come from your own authority or from Consul Connect.

Examples:
  switchboard certs init certs                          everything, and how to use it
  switchboard certs issue certs --service agent-poet    one more service
  switchboard certs issue certs --client ci --role caller
  switchboard certs token certs --sub me --role caller --ttl 1h
  switchboard certs renew certs                         new certificates and keys under the same names";

#[derive(Debug, clap::Args)]
#[command(after_help = CERTS_HELP)]
pub(crate) struct Certs {
    #[command(subcommand)]
    pub(crate) what: What,
}

#[derive(Debug, Subcommand)]
pub(crate) enum What {
    /// Make an authority, certificates, tokens and a policy in a new directory
    #[command(
        after_help = "Example:\n  switchboard certs init certs --service agent-poet --host mesh.example.org"
    )]
    Init(Init),
    /// Make certificates for more services or clients
    #[command(
        after_help = "Example:\n  switchboard certs issue certs --service agent-poet\n  switchboard certs issue certs --client ci --role operator"
    )]
    Issue(Issue),
    /// Make every certificate and key again, under the same names and for as long as before
    #[command(after_help = RENEW_HELP)]
    Renew(Renew),
    /// Print a signed token (JWT)
    #[command(
        after_help = "Example:\n  switchboard certs token certs --sub me --role caller --ttl 1h > me.jwt"
    )]
    Token(Token),
}

const RENEW_HELP: &str = "\
Running processes read the files again by themselves, within 5 s. To replace the authority as well without a failed
call, wait that long after each step:
  switchboard certs renew certs --next-ca          the next authority joins ca.pem; nothing is signed with it yet
  switchboard certs renew certs                    everything is signed by it
  switchboard certs renew certs --forget-old-ca    the one before is trusted no more

Example:
  switchboard certs renew certs";

#[derive(Debug, clap::Args)]
pub(crate) struct Init {
    /// The directory; it is made if need be
    pub(crate) dir: PathBuf,
    /// A service of the registry (agent-poet) that gets a certificate too; may be repeated
    #[arg(long = "service", value_name = "NAME")]
    pub(crate) services: Vec<String>,
    /// A host name or IP address under which the services are reached; may be repeated
    #[arg(long = "host", value_name = "NAME")]
    pub(crate) hosts: Vec<String>,
    /// How long the certificates are good
    #[arg(long, value_name = "N", default_value_t = crate::certs::DAYS, value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub(crate) days: u32,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Issue {
    /// The directory of `certs init`
    pub(crate) dir: PathBuf,
    /// A service of the registry (agent-poet); may be repeated
    #[arg(long = "service", value_name = "NAME", required_unless_present = "client")]
    pub(crate) services: Vec<String>,
    /// A client
    #[arg(long, value_name = "NAME", conflicts_with_all = ["services", "hosts"])]
    pub(crate) client: Option<String>,
    /// The role of the client: caller, operator, admin, or one of the policy
    #[arg(long, value_name = "NAME", requires = "client")]
    pub(crate) role: Option<String>,
    /// A host name or IP address under which the services are reached; may be repeated
    #[arg(long = "host", value_name = "NAME")]
    pub(crate) hosts: Vec<String>,
    /// How long the certificates are good
    #[arg(long, value_name = "N", default_value_t = crate::certs::DAYS, value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub(crate) days: u32,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Renew {
    /// The directory of `certs init`
    pub(crate) dir: PathBuf,
    /// Make the next authority and trust it beside the present one; certificates stay as they are
    #[arg(long)]
    pub(crate) next_ca: bool,
    /// Trust the newest authority alone; certificates stay as they are
    #[arg(long, conflicts_with = "next_ca")]
    pub(crate) forget_old_ca: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Token {
    /// The directory of `certs init`
    pub(crate) dir: PathBuf,
    /// Whose token it is: the name of the principal
    #[arg(long, value_name = "NAME")]
    pub(crate) sub: String,
    /// A role; may be repeated
    #[arg(long = "role", value_name = "NAME")]
    pub(crate) roles: Vec<String>,
    /// How long it is good: 30s, 15m, 1h
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = super::duration)]
    pub(crate) ttl: Duration,
    /// For whom it is: the receiver's `auth_jwt_audience`
    #[arg(long, value_name = "NAME", default_value = crate::certs::AUDIENCE)]
    pub(crate) audience: String,
}
