//! Lists that come page by page: the next one is asked for when it is needed.

use std::collections::VecDeque;
use std::future::Future;

use futures_util::{StreamExt, stream};
use switchboard_proto::goclaw::v1::PaginationResponse;

use super::Updates;
use crate::Error;

/// Rows of a page, and what the engine says of the next one.
pub(super) type Page<T> = (Vec<T>, Option<PaginationResponse>);

/// The rows of page after page, from the one that `first` names; `ask` gets the token of each. Ends after the first error.
pub(super) fn rows<T, F>(first: String, ask: impl Fn(String) -> F + Send + 'static) -> Updates<T>
where
    T: Send + 'static,
    F: Future<Output = Result<Page<T>, Error>> + Send + 'static,
{
    let state = (ask, Some(first), VecDeque::new());
    let rows = stream::unfold(state, |(ask, mut next, mut page)| async move {
        loop {
            if let Some(row) = page.pop_front() {
                return Some((Ok(row), (ask, next, page)));
            }
            match ask(next.take()?).await {
                Ok((rows, pagination)) => {
                    page.extend(rows);
                    let token = pagination.unwrap_or_default().next_page_token;
                    next = Some(token).filter(|token| !token.is_empty());
                }
                Err(error) => return Some((Err(error), (ask, None, page))),
            }
        }
    });
    Updates::new(rows.boxed())
}
