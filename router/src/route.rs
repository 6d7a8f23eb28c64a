//! Step 5: which service a call is for.
//!
//! The [`RouteTable`] is read once from the descriptor set: methods whose proto says where a request carries its
//! ID (`switchboard.route`, or a row of `switchboard.routes` in a file beside it), and the router's own
//! methods. `decide` applies the rules in their order: (a) header `x-switchboard-target`, (b) the ID field of
//! the first message, (c) the name of the gRPC service, (d) the router itself. It resolves names only; which
//! instances there are is the directory's business.

mod known;

pub(crate) use known::KnownIds;

use crate::error::{Error, Reason};
use foldhash::HashMap;
use prost_reflect::prost_types::method_options::IdempotencyLevel;
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor, Value};
use std::{str, sync::Arc};
use switchboard_registry::ids::{ClientId, Kind};

/// The header of routing rule (a): a client ID, `echo-agent` or `echo-agent@v2`.
pub const TARGET_HEADER: &str = "x-switchboard-target";

/// What the contract says of one method.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MethodRoute {
    /// Full name with a slash in front, as in `:path`.
    pub path: Arc<str>,
    /// Number of the first message's field that carries the ID; 0 if there is none.
    pub id_field: u32,
    /// Its name, for error messages.
    pub id_name: Arc<str>,
    /// Number of the field by which calls stick to one instance; 0 if there is none.
    pub affinity_field: u32,
    /// The kind that an ID without suffix takes.
    pub kind: Option<Kind>,
    /// Answered by the router itself (with an ID field: only when that field is empty).
    pub local: bool,
    /// Asks about work and is none itself: it goes to its key's owner even if that is full.
    pub query: bool,
    /// May be called twice: `option idempotency_level` of the method.
    pub idempotent: bool,
    /// One request message, one response message.
    pub unary: bool,
}

/// Why a descriptor set cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RouteError {
    /// The bytes are not a descriptor set.
    #[error("descriptor set cannot be decoded")]
    Descriptor(#[from] prost_reflect::DescriptorError),
    /// A route names a field that its request does not have, or that is no string.
    #[error("route of {method}: request {message} has no string field {field}")]
    Field {
        /// Full method name.
        method: String,
        /// Full name of the request message.
        message: String,
        /// The field as the route names it.
        field: String,
    },
    /// A row of the table names a method that is in no file.
    #[error("route for unknown method {0}")]
    UnknownMethod(String),
}

/// All methods that the router knows by their contract. Every other method is routed by rule (a) or (c).
#[derive(Debug, Default)]
pub struct RouteTable {
    methods: HashMap<Box<[u8]>, Arc<MethodRoute>>,
}

/// gRPC services that the router answers itself, whatever their methods.
const OWN_SERVICES: [&str; 3] = [
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
];

impl RouteTable {
    /// Reads the routes of a descriptor set that was encoded with its extension options.
    pub fn from_descriptor_set(bytes: &[u8]) -> Result<Self, RouteError> {
        let pool = DescriptorPool::decode(bytes)?;
        let mut table = RouteTable::default();
        let on_method = pool.get_extension_by_name("switchboard.route");
        let on_file = pool.get_extension_by_name("switchboard.routes");
        let methods: HashMap<String, MethodDescriptor> = pool
            .services()
            .flat_map(|service| service.methods().collect::<Vec<_>>())
            .map(|method| (format!("{}/{}", method.parent_service().full_name(), method.name()), method))
            .collect();
        if let Some(extension) = &on_method {
            for (name, method) in &methods {
                let options = method.options();
                if options.has_extension(extension)
                    && let Value::Message(route) = &*options.get_extension(extension)
                {
                    table.insert(name, method, route)?;
                }
            }
        }
        if let Some(extension) = &on_file {
            for file in pool.files() {
                let options = file.options();
                let rows = options.get_extension(extension);
                for row in rows.as_list().unwrap_or_default() {
                    let Some(row) = row.as_message() else { continue };
                    let name = text(row, "method");
                    let method = methods.get(&name).ok_or_else(|| RouteError::UnknownMethod(name.clone()))?;
                    if let Some(route) = row.get_field_by_name("route").as_deref().and_then(Value::as_message)
                    {
                        table.insert(&name, method, route)?;
                    }
                }
            }
        }
        Ok(table)
    }

