//! A line for every contender over what grows: logarithmic x axis, and y from 0 unless it spans too much.

use super::{
    names,
    numbers::{count, figure},
    svg::{Anchor, Svg, WIDTH},
};
use crate::results::Growth;

const HEIGHT: f64 = 340.0;
const LEFT: f64 = 72.0;
const RIGHT: f64 = WIDTH - 40.0;
const TOP: f64 = 104.0;
const BOTTOM: f64 = HEIGHT - 58.0;
/// Beyond this the least value would lie on the axis, and the scale is logarithmic.
const LINEAR_UP_TO: f64 = 6.0;

/// The y axis: its marks from bottom to top.
struct Axis {
    marks: Vec<f64>,
    log: bool,
}

impl Axis {
    fn of(min: f64, max: f64) -> Self {
        if min > 0.0 && max / min > LINEAR_UP_TO {
            // Room for a label under the least and above the most.
            let marks: Vec<f64> = (-6..9)
                .flat_map(|power| [1.0, 2.0, 5.0].map(|m| m * 10f64.powi(power)))
                .filter(|mark| *mark > min / 4.0 && *mark < max * 3.0)
                .collect();
            return Self { marks, log: true };
        }
        // A sixth of headroom, so that a value's label does not leave the plot.
        let step = step(max * 1.17 / 4.0);
        let marks = (0..).map(|at| f64::from(at) * step);
        let inside = marks.clone().take_while(|mark| *mark < max * 1.08);
        let last = inside.clone().count() as f64 * step;
        Self { marks: inside.chain([last]).collect(), log: false }
    }

    fn y(&self, value: f64) -> f64 {
        let at = |value: f64| if self.log { value.max(f64::MIN_POSITIVE).ln() } else { value };
        let (low, high) = (at(self.marks[0]), at(self.marks[self.marks.len() - 1]));
        BOTTOM - (BOTTOM - TOP) * (at(value) - low) / (high - low)
    }
}

/// The least of 1, 2, 5, 10, 20.. that is at least `rough`.
fn step(rough: f64) -> f64 {
    let power = 10f64.powf(rough.max(1e-9).log10().floor());
    [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|m| m * power).find(|s| *s >= rough).unwrap_or(10.0 * power)
}

/// The chart of a growth; none without points.
pub(super) fn chart(growth: &Growth) -> Option<String> {
    let points = || growth.series.values().flatten();
    let mut xs: Vec<f64> = points().map(|point| point.0).filter(|x| *x > 0.0).collect();
    xs.sort_by(f64::total_cmp);
    xs.dedup();
    let (first, last) = (*xs.first()?, *xs.last()?);
    let max = points().map(|point| point.1).fold(f64::MIN_POSITIVE, f64::max);
    let min = points().map(|point| point.1).fold(f64::INFINITY, f64::min);
    let axis = Axis::of(min, max);
    let x = |value: f64| {
        let share = if last > first { (value / first).ln() / (last / first).ln() } else { 0.5 };
        LEFT + 16.0 + (RIGHT - LEFT - 32.0) * share
    };

    let log = if axis.log { ", logarithmic scale" } else { "" };
    let mut svg =
        Svg::new(HEIGHT, &growth.title, &format!("{}, less is better{log}", growth.unit), &told(growth));
    for mark in &axis.marks {
        let y = axis.y(*mark);
        svg.line((LEFT, y), (RIGHT, y), if *mark == axis.marks[0] { "axis" } else { "grid" });
        let label = if mark.fract() == 0.0 { count(*mark) } else { short(*mark) };
        svg.text(LEFT - 10.0, y + 4.5, Anchor::End, "dim", &label);
    }
    for value in &xs {
        svg.line((x(*value), BOTTOM), (x(*value), BOTTOM + 5.0), "axis");
        svg.text(x(*value), BOTTOM + 21.0, Anchor::Middle, "dim", &count(*value));
    }
    svg.text((LEFT + RIGHT) / 2.0, BOTTOM + 43.0, Anchor::Middle, "dim", &growth.x);

    let mut legend = LEFT;
    // The router's last, so that it lies on top.
    let mut series: Vec<_> = names::contenders(&growth.series).collect();
    series.reverse();
    for (name, _) in series.iter().rev() {
        let class = class(name);
        svg.polyline(&[(legend, 80.0), (legend + 24.0, 80.0)], class);
        svg.text(legend + 32.0, 84.5, Anchor::Start, "", names::contender(name));
        legend += 32.0 + 7.5 * names::contender(name).len() as f64 + 28.0;
    }
    for (name, points) in &series {
        let places: Vec<_> = points.iter().map(|point| (x(point.0), axis.y(point.1))).collect();
        svg.polyline(&places, class(name));
        for (point, place) in points.iter().zip(&places) {
            svg.dot(*place, class(name));
            let above = above(growth, name, *point);
            let y = if above { place.1 - 12.0 } else { place.1 + 21.0 };
            let weight = if names::is_router(name) { "strong over" } else { "dim over" };
            svg.text(place.0, y, Anchor::Middle, weight, &short(point.1));
        }
    }
    Some(svg.finish())
}

/// Whether a point's label goes above it: that of the higher of two series does, so that labels keep apart.
fn above(growth: &Growth, name: &str, (x, y): (f64, f64)) -> bool {
    let others = growth.series.iter().filter(|(other, _)| *other != name);
    let highest = others
        .flat_map(|(_, points)| points)
        .filter(|point| point.0 == x)
        .map(|point| point.1)
        .fold(f64::NEG_INFINITY, f64::max);
    y >= highest
}

fn class(name: &str) -> &'static str {
    match name {
        _ if names::is_router(name) => "router",
        "haproxy-tcp" => "relay",
        _ => "peer",
    }
}

/// A value beside its point: no digit more than is read there.
fn short(value: f64) -> String {
    let text = figure(value);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// The chart in words.
fn told(growth: &Growth) -> String {
    let all: Vec<String> = names::contenders(&growth.series)
        .map(|(name, points)| {
            let points: Vec<String> =
                points.iter().map(|(x, y)| format!("{} at {}", figure(*y), count(*x))).collect();
            format!("{}: {}", names::contender(name), points.join(", "))
        })
        .collect();
    format!("{} over {}. {}.", growth.unit, growth.x, all.join("; "))
}
