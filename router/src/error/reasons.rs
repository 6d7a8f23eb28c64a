//! Every error by name: code, reason, words, facts.

use super::{Error, Reason, quote};
use crate::call::Room;
use std::time::Duration;
use switchboard_registry::quantity::show_duration;

impl Error {
    pub(crate) fn missing_id(field: &str) -> Self {
        Error::new(
            Reason::ID_MISSING,
            format!("the request names no ID: set {field} (for example \"echo-agent\") or the header x-switchboard-target"),
        )
        .with("field", field)
    }

    pub(crate) fn invalid_id(reason: Reason, from: &str, id: &[u8], why: &str) -> Self {
        Error::new(
            reason,
            format!("{from} {} {why}; an ID is <name>-<agent|tool|worker> in a-z, 0-9 and '-', at most 63 characters", quote(id)),
        )
        .with("field", from)
        .with("id", quote(id))
    }

    pub(crate) fn id_mismatch(header: &[u8], field: &str, body: &[u8]) -> Self {
        Error::new(
            Reason::ID_MISMATCH,
            format!(
                "x-switchboard-target says {} but {field} says {}: send the same ID in both, or only one",
                quote(header),
                quote(body)
            ),
        )
        .with("header", quote(header))
        .with("body", quote(body))
    }

    pub(crate) fn bad_path(path: &[u8]) -> Self {
        Error::new(
            Reason::BAD_PATH,
            format!("{} is no gRPC method path (/package.Service/Method)", quote(path)),
        )
    }

    pub(crate) fn bad_message(error: crate::peek::PeekError) -> Self {
        use crate::peek::PeekError;
        let reason = match error {
            PeekError::Ambiguous => Reason::ID_AMBIGUOUS,
            _ => Reason::MESSAGE_UNREADABLE,
        };
        Error::new(
            reason,
            format!(
                "{error}; the router reads it to find the ID (or send the header x-switchboard-target to a method without one)"
            ),
        )
    }

    /// `of` is the request or the response.
    pub(crate) fn message_too_long(of: &str, length: u32, most: u32, service: Option<&str>) -> Self {
        let error = Error::new(
            Reason::MESSAGE_TOO_LONG,
            format!(
                "a message of {of} has {length} bytes and {most} are let through (the router's max_message_bytes or the service's): send it in pieces"
            ),
        )
        .with("length", length.to_string())
        .with("limit", most.to_string());
        match service {
            Some(service) => error.with("service", service),
            None => error,
        }
    }

    pub(crate) fn no_message() -> Self {
        Error::new(Reason::NO_MESSAGE, "the request ended before its first message was complete")
    }

    pub(crate) fn first_message_timeout(wait: Duration) -> Self {
        Error::new(
            Reason::FIRST_MESSAGE_TIMEOUT,
            format!("the first message, which carries the ID, did not arrive within {} s", wait.as_secs()),
        )
    }

    pub(crate) fn bad_timeout() -> Self {
        Error::new(Reason::BAD_TIMEOUT, "grpc-timeout is not 1 to 8 digits followed by one of H M S m u n")
    }

    /// Not a gRPC request at all: answered as HTTP (PROTOCOL-HTTP2: 415 for a foreign content-type).
    pub(crate) fn not_grpc(post: bool) -> Self {
        let mut error = Error::new(
            Reason::NOT_GRPC,
            "this port speaks gRPC: POST with content-type application/grpc; the admin port has HTTP\n",
        );
        error.http_status = Some(if post { "415" } else { "405" });
        error
    }

    pub(crate) fn unknown_id(id: &str, service: &str, nearest: &[String]) -> Self {
        let hint = match nearest {
            [] => {
                "nothing of that kind is registered; start one, or list what is there with `switchboard ls`"
                    .to_owned()
            }
            names => format!("did you mean {}?", names.join(" or ")),
        };
        Error::new(Reason::ID_UNKNOWN, format!("no service is registered for {id}: {hint}"))
            .with("id", id)
            .with("service", service)
            .with("nearest", nearest.join(","))
    }

