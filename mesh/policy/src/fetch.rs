//! Fetches a JWKS by HTTP.

use std::time::Duration;

use crate::Error;
use crate::jwks::MAX_JWKS_BYTES;
use crate::jwks_url::check_url;

/// For the whole answer: an issuer that takes longer is down.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Gets the body of a JWKS URL, for [`Authenticator::load`](crate::Authenticator::load).
///
/// Follows no redirect, waits at most 5 s, and reads at most 1 MiB. Dropping the future ends the request.
///
/// # Errors
/// The URL is not taken, nobody answers, or the answer is not 200 or too long.
pub async fn fetch(url: &str) -> Result<String, Error> {
    let wrong =
        |problem: String| Error::Content { what: "keys of signed tokens", origin: url.to_owned(), problem };
    check_url(url).map_err(|problem| wrong(problem.to_owned()))?;
    let failed = |error: reqwest::Error| wrong(switchboard_transport::chain(&error.without_url()));
    switchboard_transport::install_crypto();
    let none = reqwest::redirect::Policy::none();
    let mut builder = reqwest::Client::builder().redirect(none).timeout(TIMEOUT);
    if url.starts_with("http://") {
        // This machine is asked itself; a proxy could answer with keys of its own.
        builder = builder.no_proxy();
    }
    let client = builder.build().map_err(failed)?;
    let mut answer = client.get(url).send().await.map_err(failed)?;
    if answer.status() != reqwest::StatusCode::OK {
        return Err(wrong(format!("answered {}; redirects are not followed", answer.status().as_u16())));
    }
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(failed)? {
        if body.len() + chunk.len() > MAX_JWKS_BYTES {
            return Err(wrong("answered more than 1 MiB".to_owned()));
        }
        body.extend_from_slice(&chunk);
    }
    String::from_utf8(body).map_err(|_| wrong("answered no text".to_owned()))
}
