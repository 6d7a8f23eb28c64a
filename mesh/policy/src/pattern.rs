//! Patterns of names: `*` stands for any run of characters, all else for itself, upper and lower case apart.
//!
//! Matching takes time linear in the text: each literal piece is searched for once, from the left, and never again.

/// A pattern, prepared once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    /// Must stand at the start. Without a star it is all there is.
    start: Box<str>,
    /// What follows the first star: the pieces between stars, and the one that must stand at the end.
    rest: Option<(Vec<Box<str>>, Box<str>)>,
}

impl Pattern {
    pub(crate) fn new(text: &str) -> Self {
        let Some((start, after)) = text.split_once('*') else {
            return Self { start: text.into(), rest: None };
        };
        let (middle, end) = after.rsplit_once('*').unwrap_or(("", after));
        let pieces = middle.split('*').filter(|piece| !piece.is_empty()).map(Into::into).collect();
        Self { start: start.into(), rest: Some((pieces, end.into())) }
    }

    pub(crate) fn matches(&self, text: &str) -> bool {
        let Some((pieces, end)) = &self.rest else { return *self.start == *text };
        let Some(mut left) = text.strip_prefix(&*self.start).and_then(|left| left.strip_suffix(&**end))
        else {
            return false;
        };
        // The leftmost place leaves most for those that follow, so that no other place need be tried.
        for piece in pieces {
            let Some(at) = left.find(&**piece) else { return false };
            left = &left[at + piece.len()..];
        }
        true
    }
}
