//! Descriptions of backends in Consul's meta, so that the registry alone can answer "what is there, and how is it used".
//!
//! The keys are plain, so that a service in any language can write them by hand:
//!
//! | key | value | pieces |
//! |---|---|---|
//! | `kind` | `agent`, `tool` or `worker` | 1 |
//! | `name` | name for people | 1 |
//! | `version` | what `echo-agent@<version>` selects | 1 |
//! | `description` | one sentence | 2 |
//! | `detailed_description`, `how_it_works`, `return_format` | text | 12, 6, 4 |
//! | `use_cases` | sentences, separated by `\|` | 6 |
//! | `capabilities` | words, separated by `,` | 3 |
//! | `grpc_services` | full names of gRPC services, separated by `,` | 4 |
//! | `parameters` | `name:type:required:description` or `name:type:optional:description`, separated by `\|` | 10 |
//! | `max_concurrency` | calls that one instance takes at the same time, a number above 0 | 1 |
//! | `idempotent` | `true`: every call may be executed twice, so routers may send one again | 1 |
//! | `hedge` | when a slow call is sent to a second instance too: `on` (measured), or `150ms`; see [`Hedge`] | 1 |
//! | `timeout` | deadline of unary calls whose client sent none: `300ms`, `5s`, `2m`, `1h` | 1 |
//! | `timeout_max` | longest deadline of unary calls, whoever set it | 1 |
//! | `stream_idle` | how long a call may pass no bytes; `0s` is for ever | 1 |
//! | `drain_streams_after` | how long calls may go on at an instance that left; `0s` is for ever | 1 |
//! | `max_message_bytes` | longest message in either direction: `65536`, `64KiB`, `4MiB` | 1 |
//! | `max_queue` | calls that wait for the service, on each worker thread of a router | 1 |
//! | `max_calls` | calls of the service in flight over one router | 1 |
//!
//! Those from `timeout` on are [`Limits`]: routers keep them for the whole service, as the first healthy instance says
//! them, and what is not set is the router's setting. `idempotent` and `hedge` are of the whole service likewise. A router
//! reads two keys more, which have no field here: `weight` (a number; the instance's share of calls) and `balance` (`p2c`,
//! `round_robin`, `least_request`, `affinity:<header>`). A value that cannot be read counts as unset, and the router says so once.
//!
//! Consul allows 64 pairs with values of 512 bytes. A longer value is split over `<key>_1`, `<key>_2` ... up to the
//! number of pieces in the table; what still does not fit is cut: texts and single items end with an ellipsis, further
//! list items are left out. That makes 60 pairs at most and leaves 4 to the backend. A separator inside an item is
//! written `\,` or `\|`, in a parameter's name or type also `\:`, and a backslash `\\`. Control characters
//! become spaces, spaces around items do not count, and empty values are not written.

mod hedge;
mod limits;
mod list;
#[cfg(test)]
mod tests;
mod text;

use std::collections::BTreeMap;

use crate::ids::{ClientId, Kind};
pub use hedge::Hedge;
pub use limits::Limits;

/// Describes one parameter that a backend takes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parameter {
    /// Its key in the `parameters` of a request.
    pub name: String,
    /// Its type, for example `string`.
    pub type_: String,
    /// Whether a call without it fails.
    pub required: bool,
    /// What it means, for people and for models that choose a tool.
    pub description: String,
}

/// Describes a backend to its users.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Description {
    /// What it is; `None` for a service that is not of the mesh.
    pub kind: Option<Kind>,
    /// Name for people.
    pub name: String,
    /// One sentence.
    pub description: String,
    /// Some paragraphs.
    pub detailed_description: String,
    /// What it does to get its answer.
    pub how_it_works: String,
    /// What the answer looks like.
    pub return_format: String,
    /// When to use it, a sentence each.
    pub use_cases: Vec<String>,
    /// Version of this instance.
    pub version: String,
    /// What it can do, a word each.
    pub capabilities: Vec<String>,
    /// What it takes.
    pub parameters: Vec<Parameter>,
    /// Full names of the gRPC services that it serves.
    pub grpc_services: Vec<String>,
    /// Calls that one instance takes at the same time; `None` is unlimited.
    pub max_concurrency: Option<u32>,
    /// Whether every call may be executed twice.
    pub idempotent: bool,
    /// When slow calls of those that may be executed twice are sent to a second instance as well; `None`: never.
    pub hedge: Option<Hedge>,
    /// What routers hold the service's calls to.
    pub limits: Limits,
}

