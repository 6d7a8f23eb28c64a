//! What all pages share: head, navigation, the place of notes, and what keeps a page new.

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

use super::{
    VERSION, Visit,
    html::{Element, Url, element, link, text},
    state::{State, sign},
};
use crate::http::routes;

/// How often a page without script may be fetched again, in seconds.
const REFRESH_S: u32 = 10;

/// Parts of the site, as the navigation has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    Workflows,
    Schedules,
    Engine,
    None,
}

/// A page, but for what all share.
pub(super) struct Page {
    status: StatusCode,
    title: String,
    section: Section,
    /// Streams of events, any of which says that the page is old.
    follow: Vec<Url>,
    /// How often it is fetched again in any case; 0 is never.
    every_ms: u32,
    main: Vec<Element>,
}

impl Page {
    pub(super) fn new(title: impl Into<String>, section: Section) -> Self {
        let (status, follow, main) = (StatusCode::OK, Vec::new(), Vec::new());
        Self { status, title: title.into(), section, follow, every_ms: 0, main }
    }

    pub(super) fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    pub(super) fn follow(mut self, streams: impl IntoIterator<Item = Url>) -> Self {
        self.follow.extend(streams);
        self
    }

    pub(super) fn every_ms(mut self, every_ms: u32) -> Self {
        self.every_ms = every_ms;
        self
    }

    pub(super) fn child(mut self, child: Element) -> Self {
        self.main.push(child);
        self
    }

    pub(super) fn children(mut self, children: impl IntoIterator<Item = Element>) -> Self {
        self.main.extend(children);
        self
    }

    /// The page for a visit, as an answer.
    pub(super) fn response(self, visit: &Visit) -> Response {
        let status = self.status;
        let kind = [(header::CONTENT_TYPE, "text/html; charset=utf-8")];
        (status, kind, self.document(visit)).into_response()
    }

    fn document(self, visit: &Visit) -> String {
        let Self { title, section, follow, every_ms, main, .. } = self;
        let is_live = every_ms > 0 || !follow.is_empty();
        let refreshes = is_live && visit.asked("refresh") == REFRESH_S.to_string();
        let viewport = "width=device-width, initial-scale=1";
        let head = element("head")
            .child(element("meta").attr("charset", "utf-8"))
            .child(element("meta").attr("name", "viewport").attr("content", viewport))
            .child(element("meta").attr("name", "color-scheme").attr("content", "light dark"))
            .child(element("meta").attr("name", "robots").attr("content", "noindex"))
            .child(text("title", format!("{title} · Switchboard")))
            .child(file("link", "href", "style.css").attr("rel", "stylesheet"))
            .child(file("link", "href", "icon.svg").attr("rel", "icon").attr("type", "image/svg+xml"))
            .child(file("script", "src", "script.js").flag("defer", true))
            .children(refreshes.then(|| {
                let again = element("meta").attr("http-equiv", "refresh").attr("content", REFRESH_S);
                element("noscript").child(again)
            }));
        let streams: Vec<&str> = follow.iter().map(Url::as_str).collect();
        let mut body = element("main").attr("id", "main").attr("tabindex", -1);
        if is_live {
            body = body.attr("data-follow", streams.join(" ")).attr("data-every", every_ms);
        }
        let body = body.children(main);
        let skip =
            element("a").class("skip").to("href", &visit.here().at("main")).text("Skip to the content");
        element("html")
            .attr("lang", "en")
            .child(head)
            .child(
                element("body")
                    .child(skip)
                    .child(banner(section, visit))
                    .child(body)
                    .child(footer(visit, is_live, refreshes)),
            )
            .document()
    }
}

/// An element that names one of our files.
fn file(name: &'static str, attribute: &'static str, file: &str) -> Element {
    element(name).to(attribute, &Url::ui(&[file]).version(&VERSION))
}

fn banner(section: Section, visit: &Visit) -> Element {
    let entry = |words: &str, to: Url, of: Section| {
        let link = link(&to, words);
        element("li").child(if of == section { link.attr("aria-current", "page") } else { link })
    };
    let entries = element("ul")
        .child(entry("Workflows", Url::ui(&[]), Section::Workflows))
        .child(entry("Schedules", Url::ui(&["schedules"]), Section::Schedules))
        .child(entry("Engine", Url::ui(&["engine"]), Section::Engine));
    let brand = element("a")
        .class("brand")
        .to("href", &Url::ui(&[]))
        .child(sign("M1.5 4.5h4l5 7h4M1.5 11.5h4l1.6-2.2M9 6.8l1.5-2.3h4"))
        .child(text("span", "Switchboard"));
    let (state, words) = match routes::state(&visit.shared.engine, &visit.shared.ending) {
        "ready" => (State::Completed, "Engine ready"),
        "paused" => (State::Paused, "Engine paused"),
        "stopping" => (State::Cancelling, "Engine stopping"),
        _ => (State::Failed, "Engine failed"),
    };
    let health = element("a")
        .class(&format!("state health {}", state.tone()))
        .attr("id", "health")
        .to("href", &Url::ui(&["engine"]))
        .child(state.icon())
        .child(text("span", words));
    let sign_out = visit.signed_in.then(|| {
        let button = text("button", "Sign out").attr("name", "do").attr("value", "sign-out").class("quiet");
        element("form").attr("method", "post").to("action", &Url::ui(&["sign-in"])).child(button)
    });
    element("header")
        .class("banner")
        .child(brand)
        .child(element("nav").attr("aria-label", "Main").child(entries))
        .child(element("div").class("aside").child(health).children(sign_out))
}

