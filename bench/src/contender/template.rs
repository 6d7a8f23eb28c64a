//! The peers' settings in `bench/peers/`: real configuration files with `@NAME@` where this run's values go.

use anyhow::{Result, bail};

/// Puts each value in the place of its `@NAME@`.
///
/// # Errors
/// A name without a value remains.
pub(super) fn render(template: &str, values: &[(&str, &str)]) -> Result<String> {
    let mut text = template.to_owned();
    for (name, value) in values {
        text = text.replace(&format!("@{name}@"), value);
    }
    let is_name =
        |word: &&str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    // Pieces between two at signs; a lone one, as in Envoy's "@type", makes no piece that is a name.
    let pieces: Vec<_> = text.split('@').collect();
    let between = pieces.get(1..pieces.len() - 1).unwrap_or_default();
    match between.iter().find(|piece| is_name(piece)) {
        Some(name) => bail!("the template has @{name}@, which has no value"),
        None => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_in_the_place_of_names() {
        let text = render("bind 127.0.0.1:@PORT@ # @PORT@ @RUN_DIR@/x", &[("PORT", "80"), ("RUN_DIR", "/r")]);
        assert_eq!(text.unwrap(), "bind 127.0.0.1:80 # 80 /r/x");
    }

    #[test]
    fn a_name_without_a_value_is_an_error() {
        let error = render("listen @PORT@; cert @TLS_DIR@/a", &[("PORT", "80")]).unwrap_err();
        assert!(error.to_string().contains("@TLS_DIR@"), "{error}");
        assert!(render("\"@type\": a\nport: @PORT@\n", &[]).is_err());
    }

    #[test]
    fn a_lone_at_sign_is_text() {
        let text = "\"@type\": a\n\"@type\": b";
        assert_eq!(render(text, &[]).unwrap(), text);
    }
}