impl Description {
    /// Writes the description into meta that Consul accepts whatever the texts are. See the module for the keys.
    pub fn encode(&self) -> BTreeMap<String, String> {
        let mut meta = BTreeMap::new();
        if let Some(kind) = self.kind {
            meta.insert("kind".to_owned(), kind.as_str().to_owned());
        }
        if let Some(max) = self.max_concurrency.filter(|max| *max > 0) {
            meta.insert("max_concurrency".to_owned(), max.to_string());
        }
        if self.idempotent {
            meta.insert("idempotent".to_owned(), "true".to_owned());
        }
        if let Some(hedge) = self.hedge.and_then(Hedge::encode) {
            meta.insert("hedge".to_owned(), hedge);
        }
        meta.append(&mut self.limits.encode());
        let texts = [
            ("name", &self.name, 1),
            ("version", &self.version, 1),
            ("description", &self.description, 2),
            ("detailed_description", &self.detailed_description, 12),
            ("how_it_works", &self.how_it_works, 6),
            ("return_format", &self.return_format, 4),
        ];
        for (key, value, pieces) in texts {
            text::insert(&mut meta, key, &text::cut(&text::clean(value), pieces), pieces);
        }
        let parameters: Vec<_> = self.parameters.iter().map(list::encode_parameter).collect();
        let lists = [
            ("use_cases", list::encode(&self.use_cases, '|', 6), 6),
            ("capabilities", list::encode(&self.capabilities, ',', 3), 3),
            ("grpc_services", list::encode(&self.grpc_services, ',', 4), 4),
            ("parameters", list::join(parameters, '|', 10), 10),
        ];
        for (key, value, pieces) in lists {
            text::insert(&mut meta, key, &value, pieces);
        }
        meta
    }

    /// Reads the description of an instance of `service`. Nothing is an error: what is missing or broken is empty.
    ///
    /// A registration without our keys gets its kind and name from the service's name (or its kind from a tag), and
    /// its capabilities from the other tags.
    pub fn decode(service: &str, meta: &BTreeMap<String, String>, tags: &[String]) -> Self {
        let id = ClientId::from_service(service);
        let kind_of_tags = || tags.iter().find_map(|tag| tag.parse().ok());
        let kind = meta.get("kind").and_then(|kind| kind.parse().ok());
        let get = |key: &str| text::get(meta, key);
        let mut capabilities = list::decode(&get("capabilities"), ',');
        if capabilities.is_empty() {
            let says_more = |tag: &&String| tag.parse::<Kind>().is_err() && !tag.contains([':', '=']);
            capabilities = tags.iter().filter(says_more).cloned().collect();
        }
        let name = Some(get("name")).filter(|name| !name.is_empty());
        Self {
            kind: kind.or(id.as_ref().map(|id| id.kind)).or_else(kind_of_tags),
            name: name.or(id.map(|id| id.name)).unwrap_or_else(|| service.to_owned()),
            description: get("description"),
            detailed_description: get("detailed_description"),
            how_it_works: get("how_it_works"),
            return_format: get("return_format"),
            use_cases: list::decode(&get("use_cases"), '|'),
            version: get("version"),
            capabilities,
            parameters: list::split(&get("parameters"), '|')
                .iter()
                .filter_map(|item| list::decode_parameter(item))
                .collect(),
            grpc_services: list::decode(&get("grpc_services"), ','),
            max_concurrency: get("max_concurrency").parse().ok().filter(|max| *max > 0),
            idempotent: meta.get("idempotent").is_some_and(|text| text.trim() == "true"),
            hedge: meta.get("hedge").and_then(|text| Hedge::decode(text)),
            limits: Limits::decode(meta).0,
        }
    }
}
