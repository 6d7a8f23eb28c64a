//! The closed set of reasons: one row for each way in which the router itself ends a call.
//!
//! The row's name is the `reason` of the `ErrorInfo` and of `switchboard_call_failures_total`; `router/ERRORS.md` is this
//! table for readers, and a test keeps the two equal.

use super::Code;
use std::fmt;

/// Declares [`Reason`]: name, status code, what happened, what to do.
macro_rules! reasons {
    ($($name:ident $code:ident $means:literal $advice:literal;)*) => {
        /// Why the router ended a call: a stable word for programs.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[expect(non_camel_case_types, reason = "the names are those on the wire")]
        pub enum Reason {
            $(#[doc = concat!($means, ".")] $name,)*
        }

        impl Reason {
            /// All of them, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// `UPPER_SNAKE_CASE`, as on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// The gRPC status that goes with it.
            pub fn code(self) -> Code {
                match self { $(Self::$name => Code::$code,)* }
            }

            /// What happened, and what to do about it.
            pub fn explained(self) -> (&'static str, &'static str) {
                match self { $(Self::$name => ($means, $advice),)* }
            }
        }
    };
}

reasons! {
    ID_MISSING InvalidArgument "The request names no ID" "Set the ID field that the message names, or the header `x-switchboard-target`";
    ID_ILL_FORMED InvalidArgument "The ID is none" "Use `<name>-<agent\\|tool\\|worker>` in a-z, 0-9 and '-'";
    ID_TOO_LONG InvalidArgument "The ID is longer than 63 characters" "Use the registered ID";
    ID_MISMATCH InvalidArgument "Header and message name different IDs" "Send the same ID in both, or only one";
    ID_AMBIGUOUS InvalidArgument "The message has its ID field twice, with different values" "Send it once";
    MESSAGE_UNREADABLE InvalidArgument "The first message is no protobuf, or compressed in a way that the router cannot read" "Mend the client, or name the backend in the header of a method without ID";
    MESSAGE_TOO_LONG ResourceExhausted "A message is longer than `max_message_bytes`, the router's or the service's" "Send it in pieces";
    NO_MESSAGE InvalidArgument "The request ended before its first message was complete" "Mend the client";
    FIRST_MESSAGE_TIMEOUT DeadlineExceeded "The message that carries the ID did not come within `first_message_wait`" "Send it at once, or name the ID in the header";
    BAD_TIMEOUT InvalidArgument "`grpc-timeout` cannot be read" "Mend the client";
    BAD_PATH Unimplemented "The path is no gRPC method" "Call `/package.Service/Method`";
    NOT_GRPC Unknown "The request is no gRPC at all; it is answered as HTTP" "Use a gRPC client; HTTP pages are on the admin port";
    ID_UNKNOWN NotFound "Nobody registered a service of that ID" "See `nearest`, or `switchboard ls`";
    GRPC_SERVICE_UNKNOWN Unimplemented "No backend registered that gRPC service" "Register it with meta `grpc_services`, or name a backend in the header";
    NOT_OF_THE_ROUTER Unimplemented "A method of backends was called at the router, without an ID" "Name a backend";
    NO_HEALTHY_INSTANCE Unavailable "The service had no instance that may be picked for `no_endpoint_wait`" "See its health checks in the registry and `/endpoints`";
    REGISTRY_UNREACHABLE Unavailable "The service is not known yet and the registry does not answer" "See the registry; services in use go on without it";
    CONNECT_FAILED Unavailable "No connection to the instance; the call was not processed" "Call again; see whether the instance runs";
    INSTANCE_UNVERIFIED Unavailable "The instance's certificate is not one of its service; the call was not sent" "See its certificate and `upstream_tls_ca`";
    STREAM_REFUSED Unavailable "The instance refused the stream; the call was not processed" "Call again";
    CONNECTION_LOST Unavailable "The connection was lost during the call, which may have been processed" "Call again if that does no harm; see the instance's log";
    INSTANCE_DRAINED Unavailable "The instance left, and `drain_streams_after` is over" "Call again";
    BAD_RESPONSE Internal "The instance broke HTTP/2 or gRPC in its answer" "Mend the backend";
    DEADLINE_EXCEEDED DeadlineExceeded "The deadline passed; `waited_for` says what the call was waiting for" "Allow more time, or see why it takes so long";
    STREAM_IDLE DeadlineExceeded "No byte passed for `stream_idle`" "Send something now and then, or raise the limit";
    PARKED_FULL ResourceExhausted "`queue_per_service` calls wait already for the service to be found" "Call again after the pause given";
    QUEUE_FULL ResourceExhausted "Every instance is full, and `queue_per_service` calls wait already" "Call again after the pause given, or add instances";
    CALLS_IN_FLIGHT ResourceExhausted "The router has `max_calls_in_flight` calls" "Call again after the pause given, or add routers";
    SERVICE_CALLS_IN_FLIGHT ResourceExhausted "The service has as many calls over this router as its meta `max_calls` says" "Call again after the pause given, or add routers";
    MEMORY_BUDGET ResourceExhausted "Calls hold `memory_budget` bytes" "Call again after the pause given; read answers faster, or add routers";
    MEMORY_HELD ResourceExhausted "Calls hold more than `memory_budget`, and this one held most" "Read answers faster, send less ahead, or raise the budget";
    NOT_READ ResourceExhausted "The instance did not read the call's messages for `starved_after`, and others waited for them" "Send when it reads";
    ROUTER_SHUTDOWN Unavailable "The router ended and the call outlasted its drain" "Call again";
    CREDENTIALS_MISSING Unauthenticated "The router asks for a certificate, a token or both, and the call lacks one" "Connect with a client certificate, or send `authorization: Bearer <token>`";
    CREDENTIALS_INVALID Unauthenticated "The token or the certificate is not believed; `problem` says why" "Get a new one, for this router";
    CREDENTIALS_EXPIRED Unauthenticated "The token or the certificate is no longer valid, or not yet" "Get a new one; see whether the clocks agree";
    TOO_MANY_BAD_CREDENTIALS ResourceExhausted "The connection sent so many bad tokens that the next one is not looked at for a while" "Get a good one, then call again after the pause given";
    PERMISSION_DENIED PermissionDenied "The caller is known and may not make this call, whether or not there is such an ID" "See `switchboard auth explain`, then the policy file";
    REGISTRATION_DENIED PermissionDenied "The caller may not register this service" "Register with the role backend, or with the certificate of that service";
    RATE_LIMITED ResourceExhausted "More calls per time than one principal, source, ID or method may have" "Call again after the pause given, more slowly";
    CONCURRENCY_LIMITED ResourceExhausted "More calls in flight than one principal, source, ID or method may have" "Call again when others have ended";
    ENDPOINT_ILL_FORMED InvalidArgument "The endpoint of a registration is none" "Use `host:port`";
    LIST_TOO_LONG ResourceExhausted "More services match a list than `max_services`" "Narrow it with a filter that is a part of the ID";
    TASK_ID_MISSING InvalidArgument "A task's status was asked for without its ID" "Set `task_id`";
    TOO_MANY_WORKERS InvalidArgument "More workers are registered than `max_services`, so they are not all asked" "Say whose task it is in `worker_id`";
    TASK_UNKNOWN NotFound "No worker knows the task" "Name its worker; see how long it keeps its history";
    WORKERS_UNREACHABLE Unavailable "No worker knows the task, and some did not answer" "Call again";
}

impl Reason {
    /// Whether the limit is one of the caller's behaviour, not of what there is.
    pub(super) fn is_of_the_caller(self) -> bool {
        matches!(self, Self::TOO_MANY_BAD_CREDENTIALS | Self::RATE_LIMITED | Self::CONCURRENCY_LIMITED)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every error is made of a row, so every row is every constructor.
    #[test]
    fn the_documented_table_is_this_one() {
        let expected: Vec<String> = Reason::ALL
            .iter()
            .map(|reason| {
                let (means, advice) = reason.explained();
                format!("| `{reason}` | {} | {means} | {advice} |", reason.code().name())
            })
            .collect();
        let documented: Vec<&str> =
            include_str!("../../ERRORS.md").lines().filter(|line| is_row(line)).collect();
        assert_eq!(documented, expected, "router/ERRORS.md should have\n{}", expected.join("\n"));
    }

    /// Rows of reasons have four columns, those of other outcomes three.
    fn is_row(line: &str) -> bool {
        line.starts_with("| `") && line.replace("\\|", "").matches('|').count() == 5
    }
}
