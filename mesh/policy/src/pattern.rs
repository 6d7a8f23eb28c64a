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
        let mut left = text;
        // To compare with an empty text calls memcmp with a dangling address, which processors can take 100 ns for.
        if !self.start.is_empty() {
            let Some(after) = left.strip_prefix(&*self.start) else { return false };
            left = after;
        }
        if !end.is_empty() {
            let Some(before) = left.strip_suffix(&**end) else { return false };
            left = before;
        }
        // The leftmost place leaves most for those that follow, so that no other place need be tried.
        for piece in pieces {
            let Some(at) = find(left, piece) else { return false };
            left = &left[at + piece.len()..];
        }
        true
    }
}

/// The first place of a piece that is not empty.
fn find(text: &str, piece: &str) -> Option<usize> {
    // IDs and names are short: to look at every place of one is faster than to prepare a search.
    const SHORT: usize = 64;
    if text.len() > SHORT {
        return text.find(piece);
    }
    let (text, piece) = (text.as_bytes(), piece.as_bytes());
    let last = text.len().checked_sub(piece.len())?;
    (0..=last).find(|at| text[*at] == piece[0] && text[*at..].starts_with(piece))
}

#[cfg(test)]
mod tests {
    use super::Pattern;
    use proptest::prelude::*;

    /// The definition, which takes exponential time.
    fn naive(pattern: &str, text: &str) -> bool {
        let mut rest = pattern.chars();
        match rest.next() {
            None => text.is_empty(),
            Some('*') => {
                let mut tails = text.char_indices().map(|(at, _)| &text[at..]).chain([""]);
                tails.any(|tail| naive(rest.as_str(), tail))
            }
            Some(literal) => text.strip_prefix(literal).is_some_and(|tail| naive(rest.as_str(), tail)),
        }
    }

    #[test]
    fn a_star_stands_for_any_run() {
        let cases = [
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("a", "a", true),
            ("a", "A", false),
            ("*-tool", "weather-tool", true),
            ("*-tool", "weather-tool2", false),
            ("ab*b", "ab", false),
            ("a*b*c", "a.b.b.c", true),
            ("a**c", "ac", true),
            ("*a*", "bab", true),
            ("a.c", "abc", false),
            ("a?c", "abc", false),
            ("[a]", "a", false),
            ("/s.T/*", "/s.T/M", true),
            ("é*", "éa", true),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(Pattern::new(pattern).matches(text), expected, "{pattern} of {text}");
        }
    }

    #[test]
    fn a_nasty_pattern_takes_linear_time() {
        // A matcher that tries every place would take longer than the universe has.
        let pattern = Pattern::new(&"a*".repeat(200));
        let text = format!("{}b", "a".repeat(100_000));
        assert!(pattern.matches(&text));
        let pattern = Pattern::new(&format!("{}c", "*a".repeat(200)));
        assert!(!pattern.matches(&text));
        let pattern = Pattern::new(&format!("*{}b*", "a".repeat(250)));
        assert!(!pattern.matches(&"a".repeat(100_000)));
    }

    #[test]
    fn short_and_long_texts_are_matched_alike() {
        for length in 0..200 {
            let text = format!("{}xyé{}", "a".repeat(length), "a".repeat(length / 2));
            assert!(Pattern::new("*xyé*").matches(&text) && Pattern::new("*x*é*").matches(&text), "{length}");
            assert!(
                !Pattern::new("*yx*").matches(&text) && !Pattern::new("*xyéb*").matches(&text),
                "{length}"
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_096))]
        #[test]
        fn it_agrees_with_the_definition(pattern in "[ab*é]{0,8}", text in "[abé]{0,10}") {
            prop_assert_eq!(Pattern::new(&pattern).matches(&text), naive(&pattern, &text));
        }
    }
}
