//! Whether a call is one of gRPC at all: what is wrong here is told by what is wrong, not by a handler's confusion.

use super::refusal::Refusal;
use super::{Shared, Stage};
use tonic::Code;
use tonic::body::Body;
use tonic::codegen::http::header::CONTENT_TYPE;
use tonic::codegen::http::{Method, Request};

pub(super) fn check(_: &Shared, request: &mut Request<Body>) -> Result<(), Box<Refusal>> {
    let refuse = |code, reason, message| Err(Refusal::new(Stage::Validation, code, reason, message));
    let content_type = request.headers().get(CONTENT_TYPE).map(|value| value.as_bytes());
    if request.method() != Method::POST || !content_type.is_some_and(is_grpc) {
        return refuse(
            Code::Unknown,
            "NOT_GRPC",
            "this is no gRPC request: it must be a POST of application/grpc",
        );
    }
    if !is_method(request.uri().path()) {
        return refuse(Code::Unimplemented, "BAD_PATH", "the path is not /package.Service/Method");
    }
    match request.headers().get("grpc-timeout") {
        Some(timeout) if !is_timeout(timeout.as_bytes()) => refuse(
            Code::InvalidArgument,
            "BAD_TIMEOUT",
            "grpc-timeout is not 1 to 8 digits followed by one of H M S m u n",
        ),
        _ => Ok(()),
    }
}

fn is_grpc(content_type: &[u8]) -> bool {
    let rest = content_type.strip_prefix(b"application/grpc");
    rest.is_some_and(|rest| rest.is_empty() || matches!(rest[0], b'+' | b';'))
}

fn is_method(path: &str) -> bool {
    let parts = path.strip_prefix('/').and_then(|path| path.split_once('/'));
    let name = |text: &str| {
        let letters = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_');
        !text.is_empty() && text.bytes().all(letters)
    };
    parts.is_some_and(|(service, method)| name(service) && name(method))
}

fn is_timeout(value: &[u8]) -> bool {
    let Some((unit, digits)) = value.split_last() else { return false };
    matches!(unit, b'H' | b'M' | b'S' | b'm' | b'u' | b'n')
        && (1..=8).contains(&digits.len())
        && digits.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::{is_grpc, is_method, is_timeout};

    #[test]
    fn what_is_no_grpc_is_told_apart() {
        for good in ["application/grpc", "application/grpc+proto", "application/grpc;charset=utf-8"] {
            assert!(is_grpc(good.as_bytes()), "{good}");
        }
        for bad in ["", "application/json", "application/grpc-web", "application/grpcx"] {
            assert!(!is_grpc(bad.as_bytes()), "{bad}");
        }
        assert!(is_method("/agentplatform.AgentService/ExecuteTask"));
        for bad in ["", "/", "/x", "//x", "/x/", "/x/y/z", "/x y/z", "/x.Y/../Z", "x.Y/Z", "/x.Y/Z%20"] {
            assert!(!is_method(bad), "{bad}");
        }
        for good in ["1n", "12345678H", "0m"] {
            assert!(is_timeout(good.as_bytes()), "{good}");
        }
        for bad in ["", "S", "1", "soon", "123456789S", "-1S", "1s", "1.5S", " 1S"] {
            assert!(!is_timeout(bad.as_bytes()), "{bad}");
        }
    }
}
