//! What is wrong with a request, as a gRPC status.

use prost::Message;
use switchboard_proto::rpc::{self, FieldViolation};
use tonic::{Code, Status};
use workflow_machine::Invalid;

use super::violations::At;

/// Bytes of all violations in a status: it travels in trailers, base64 adds a third, and a peer may take no more than
/// 8 KiB of them.
const MAX_DETAIL_BYTES: usize = 4_000;

/// Makes INVALID_ARGUMENT, reason VALIDATION_FAILED, with `google.rpc.BadRequest`.
///
/// The message names the first violation and counts the rest; the details hold as many as fit.
pub fn status(invalid: &Invalid) -> Status {
    let mut bytes = 0;
    let fits = invalid.violations.iter().take_while(|violation| {
        bytes += violation.field.len() + violation.reason.len() + 16;
        bytes <= MAX_DETAIL_BYTES
    });
    let listed: Vec<FieldViolation> = fits
        .map(|violation| FieldViolation {
            field: violation.field.clone(),
            description: violation.reason.clone(),
        })
        .collect();
    let total = invalid.violations.len();
    let first = invalid.violations.first();
    let mut message = first.map_or_else(String::new, |first| {
        let what = format!("{}: {}", first.field, first.reason);
        // Reasons are short; a bound all the same.
        what.chars().take(1_000).collect()
    });
    if total > 1 {
        message += &format!(" (and {} more, in the details)", total - 1);
    }
    let facts = [("violations".to_owned(), total.to_string())];
    let details =
        rpc::Status::new(Code::InvalidArgument.into(), message.as_str(), "VALIDATION_FAILED", facts, None)
            .in_domain(rpc::WORKFLOW_DOMAIN)
            .violating(listed);
    Status::with_details(Code::InvalidArgument, message, details.encode_to_vec().into())
}

/// Parts of a specification's paths, and what they are called in requests; the longer ones first.
const PARTS: [(&str, &str); 10] = [
    (".work.child.spec.", ".workflow."),
    (".work.wait_signal.name", ".target"),
    (".work.function.queue", ".target"),
    (".work.http.url", ".target"),
    (".work.http.method", ".operation"),
    (".work.http.body", ".input"),
    (".work.http.headers", ".parameters"),
    (".work.http.", "."),
    (".work.function.", "."),
    (".work.call.", "."),
];

/// Last parts of such paths.
const ENDS: [(&str, &str); 2] = [(".work.child.spec", ".workflow"), (".work", ".type")];

/// Maps whose keys end a path.
const MAPS: [&str; 3] = ["parameters.", "headers.", "metadata."];

/// Names a field of a specification as requests do.
pub(super) fn in_words_of_request(field: &str) -> String {
    // A key may look like a path, so it is split off first.
    let map = MAPS.iter().filter_map(|map| Some(field.find(map)? + map.len())).min();
    let (path, key) = match map {
        Some(end) => (&field[..end - 1], Some(&field[end..])),
        None => (field, None),
    };
    let mut path = PARTS.iter().fold(path.to_owned(), |path, (from, to)| path.replace(from, to));
    for (from, to) in ENDS {
        if let Some(begin) = path.strip_suffix(from) {
            path = format!("{begin}{to}");
        }
    }
    if path == "compensation" || path.ends_with(".compensation") {
        path += "_policy";
    }
    match key {
        Some(key) => At::REQUEST.field(&path).key(key).to_string(),
        None => path,
    }
}
