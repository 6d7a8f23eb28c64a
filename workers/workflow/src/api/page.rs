//! Pages: how large, and the opaque token of the next one.
//!
//! A token is base64url of version | whose list | place | check. It goes on where its list stopped; one that was edited, or
//! belongs to another list, is refused. It holds no secret: a place in a list that its holder may read anyway.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use switchboard_proto::goclaw::v1::PaginationRequest;

use super::{caller::digest, status::Problem};

const VERSION: u8 = 1;
/// Bytes of digests in a token: enough against accidents.
const CHECK: usize = 8;
const DEFAULT_SIZE: usize = 50;
pub(super) const MAX_SIZE: usize = 1_000;

/// Which list a token belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scope([u8; CHECK]);

impl Scope {
    /// The list of a method with everything that chooses its entries.
    pub(super) fn of(method: &str, choice: &str) -> Self {
        Self(short(&[method.as_bytes(), choice.as_bytes()]))
    }

    /// The token of the page that begins at `place`.
    pub(super) fn token(self, place: &[u8]) -> String {
        let mut token = vec![VERSION];
        token.extend(self.0);
        token.extend(place);
        token.extend(short(&[b"page token", &token.clone()]));
        URL_SAFE_NO_PAD.encode(token)
    }

    /// The place that the request's token names; `None` for the first page.
    pub(super) fn place(self, pagination: Option<&PaginationRequest>) -> Result<Option<Vec<u8>>, Problem> {
        let token = pagination.map_or("", |pagination| pagination.page_token.as_str());
        if token.is_empty() {
            return Ok(None);
        }
        let refused = || {
            let reason =
                "is not a token of this list; use next_page_token of the page before, with the same filter";
            Problem::invalid("pagination.page_token", reason)
        };
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| refused())?;
        let (content, check) = bytes.split_last_chunk::<CHECK>().ok_or_else(refused)?;
        let place = content.strip_prefix(&[VERSION]).and_then(|rest| rest.strip_prefix(&self.0));
        match place {
            Some(place) if short(&[b"page token", content]) == *check => Ok(Some(place.to_vec())),
            _ => Err(refused()),
        }
    }

    /// The token of the page that begins behind so many entries.
    pub(super) fn token_at(self, index: usize) -> String {
        self.token(&(index as u64).to_be_bytes())
    }

    /// How many entries the pages before have.
    pub(super) fn index(self, pagination: Option<&PaginationRequest>) -> Result<usize, Problem> {
        let place = self.place(pagination)?;
        let index = place.and_then(|place| place.try_into().ok()).map_or(0, u64::from_be_bytes);
        Ok(usize::try_from(index).unwrap_or(usize::MAX))
    }
}

/// Entries of a page.
pub(super) fn size(pagination: Option<&PaginationRequest>) -> Result<usize, Problem> {
    match pagination.map_or(0, |pagination| pagination.page_size) {
        0 => Ok(DEFAULT_SIZE),
        size => match usize::try_from(size) {
            Ok(size) => Ok(size.min(MAX_SIZE)),
            Err(_) => {
                Err(Problem::invalid("pagination.page_size", "is negative; use 0 for 50, at most 1000"))
            }
        },
    }
}

fn short(parts: &[&[u8]]) -> [u8; CHECK] {
    let mut short = [0; CHECK];
    short.copy_from_slice(&digest(parts)[..CHECK]);
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(page_token: String) -> PaginationRequest {
        PaginationRequest { page_size: 0, page_token }
    }

    #[test]
    fn a_token_belongs_to_its_list_and_cannot_be_edited() {
        let scope = Scope::of("List", "a");
        let token = scope.token(b"place");
        assert_eq!(scope.place(Some(&request(token.clone()))).unwrap().unwrap(), b"place");
        assert!(Scope::of("List", "b").place(Some(&request(token.clone()))).is_err());
        for at in 0..token.len() {
            let mut edited = token.clone().into_bytes();
            edited[at] = if edited[at] == b'A' { b'B' } else { b'A' };
            let edited = String::from_utf8(edited).unwrap();
            assert!(scope.place(Some(&request(edited))).is_err(), "{at}");
        }
        for foreign in ["x", "AAAA", "====", "ä"] {
            assert!(scope.place(Some(&request(foreign.to_owned()))).is_err(), "{foreign}");
        }
        assert_eq!(scope.index(Some(&request(scope.token_at(7)))).unwrap(), 7);
        assert_eq!(scope.index(None).unwrap(), 0);
    }

    #[test]
    fn sizes_have_a_default_and_bounds() {
        let size = |page_size| size(Some(&PaginationRequest { page_size, page_token: String::new() }));
        assert_eq!((size(0), size(7), size(5_000)), (Ok(50), Ok(7), Ok(1_000)));
        assert!(size(-1).is_err());
    }
}
