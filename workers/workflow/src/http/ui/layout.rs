//! Where boxes and lines stand: in columns by what they wait for, in an order with few crossings, at heights that keep
//! lines straight (Sugiyama, Tagawa, Toda: Methods for Visual Understanding of Hierarchical System Structures, 1981).

use super::graph::ranks;

/// Times that the order is improved, there and back.
const SWEEPS: usize = 10;
/// Times that heights are improved, there and back.
const LEVELLINGS: usize = 30;
/// Points at which lines pass a column; beyond, lines go straight through.
const MAX_BENDS: usize = 6_000;

/// How much more a passing line keeps its height than a box does.
const LINE_WEIGHT: f64 = 8.0;

/// Distances of what is drawn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Distances {
    /// From the middle of a box to that of the next below it.
    pub(super) boxes: f64,
    /// From the middle of a line that passes to that of the next line.
    pub(super) lines: f64,
}

/// A drawing without size: columns are numbers, heights are in the unit of [`Distances`].
#[derive(Debug)]
pub(super) struct Layout {
    /// Column and height of each box's middle.
    pub(super) boxes: Vec<(usize, f64)>,
    /// Column and height of each point through which a line goes, its ends included.
    pub(super) lines: Vec<Vec<(usize, f64)>>,
    pub(super) columns: usize,
    /// Of the lowest point or middle of a box; the highest is at 0.
    pub(super) height: f64,
}

/// What stands in a column: a box, or a line that passes.
struct Places {
    /// Of each place its column; boxes come first.
    column: Vec<usize>,
    /// What is joined with it in the column before, and in the one behind.
    before: Vec<Vec<usize>>,
    after: Vec<Vec<usize>>,
    boxes: usize,
    /// Of each column its places, from top to bottom.
    order: Vec<Vec<usize>>,
}

impl Layout {
    /// Lays out boxes with lines from the earlier to the later.
    pub(super) fn new(boxes: usize, edges: &[(usize, usize)], distances: Distances) -> Self {
        let column = columns(boxes, edges);
        let (mut places, routes) = Places::new(column, edges);
        for sweep in 0..SWEEPS {
            places.sort(sweep % 2 == 0);
        }
        let heights = places.heights(&routes, distances);
        let at = |place: usize| (places.column[place], heights[place]);
        Self {
            boxes: (0..boxes).map(at).collect(),
            lines: routes.iter().map(|route| route.iter().map(|place| at(*place)).collect()).collect(),
            columns: places.order.len(),
            height: heights.iter().copied().fold(0.0, f64::max),
        }
    }
}

/// The column of each box: behind all that it waits for. What waits for nothing stands close to what waits for it.
fn columns(boxes: usize, edges: &[(usize, usize)]) -> Vec<usize> {
    let mut before = vec![Vec::new(); boxes];
    edges.iter().for_each(|(from, to)| before[*to].push(*from));
    let mut column = ranks(&before);
    let mut nearest = vec![usize::MAX; boxes];
    for (from, to) in edges {
        nearest[*from] = nearest[*from].min(column[*to]);
    }
    for place in 0..boxes {
        if before[place].is_empty() && nearest[place] != usize::MAX {
            column[place] = nearest[place].saturating_sub(1);
        }
    }
    column
}

impl Places {
    /// Also tells for each line through which places it goes.
    fn new(column: Vec<usize>, edges: &[(usize, usize)]) -> (Self, Vec<Vec<usize>>) {
        let boxes = column.len();
        let columns = column.iter().max().map_or(0, |last| last + 1);
        let mut places = Self {
            before: vec![Vec::new(); boxes],
            after: vec![Vec::new(); boxes],
            order: vec![Vec::new(); columns],
            column,
            boxes,
        };
        for place in 0..boxes {
            places.order[places.column[place]].push(place);
        }
        let mut routes = Vec::with_capacity(edges.len());
        for (from, to) in edges {
            let mut route = vec![*from];
            let passed = places.column[*from] + 1..places.column[*to];
            if places.column.len() - boxes + passed.len() <= MAX_BENDS {
                for column in passed {
                    route.push(places.pass(column));
                }
            }
            route.push(*to);
            for pair in route.windows(2) {
                places.after[pair[0]].push(pair[1]);
                places.before[pair[1]].push(pair[0]);
            }
            routes.push(route);
        }
        (places, routes)
    }

