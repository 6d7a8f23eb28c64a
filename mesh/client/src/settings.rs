//! What a client reads from variables, for processes that are configured by them.

use std::path::PathBuf;

use switchboard_transport::ClientTls;

use crate::{Config, Error, Token};

impl Config {
    /// The default settings, with what proves who we are, and who the router is, from variables:
    ///
    /// | variable | meaning |
    /// |---|---|
    /// | `SWITCHBOARD_CA` | PEM file of the authorities of the router's certificate |
    /// | `SWITCHBOARD_CERT`, `SWITCHBOARD_KEY` | PEM files of our own certificate |
    /// | `SWITCHBOARD_TOKEN` | token of every call |
    /// | `SWITCHBOARD_TOKEN_FILE` | file of it, read anew when it changes |
    ///
    /// Empty ones count as absent. `get` gives the value of a variable.
    ///
    /// # Errors
    /// [`Error::Setting`] if a setting needs another one, [`Error::Token`] for a token that is none.
    pub fn from_vars(get: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let get =
            |name: &str| get(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let file = |name: &str| get(name).map(PathBuf::from);
        let tls = tls(file("SWITCHBOARD_CA"), file("SWITCHBOARD_CERT"), file("SWITCHBOARD_KEY"))?;
        let token = match (get("SWITCHBOARD_TOKEN"), get("SWITCHBOARD_TOKEN_FILE")) {
            (Some(_), Some(_)) => {
                return Err(Error::Setting {
                    setting: "SWITCHBOARD_TOKEN",
                    problem: "and SWITCHBOARD_TOKEN_FILE are both set: keep one".to_owned(),
                });
            }
            (Some(token), None) => Some(Token::new(&token)?),
            (None, Some(path)) => Some(Token::file(path)?),
            (None, None) => None,
        };
        Ok(Self { tls, token, ..Self::default() })
    }
}

/// The router's address by variables: `SWITCHBOARD_ROUTER`, else `GRPC_ROUTER_HOST` and `GRPC_ROUTER_PORT` (one of them is
/// enough), else `127.0.0.1:50051`. Empty ones count as absent. `get` gives the value of a variable.
pub fn router_address(get: impl Fn(&str) -> Option<String>) -> String {
    let get = |name: &str| get(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
    match (get("SWITCHBOARD_ROUTER"), get("GRPC_ROUTER_HOST"), get("GRPC_ROUTER_PORT")) {
        (Some(address), _, _) => address,
        (None, host, port) => {
            let host = host.unwrap_or_else(|| "127.0.0.1".to_owned());
            let port = port.unwrap_or_else(|| "50051".to_owned());
            format!("{host}:{port}")
        }
    }
}

fn tls(ca: Option<PathBuf>, cert: Option<PathBuf>, key: Option<PathBuf>) -> Result<Option<ClientTls>, Error> {
    let needs = |setting, missing: &str| {
        Err(Error::Setting { setting, problem: format!("is set, but {missing} is not") })
    };
    match (ca, cert, key) {
        (_, Some(_), None) => needs("SWITCHBOARD_CERT", "SWITCHBOARD_KEY"),
        (_, None, Some(_)) => needs("SWITCHBOARD_KEY", "SWITCHBOARD_CERT"),
        (None, Some(_), Some(_)) => needs("SWITCHBOARD_CERT", "SWITCHBOARD_CA"),
        (None, None, None) => Ok(None),
        (Some(ca), cert, key) => Ok(Some(ClientTls { ca, cert, key })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn router_is_found_by_either_kind_of_variable() {
        let address = |vars: &[(&str, &str)]| {
            router_address(|name| vars.iter().find(|(key, _)| *key == name).map(|(_, v)| (*v).to_owned()))
        };
        // Without a scheme: that is https where trust is given.
        assert_eq!(address(&[]), "127.0.0.1:50051");
        assert_eq!(address(&[("SWITCHBOARD_ROUTER", " ")]), "127.0.0.1:50051");
        assert_eq!(address(&[("GRPC_ROUTER_HOST", "haproxy")]), "haproxy:50051");
        assert_eq!(address(&[("GRPC_ROUTER_PORT", "6000")]), "127.0.0.1:6000");
        let both = [("SWITCHBOARD_ROUTER", "http://a:1"), ("GRPC_ROUTER_HOST", "b")];
        assert_eq!(address(&both), "http://a:1");
    }

    #[test]
    fn variables_say_who_we_are_and_whom_we_trust() {
        let config = |vars: &[(&str, &str)]| {
            Config::from_vars(|name| vars.iter().find(|(key, _)| *key == name).map(|(_, v)| (*v).to_owned()))
        };
        let none = config(&[("SWITCHBOARD_CA", " ")]).unwrap();
        assert!(none.tls.is_none() && none.token.is_none());
        let (ca, cert, key) =
            (("SWITCHBOARD_CA", "ca"), ("SWITCHBOARD_CERT", "cert"), ("SWITCHBOARD_KEY", "key"));
        let tls = config(&[ca, cert, key]).unwrap().tls.unwrap();
        assert_eq!((tls.ca, tls.cert, tls.key), ("ca".into(), Some("cert".into()), Some("key".into())));
        assert!(config(&[("SWITCHBOARD_TOKEN", "t")]).unwrap().token.is_some());
        for (vars, words) in [
            (&[ca, cert][..], "SWITCHBOARD_KEY is not"),
            (&[ca, key], "SWITCHBOARD_CERT is not"),
            (&[cert, key], "SWITCHBOARD_CA is not"),
            (&[("SWITCHBOARD_TOKEN", "t"), ("SWITCHBOARD_TOKEN_FILE", "f")], "keep one"),
            (&[("SWITCHBOARD_TOKEN_FILE", "/nowhere/token")], "/nowhere/token"),
        ] {
            let error = config(vars).unwrap_err().to_string();
            assert!(error.contains(words), "{vars:?}: {error}");
        }
    }
}
