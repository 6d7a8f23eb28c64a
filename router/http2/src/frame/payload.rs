//! Reads payloads: padding, the priority fields of HEADERS, settings.

use super::{FrameHeader, flag};

/// Why a payload does not parse. Both are connection errors (RFC 9113 sections 4.2, 6.1, 6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadError {
    /// Too short for the fields that the flags announce: FRAME_SIZE_ERROR.
    TooShort,
    /// The padding is as long as what is left, or longer: PROTOCOL_ERROR.
    Padding,
}

/// A HEADERS payload without padding and priority fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadersPayload<'a> {
    /// The fragment of the field block.
    pub fragment: &'a [u8],
    /// The stream that this one depends on, if the deprecated PRIORITY flag is set.
    pub depends_on: Option<u32>,
}

/// One parameter of a SETTINGS frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Identifier, see [`setting`](super::setting).
    pub id: u16,
    /// Value.
    pub value: u32,
}

/// Returns the payload of a DATA or HEADERS frame without the padding that its flags announce.
#[inline]
pub fn strip_padding(header: FrameHeader, payload: &[u8]) -> Result<&[u8], PayloadError> {
    if !header.has(flag::PADDED) {
        return Ok(payload);
    }
    let (&pad, rest) = payload.split_first().ok_or(PayloadError::TooShort)?;
    let end = rest.len().checked_sub(usize::from(pad)).ok_or(PayloadError::Padding)?;
    Ok(&rest[..end])
}

/// Reads a HEADERS payload (RFC 9113 section 6.2).
#[inline]
pub fn parse_headers(header: FrameHeader, payload: &[u8]) -> Result<HeadersPayload<'_>, PayloadError> {
    let rest = strip_padding(header, payload)?;
    if !header.has(flag::PRIORITY) {
        return Ok(HeadersPayload { fragment: rest, depends_on: None });
    }
    let (priority, fragment) = rest.split_at_checked(5).ok_or(PayloadError::TooShort)?;
    Ok(HeadersPayload { fragment, depends_on: read_u31(priority) })
}

/// Reads the parameters of a SETTINGS payload; its length is a multiple of six (else the rest is ignored).
pub fn parse_settings(payload: &[u8]) -> impl Iterator<Item = Setting> + '_ {
    payload.as_chunks::<6>().0.iter().map(|c| Setting {
        id: u16::from_be_bytes([c[0], c[1]]),
        value: u32::from_be_bytes([c[2], c[3], c[4], c[5]]),
    })
}

/// Reads 31 bits in network order, dropping the reserved bit.
#[inline]
pub(crate) fn read_u31(bytes: &[u8]) -> Option<u32> {
    read_u32(bytes).map(|v| v & super::MAX_31)
}

/// Reads 32 bits in network order.
#[inline]
pub(crate) fn read_u32(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk::<4>().map(|b| u32::from_be_bytes(*b))
}
