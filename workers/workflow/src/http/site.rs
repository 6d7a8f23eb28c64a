//! From where a request comes, as far as a browser says it: nothing of this API is meant for pages of other sites.
//!
//! | what a page of another site tries | what stops it |
//! |---|---|
//! | to send a request with whatever the browser knows of this site | [`same_origin`]: it says where it comes from |
//! | to be this site, by a name of its own that it lets point here (DNS rebinding) | [`known_host`], where nobody has to prove who he is |
//! | to have a cookie count | [`own_cookie`]: only in what the site itself sends |

use std::net::IpAddr;

use axum::http::{HeaderMap, StatusCode, header};

use super::problem::Problem;

/// The cookie that holds a token, without `Bearer`, for browsers, which set no header in streams and WebSockets.
pub(super) const TOKEN: &str = "switchboard_token";

/// What the headers tell of the page that had the request sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    /// One of this site, or the user.
    Here,
    /// One of another site.
    Elsewhere,
    /// No browser, or one that reads a page of this site.
    Unsaid,
}

fn from(headers: &HeaderMap) -> From {
    let text = |name| headers.get(name).map(|value: &header::HeaderValue| value.to_str().unwrap_or("?"));
    let fetched = text(header::HeaderName::from_static("sec-fetch-site"));
    let origin = text(header::ORIGIN).map(|origin| origin.split_once("://").map(|(_, authority)| authority));
    match (fetched, origin) {
        (Some(site), _) if site != "same-origin" && site != "none" => From::Elsewhere,
        (_, Some(authority)) if authority.is_none() || authority != text(header::HOST) => From::Elsewhere,
        (None, None) => From::Unsaid,
        _ => From::Here,
    }
}

/// Refuses what a page of another site has a browser send: an engine that asks nobody who they are would obey, and a
/// browser adds cookies and certificates by itself.
pub(super) fn same_origin(headers: &HeaderMap) -> Result<(), Problem> {
    let by_cookie = || !headers.contains_key(header::AUTHORIZATION) && cookie(headers).is_some();
    match from(headers) {
        From::Here => Ok(()),
        From::Unsaid if !by_cookie() => Ok(()),
        From::Unsaid => {
            let message = "a browser that shows its cookie has to say from where; update it, or use a token";
            Err(Problem::new(StatusCode::FORBIDDEN, "NO_ORIGIN", message))
        }
        From::Elsewhere => {
            let message = "the request comes from a page of another site; call from the site itself, or without a browser";
            Err(Problem::new(StatusCode::FORBIDDEN, "CROSS_ORIGIN", message))
        }
    }
}

/// The token of the cookie, unless a page of another site had the request sent.
pub(super) fn own_cookie(headers: &HeaderMap) -> Option<&str> {
    cookie(headers).filter(|_| from(headers) != From::Elsewhere)
}

/// The token in the cookie; none if there are two, one of which somebody else may have set.
fn cookie(headers: &HeaderMap) -> Option<&str> {
    let pairs = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut tokens = pairs.flat_map(|pairs| pairs.split(';')).filter_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        (name == TOKEN).then_some(value)
    });
    let token =
        tokens.next().filter(|token| !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic()));
    token.filter(|_| tokens.next().is_none())
}

/// Whether a request is meant for a name that only this machine's owner can have given it: an address, `localhost`, a
/// name without dots, or one that the operator named.
pub(super) fn known_host(headers: &HeaderMap, hosts: &[String]) -> bool {
    let Some(host) = headers.get(header::HOST) else { return true };
    let Ok(host) = host.to_str() else { return false };
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.split(':').next().unwrap_or_default(),
    };
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name.parse::<IpAddr>().is_ok()
        || !name.contains('.')
        || name.ends_with(".localhost")
        || hosts.iter().any(|known| known.eq_ignore_ascii_case(&name))
}

#[cfg(test)]
mod tests {
    use super::{From, HeaderMap, from, known_host, own_cookie, same_origin};

    fn headers(given: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_browser_says_from_where() {
        let host = ("host", "a:8080");
        for (given, expected) in [
            (&[host][..], From::Unsaid),
            (&[host, ("origin", "http://a:8080")], From::Here),
            (&[host, ("origin", "http://a:8081")], From::Elsewhere),
            (&[host, ("origin", "null")], From::Elsewhere),
            (&[host, ("sec-fetch-site", "same-origin")], From::Here),
            (&[host, ("sec-fetch-site", "none")], From::Here),
            (&[host, ("sec-fetch-site", "same-site")], From::Elsewhere),
            (&[host, ("sec-fetch-site", "cross-site"), ("origin", "http://a:8080")], From::Elsewhere),
            (&[host, ("sec-fetch-site", "same-origin"), ("origin", "http://b")], From::Elsewhere),
            (&[("origin", "http://a")], From::Elsewhere),
        ] {
            assert_eq!(from(&headers(given)), expected, "{given:?}");
        }
    }

    #[test]
    fn a_cookie_counts_only_in_what_the_site_itself_sends() {
        let (host, own) = (("host", "a"), ("origin", "https://a"));
        let cookie = ("cookie", "theme=dark; switchboard_token=t.1; x=y");
        assert_eq!(own_cookie(&headers(&[host, cookie])), Some("t.1"));
        assert_eq!(own_cookie(&headers(&[host, own, cookie])), Some("t.1"));
        assert_eq!(own_cookie(&headers(&[host, ("origin", "https://b"), cookie])), None);
        for bad in ["switchboard_token=", "xswitchboard_token=t", "switchboard_token=a; switchboard_token=b"]
        {
            assert_eq!(own_cookie(&headers(&[host, ("cookie", bad)])), None, "{bad}");
        }
        // What changes something has to say where it comes from.
        assert!(same_origin(&headers(&[host, own, cookie])).is_ok());
        assert!(same_origin(&headers(&[host, cookie])).is_err());
        assert!(same_origin(&headers(&[host, cookie, ("authorization", "Bearer t")])).is_ok());
        assert!(same_origin(&headers(&[host])).is_ok());
    }

    #[test]
    fn a_name_that_anybody_can_point_here_is_not_known() {
        let known = |host: &str| known_host(&headers(&[("host", host)]), &["flows.example.com".to_owned()]);
        for good in [
            "127.0.0.1:8080",
            "10.0.0.7",
            "[::1]:8080",
            "[::1]",
            "localhost:8080",
            "a.localhost",
            "LOCALHOST",
            "workflow-worker:8080",
            "flows.example.com",
            "Flows.Example.com:443",
        ] {
            assert!(known(good), "{good}");
        }
        for bad in ["evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example", "example.com"] {
            assert!(!known(bad), "{bad}");
        }
        assert!(known_host(&HeaderMap::new(), &[]), "HTTP/1.0 has none, and browsers do not speak it");
    }
}