/// Says how new the page is, and what to do about it.
fn footer(visit: &Visit, is_live: bool, refreshes: bool) -> Element {
    let version = text("span", format!("Switchboard {}", env!("CARGO_PKG_VERSION")));
    let mut footer = element("footer").child(version).child(element("span").child(link_to_api()));
    if is_live {
        let here = |refresh: &str| {
            let kept = visit.query.iter().filter(|(name, _)| name != "refresh" && name != "done");
            kept.fold(visit.here(), |url, (name, value)| url.with(name, value)).with("refresh", refresh)
        };
        // With script, the button takes the place of the links.
        let button = text("button", "Live").attr("type", "button").attr("id", "live").flag("hidden", true);
        let word = element("span").attr("id", "live-word").attr("data-own", "");
        let by_hand =
            element("span").attr("id", "by-hand").child(link(&here(""), "Reload")).text(" · ").child(
                match refreshes {
                    true => link(&here(""), "Stop reloading"),
                    false => link(&here(&REFRESH_S.to_string()), format!("Reload every {REFRESH_S} s")),
                },
            );
        let live = element("span").attr("id", "freshness").attr("data-own", "");
        footer = footer.child(live.child(button.attr("aria-pressed", "true")).child(word).child(by_hand));
    }
    footer
}

fn link_to_api() -> Element {
    link(&Url::root("/openapi.json"), "API")
}

/// The page that says why there is none.
pub(super) fn failed(status: StatusCode, title: &str, words: &str, back: &Url) -> Page {
    let code = status.as_u16();
    Page::new(title, Section::None)
        .status(status)
        .child(text("h1", title))
        .child(text("p", words).class("lead").attr("role", "alert"))
        .child(element("p").child(link(back, "Back")).text(" · ").child(link(&Url::ui(&[]), "All workflows")))
        .child(text("p", format!("HTTP {code}")).class("help"))
}

/// A list of what is known of something: term and value.
pub(super) fn facts(facts: impl IntoIterator<Item = (&'static str, Element)>) -> Element {
    let facts = facts
        .into_iter()
        .map(|(term, value)| element("div").child(text("dt", term)).child(element("dd").child(value)));
    element("dl").class("facts").children(facts)
}

/// A part of a page with its heading.
pub(super) fn section(id: &'static str, heading: &str) -> Element {
    let title = format!("{id}-title");
    element("section")
        .attr("id", id)
        .attr("aria-labelledby", &title)
        .child(text("h2", heading).attr("id", &title))
}

/// A table that scrolls by itself where the screen is narrow.
pub(super) fn table(
    label: &str,
    columns: &[&'static str],
    rows: impl IntoIterator<Item = Element>,
) -> Element {
    let columns = columns.iter().map(|column| text("th", column).attr("scope", "col"));
    let table = element("table")
        .child(text("caption", label).class("unseen"))
        .child(element("thead").child(element("tr").children(columns)))
        .child(element("tbody").children(rows));
    element("div")
        .class("scroll")
        .attr("tabindex", 0)
        .attr("role", "region")
        .attr("aria-label", label)
        .child(table)
}

/// A cell.
pub(super) fn cell(content: Element) -> Element {
    element("td").child(content)
}

/// Where the path leads here from.
pub(super) fn trail(parts: impl IntoIterator<Item = (Url, String)>, here: &str) -> Element {
    let parts = parts.into_iter().map(|(url, words)| element("li").child(link(&url, words)));
    let here = element("li").child(text("span", here).attr("aria-current", "page"));
    element("nav")
        .class("trail")
        .attr("aria-label", "Breadcrumb")
        .child(element("ol").children(parts).child(here))
}

/// What a form has done, if the visitor comes from one.
pub(super) fn done(visit: &Visit) -> Option<Element> {
    let words = match visit.asked("done") {
        "cancel" => "Cancelled: no new task starts, and tasks that run have 30 s to end.",
        "cancel-now" => "Cancelled at once.",
        "retry" => "Retried: it goes on from what had not completed.",
        "pause" => "Paused: no new task starts.",
        "resume" => "It goes on.",
        "compensate" => "What had completed is being undone.",
        "signal" => "The signal is given.",
        "trigger" => "Started.",
        "delete" => "Deleted.",
        _ => return None,
    };
    Some(text("p", words).class("note good").attr("id", "done").attr("tabindex", -1).flag("autofocus", true))
}