    pub(crate) fn unknown_grpc_service(service: &str) -> Self {
        Error::new(
            Reason::GRPC_SERVICE_UNKNOWN,
            format!("no registered backend offers the gRPC service {service}: register it with meta grpc_services, or name a backend in the header x-switchboard-target"),
        )
        .with("grpc_service", service)
    }

    /// The source document's symptom: `UNAVAILABLE: Service not found`.
    pub(crate) fn no_instance(service: &str, known: usize, version: Option<&str>) -> Self {
        let what = match (known, version) {
            (0, _) => "it has no instance now".to_owned(),
            (n, Some(version)) => format!("none of its {n} instances is healthy and of version {version}"),
            (n, None) => format!("none of its {n} instances is healthy"),
        };
        Error::new(
            Reason::NO_HEALTHY_INSTANCE,
            format!("Service not found: {service}: {what}; see the registry's health checks and the instances' logs"),
        )
        .with("service", service)
        .retry_after(Duration::from_secs(1))
    }

    pub(crate) fn registry_unreachable(name: &str, why: &str) -> Self {
        let mut error = Error::new(
            Reason::REGISTRY_UNREACHABLE,
            format!("{name} is not known yet and the registry cannot be asked: {why}"),
        )
        .with("name", name);
        error.retry_after = Some(Duration::from_secs(1));
        error
    }

    pub(crate) fn list_too_long(kind: &str, count: usize, most: usize) -> Self {
        Error::new(
            Reason::LIST_TOO_LONG,
            format!(
                "{count} {kind}s match, and a list holds {most} at most: narrow it with a filter that is a part of the ID, or raise max_services"
            ),
        )
        .with("count", count.to_string())
        .with("limit", most.to_string())
    }

    pub(crate) fn lookup_timeout(name: &str) -> Self {
        Self::registry_unreachable(name, "it did not answer in time")
    }

    pub(crate) fn connect_failed(service: &str, instance: &str, why: &str) -> Self {
        Error::new(
            Reason::CONNECT_FAILED,
            format!(
                "failed to connect to {service} (instance {instance}): {why}; the call was not processed"
            ),
        )
        .with("service", service)
        .with("instance", instance)
        .blame_instance()
        .not_processed()
    }

    pub(crate) fn not_verified(service: &str, instance: &str, why: &str) -> Self {
        Error::new(
            Reason::INSTANCE_UNVERIFIED,
            format!("{service} (instance {instance}) did not prove who it is: {why}; the call was not sent"),
        )
        .with("service", service)
        .with("instance", instance)
        .blame_instance()
        .not_processed()
    }

    pub(crate) fn connection_lost(service: &str, instance: &str, why: &str) -> Self {
        Error::new(
            Reason::CONNECTION_LOST,
            format!("the connection to {service} (instance {instance}) was lost during the call: {why}; it may have been processed"),
        )
        .with("service", service)
        .with("instance", instance)
        .blame_instance()
    }

    pub(crate) fn refused(service: &str, instance: &str) -> Self {
        Error::new(
            Reason::STREAM_REFUSED,
            format!("{service} (instance {instance}) refused the stream; the call was not processed"),
        )
        .with("service", service)
        .with("instance", instance)
        .not_processed()
    }

    pub(crate) fn bad_response(service: &str, instance: &str, why: &str) -> Self {
        Error::new(
            Reason::BAD_RESPONSE,
            format!("{service} (instance {instance}) answered against the HTTP/2 or gRPC protocol: {why}"),
        )
        .with("service", service)
        .with("instance", instance)
        .blame_instance()
    }

    /// No byte passed for too long.
    pub(crate) fn stream_idle(service: &str, limit: Duration) -> Self {
        Error::new(
            Reason::STREAM_IDLE,
            format!("no message passed between client and {service} for {}", show_duration(limit)),
        )
        .with("service", service)
    }

