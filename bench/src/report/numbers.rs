//! Figures as text: three digits that mean something.

/// `0.25`, `2.40`, `93.0`, `830`, `12,300`.
pub(super) fn figure(value: f64) -> String {
    match value.abs() {
        v if v < 9.995 => format!("{value:.2}"),
        v if v < 99.95 => format!("{value:.1}"),
        _ => grouped(value.round()),
    }
}

/// How many times: `0.92x`, `5.5x`, `38.8x`, `120x`.
pub(super) fn times(value: f64) -> String {
    match value {
        v if v < 9.95 => format!("{value:.2}x"),
        v if v < 99.95 => format!("{value:.1}x"),
        _ => format!("{value:.0}x"),
    }
}

/// A count: `1`, `10,000`.
pub(super) fn count(value: f64) -> String {
    if value.fract() == 0.0 { grouped(value) } else { figure(value) }
}

/// A whole number with a comma before every three digits.
fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = if value < 0.0 { "-".to_owned() } else { String::new() };
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_show_three_digits_and_group_thousands() {
        let shown = [0.254, 2.4, 9.999, 93.04, 830.4, 12_300.0, 1_234_567.0].map(figure);
        assert_eq!(shown, ["0.25", "2.40", "10.0", "93.0", "830", "12,300", "1,234,567"]);
    }

    #[test]
    fn ratios_and_counts() {
        assert_eq!([0.916, 5.54, 38.75, 120.4].map(times), ["0.92x", "5.54x", "38.8x", "120x"]);
        assert_eq!([1.0, 64.0, 10_000.0, 0.5].map(count), ["1", "64", "10,000", "0.50"]);
    }
}