    fn pass(&mut self, column: usize) -> usize {
        let place = self.column.len();
        self.column.push(column);
        self.before.push(Vec::new());
        self.after.push(Vec::new());
        self.order[column].push(place);
        place
    }

    /// Puts each place where the middle of its neighbours on one side is.
    fn sort(&mut self, forward: bool) {
        let mut rank = vec![0.0; self.column.len()];
        for places in &self.order {
            for (index, place) in places.iter().enumerate() {
                rank[*place] = index as f64;
            }
        }
        let columns = self.order.len();
        for step in 1..columns {
            let column = if forward { step } else { columns - 1 - step };
            let neighbours = if forward { &self.before } else { &self.after };
            let mut places: Vec<(f64, usize)> = self.order[column]
                .iter()
                .map(|place| (mean(&neighbours[*place], &rank).unwrap_or(rank[*place]), *place))
                .collect();
            // Stable: what is equal keeps its order.
            places.sort_by(|one, other| one.0.total_cmp(&other.0));
            for (index, (_, place)) in places.iter().enumerate() {
                rank[*place] = index as f64;
            }
            self.order[column] = places.into_iter().map(|(_, place)| place).collect();
        }
    }

    /// Heights in this order, as close to the wanted ones as distances allow.
    fn heights(&self, routes: &[Vec<usize>], distances: Distances) -> Vec<f64> {
        let mut heights = vec![0.0; self.column.len()];
        for places in &self.order {
            let offsets = self.offsets(places, distances);
            let middle = offsets.last().copied().unwrap_or(0.0) / 2.0;
            places.iter().zip(offsets).for_each(|(place, offset)| heights[*place] = offset - middle);
        }
        let columns = self.order.len();
        for sweep in 0..LEVELLINGS {
            // A line that passes columns wants to be level all the way.
            let mut level = vec![0.0; self.column.len()];
            for route in routes {
                let mean = mean(route, &heights).unwrap_or_default();
                route.iter().for_each(|place| level[*place] = mean);
            }
            for step in 0..columns {
                let column = if sweep % 2 == 0 { step } else { columns - 1 - step };
                let places = &self.order[column];
                let wanted: Vec<f64> = places
                    .iter()
                    .map(|place| match *place < self.boxes {
                        true => self.wanted(*place, &heights),
                        false => level[*place],
                    })
                    .collect();
                let weights: Vec<f64> = places.iter().map(|place| self.weight(*place)).collect();
                let found = spread(&wanted, &weights, &self.offsets(places, distances));
                places.iter().zip(found).for_each(|(place, height)| heights[*place] = height);
            }
        }
        let top = heights.iter().copied().fold(f64::INFINITY, f64::min);
        heights.iter_mut().for_each(|height| *height -= top);
        heights
    }

    /// The middle of a box's neighbours on either side.
    fn wanted(&self, place: usize, heights: &[f64]) -> f64 {
        let sides = [mean(&self.before[place], heights), mean(&self.after[place], heights)];
        match sides {
            [Some(before), Some(after)] => f64::midpoint(before, after),
            [Some(side), None] | [None, Some(side)] => side,
            [None, None] => heights[place],
        }
    }

    fn weight(&self, place: usize) -> f64 {
        if place < self.boxes { 1.0 } else { LINE_WEIGHT }
    }

    /// How far below the first of a column each place must be at least.
    fn offsets(&self, places: &[usize], distances: Distances) -> Vec<f64> {
        let mut offset = 0.0;
        let mut offsets = vec![0.0; places.len()];
        for at in 1..places.len() {
            let boxes = usize::from(places[at - 1] < self.boxes) + usize::from(places[at] < self.boxes);
            offset += match boxes {
                0 => distances.lines,
                1 => (distances.boxes + distances.lines) / 2.0,
                _ => distances.boxes,
            };
            offsets[at] = offset;
        }
        offsets
    }
}