    fn insert(
        &mut self,
        name: &str,
        method: &MethodDescriptor,
        route: &DynamicMessage,
    ) -> Result<(), RouteError> {
        let number = |field: &str| -> Result<u32, RouteError> {
            let name = text(route, field);
            if name.is_empty() {
                return Ok(0);
            }
            let input = method.input();
            match input.get_field_by_name(&name) {
                Some(field) if matches!(field.kind(), prost_reflect::Kind::String) && !field.is_list() => {
                    Ok(field.number())
                }
                _ => Err(RouteError::Field {
                    method: method.full_name().to_owned(),
                    message: input.full_name().to_owned(),
                    field: name,
                }),
            }
        };
        let kind = match route.get_field_by_name("kind").as_deref().and_then(Value::as_enum_number) {
            Some(1) => Some(Kind::Agent),
            Some(2) => Some(Kind::Tool),
            Some(3) => Some(Kind::Worker),
            _ => None,
        };
        let flag = |name| route.get_field_by_name(name).as_deref().and_then(Value::as_bool).unwrap_or(false);
        let path: Arc<str> = format!("/{name}").into();
        let entry = MethodRoute {
            path: path.clone(),
            id_field: number("id_field")?,
            id_name: text(route, "id_field").into(),
            affinity_field: number("affinity_field")?,
            kind,
            local: flag("local"),
            query: flag("query"),
            idempotent: is_idempotent(method),
            unary: !method.is_client_streaming() && !method.is_server_streaming(),
        };
        self.methods.insert(path.as_bytes().into(), Arc::new(entry));
        Ok(())
    }

    /// The method of that `:path`, if the contract says anything of it.
    pub fn get(&self, path: &[u8]) -> Option<&Arc<MethodRoute>> {
        self.methods.get(path)
    }

    /// All routes, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<MethodRoute>> {
        self.methods.values()
    }
}

/// Whether the method says that it has no side effects, or the same ones when called again.
fn is_idempotent(method: &MethodDescriptor) -> bool {
    let level = method.method_descriptor_proto().options.as_ref().map(|options| options.idempotency_level());
    level.is_some_and(|level| level != IdempotencyLevel::IdempotencyUnknown)
}

fn text(message: &DynamicMessage, field: &str) -> String {
    message.get_field_by_name(field).as_deref().and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Whom a call is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// A client ID: Consul service, and the version that its instances must have.
    Id { id: Arc<str>, service: Arc<str>, version: Option<Arc<str>> },
    /// A full gRPC service name.
    GrpcService(Arc<str>),
    /// The router's own services.
    Local,
}

/// Decides by headers alone. `Ok(None)`: the first message has to be read.
pub(crate) fn decide(
    method: Option<&MethodRoute>,
    path: &[u8],
    target: Option<&[u8]>,
) -> Result<Option<Target>, Error> {
    match (method, target) {
        (Some(method), _) if method.id_field != 0 => Ok(None),
        (method, Some(target)) => by_id(target, method.and_then(|m| m.kind), TARGET_HEADER).map(Some),
        (Some(_), None) => Ok(Some(Target::Local)),
        (None, None) => {
            let service = grpc_service(path)?;
            Ok(Some(if OWN_SERVICES.contains(&service) {
                Target::Local
            } else {
                Target::GrpcService(service.into())
            }))
        }
    }
}

/// Decides by the ID in the first message, and by the header where there is one: both must name the same.
pub(crate) fn decide_by_message(
    method: &MethodRoute,
    target: Option<&[u8]>,
    id: &[u8],
    too_long: bool,
) -> Result<Target, Error> {
    if too_long {
        return Err(Error::invalid_id(
            Reason::ID_TOO_LONG,
            &method.id_name,
            id,
            "is longer than 63 characters",
        ));
    }
    match (target, id.is_empty()) {
        (None, true) if method.local => Ok(Target::Local),
        (None, true) => Err(Error::missing_id(&method.id_name)),
        (Some(target), true) => by_id(target, method.kind, TARGET_HEADER),
        (None, false) => by_id(id, method.kind, &method.id_name),
        (Some(target), false) => {
            let header = by_id(target, method.kind, TARGET_HEADER)?;
            let body = by_id(id, method.kind, &method.id_name)?;
            if header != body {
                return Err(Error::id_mismatch(target, &method.id_name, id));
            }
            Ok(header)
        }
    }
}

fn by_id(raw: &[u8], kind: Option<Kind>, from: &str) -> Result<Target, Error> {
    let text = str::from_utf8(raw)
        .map_err(|_| Error::invalid_id(Reason::ID_ILL_FORMED, from, raw, "is not valid UTF-8"))?;
    let id = ClientId::parse(text, kind)
        .map_err(|error| Error::invalid_id(Reason::ID_ILL_FORMED, from, raw, &error.to_string()))?;
    Ok(Target::Id {
        service: id.service().into(),
        version: id.version.as_deref().map(Into::into),
        id: id.to_string().into(),
    })
}

