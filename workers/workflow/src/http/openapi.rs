//! The OpenAPI document: the table of routes, with the messages as the `.proto` files have them.

use std::collections::BTreeMap;

use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

use super::{
    json::{self, EMBEDDED},
    route::{ROUTES, Route, Shape},
    routes::OTHERS,
};

/// What stands at `/openapi.json`.
pub(super) fn document() -> Value {
    let mut schemas = Schemas::default();
    let mut paths = Map::new();
    for route in ROUTES {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.verb.method().as_str().to_ascii_lowercase()] = operation(route, &mut schemas);
    }
    for (path, summary) in OTHERS {
        let success = if path == "/ws/events" { "101" } else { "200" };
        let responses = json!({ success: { "description": "OK" } });
        paths.insert(path.to_owned(), json!({ "get": { "summary": summary, "responses": responses } }));
    }
    let mut schemas = schemas.0;
    schemas.insert("Problem".to_owned(), problem());
    json!({
        "openapi": "3.1.0",
        "info": { "title": "Switchboard workflows", "version": env!("CARGO_PKG_VERSION") },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": { "Problem": {
                "description": "What is wrong, and what to do",
                "content": { "application/json": { "schema": reference("Problem") } },
            }},
            "securitySchemes": { "bearer": { "type": "http", "scheme": "bearer" } },
        },
        "security": [{}, { "bearer": [] }],
    })
}

fn operation(route: &Route, schemas: &mut Schemas) -> Value {
    let method = json::method(route.rpc).expect("a test looks up the method of every route");
    let (input, output) = (method.input(), method.output());
    let path = route.parameters().map(
        |name| json!({ "name": name, "in": "path", "required": true, "schema": schemas.at(&input, name) }),
    );
    let mut parameters: Vec<Value> = path.collect();
    for (name, field) in route.query {
        parameters.push(json!({ "name": name, "in": "query", "schema": schemas.at(&input, field) }));
    }
    let number = json!({ "type": "integer", "minimum": 0 });
    match route.shape {
        Shape::List => parameters.push(json!({ "name": "offset", "in": "query", "schema": number })),
        Shape::Events { resumes: true, .. } => {
            parameters.push(json!({ "name": "Last-Event-ID", "in": "header", "schema": number }));
            parameters.push(json!({ "name": "last_event_id", "in": "query", "schema": number }));
        }
        Shape::Submit => {
            let text = json!({ "type": "string" });
            parameters.push(json!({ "name": "Idempotency-Key", "in": "header", "schema": text }));
        }
        Shape::Call | Shape::Events { .. } => {}
    }
    let answer = schemas.message(&output);
    let mut responses = match route.shape {
        Shape::Events { name, .. } => {
            let description = format!("Events {name}, then end; or error");
            let content = json!({ "text/event-stream": { "schema": answer } });
            json!({ "200": { "description": description, "content": content } })
        }
        Shape::Submit => {
            let found = json::POOL.get_message_by_name("goclaw.v1.GetWorkflowStatusResponse");
            let ended = found.map(|found| schemas.message(&found)).unwrap_or_default();
            let taken = json!({ "application/json": { "schema": { "anyOf": [answer, ended] } } });
            json!({
                "201": { "description": "It has ended; with async, it is taken", "content": taken },
                "202": { "description": "It goes on", "content": taken },
            })
        }
        Shape::Call | Shape::List => {
            let content = json!({ "application/json": { "schema": answer } });
            json!({ route.success.to_string(): { "description": "OK", "content": content } })
        }
    };
    responses["default"] = json!({ "$ref": "#/components/responses/Problem" });
    let mut operation = json!({
        "summary": route.summary,
        "operationId": format!("{}{}", method.name(), suffix(route)),
        "tags": [method.parent_service().name()],
        "parameters": parameters,
        "responses": responses,
    });
    if route.body {
        let mut schema = schemas.message(&input);
        if route.shape == Shape::Submit {
            let extra = json!({ "type": "object", "properties": {
                "async": { "type": "boolean", "description": "Do not wait for the end" },
                "description": { "type": "string", "maxLength": 500 },
            }});
            schema = json!({ "allOf": [schema, extra] });
        }
        operation["requestBody"] = json!({ "content": { "application/json": { "schema": schema } } });
    }
    operation
}

