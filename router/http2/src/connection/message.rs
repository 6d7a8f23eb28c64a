//! Which header sections are well-formed messages (RFC 9113 sections 8.1 to 8.3 and 8.5). Violations are stream errors of
//! type PROTOCOL_ERROR; the text says which rule, for logs.
//!
//! Where the RFC leaves a choice, this is lenient: any `:path` that is not empty, any scheme, `host` beside `:authority`.

use crate::{Field, Headers, facts::Kind};

/// What a request's header section says about the rest of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) content_length: Option<u64>,
}

/// What a response's header section says about the rest of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) content_length: Option<u64>,
}

/// The rule that a message breaks.
pub(super) type Malformed = &'static str;

/// Checks the header section of a request.
pub(super) fn request(headers: &Headers) -> Result<Request, Malformed> {
    let (mut method, mut scheme, mut path, mut authority) = (None, None, None, None);
    let mut section = Section::default();
    for field in headers.iter() {
        let slot = match field.facts.kind {
            Kind::Method => &mut method,
            Kind::Scheme => &mut scheme,
            Kind::Path => &mut path,
            Kind::Authority => &mut authority,
            Kind::Status | Kind::NoSuchPseudo => return Err("unknown pseudo-header field in a request"),
            _ => {
                section.regular(field)?;
                continue;
            }
        };
        section.pseudo()?;
        if slot.replace(field.value).is_some() {
            return Err("duplicate pseudo-header field");
        }
    }
    if authority.is_some_and(|a| a.contains(&b'@')) {
        return Err(":authority with userinfo");
    }
    match method {
        None | Some(b"") => return Err("request without :method"),
        Some(b"CONNECT") => {
            if scheme.is_some() || path.is_some() {
                return Err("CONNECT with :scheme or :path");
            }
            if authority.is_none_or(<[u8]>::is_empty) {
                return Err("CONNECT without :authority");
            }
            section.content_length = None;
        }
        Some(_) => {
            if scheme.is_none_or(<[u8]>::is_empty) {
                return Err("request without :scheme");
            }
            if path.is_none_or(<[u8]>::is_empty) {
                return Err("request without :path");
            }
        }
    }
    Ok(Request { content_length: section.content_length })
}

/// Checks the header section of a response.
pub(super) fn response(headers: &Headers) -> Result<Response, Malformed> {
    let mut status = None;
    let mut section = Section::default();
    for field in headers.iter() {
        match field.facts.kind {
            Kind::Status => section.pseudo()?,
            kind if kind.is_pseudo() => return Err("unknown pseudo-header field in a response"),
            _ => {
                section.regular(field)?;
                continue;
            }
        }
        if status.replace(parse_status(field.value).ok_or("invalid :status")?).is_some() {
            return Err("duplicate pseudo-header field");
        }
    }
    let status = status.ok_or("response without :status")?;
    if status == 101 {
        return Err("101 has no meaning in HTTP/2");
    }
    Ok(Response { status, content_length: section.content_length })
}

/// Checks a trailer section.
pub(super) fn trailers(headers: &Headers) -> Result<(), Malformed> {
    let mut section = Section::default();
    for field in headers.iter() {
        if field.facts.kind.is_pseudo() {
            return Err("pseudo-header field in trailers");
        }
        section.regular(field)?;
    }
    Ok(())
}

/// Returns whether a `:status` value is that of an informational response.
pub(super) fn is_informational(status: &[u8]) -> bool {
    status.len() == 3 && status[0] == b'1'
}

fn parse_status(value: &[u8]) -> Option<u16> {
    let digits: &[u8; 3] = value.try_into().ok()?;
    let valid = digits.iter().all(u8::is_ascii_digit) && digits[0] != b'0';
    valid.then(|| digits.iter().fold(0, |status, d| status * 10 + u16::from(d - b'0')))
}

/// The rules that hold for the fields of every section.
#[derive(Default)]
struct Section {
    seen_regular: bool,
    content_length: Option<u64>,
}

impl Section {
    #[inline]
    fn pseudo(&mut self) -> Result<(), Malformed> {
        if self.seen_regular { Err("pseudo-header field after a regular one") } else { Ok(()) }
    }

    #[inline]
    fn regular(&mut self, field: Field<'_>) -> Result<(), Malformed> {
        self.seen_regular = true;
        match field.facts.kind {
            Kind::Regular => Ok(()),
            Kind::ContentLength => {
                let length = parse_length(field.value).ok_or("invalid content-length")?;
                match self.content_length.replace(length) {
                    Some(before) if before != length => Err("contradictory content-length"),
                    _ => Ok(()),
                }
            }
            Kind::ConnectionSpecific => Err("connection-specific header field"),
            Kind::BadTe => Err("te other than trailers"),
            Kind::BadName => Err("invalid header field name"),
            Kind::Blank => Err("header field value with outer blanks"),
            _ => Err("invalid header field value"),
        }
    }
}

fn parse_length(value: &[u8]) -> Option<u64> {
    // Nineteen digits are below 2^64, and leave u64::MAX free to mean "not given".
    if value.is_empty() || value.len() > 19 || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(value.iter().fold(0, |length, d| length * 10 + u64::from(d - b'0')))
}