/// Whether the path is `/package.Service/Method` and nothing else. Servers cut off a query before they look the method
/// up, and some decode or join slashes: a path that can be read in two ways would be called by one name and judged by
/// another.
pub(crate) fn is_method_path(path: &[u8]) -> bool {
    let name = |part: &[u8]| {
        (1..=255).contains(&part.len())
            && part.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
    };
    let mut parts = path.strip_prefix(b"/").unwrap_or_default().split(|byte| *byte == b'/');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(service), Some(method), None) => name(service) && name(method),
        _ => false,
    }
}

/// `/pkg.Service/Method` -> `pkg.Service`.
fn grpc_service(path: &[u8]) -> Result<&str, Error> {
    str::from_utf8(path)
        .ok()
        .filter(|path| is_method_path(path.as_bytes()))
        .and_then(|path| path.strip_prefix('/')?.split_once('/'))
        .map(|(service, _)| service)
        .ok_or_else(|| Error::bad_path(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> RouteTable {
        RouteTable::from_descriptor_set(switchboard_proto::DESCRIPTOR_SET).unwrap()
    }

    fn id(service: &str) -> Target {
        let (kind, name) = service.split_once('-').unwrap();
        Target::Id { id: format!("{name}-{kind}").into(), service: service.into(), version: None }
    }

    #[test]
    fn the_contract_says_where_each_method_carries_its_id() {
        let table = table();
        let execute = table.get(b"/agentplatform.AgentService/ExecuteTask").unwrap();
        assert_eq!((execute.id_field, execute.kind, execute.unary), (2, Some(Kind::Agent), true));
        let stream = table.get(b"/agentplatform.AgentService/StreamTask").unwrap();
        assert!(!stream.unary);
        let status = table.get(b"/agentplatform.TaskWorker/GetTaskStatus").unwrap();
        assert_eq!(
            (status.id_field, status.affinity_field, status.local, status.query),
            (100, 1, true, true)
        );
        assert!(!table.get(b"/agentplatform.TaskWorker/ProcessTask").unwrap().query);
        assert_eq!(table.iter().count(), 11);
        assert!(table.get(b"/demo.Other/Call").is_none());
    }

    #[test]
    fn rules_apply_in_their_order() {
        let table = table();
        let list = table.get(b"/agentplatform.AgentService/ListAgents").map(|m| &**m);
        assert_eq!(decide(list, b"", None).unwrap(), Some(Target::Local));
        assert_eq!(decide(list, b"", Some(b"echo-agent")).unwrap(), Some(id("agent-echo")));
        let execute = table.get(b"/agentplatform.AgentService/ExecuteTask").unwrap();
        assert_eq!(decide(Some(execute), b"", Some(b"echo-agent")).unwrap(), None);
        assert_eq!(decide(None, b"/demo.X/Y", Some(b"weather-tool")).unwrap(), Some(id("tool-weather")));
        assert_eq!(decide(None, b"/demo.X/Y", None).unwrap(), Some(Target::GrpcService("demo.X".into())));
        assert_eq!(decide(None, b"/grpc.health.v1.Health/Check", None).unwrap(), Some(Target::Local));
        for path in [
            &b"/"[..],
            b"x",
            b"/a",
            b"/a/",
            b"//b",
            b"/a b/c",
            b"/\xff/x",
            b"/a/b?c",
            b"/a/b/",
            b"/a%2fb/c",
            b"/a/b;c",
        ] {
            assert!(decide(None, path, None).is_err(), "{path:?}");
        }
    }

    #[test]
    fn header_and_body_must_name_the_same() {
        let table = table();
        let execute = table.get(b"/agentplatform.AgentService/ExecuteTask").unwrap();
        let by = |header: Option<&[u8]>, body: &[u8]| decide_by_message(execute, header, body, false);
        assert_eq!(by(None, b"echo-agent").unwrap(), id("agent-echo"));
        assert_eq!(by(None, b"echo").unwrap(), id("agent-echo"));
        assert_eq!(by(Some(b"echo-agent"), b"").unwrap(), id("agent-echo"));
        assert_eq!(by(Some(b"echo-agent"), b"echo").unwrap(), id("agent-echo"));
        assert!(by(Some(b"echo-agent"), b"other-agent").is_err());
        assert!(by(Some(b"echo-agent"), b"echo-agent@v2").is_err());
        for bad in [&b""[..], b"UPPER-agent", b"a_b", b"\xff", b"-agent"] {
            assert!(by(None, bad).is_err(), "{bad:?}");
        }
        let status = table.get(b"/agentplatform.TaskWorker/GetTaskStatus").unwrap();
        assert_eq!(decide_by_message(status, None, b"", false).unwrap(), Target::Local);
    }
}
