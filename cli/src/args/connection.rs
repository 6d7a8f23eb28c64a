//! Where the router is, whom it must prove itself by, and what proves who we are.

use std::path::PathBuf;

use switchboard_client::{Client, Config};

use crate::failure::Failure;

#[derive(Debug, clap::Args)]
pub(crate) struct Connection {
    /// Address of the router; without http:// or https:// in front it is https if a CA is given
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "SWITCHBOARD_ENDPOINT",
        default_value = "127.0.0.1:50051"
    )]
    pub(crate) endpoint: String,

    /// PEM authorities by which an https router must prove itself [env: SWITCHBOARD_CA]
    #[arg(long, global = true, value_name = "FILE")]
    ca: Option<PathBuf>,

    /// PEM certificate that proves who we are [env: SWITCHBOARD_CERT]
    #[arg(long, global = true, value_name = "FILE")]
    cert: Option<PathBuf>,

    /// PEM private key of the certificate [env: SWITCHBOARD_KEY]
    #[arg(long, global = true, value_name = "FILE")]
    key: Option<PathBuf>,

    /// File of the token that proves who we are, with @ before its name; a token itself goes into a variable
    /// (SWITCHBOARD_TOKEN), or its file without @ (SWITCHBOARD_TOKEN_FILE)
    #[arg(long, global = true, value_name = "@FILE")]
    token: Option<String>,
}

impl Connection {
    /// A client that connects at its first call, so that a wrong argument is told before a missing router. Flags stand
    /// above variables, which `get` gives.
    pub(crate) fn client(&self, get: impl Fn(&str) -> Option<String>) -> Result<Client, Failure> {
        let token_file = self.token.as_deref().map(token_file).transpose()?;
        let path = |path: &PathBuf| Some(path.display().to_string());
        let config = Config::from_vars(|name| match (name, &token_file) {
            ("SWITCHBOARD_CA", _) => self.ca.as_ref().and_then(path).or_else(|| get(name)),
            ("SWITCHBOARD_CERT", _) => self.cert.as_ref().and_then(path).or_else(|| get(name)),
            ("SWITCHBOARD_KEY", _) => self.key.as_ref().and_then(path).or_else(|| get(name)),
            ("SWITCHBOARD_TOKEN", Some(_)) => None,
            ("SWITCHBOARD_TOKEN_FILE", Some(file)) => Some(file.clone()),
            _ => get(name),
        })?;
        Ok(Client::connect_lazy_with(&self.endpoint, config)?)
    }
}

/// The name in `@FILE`. Arguments are visible to everybody on the machine, so that a token is none; what was given is not
/// repeated, as it may be one.
fn token_file(text: &str) -> Result<String, Failure> {
    match text.strip_prefix('@') {
        Some(file) if !file.is_empty() => Ok(file.to_owned()),
        _ => Err(Failure::Usage(
            "--token takes the name of a file, as @FILE: arguments are visible to every user of this machine; \
             a token itself goes into the variable SWITCHBOARD_TOKEN"
                .to_owned(),
        )),
    }
}
