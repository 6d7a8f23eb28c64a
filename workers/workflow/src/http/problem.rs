//! What a client is told when something goes wrong: the status of `api::status`'s table, and `{"error":{code,message,details,request_id}}`.

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::Response,
};
use prost::Message;
use serde_json::{Value, json};
use switchboard_proto::rpc;
use tonic::{Code, Status};

use crate::api::status;

/// What was wrong, with everything that goes into the answer but the request's ID.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    message: String,
    details: serde_json::Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    /// A problem of HTTP itself; `reason` is for programs.
    pub(super) fn new(status: StatusCode, reason: &str, message: impl Into<String>) -> Self {
        let details = serde_json::Map::from_iter([("reason".to_owned(), reason.into())]);
        Self { status, message: message.into(), details, headers: Vec::new() }
    }

    /// One field, parameter or header is wrong.
    pub(super) fn invalid(field: &str, description: impl Into<String>) -> Self {
        let description = description.into();
        let message = if field.is_empty() { description.clone() } else { format!("{field}: {description}") };
        let mut problem = Self::new(StatusCode::BAD_REQUEST, "VALIDATION_FAILED", message);
        let violations = json!([{ "field": field, "description": description }]);
        problem.details.insert("violations".to_owned(), violations);
        problem
    }

    /// The same in the client's word for the field.
    pub(super) fn about(self, field: &str) -> Self {
        let description =
            self.details.get("violations").and_then(|all| all.get(0)?.get("description")?.as_str());
        match description {
            Some(description) => Self::invalid(field, description),
            None => self,
        }
    }

    /// The same with a header.
    pub(super) fn with(mut self, name: HeaderName, value: &str) -> Self {
        self.headers.extend(HeaderValue::from_str(value).ok().map(|value| (name, value)));
        self
    }

    /// The error object. Its `code` is one of the origin's words; `details.reason` tells more.
    pub(super) fn body(&self, request_id: &str) -> Value {
        json!({ "error": {
            "code": self.code(),
            "message": self.message,
            "details": self.details,
            "request_id": request_id,
        }})
    }

    /// The answer.
    pub(super) fn response(self, request_id: &str) -> Response {
        let mut response = Response::new(Body::from(self.body(request_id).to_string()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.extend(self.headers);
        response
    }

    fn code(&self) -> &'static str {
        match self.status.as_u16() {
            400 if self.details.contains_key("violations") => "VALIDATION_FAILED",
            401 => "UNAUTHORIZED",
            403 => "FORBIDDEN",
            404 => "NOT_FOUND",
            405 => "METHOD_NOT_ALLOWED",
            408 => "REQUEST_TIMEOUT",
            409 => "CONFLICT",
            413 => "PAYLOAD_TOO_LARGE",
            415 => "UNSUPPORTED_MEDIA_TYPE",
            429 => "TOO_MANY_REQUESTS",
            499 => "CLIENT_CLOSED_REQUEST",
            501 => "NOT_IMPLEMENTED",
            503 => "SERVICE_UNAVAILABLE",
            504 => "GATEWAY_TIMEOUT",
            507 => "INSUFFICIENT_STORAGE",
            400..=499 => "BAD_REQUEST",
            _ => "INTERNAL_SERVER_ERROR",
        }
    }
}

impl From<Status> for Problem {
    fn from(failed: Status) -> Self {
        let told = rpc::Status::decode(failed.details()).unwrap_or_default();
        let info = told.error_info().unwrap_or_default();
        let mut problem = Self {
            status: StatusCode::from_u16(status::http(failed.code(), &info.reason))
                .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            message: failed.message().to_owned(),
            details: info.metadata.into_iter().map(|(name, fact)| (name, fact.into())).collect(),
            headers: Vec::new(),
        };
        if !info.reason.is_empty() {
            problem.details.insert("reason".to_owned(), info.reason.into());
        }
        let violations = told.field_violations();
        if !violations.is_empty() {
            let violation =
                |v: &rpc::FieldViolation| json!({ "field": v.field, "description": v.description });
            problem.details.insert("violations".to_owned(), violations.iter().map(violation).collect());
        }
        let asked = failed.metadata().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
        // Whole seconds, at least one: zero would be taken for "at once".
        let told = told.retry_after().map(|wait| wait.as_secs_f64().ceil().max(1.0) as u64);
        let unavailable = (failed.code() == Code::Unavailable).then_some(1);
        if let Some(seconds) = asked.or(told).or(unavailable) {
            problem = problem.with(header::RETRY_AFTER, &seconds.to_string());
        }
        if failed.code() == Code::Unauthenticated {
            problem = problem.with(header::WWW_AUTHENTICATE, "Bearer realm=\"workflow-worker\"");
        }
        problem
    }
}
