//! What is drawn of a workflow's graph: its tasks, or fewer boxes that stand for many of them.
//!
//! | tasks | a box is |
//! |---|---|
//! | up to [`MAX_BOXES`] | a task |
//! | more | all tasks with the same dependencies and dependents |
//! | still more | a layer, or so many neighbouring layers that [`MAX_BOXES`] suffice |

use std::collections::HashMap;

/// Boxes that a drawing has at most: more, nobody reads.
pub(super) const MAX_BOXES: usize = 300;
/// Lines that a drawing has at most.
const MAX_EDGES: usize = 1_200;
/// Boxes when each stands for layers.
const MAX_LAYERS: usize = 60;

/// Boxes, each with the tasks that it stands for, and lines between them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Graph {
    /// In the order of their first tasks. Tasks by their place in the workflow.
    pub(super) boxes: Vec<Vec<usize>>,
    /// From box to box, each once, from what is earlier to what waits for it.
    pub(super) edges: Vec<(usize, usize)>,
}

impl Graph {
    /// The graph of tasks, `before` of which says for each on which it depends.
    pub(super) fn new(before: &[Vec<usize>]) -> Self {
        let plain = Self::of((0..before.len()).collect(), before);
        if plain.is_readable() {
            return plain;
        }
        let folded = Self::of(twins(before), before);
        if folded.is_readable() {
            return folded;
        }
        let mut layers = ranks(before);
        let count = layers.iter().max().map_or(0, |last| last + 1);
        let each = count.div_ceil(MAX_LAYERS).max(1);
        layers.iter_mut().for_each(|layer| *layer /= each);
        Self::of(layers, before)
    }

    /// Tasks of one key share a box.
    fn of(keys: Vec<usize>, before: &[Vec<usize>]) -> Self {
        let mut boxes: Vec<Vec<usize>> = Vec::new();
        let mut of_key = HashMap::new();
        let mut of_task = Vec::with_capacity(keys.len());
        for (task, key) in keys.into_iter().enumerate() {
            let at = *of_key.entry(key).or_insert_with(|| {
                boxes.push(Vec::new());
                boxes.len() - 1
            });
            boxes[at].push(task);
            of_task.push(at);
        }
        let mut edges: Vec<_> = before
            .iter()
            .enumerate()
            .flat_map(|(task, before)| before.iter().map(move |earlier| (*earlier, task)))
            .map(|(earlier, task)| (of_task[earlier], of_task[task]))
            .filter(|(from, to)| from != to)
            .collect();
        edges.sort_unstable();
        edges.dedup();
        Self { boxes, edges }
    }

    fn is_readable(&self) -> bool {
        self.boxes.len() <= MAX_BOXES && self.edges.len() <= MAX_EDGES
    }

    /// Whether a box stands for more than one task.
    pub(super) fn is_folded(&self) -> bool {
        self.boxes.iter().any(|tasks| tasks.len() > 1)
    }
}

/// One number for all tasks with the same dependencies and the same dependents.
fn twins(before: &[Vec<usize>]) -> Vec<usize> {
    let mut after = vec![Vec::new(); before.len()];
    for (task, earlier) in before.iter().enumerate() {
        earlier.iter().for_each(|earlier| after[*earlier].push(task));
    }
    let mut known = HashMap::new();
    let both = before.iter().zip(after).map(|(before, after)| {
        let mut before = before.clone();
        before.sort_unstable();
        (before, after)
    });
    let mut numbers = Vec::with_capacity(before.len());
    for key in both {
        let next = known.len();
        numbers.push(*known.entry(key).or_insert(next));
    }
    numbers
}

/// How many tasks must end, one after another, before each can begin. Tasks of a cycle, which no workflow has, stay at 0.
pub(super) fn ranks(before: &[Vec<usize>]) -> Vec<usize> {
    let mut after = vec![Vec::new(); before.len()];
    let mut left: Vec<usize> = before.iter().map(Vec::len).collect();
    for (task, earlier) in before.iter().enumerate() {
        earlier.iter().for_each(|earlier| after[*earlier].push(task));
    }
    let mut ranks = vec![0; before.len()];
    let mut ready: Vec<usize> = (0..before.len()).filter(|task| left[*task] == 0).collect();
    while let Some(task) = ready.pop() {
        for next in &after[task] {
            ranks[*next] = ranks[*next].max(ranks[task] + 1);
            left[*next] -= 1;
            if left[*next] == 0 {
                ready.push(*next);
            }
        }
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_graphs_are_drawn_as_they_are() {
        // 0 -> 1, 2 -> 3
        let graph = Graph::new(&[vec![], vec![0], vec![0], vec![1, 2]]);
        assert_eq!(graph.boxes, [[0], [1], [2], [3]]);
        assert_eq!(graph.edges, [(0, 1), (0, 2), (1, 3), (2, 3)]);
        assert!(!graph.is_folded());
    }

    #[test]
    fn what_is_alike_becomes_one_box() {
        let mut before = vec![vec![]];
        before.extend(vec![vec![0]; 1_000]);
        before.push((1..=1_000).collect());
        let graph = Graph::new(&before);
        assert_eq!(graph.boxes.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1_000, 1]);
        assert_eq!(graph.edges, [(0, 1), (1, 2)]);
        assert!(graph.is_folded());
    }

    #[test]
    fn the_largest_workflow_is_a_readable_drawing() {
        // A chain of 10,000, and 2,500 chains of four.
        let chain: Vec<_> =
            (0..10_000).map(|task: usize| task.checked_sub(1).into_iter().collect()).collect();
        let many: Vec<Vec<usize>> =
            (0..10_000).map(|task| if task < 2_500 { vec![] } else { vec![task - 2_500] }).collect();
        for before in [chain, many] {
            let graph = Graph::new(&before);
            assert!(graph.boxes.len() <= MAX_LAYERS && graph.is_readable(), "{}", graph.boxes.len());
            assert_eq!(graph.boxes.iter().map(Vec::len).sum::<usize>(), 10_000);
        }
    }
}
