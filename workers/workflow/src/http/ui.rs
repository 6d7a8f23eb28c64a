//! `/ui`: the engine's page for people, in HTML that is written here. It works without script; with it, it is always new.
//!
//! ```text
//!  GET   view ──calls──► the services that REST calls ──► HTML
//!  POST  form ─► same origin? ─► call ─► 303 to the page
//!  script: hears events of SSE, fetches the page again, and changes what differs
//! ```
//!
//! No rule of the API stands here, and no state: everything is asked for with the visitor's credentials.
//!
//! | module | what |
//! |---|---|
//! | `html` | elements and addresses, escaped by construction |
//! | `frame` | what all pages share |
//! | `session` | signing in, and whose forms are obeyed |
//! | `action` | what forms do |
//! | `workflows` | the list |
//! | `workflow`, `tasks`, `task` | one workflow, its tasks, one of them |
//! | `history`, `log` | what happened |
//! | `engine`, `schedules` | the engine itself, and what it starts by the clock |
//! | `graph`, `layout`, `drawing` | the graph: what is drawn, where it stands, its SVG |
//! | `state`, `time` | states and times for people |

mod action;
mod drawing;
mod engine;
mod frame;
mod graph;
mod history;
mod html;
mod layout;
mod log;
mod schedules;
mod session;
mod state;
mod task;
mod tasks;
mod time;
mod workflow;
mod workflows;

use std::{hash::Hasher, sync::Arc, sync::LazyLock, time::Duration};

use axum::{
    Form, Router,
    extract::{FromRequest, FromRequestParts, RawPathParams, Request},
    http::{HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use tonic::{Code, Status};

use super::{
    Shared,
    call::Caller,
    request::{self, Parameters},
    routes,
};
use crate::api::status;
use frame::Page;
use html::Url;

/// Longest that a form may take to arrive.
const FORM_TIMEOUT: Duration = Duration::from_secs(30);

/// What is served as it is. A name with the digest of what is behind it may be kept for ever.
const FILES: [(&str, &str, &str); 3] = [
    ("/ui/style.css", "text/css; charset=utf-8", include_str!("ui/style.css")),
    ("/ui/script.js", "text/javascript; charset=utf-8", include_str!("ui/script.js")),
    ("/ui/icon.svg", "image/svg+xml", include_str!("ui/icon.svg")),
];

/// Tells versions of [`FILES`] apart.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut digest = std::hash::DefaultHasher::new();
    FILES.iter().for_each(|(.., text)| digest.write(text.as_bytes()));
    format!("{:016x}", digest.finish())
});

/// Nothing but our own files and calls; no frame around the page, and no form that leads away.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// What a path shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum View {
    Workflows,
    Workflow,
    Task,
    History,
    Log,
    Schedules,
    Engine,
    SignIn,
    Nothing,
}

const VIEWS: [(&str, View); 9] = [
    ("/ui", View::Workflows),
    ("/ui/workflows/{workflow}", View::Workflow),
    ("/ui/workflows/{workflow}/tasks/{task}", View::Task),
    ("/ui/workflows/{workflow}/history", View::History),
    ("/ui/workflows/{workflow}/log", View::Log),
    ("/ui/schedules", View::Schedules),
    ("/ui/engine", View::Engine),
    ("/ui/sign-in", View::SignIn),
    ("/ui/{*rest}", View::Nothing),
];

/// One request for a page.
struct Visit {
    shared: Arc<Shared>,
    caller: Caller,
    query: Parameters,
    /// What the path names.
    place: Parameters,
    /// Path and query.
    address: String,
    /// The credentials came from the sign-in form.
    signed_in: bool,
    /// The script asks, which follows the log by itself.
    follows_log: bool,
}

/// Why there is no page, or not here.
enum Failure {
    /// A service refused.
    Refused(Status),
    /// Something is wrong with the request itself.
    Wrong(StatusCode, &'static str, String),
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self::Refused(status)
    }
}

/// The paths below `/ui`, and the root, which leads there.
pub(super) fn router(shared: &Arc<Shared>) -> Router {
    let pages = VIEWS.into_iter().fold(Router::new(), |router, (path, view)| {
        let shared = shared.clone();
        let handler = move |request: Request| answer(shared.clone(), view, request);
        router.route(path, get(handler.clone()).post(handler))
    });
    let files = FILES.into_iter().fold(pages, |router, (path, kind, text)| {
        router.route(path, get(move |request: Request| std::future::ready(file(&request, kind, text))))
    });
    files.route("/", get(async || Redirect::to("/ui")))
}

fn file(request: &Request, kind: &'static str, text: &'static str) -> Response {
    let kept = match request.uri().query() == Some(VERSION.as_str()) {
        true => "public, max-age=31536000, immutable",
        false => "no-cache",
    };
    let headers = [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, kept)];
    with_policy((headers, text).into_response())
}

