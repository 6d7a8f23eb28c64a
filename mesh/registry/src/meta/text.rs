//! Texts in values of 512 bytes: cleaned, cut on a character's boundary, and split over numbered keys.

use std::collections::BTreeMap;

/// Consul's limit of one value.
pub(super) const MAX_VALUE_BYTES: usize = 512;
const ELLIPSIS: &str = "…";

/// Replaces control characters by spaces and takes the spaces around away.
pub(super) fn clean(text: &str) -> String {
    let spaced: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    spaced.trim().to_owned()
}

/// Gives how many bytes surely fit `pieces` values: a piece may end up to 3 bytes early, before a wide character.
pub(super) fn capacity(pieces: usize) -> usize {
    match pieces {
        1 => MAX_VALUE_BYTES,
        more => more * (MAX_VALUE_BYTES - 3),
    }
}

/// Cuts a text to what `pieces` values hold, with an ellipsis if anything is lost.
pub(super) fn cut(text: &str, pieces: usize) -> String {
    cut_to(text, capacity(pieces))
}

/// Cuts a text to `max_bytes`, with an ellipsis if anything is lost.
pub(super) fn cut_to(text: &str, max_bytes: usize) -> String {
    if text.len() <= max_bytes {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(max_bytes.saturating_sub(ELLIPSIS.len()));
    format!("{}{ELLIPSIS}", &text[..end])
}

/// Writes a text under `key`, or in pieces under `key_1`, `key_2` ...; nothing if it is empty.
pub(super) fn insert(meta: &mut BTreeMap<String, String>, key: &str, text: &str, pieces: usize) {
    if text.is_empty() {
        return;
    }
    if text.len() <= MAX_VALUE_BYTES {
        meta.insert(key.to_owned(), text.to_owned());
        return;
    }
    let mut rest = text;
    for number in 1..=pieces {
        let (piece, after) = rest.split_at(rest.floor_char_boundary(MAX_VALUE_BYTES));
        if piece.is_empty() {
            break;
        }
        meta.insert(format!("{key}_{number}"), piece.to_owned());
        rest = after;
    }
}

/// Reads what [`insert`] wrote, cleaned again since anybody may have written it.
pub(super) fn get(meta: &BTreeMap<String, String>, key: &str) -> String {
    let mut text = meta.get(key).cloned().unwrap_or_default();
    for number in 1.. {
        match meta.get(&format!("{key}_{number}")) {
            Some(piece) => text.push_str(piece),
            None => break,
        }
    }
    clean(&text)
}
