//! Who visits: a cookie that holds the token, where the engine asks for one, and the proof that a form is our own.
//!
//! The cookie is for this host alone, out of reach for scripts, and not sent along with what other sites have a browser do.

use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
    response::Response,
};
use switchboard_proto::goclaw::v1::{ListWorkflowsRequest, ListWorkflowsResponse, PaginationRequest};
use tonic::Code;

use super::{
    Failure, Visit,
    action::see,
    frame::{Page, Section},
    html::{Url, element, text},
};
use crate::http::{
    answer::LIST,
    routes,
    site::{self, TOKEN},
};

/// Longest token: browsers keep cookies of 4,096 bytes, name and attributes included.
const MAX_TOKEN_BYTES: usize = 3_900;

/// Whether the sign-in form's cookie is what the visitor proves himself with.
pub(super) fn is_signed_in(headers: &HeaderMap) -> bool {
    !headers.contains_key(header::AUTHORIZATION) && site::own_cookie(headers).is_some()
}

/// Whether a link of another site led here. Browsers keep the cookie back then, but not from a page of ours that loads
/// itself again.
pub(super) fn is_led_here(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    site.is_some_and(|site| site != b"same-origin" && site != b"none")
}

/// Refuses a form that does not prove that it is on a page of ours. All browsers of today send such a proof.
pub(super) fn is_own_form(headers: &HeaderMap) -> Result<(), Failure> {
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    let proven = headers.contains_key(header::ORIGIN) || site == Some(b"same-origin");
    if proven && routes::same_origin(headers).is_ok() && site.is_none_or(|site| site == b"same-origin") {
        return Ok(());
    }
    let words =
        "The request does not come from this page. Forms are for browsers; programs use /api/v1.".to_owned();
    Err(Failure::Wrong(StatusCode::FORBIDDEN, "Not from here", words))
}

/// The form that asks for a token, and why it asks again.
pub(super) fn page(status: StatusCode, next: &str, why: Option<&str>) -> Page {
    let next = Url::within(next).unwrap_or_else(|| Url::ui(&[]));
    let field = element("input")
        .attr("type", "password")
        .attr("name", "token")
        .attr("id", "token")
        .attr("autocomplete", "current-password")
        .attr("spellcheck", "false")
        .attr("aria-describedby", "token-help")
        .flag("required", true)
        .flag("autofocus", true);
    let help =
        "As the engine's operator gave it to you. It stays in this browser until you sign out or close it.";
    let form = element("form")
        .class("card sign-in")
        .attr("method", "post")
        .to("action", &Url::ui(&["sign-in"]))
        .child(element("input").attr("type", "hidden").attr("name", "next").attr("value", next.as_str()))
        .child(text("label", "Token").attr("for", "token"))
        .child(field)
        .child(text("p", help).class("help").attr("id", "token-help"))
        .children(why.map(|why| text("p", why).class("note bad").attr("role", "alert")))
        .child(text("button", "Sign in").attr("type", "submit").class("main"));
    Page::new("Sign in", Section::None)
        .status(status)
        .child(text("h1", "Sign in"))
        .child(text("p", "This engine asks who you are.").class("lead"))
        .child(form)
}

/// Checks a token by a call with it, and keeps it in the browser.
pub(super) async fn sign_in(
    visit: &Visit,
    mut parts: Parts,
    token: &str,
    next: &str,
) -> Result<Response, Failure> {
    let token = token.strip_prefix("Bearer ").unwrap_or(token).trim();
    let refused = |why: &str| Ok(page(StatusCode::UNAUTHORIZED, next, Some(why)).response(visit));
    // What a cookie may hold (RFC 6265, 4.1.1); tokens are made of less.
    let fits = token.bytes().all(|byte| byte.is_ascii_graphic() && !b"\",;\\".contains(&byte));
    if token.is_empty() || token.len() > MAX_TOKEN_BYTES || !fits {
        return refused("This is no token: tokens have letters, digits and signs, and no spaces.");
    }
    let secure = is_secure(&parts.headers);
    let Ok(bearer) = HeaderValue::from_str(&format!("Bearer {token}")) else {
        return refused("This is no token.");
    };
    parts.headers.insert(header::AUTHORIZATION, bearer);
    let pagination = Some(PaginationRequest { page_size: 1, ..PaginationRequest::default() });
    let look = ListWorkflowsRequest { pagination, ..ListWorkflowsRequest::default() };
    let caller = routes::caller(&visit.shared, &parts);
    let looked = caller.typed::<ListWorkflowsResponse>(LIST, &look).await;
    match looked {
        // Who may do less than that is known all the same.
        Err(status) if status.code() == Code::Unauthenticated => return refused(status.message()),
        Err(status) if status.code() != Code::PermissionDenied => return Err(status.into()),
        Ok(_) | Err(_) => {}
    }
    let next = Url::within(next).unwrap_or_else(|| Url::ui(&[]));
    Ok(with_cookie(see(&next), &format!("{TOKEN}={token}"), secure))
}

/// Forgets the token.
pub(super) fn sign_out(headers: &HeaderMap) -> Response {
    with_cookie(see(&Url::ui(&["sign-in"])), &format!("{TOKEN}=; Max-Age=0"), is_secure(headers))
}

/// Whether the browser came over TLS. It says so itself: what ends TLS may stand before us.
fn is_secure(headers: &HeaderMap) -> bool {
    headers.get(header::ORIGIN).is_some_and(|origin| origin.as_bytes().starts_with(b"https:"))
}

fn with_cookie(mut response: Response, cookie: &str, secure: bool) -> Response {
    let secure = if secure { "; Secure" } else { "" };
    let cookie = format!("{cookie}; Path=/; HttpOnly; SameSite=Strict{secure}");
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}