/// Tells apart routes of one method.
fn suffix(route: &Route) -> String {
    let same: Vec<_> = ROUTES.iter().filter(|other| other.rpc == route.rpc).collect();
    match same.iter().position(|other| std::ptr::eq(*other, route)) {
        Some(index) if index > 0 => format!("{}", index + 1),
        _ => String::new(),
    }
}

fn problem() -> Value {
    let text = json!({ "type": "string" });
    json!({ "type": "object", "properties": { "error": { "type": "object", "properties": {
        "code": text, "message": text, "details": { "type": "object" }, "request_id": text,
    }}}})
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// The messages that the document needs.
#[derive(Default)]
struct Schemas(BTreeMap<String, Value>);

impl Schemas {
    fn message(&mut self, of: &MessageDescriptor) -> Value {
        if let Some(known) = well_known(of.full_name()) {
            return known;
        }
        let name = of.name().to_owned();
        if !self.0.contains_key(&name) {
            // Stands there before its fields are looked at: messages contain themselves.
            self.0.insert(name.clone(), Value::Null);
            let mut properties = Map::new();
            for field in of.fields() {
                properties.insert(field.name().to_owned(), self.field(&field));
                if let Some((_, json)) = EMBEDDED.iter().find(|(bytes, _)| *bytes == field.name()) {
                    properties.entry(*json).or_insert_with(|| json!({}));
                }
            }
            self.0.insert(name.clone(), json!({ "type": "object", "properties": properties }));
        }
        reference(&name)
    }

    /// The field at a path.
    fn at(&mut self, of: &MessageDescriptor, path: &str) -> Value {
        let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
        let Some(field) = of.get_field_by_name(name) else { return json!({}) };
        match (rest, field.kind()) {
            (Some(rest), Kind::Message(inner)) => self.at(&inner, rest),
            _ if field.is_map() => json!({ "type": "string" }),
            _ => self.field(&field),
        }
    }

    fn field(&mut self, field: &FieldDescriptor) -> Value {
        if let (true, Kind::Message(entry)) = (field.is_map(), field.kind()) {
            let value = self.kind(entry.map_entry_value_field().kind());
            return json!({ "type": "object", "additionalProperties": value });
        }
        let schema = self.kind(field.kind());
        if field.is_list() { json!({ "type": "array", "items": schema }) } else { schema }
    }

    fn kind(&mut self, kind: Kind) -> Value {
        match kind {
            Kind::Message(of) => self.message(&of),
            Kind::Enum(of) => names(&of),
            Kind::Double | Kind::Float => json!({ "type": "number" }),
            Kind::Bool => json!({ "type": "boolean" }),
            Kind::String => json!({ "type": "string" }),
            Kind::Bytes => json!({ "type": "string", "contentEncoding": "base64" }),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 | Kind::Uint32 | Kind::Fixed32 => {
                json!({ "type": "integer", "format": "int32" })
            }
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 | Kind::Uint64 | Kind::Fixed64 => {
                json!({ "type": ["string", "integer"], "format": "int64" })
            }
        }
    }
}

fn names(of: &EnumDescriptor) -> Value {
    let names: Vec<Value> = of.values().map(|value| value.name().into()).collect();
    json!({ "type": "string", "enum": names })
}

fn well_known(name: &str) -> Option<Value> {
    Some(match name {
        "google.protobuf.Timestamp" => json!({ "type": "string", "format": "date-time" }),
        "google.protobuf.Duration" => json!({ "type": "string" }),
        "google.protobuf.Struct" => json!({ "type": "object" }),
        "google.protobuf.ListValue" => json!({ "type": "array", "items": {} }),
        "google.protobuf.Value" => json!({}),
        _ => return None,
    })
}