    pub(crate) fn deadline_exceeded(service: &str) -> Self {
        Error::new(Reason::DEADLINE_EXCEEDED, format!("the deadline passed before {service} answered"))
            .with("service", service)
    }

    pub(crate) fn limit(reason: Reason, message: impl Into<String>) -> Self {
        let mut error = Error::new(reason, message);
        error.retry_after = Some(Duration::from_millis(100));
        error
    }

    /// The memory budget is used up, and the call held most of it.
    pub(crate) fn held_too_much(bytes: usize, budget: usize) -> Self {
        Error::limit(
            Reason::MEMORY_HELD,
            format!(
                "the call held {bytes} bytes that its peer did not take, and calls hold more than {budget}, the router's budget: read faster, send less ahead, or raise memory_budget"
            ),
        )
        .with("bytes", bytes.to_string())
    }

    /// Others on the connection waited for a window that this call had used up.
    pub(crate) fn not_read(service: &str, instance: &str, limit: Duration) -> Self {
        Error::limit(
            Reason::NOT_READ,
            format!(
                "instance {instance} of {service} has not read this call's messages for {} s, and other calls waited for them: send when it reads",
                limit.as_secs()
            ),
        )
        .with("service", service)
        .with("instance", instance)
    }

    /// Everything that may have the call is full, and so is the queue for it.
    pub(crate) fn queue_full(room: &Room, limit: usize) -> Self {
        let (what, service) = match room {
            Room::Service(service) => (format!("every instance of {service}"), service),
            Room::Instance(service, instance) => {
                (format!("the instance {instance} of {service}, which alone has this task,"), service)
            }
        };
        Error::limit(
            Reason::QUEUE_FULL,
            format!("{what} is at its max_concurrency and {limit} calls wait already: call again, or add instances"),
        )
        .with("service", &**service)
    }

    pub(crate) fn service_calls(service: &str, most: u32) -> Self {
        Error::limit(
            Reason::SERVICE_CALLS_IN_FLIGHT,
            format!("{service} has {most} calls in flight over this router, as many as it takes (meta max_calls): call again, or add routers"),
        )
        .with("service", service)
        .with("limit", most.to_string())
    }

    /// `queued`: the call waited for a stream, and was not sent.
    pub(crate) fn instance_drained(service: &str, instance: &str, queued: bool) -> Self {
        let error = Error::new(
            Reason::INSTANCE_DRAINED,
            format!("the instance {instance} of {service} left and its time for calls under way (drain_streams_after) is over: call again"),
        )
        .with("service", service)
        .with("instance", instance)
        .retry_after(Duration::from_millis(100));
        if queued { error.not_processed() } else { error }
    }

    pub(crate) fn shutting_down() -> Self {
        let mut error = Error::new(
            Reason::ROUTER_SHUTDOWN,
            "the router is shutting down and its drain time is over: call again",
        );
        error.retry_after = Some(Duration::from_millis(100));
        error
    }

    /// A method that a backend answers came to the router itself, because the call named none.
    pub(crate) fn not_ours(method: &str) -> Self {
        Error::new(Reason::NOT_OF_THE_ROUTER, format!("{method} is answered by backends: name one by its ID"))
            .with("method", method)
    }

    /// A field of a request to the router's own services is wrong.
    pub(crate) fn invalid_field(reason: Reason, field: &'static str, message: &str) -> Self {
        Error::new(reason, format!("{field}: {message}")).with("field", field)
    }

    /// The registry could not be asked for what the call needs.
    pub(crate) fn registry_failed(what: &str, why: &str) -> Self {
        let message = format!("{what}: the registry cannot be asked: {why}");
        Error::new(Reason::REGISTRY_UNREACHABLE, message).retry_after(Duration::from_secs(1))
    }
}
