//! The settings of authentication and authorization, as the policy crate takes them.

use super::{Config, TlsSource, parse};
use switchboard_policy::{Error, JwtSettings, KeySource, Mode, Settings};
use switchboard_transport::ClientAuth;

impl Config {
    /// What says who may call and what they may do.
    pub fn policy_settings(&self) -> Settings {
        let jwt = self.auth_jwt_keys.clone().map(|keys| JwtSettings {
            keys,
            issuer: self.auth_jwt_issuer.clone(),
            audience: self.auth_jwt_audience.clone(),
            leeway: self.auth_jwt_leeway,
            roles_claim: self.auth_jwt_roles_claim.clone(),
        });
        Settings { mode: self.auth, tokens: self.auth_tokens.clone(), jwt, policy: self.policy.clone() }
    }

    /// Whether clients are asked for a certificate.
    pub(super) fn asks_for_certificates(&self) -> bool {
        let knows_authorities = self.tls_client_ca.is_some() || self.tls_source == TlsSource::Connect;
        knows_authorities && self.tls_client_auth != ClientAuth::None
    }

    /// What would be said of signed tokens, and nobody would check.
    pub(super) fn check_jwt(&self) -> Result<(), Error> {
        let lonely = [
            ("auth_jwt_issuer", self.auth_jwt_issuer.is_some()),
            ("auth_jwt_audience", !self.auth_jwt_audience.is_empty()),
        ];
        match lonely.into_iter().find(|(_, is_set)| *is_set && self.auth_jwt_keys.is_none()) {
            Some((setting, _)) => {
                Err(Error::Setting { setting, problem: "is set, but auth_jwt_keys is not".to_owned() })
            }
            None => Ok(()),
        }
    }
}

/// Reads a text; `off` is none.
pub(super) fn text(text: &str) -> Result<Option<String>, String> {
    match text {
        "" => Err("is empty; write a text or off".to_owned()),
        "off" => Ok(None),
        text => Ok(Some(text.to_owned())),
    }
}

/// Reads texts with commas between them; `off` is none.
pub(super) fn list(text: &str) -> Result<Vec<String>, String> {
    Ok(if text == "off" { Vec::new() } else { switchboard_policy::list(text) })
}

pub(super) fn show_list(list: &[String]) -> String {
    if list.is_empty() { "off".to_owned() } else { list.join(",") }
}

/// Reads a file or a URL of keys; `off` is none.
pub(super) fn keys(text: &str) -> Result<Option<KeySource>, String> {
    Ok(parse::file(text)?.map(|_| KeySource::parse(text)))
}

/// A URL may hold a password, and a token in its query: neither is shown.
pub(super) fn show_keys(keys: Option<&KeySource>) -> String {
    match keys {
        None => "off".to_owned(),
        Some(KeySource::File(path)) => path.display().to_string(),
        Some(KeySource::Url(url)) => {
            let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
            let bare = rest.split(['?', '#']).next().unwrap_or_default();
            let (authority, path) = bare.split_once('/').unwrap_or((bare, ""));
            let host = authority.rsplit('@').next().unwrap_or_default();
            format!("{scheme}://{host}/{path}")
        }
    }
}

/// Reads `none`, `any` or `both`.
pub(super) fn mode(text: &str) -> Result<Mode, String> {
    Mode::parse(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_of_keys_is_shown_without_its_secrets() {
        for (url, shown) in [
            ("https://issuer/jwks.json", "https://issuer/jwks.json"),
            ("https://user:s3cret@issuer:8443/a/b?token=s3cret#s3cret", "https://issuer:8443/a/b"),
            ("https://issuer?token=s3cret", "https://issuer/"),
        ] {
            assert_eq!(show_keys(keys(url).unwrap().as_ref()), shown);
        }
    }
}