fn mean(of: &[usize], values: &[f64]) -> Option<f64> {
    (!of.is_empty()).then(|| of.iter().map(|place| values[*place]).sum::<f64>() / of.len() as f64)
}

/// The heights nearest to the wanted ones (by least squares) that are at least their offsets apart: isotonic regression, by
/// pooling neighbours that want to change places.
fn spread(wanted: &[f64], weights: &[f64], offsets: &[f64]) -> Vec<f64> {
    // Of what stands together: weighted sum, weight, number.
    let mut pools: Vec<(f64, f64, usize)> = Vec::new();
    for ((wanted, weight), offset) in wanted.iter().zip(weights).zip(offsets) {
        let mut pool = ((wanted - offset) * weight, *weight, 1);
        while let Some(last) = pools.last().copied()
            && last.0 / last.1 > pool.0 / pool.1
        {
            pools.pop();
            pool = (pool.0 + last.0, pool.1 + last.1, pool.2 + last.2);
        }
        pools.push(pool);
    }
    let flat = pools.iter().flat_map(|(sum, weight, count)| std::iter::repeat_n(sum / weight, *count));
    flat.zip(offsets).map(|(height, offset)| height + offset).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DISTANCES: Distances = Distances { boxes: 10.0, lines: 4.0 };

    fn layout(boxes: usize, edges: &[(usize, usize)]) -> Layout {
        let layout = Layout::new(boxes, edges, DISTANCES);
        for column in 0..layout.columns {
            let mut heights: Vec<f64> =
                layout.boxes.iter().filter(|(at, _)| *at == column).map(|(_, height)| *height).collect();
            heights.sort_by(f64::total_cmp);
            assert!(heights.windows(2).all(|pair| pair[1] - pair[0] > DISTANCES.boxes - 1e-6), "{layout:?}");
        }
        layout
    }

    #[test]
    fn a_chain_is_straight() {
        let chain = layout(4, &[(0, 1), (1, 2), (2, 3)]);
        assert_eq!(chain.boxes, [(0, 0.0), (1, 0.0), (2, 0.0), (3, 0.0)]);
    }

    #[test]
    fn a_diamond_is_symmetric() {
        let diamond = layout(4, &[(0, 1), (0, 2), (1, 3), (2, 3)]);
        let column: Vec<_> = diamond.boxes.iter().map(|(column, _)| *column).collect();
        assert_eq!(column, [0, 1, 1, 2]);
        let (fork, join) = (diamond.boxes[0].1, diamond.boxes[3].1);
        assert!((fork - 5.0).abs() < 0.1 && (join - 5.0).abs() < 0.1, "{diamond:?}");
    }

    #[test]
    fn lines_do_not_cross_without_need() {
        // Three pairs, named so that in the order of their names they would.
        let pairs = layout(6, &[(0, 5), (1, 4), (2, 3)]);
        let crossed = pairs.lines.iter().any(|one| {
            pairs.lines.iter().any(|other| (one[0].1 - other[0].1) * (one[1].1 - other[1].1) < 0.0)
        });
        assert!(!crossed, "{pairs:?}");
    }

    #[test]
    fn long_lines_go_around_boxes() {
        let bypass = layout(3, &[(0, 1), (1, 2), (0, 2)]);
        let line = &bypass.lines[2];
        assert_eq!(line.iter().map(|(column, _)| *column).collect::<Vec<_>>(), [0, 1, 2]);
        assert!((line[1].1 - bypass.boxes[1].1).abs() >= 7.0 - 1e-6, "{bypass:?}");
    }

    #[test]
    fn nothing_to_draw_is_drawn() {
        assert_eq!(layout(0, &[]).columns, 0);
        assert_eq!(layout(1, &[]).boxes, [(0, 0.0)]);
    }
}