fn with_policy(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // With no-referrer, browsers hide from us that a form is our own.
        (header::REFERRER_POLICY, "same-origin"),
        (header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn answer(shared: Arc<Shared>, view: View, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let signed_in = session::is_signed_in(&parts.headers);
    let query = request::query(&mut parts).await.unwrap_or_default();
    let place = match RawPathParams::from_request_parts(&mut parts, &()).await {
        Ok(place) => place.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        Err(_) => Parameters::new(),
    };
    let address = parts.uri.path_and_query().map_or("/ui", |address| address.as_str()).to_owned();
    let caller = routes::caller(&shared, &parts);
    let led_here = session::is_led_here(&parts.headers);
    let follows_log = parts.headers.contains_key("x-follows-log");
    let visit = Visit { shared, caller, query, place, address, signed_in, follows_log };
    let response = match parts.method {
        Method::POST => {
            let request = Request::from_parts(parts.clone(), body);
            match form(request).await {
                Ok(form) => action::act(&visit, view, parts, &form).await,
                Err(failure) => Err(failure),
            }
        }
        _ => visit.show(view).await.map(|page| page.response(&visit)),
    };
    let mut response = response.unwrap_or_else(|failure| visit.failed(&failure).response(&visit));
    if response.status() == StatusCode::UNAUTHORIZED && led_here {
        response.headers_mut().insert(header::REFRESH, HeaderValue::from_static("0"));
    }
    // What is on a page is for who asked for it, now.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    with_policy(response)
}

/// Reads the fields of a form, of at most axum's 2 MB.
async fn form(request: Request) -> Result<Parameters, Failure> {
    session::is_own_form(request.headers())?;
    match tokio::time::timeout(FORM_TIMEOUT, Form::<Parameters>::from_request(request, &())).await {
        Ok(Ok(Form(fields))) => Ok(fields),
        Ok(Err(error)) => Err(Failure::Wrong(error.status(), "This form cannot be read", error.body_text())),
        Err(_) => {
            let words = "It did not arrive in time. Go back and try again.".to_owned();
            Err(Failure::Wrong(StatusCode::REQUEST_TIMEOUT, "This form cannot be read", words))
        }
    }
}

/// The value of a field or a parameter; empty if there is none.
fn value<'a>(fields: &'a Parameters, name: &str) -> &'a str {
    fields.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.trim())
}

impl Visit {
    async fn show(&self, view: View) -> Result<Page, Failure> {
        match view {
            View::Workflows => workflows::show(self).await,
            View::Workflow => workflow::show(self).await,
            View::Task => task::show(self).await,
            View::History => history::show(self).await,
            View::Log => log::show(self).await,
            View::Schedules => schedules::show(self).await,
            View::Engine => engine::show(self).await,
            View::SignIn => Ok(session::page(StatusCode::OK, self.asked("next"), None)),
            View::Nothing => {
                let words = "There is nothing at this address.".to_owned();
                Err(Failure::Wrong(StatusCode::NOT_FOUND, "Nothing here", words))
            }
        }
    }

    /// What the query says of something.
    fn asked(&self, name: &str) -> &str {
        value(&self.query, name)
    }

    /// What the path says of something.
    fn named(&self, name: &str) -> &str {
        value(&self.place, name)
    }

    fn failed(&self, failure: &Failure) -> Page {
        match failure {
            Failure::Refused(refused) if refused.code() == Code::Unauthenticated => {
                let why = self.signed_in.then(|| refused.message());
                session::page(StatusCode::UNAUTHORIZED, &self.address, why)
            }
            Failure::Refused(refused) => {
                let status = StatusCode::from_u16(status::http(refused.code(), ""));
                let title = match refused.code() {
                    Code::NotFound => "Not found",
                    Code::PermissionDenied => "Not for you",
                    Code::FailedPrecondition | Code::Aborted | Code::AlreadyExists => "Not possible now",
                    Code::InvalidArgument | Code::OutOfRange => "Not understood",
                    Code::ResourceExhausted => "Too much at once",
                    Code::Unavailable | Code::DeadlineExceeded => "No answer just now",
                    Code::Unimplemented => "Not in this version",
                    _ => "Something is wrong",
                };
                frame::failed(
                    status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
                    title,
                    refused.message(),
                    &self.here(),
                )
            }
            Failure::Wrong(status, title, words) => frame::failed(*status, title, words, &self.here()),
        }
    }

    /// The page at which the visitor is, without its parameters.
    fn here(&self) -> Url {
        let path = self.address.split('?').next().unwrap_or_default();
        Url::within(path).unwrap_or_else(|| Url::ui(&[]))
    }
}
