//! A bar for every contender of one load: CPU of the proxy per unit, the cheapest on top.

use super::{
    names,
    numbers::{figure, times},
    svg::{Anchor, Svg, WIDTH},
};
use crate::results::{Figures, Scenario};

const ROW: f64 = 34.0;
const BAR: f64 = 20.0;
const TOP: f64 = 78.0;
/// Left edge of the bars; names stand before it.
const LEFT: f64 = 180.0;
/// Room for the value behind the longest bar.
const VALUE: f64 = 156.0;
/// Up to this the shortest bar is still seen beside the longest; beyond it the scale is logarithmic.
const LINEAR_UP_TO: f64 = 150.0;

/// How long a bar is.
enum Scale {
    Linear { max: f64 },
    Log { min: f64, max: f64 },
}

impl Scale {
    fn of(values: impl Iterator<Item = f64> + Clone) -> Self {
        let min = values.clone().fold(f64::INFINITY, f64::min);
        let max = values.fold(f64::MIN_POSITIVE, f64::max);
        if max / min <= LINEAR_UP_TO {
            Self::Linear { max }
        } else {
            // Half a decade before the least, so that its bar is seen as well.
            Self::Log { min: min / 3.0, max }
        }
    }

    fn length(&self, value: f64) -> f64 {
        let room = WIDTH - LEFT - VALUE;
        room * match self {
            Self::Linear { max } => value / max,
            Self::Log { min, max } => (value / min).ln().max(0.0) / (max / min).ln(),
        }
    }
}

/// The chart of a load; none if nobody's CPU was measured.
pub(super) fn chart(scenario: &Scenario) -> Option<String> {
    let mut rows: Vec<(&str, f64, &Figures)> = names::contenders(&scenario.contenders)
        .filter(|(_, figures)| figures.failed.is_none())
        .filter_map(|(name, figures)| Some((name, figures.cpu_us.filter(|us| *us > 0.0)?, figures)))
        .collect();
    if rows.is_empty() {
        return None;
    }
    rows.sort_by(|a, b| a.1.total_cmp(&b.1));
    let most = |row: &(&str, f64, &Figures)| row.2.cpu_us_max.unwrap_or(row.1).max(row.1);
    let scale = Scale::of(rows.iter().map(|row| row.1).chain(rows.iter().map(most)));

    let height = TOP + ROW * rows.len() as f64 + 12.0;
    let log = if matches!(scale, Scale::Log { .. }) { ", logarithmic scale" } else { "" };
    let note = format!("us CPU of the proxy per {}, less is better{log}", scenario.unit);
    let mut svg = Svg::new(height, &scenario.title, &note, &told(scenario, &rows));
    for (at, (name, us, figures)) in rows.iter().enumerate() {
        let y = TOP + ROW * at as f64;
        let middle = y + BAR / 2.0;
        let (bar, label) = classes(name);
        svg.text(LEFT - 12.0, middle + 4.5, Anchor::End, label, names::contender(name));
        svg.bar(LEFT, y, scale.length(*us).max(3.0), BAR, bar);
        let mut end = LEFT + scale.length(*us);
        if let (Some(min), Some(max)) = (figures.cpu_us_min, figures.cpu_us_max) {
            let (from, to) = (LEFT + scale.length(min), LEFT + scale.length(max));
            // A spread that is narrower than its own stroke says nothing.
            if to - from > 4.0 {
                svg.line((from, middle), (to, middle), "spread");
                svg.line((from, middle - 4.0), (from, middle + 4.0), "spread");
                svg.line((to, middle - 4.0), (to, middle + 4.0), "spread");
                end = end.max(to);
            }
        }
        let value = figure(*us);
        let wide = 8.0 * value.len() as f64 + 14.0;
        svg.text(end + 10.0, middle + 4.5, Anchor::Start, "strong", &value);
        if let Some(ratio) = figures.ratio.filter(|_| !names::is_router(name)) {
            svg.text(end + 10.0 + wide, middle + 4.5, Anchor::Start, "dim", &times(ratio));
        }
    }
    svg.line((LEFT, TOP - 8.0), (LEFT, TOP + ROW * rows.len() as f64 - 6.0), "axis");
    Some(svg.finish())
}

/// Classes of a contender's bar and name.
fn classes(name: &str) -> (&'static str, &'static str) {
    match name {
        _ if names::is_router(name) => ("router", "strong"),
        "haproxy-tcp" => ("relay", ""),
        _ => ("peer", ""),
    }
}

/// The chart in words.
fn told(scenario: &Scenario, rows: &[(&str, f64, &Figures)]) -> String {
    let all: Vec<String> =
        rows.iter().map(|(name, us, _)| format!("{} {}", names::contender(name), figure(*us))).collect();
    format!("Microseconds of CPU per {}, from least to most: {}.", scenario.unit, all.join(", "))
}
