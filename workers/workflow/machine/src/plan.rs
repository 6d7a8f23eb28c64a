//! The graph of a specification: which tasks depend on which, by number.
//!
//! Built once per workflow and shared by its clones. A task's number is its position in the specification.

use std::fmt;

use crate::{Spec, TaskSpec};

/// A specification and the way through it.
#[derive(PartialEq)]
pub(crate) struct Plan {
    pub(crate) spec: Spec,
    /// Numbers of the tasks, sorted by identifier.
    by_id: Box<[u32]>,
    /// Where the dependents of a task begin in `dependents`; one more than there are tasks.
    starts: Box<[u32]>,
    dependents: Box<[u32]>,
    /// How many different tasks a task depends on.
    dependencies: Box<[u32]>,
}

/// A specification without a graph: only what a hand-made or damaged history can hold.
#[derive(Debug)]
pub(crate) struct Unusable(pub(crate) String);

impl Plan {
    /// Takes any specification whose dependencies exist. Whether it is a good one was asked at submission, by rules that
    /// may have changed since.
    pub(crate) fn new(spec: Spec) -> Result<Self, Unusable> {
        let count = u32::try_from(spec.tasks.len()).map_err(|_| Unusable("too many tasks".to_owned()))?;
        let mut by_id: Box<[u32]> = (0..count).collect();
        by_id.sort_by(|a, b| spec.tasks[*a as usize].id.cmp(&spec.tasks[*b as usize].id));
        let mut edges = Vec::new();
        for (task, number) in spec.tasks.iter().zip(0..) {
            let own = edges.len();
            for dependency in &task.dependencies {
                let Some(from) = find(&spec, &by_id, dependency) else {
                    return Err(Unusable(format!(
                        "task {} depends on {dependency}, which is not there",
                        task.id
                    )));
                };
                edges.push((from, number));
            }
            // Named twice, counted once.
            edges[own..].sort_unstable();
            let mut kept = own;
            for index in own..edges.len() {
                if index == own || edges[index] != edges[kept - 1] {
                    edges[kept] = edges[index];
                    kept += 1;
                }
            }
            edges.truncate(kept);
        }
        let mut starts = vec![0_u32; spec.tasks.len() + 1];
        let mut dependencies = vec![0_u32; spec.tasks.len()];
        for (from, to) in &edges {
            starts[*from as usize + 1] += 1;
            dependencies[*to as usize] += 1;
        }
        for index in 1..starts.len() {
            starts[index] += starts[index - 1];
        }
        let mut next = starts.clone();
        let mut dependents = vec![0_u32; edges.len()];
        for (from, to) in edges {
            let place = &mut next[from as usize];
            dependents[*place as usize] = to;
            *place += 1;
        }
        Ok(Self {
            spec,
            by_id,
            starts: starts.into(),
            dependents: dependents.into(),
            dependencies: dependencies.into(),
        })
    }

    /// The number of the task with this identifier.
    pub(crate) fn find(&self, id: &str) -> Option<u32> {
        find(&self.spec, &self.by_id, id)
    }

    /// The tasks that depend on this one directly, in the order of the specification.
    pub(crate) fn dependents(&self, task: u32) -> &[u32] {
        let task = task as usize;
        match (self.starts.get(task), self.starts.get(task + 1)) {
            (Some(from), Some(to)) => &self.dependents[*from as usize..*to as usize],
            _ => &[],
        }
    }

    /// How many different tasks this one depends on.
    pub(crate) fn dependencies(&self, task: u32) -> u32 {
        self.dependencies.get(task as usize).copied().unwrap_or(0)
    }

    /// How many tasks there are.
    pub(crate) fn len(&self) -> u32 {
        self.dependencies.len() as u32
    }

    /// The specification of a task. Numbers come from this plan, or were checked against it.
    pub(crate) fn task(&self, task: u32) -> &TaskSpec {
        &self.spec.tasks[task as usize]
    }

    /// Two tasks with the same identifier, if there are any.
    pub(crate) fn duplicate(&self) -> Option<(u32, u32)> {
        self.by_id
            .windows(2)
            .find(|pair| self.task(pair[0]).id == self.task(pair[1]).id)
            .map(|pair| (pair[0], pair[1]))
    }

    /// The tasks of a cycle, each depending on the next; nothing if there is none.
    pub(crate) fn cycle(&self) -> Option<Vec<u32>> {
        let mut left: Vec<u32> = self.dependencies.to_vec();
        let mut free: Vec<u32> = (0..self.len()).filter(|task| left[*task as usize] == 0).collect();
        let mut over = 0;
        while let Some(task) = free.pop() {
            over += 1;
            for dependent in self.dependents(task) {
                left[*dependent as usize] -= 1;
                if left[*dependent as usize] == 0 {
                    free.push(*dependent);
                }
            }
        }
        if over == self.len() {
            return None;
        }
        // Whoever is left depends on somebody who is left: walking that way must come round.
        let mut seen = vec![u32::MAX; left.len()];
        let mut walk = Vec::new();
        let mut task = left.iter().position(|left| *left > 0)? as u32;
        while seen[task as usize] == u32::MAX {
            seen[task as usize] = walk.len() as u32;
            walk.push(task);
            task = self
                .task(task)
                .dependencies
                .iter()
                .filter_map(|id| self.find(id))
                .find(|dependency| left[*dependency as usize] > 0)?;
        }
        Some(walk.split_off(seen[task as usize] as usize))
    }
}

fn find(spec: &Spec, by_id: &[u32], id: &str) -> Option<u32> {
    let place = by_id.binary_search_by(|task| spec.tasks[*task as usize].id.as_str().cmp(id)).ok()?;
    Some(by_id[place])
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Plan({:?}, {} tasks)", self.spec.name, self.len())
    }
}
