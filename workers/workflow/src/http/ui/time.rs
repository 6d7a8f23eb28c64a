//! Times for people: how long ago, and on which day. What the script does to them follows the same rules.

use std::time::SystemTime;

use prost_types::Timestamp;

use super::html::{Element, element, text};

/// Unix ms.
pub(super) fn now() -> i64 {
    millis(&Timestamp::from(SystemTime::now()))
}

/// Unix ms of a time.
pub(super) fn millis(at: &Timestamp) -> i64 {
    at.seconds.saturating_mul(1_000).saturating_add(i64::from(at.nanos) / 1_000_000)
}

/// `2026-11-21 23:59:37 UTC`.
pub(super) fn exact(at: &Timestamp) -> String {
    let shown = at.to_string();
    match (shown.get(..10), shown.get(11..19)) {
        (Some(day), Some(time)) => format!("{day} {time} UTC"),
        _ => shown,
    }
}

/// How long ago it was, with the time itself on demand; a dash for none.
pub(super) fn ago(at: Option<&Timestamp>) -> Element {
    let Some(at) = at else { return none() };
    let apart = now() - millis(at);
    let words = match apart {
        1_000.. => format!("{} ago", span(whole(apart))),
        ..-999 => format!("in {}", span(whole(-apart))),
        _ => "now".to_owned(),
    };
    element("time").attr("datetime", at).attr("title", exact(at)).attr("data-ago", millis(at)).text(words)
}

/// The time itself.
pub(super) fn at(at: Option<&Timestamp>) -> Element {
    let Some(at) = at else { return none() };
    element("time").attr("datetime", at).attr("data-at", millis(at)).text(exact(at))
}

/// The time of day, to the millisecond.
pub(super) fn clock(at: Option<&Timestamp>) -> Element {
    let Some(at) = at else { return none() };
    let clock = at.to_string().get(11..19).unwrap_or_default().to_owned();
    let words = format!("{clock}.{:03}", millis(at).rem_euclid(1_000));
    element("time").attr("datetime", at).attr("title", exact(at)).attr("data-clock", millis(at)).text(words)
}

/// How long something took, or has taken so far; a dash if it has not begun.
pub(super) fn took(from: Option<&Timestamp>, to: Option<&Timestamp>) -> Element {
    match (from, to) {
        (None, _) => none(),
        (Some(from), Some(to)) => text("span", span(millis(to) - millis(from))).class("took"),
        (Some(from), None) => {
            element("span").class("took").attr("data-since", millis(from)).text(span(now() - millis(from)))
        }
    }
}

/// Whole seconds, for what is only roughly meant.
fn whole(ms: i64) -> i64 {
    if ms < 10_000 { ms - ms % 1_000 } else { ms }
}

/// A span in two units at most: `340 ms`, `12 s`, `3 min 20 s`, `2 h 5 min`, `4 d 3 h`.
pub(super) fn span(ms: i64) -> String {
    let ms = ms.max(0);
    let two = |whole: i64, unit: &str, part: i64, smaller: &str| match part {
        0 => format!("{whole} {unit}"),
        part => format!("{whole} {unit} {part} {smaller}"),
    };
    let seconds = ms / 1_000;
    match seconds {
        0 => format!("{ms} ms"),
        1..10 if ms % 1_000 >= 100 => format!("{seconds}.{} s", ms % 1_000 / 100),
        1..60 => format!("{seconds} s"),
        60..3_600 => two(seconds / 60, "min", seconds % 60, "s"),
        3_600..86_400 => two(seconds / 3_600, "h", seconds % 3_600 / 60, "min"),
        86_400.. => two(seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
        ..0 => String::new(),
    }
}

fn none() -> Element {
    element("span")
        .class("none")
        .child(text("span", "none").class("unseen"))
        .child(text("span", "–").attr("aria-hidden", "true"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_two_units_at_most() {
        for (ms, words) in [
            (-5, "0 ms"),
            (340, "340 ms"),
            (1_250, "1.2 s"),
            (2_000, "2 s"),
            (12_900, "12 s"),
            (60_000, "1 min"),
            (200_000, "3 min 20 s"),
            (7_500_000, "2 h 5 min"),
            (97_200_000, "1 d 3 h"),
        ] {
            assert_eq!(span(ms), words);
        }
    }

    #[test]
    fn times_say_their_zone() {
        let at = Timestamp { seconds: 1_795_305_577, nanos: 120_000_000 };
        assert_eq!(exact(&at), "2026-11-21 23:59:37 UTC");
        assert_eq!(millis(&at), 1_795_305_577_120);
    }
}
