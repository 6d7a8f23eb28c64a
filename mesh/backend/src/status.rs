//! gRPC errors that say more than a code: `google.rpc.ErrorInfo` in the status's details.

use prost::Message;
use switchboard_proto::rpc;
use tonic::{Code, Status};

/// Makes a status with an `ErrorInfo` of the domain `switchboard`.
///
/// `reason` is a constant of the backend in `UPPER_SNAKE_CASE` for programs, `message` is for people and
/// `metadata` holds the facts of this error, for example the parameter at fault. All of it travels in
/// trailers, of which a peer may take no more than 8 KiB: keep it short.
pub fn status<K: Into<String>, V: Into<String>>(
    code: Code,
    reason: &str,
    message: impl Into<String>,
    metadata: impl IntoIterator<Item = (K, V)>,
) -> Status {
    let message = message.into();
    let metadata = metadata.into_iter().map(|(key, value)| (key.into(), value.into()));
    let details = rpc::Status::new(code.into(), message.as_str(), reason, metadata, None);
    Status::with_details(code, message, details.encode_to_vec().into())
}

/// Makes INVALID_ARGUMENT for one parameter of a request, with the reason `INVALID_ARGUMENT`.
pub fn invalid_argument(parameter: &str, message: impl Into<String>) -> Status {
    status(Code::InvalidArgument, "INVALID_ARGUMENT", message, [("parameter", parameter)])
}

/// Makes UNIMPLEMENTED for a method (`ListTools`) that is the router's: it knows all backends, this one only itself.
pub fn answered_by_router(method: &str) -> Status {
    status(
        Code::Unimplemented,
        "ANSWERED_BY_ROUTER",
        format!("{method} is answered by the router; call it at the router's address"),
        [("method", method)],
    )
}

#[cfg(test)]
mod tests {
    use super::{answered_by_router, invalid_argument};
    use prost::Message;
    use switchboard_proto::rpc;
    use tonic::Code;

    #[test]
    fn details_carry_code_message_reason_and_metadata() {
        let status = invalid_argument("days", "days must be positive");
        assert_eq!((status.code(), status.message()), (Code::InvalidArgument, "days must be positive"));
        let details = rpc::Status::decode(status.details()).unwrap();
        assert_eq!((details.code, details.message.as_str()), (3, "days must be positive"));
        let info = details.error_info().unwrap();
        assert_eq!((info.reason.as_str(), info.domain.as_str()), ("INVALID_ARGUMENT", rpc::DOMAIN));
        assert_eq!(info.metadata["parameter"], "days");
        assert_eq!(answered_by_router("ListTools").code(), Code::Unimplemented);
    }
}
