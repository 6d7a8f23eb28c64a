//! The command line of `auth`.

use std::path::PathBuf;

use clap::Subcommand;

#[derive(Debug, clap::Args)]
pub(crate) struct Auth {
    #[command(subcommand)]
    pub(crate) what: What,
}

#[derive(Debug, Subcommand)]
pub(crate) enum What {
    /// Say which rule decides on a call; exit code 0 if it is allowed, 7 if it is denied
    #[command(after_help = EXPLAIN_HELP)]
    Explain(Explain),
    /// Read settings, tokens, keys and policy as a router would, and say whom a token or certificate proves
    #[command(after_help = CHECK_HELP)]
    Check(Check),
}

const EXPLAIN_HELP: &str = "\
METHOD may be short where only one method of the contract has that name. The router's own methods (List*, Register*,
reflection) have the ID router.

Examples:
  switchboard auth explain --as ann --role planner --call weather-tool/ExecuteTool --policy policy.toml
  switchboard auth explain --as spiffe://switchboard/svc/agent-echo --call router/RegisterAgent
  switchboard auth explain --as ci --call my-agent/my.package.Service/Method";

#[derive(Debug, clap::Args)]
pub(crate) struct Explain {
    /// Name of the caller: a token's subject, or a certificate's URI, DNS name or common name
    #[arg(long = "as", value_name = "NAME")]
    pub(crate) name: String,
    /// A role of the caller; may be repeated
    #[arg(long = "role", value_name = "ROLE")]
    pub(crate) roles: Vec<String>,
    /// What is called
    #[arg(long, value_name = "ID/METHOD")]
    pub(crate) call: String,
    /// File of rules; without one the built-in rules alone hold
    #[arg(long, value_name = "FILE", env = "SWITCHBOARD_POLICY")]
    pub(crate) policy: Option<PathBuf>,
}

const CHECK_HELP: &str = "\
Exit code 64 if a setting or file is wrong, 16 if the token or certificate would be refused.
A certificate is taken as verified: whether its authority is trusted shows in a handshake only.

Examples:
  switchboard auth check --auth any --tokens tokens.toml --policy policy.toml
  switchboard auth check --auth any --jwt-keys jwks.json --jwt-audience switchboard --caller-token @token.jwt";

#[derive(Debug, clap::Args)]
pub(crate) struct Check {
    /// What callers have to prove: none, any or both
    #[arg(long, value_name = "MODE", env = "SWITCHBOARD_AUTH")]
    pub(crate) auth: Option<String>,
    /// File of static tokens
    #[arg(long, value_name = "FILE", env = "SWITCHBOARD_AUTH_TOKENS")]
    pub(crate) tokens: Option<String>,
    /// Keys of signed tokens: JWKS or PEM file, *.secret, or URL of a JWKS
    #[arg(long, value_name = "FILE|URL", env = "SWITCHBOARD_AUTH_JWT_KEYS")]
    pub(crate) jwt_keys: Option<String>,
    /// Issuer that signed tokens must have
    #[arg(long, value_name = "TEXT", env = "SWITCHBOARD_AUTH_JWT_ISSUER")]
    pub(crate) jwt_issuer: Option<String>,
    /// Audience that signed tokens must have
    #[arg(long, value_name = "TEXT", env = "SWITCHBOARD_AUTH_JWT_AUDIENCE")]
    pub(crate) jwt_audience: Option<String>,
    /// By how much the issuer's clock may differ: 30s
    #[arg(long, value_name = "TIME", env = "SWITCHBOARD_AUTH_JWT_LEEWAY")]
    pub(crate) jwt_leeway: Option<String>,
    /// Claim that holds roles
    #[arg(long, value_name = "NAME", env = "SWITCHBOARD_AUTH_JWT_ROLES_CLAIM")]
    pub(crate) jwt_roles_claim: Option<String>,
    /// File of rules and limits
    #[arg(long, value_name = "FILE", env = "SWITCHBOARD_POLICY")]
    pub(crate) policy: Option<String>,
    /// Token of a caller, in a file
    #[arg(long, value_name = "@FILE", value_parser = at_file)]
    pub(crate) caller_token: Option<PathBuf>,
    /// Certificate of a caller (PEM)
    #[arg(long, value_name = "FILE")]
    pub(crate) caller_cert: Option<PathBuf>,
}

/// Reads `@FILE`: arguments of a process are visible to every user of the machine.
fn at_file(text: &str) -> Result<PathBuf, String> {
    match text.strip_prefix('@') {
        Some(file) if !file.is_empty() => Ok(PathBuf::from(file)),
        _ => Err("a token is read from a file, as @FILE: arguments can be seen by others".to_owned()),
    }
}
