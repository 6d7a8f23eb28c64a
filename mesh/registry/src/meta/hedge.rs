//! When slow calls are sent to a second instance as well.

use std::time::Duration;

use crate::quantity;

/// When routers hedge a call of the service: when they send it to a second instance while the first one has not answered.
///
/// Only calls that may be executed twice are ever hedged, and the extra calls are bounded by the routers' retry budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hedge {
    /// When it takes longer than 19 of 20 calls take to be answered, as the router measures it.
    Tracked,
    /// After this time, at least 1 ms and at most 24 h.
    After(Duration),
}

impl Hedge {
    /// Reads the value of the key: `on` or `true`, or a duration above zero. `None` for all else.
    pub fn decode(text: &str) -> Option<Self> {
        match text.trim() {
            "on" | "true" => Some(Hedge::Tracked),
            text => quantity::positive(text).ok().map(Hedge::After),
        }
    }

    /// Writes it as [`Hedge::decode`] reads it; `None` for a delay that would be refused.
    pub fn encode(self) -> Option<String> {
        let text = match self {
            Hedge::Tracked => "on".to_owned(),
            Hedge::After(delay) => quantity::show_duration(delay),
        };
        Self::decode(&text).is_some().then_some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_on_or_a_duration() {
        let ms = |ms| Some(Hedge::After(Duration::from_millis(ms)));
        for (text, hedge) in [
            ("on", Some(Hedge::Tracked)),
            (" true ", Some(Hedge::Tracked)),
            ("150ms", ms(150)),
            ("2s", ms(2_000)),
            ("0ms", None),
            ("25h", None),
            ("off", None),
            ("false", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(Hedge::decode(text), hedge, "{text}");
            if let Some(hedge) = hedge {
                assert_eq!(Hedge::decode(&hedge.encode().unwrap()), Some(hedge));
            }
        }
        assert_eq!(Hedge::After(Duration::ZERO).encode(), None);
        assert_eq!(Hedge::After(Duration::from_secs(90_000)).encode(), None);
    }
}
