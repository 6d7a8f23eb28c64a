//! The graph as SVG: boxes that are links, from left to right. The table of tasks says the same in words.

use std::collections::HashMap;

use switchboard_proto::goclaw::v1::{GetWorkflowStatusResponse, TaskStatusDetail};

use super::{
    frame::section,
    graph::Graph,
    html::{Element, Url, element, text},
    layout::{Distances, Layout},
    state::{State, in_words, tally},
    tasks::{page_of, says, state},
};

/// Space around the whole.
const MARGIN: f64 = 14.0;
/// From one column to the next.
const GAP: f64 = 52.0;
const WIDTH: f64 = 196.0;
/// Boxes above each other, from which on they have one line only.
const MANY: usize = 12;

/// Sizes of a drawing.
#[derive(Clone, Copy)]
struct Sizes {
    height: f64,
    distances: Distances,
    one_line: bool,
}

const ROOMY: Sizes =
    Sizes { height: 48.0, distances: Distances { boxes: 66.0, lines: 14.0 }, one_line: false };
const DENSE: Sizes = Sizes { height: 28.0, distances: Distances { boxes: 36.0, lines: 8.0 }, one_line: true };

/// What a box says.
struct Said {
    key: String,
    to: Url,
    name: String,
    state: State,
    /// The state, and what there is to it.
    words: String,
    /// The whole, for those who hear it.
    label: String,
    /// Share of what it stands for that is done, in percent, if that is known.
    done: Option<f64>,
}

/// The section with the drawing.
pub(super) fn graph(workflow: &GetWorkflowStatusResponse) -> Element {
    let places: HashMap<&str, usize> =
        workflow.tasks.iter().enumerate().map(|(at, task)| (task.task_id.as_str(), at)).collect();
    let before: Vec<Vec<usize>> = workflow
        .tasks
        .iter()
        .map(|task| task.dependencies.iter().filter_map(|name| places.get(name.as_str()).copied()).collect())
        .collect();
    let graph = Graph::new(&before);
    let mut section = section("graph", "Graph");
    if graph.is_folded() {
        let words = format!(
            "{} tasks are too many to draw each: a box stands for all that are alike. The table below has every one.",
            workflow.tasks.len()
        );
        section = section.child(text("p", words).class("help"));
    }
    let fit = element("label")
        .class("fit")
        .child(element("input").attr("type", "checkbox").attr("id", "fit").attr("data-own", ""))
        .text(" Fit to width");
    let drawing = element("div")
        .class("drawing")
        .attr("tabindex", 0)
        .attr("role", "region")
        .attr("aria-label", "Graph of tasks, scrollable")
        .child(drawn(workflow, &graph));
    section.child(fit).child(drawing)
}

fn drawn(workflow: &GetWorkflowStatusResponse, graph: &Graph) -> Element {
    let sizes = sizes(graph);
    let layout = Layout::new(graph.boxes.len(), &graph.edges, sizes.distances);
    let columns = layout.columns as f64;
    let width = MARGIN * 2.0 + columns * WIDTH + (columns - 1.0).max(0.0) * GAP;
    let height = MARGIN * 2.0 + layout.height + sizes.height;
    let x = |column: usize| MARGIN + column as f64 * (WIDTH + GAP);
    let y = |middle: f64| MARGIN + sizes.height / 2.0 + middle;

    let states: Vec<Vec<State>> = graph
        .boxes
        .iter()
        .map(|tasks| tasks.iter().map(|task| state(&workflow.tasks[*task])).collect())
        .collect();
    let lines = graph.edges.iter().zip(&layout.lines).map(|((from, _), points)| {
        let done = states[*from].iter().all(|state| *state == State::Completed);
        let points: Vec<_> = points.iter().map(|(column, middle)| (x(*column), y(*middle))).collect();
        element("path").class(if done { "line done" } else { "line" }).attr("d", curve(&points))
    });
    let boxes = graph.boxes.iter().zip(&layout.boxes).map(|(tasks, (column, middle))| {
        let said = match tasks.as_slice() {
            [task] => one(workflow, &workflow.tasks[*task]),
            tasks => many(workflow, tasks),
        };
        drawn_box(&said, sizes, x(*column), y(*middle) - sizes.height / 2.0)
    });
    let words =
        format!("{} tasks, from left to right in the order in which they can run.", workflow.tasks.len());
    element("svg")
        .attr("id", "drawing")
        .attr("role", "group")
        .attr("aria-label", words)
        .attr("viewBox", format!("0 0 {width:.0} {height:.0}"))
        .attr("width", format!("{width:.0}"))
        .attr("height", format!("{height:.0}"))
        .child(element("g").class("lines").attr("aria-hidden", "true").children(lines))
        .child(element("g").class("boxes").children(boxes))
}

fn sizes(graph: &Graph) -> Sizes {
    let mut before = vec![Vec::new(); graph.boxes.len()];
    graph.edges.iter().for_each(|(from, to)| before[*to].push(*from));
    let mut columns = HashMap::new();
    for rank in super::graph::ranks(&before) {
        *columns.entry(rank).or_insert(0_usize) += 1;
    }
    if columns.values().any(|boxes| *boxes > MANY) { DENSE } else { ROOMY }
}

/// A line that leaves a box on its right and enters the next on its left, level at both ends and where it passes columns.
fn curve(points: &[(f64, f64)]) -> String {
    let mut path = String::new();
    for (index, pair) in points.windows(2).enumerate() {
        let ((from_x, from_y), (to_x, to_y)) = (pair[0], pair[1]);
        let from_x = from_x + WIDTH;
        let middle = (from_x + to_x) / 2.0;
        let begin = if index == 0 { 'M' } else { 'L' };
        path.push_str(&format!(
            "{begin}{from_x:.1} {from_y:.1}C{middle:.1} {from_y:.1} {middle:.1} {to_y:.1} {to_x:.1} {to_y:.1}"
        ));
    }
    path
}

fn one(workflow: &GetWorkflowStatusResponse, task: &TaskStatusDetail) -> Said {
    let state = state(task);
    let mut words = state.word().to_owned();
    if task.items_total > 0 {
        words = format!("{words} · {}/{}", task.items_completed, task.items_total);
    } else if task.attempt > 1 {
        words = format!("{words} · attempt {}", task.attempt);
    } else if task.progress_percent > 0 && !state.is_terminal() {
        words = format!("{words} · {} %", task.progress_percent);
    }
    let more = match says(task) {
        more if more.is_empty() => String::new(),
        more => format!(". {more}"),
    };
    let share = f64::from(task.items_completed) * 100.0 / f64::from(task.items_total.max(1));
    let running = task.progress_percent > 0 && !state.is_terminal();
    Said {
        key: task.task_id.clone(),
        to: page_of(&workflow.workflow_id, &task.task_id),
        name: task.name.clone(),
        state,
        label: format!("{}: {words}{more}", task.name),
        words,
        done: match task.items_total {
            0 => running.then_some(f64::from(task.progress_percent.min(100))),
            _ => Some(share),
        },
    }
}

fn many(workflow: &GetWorkflowStatusResponse, tasks: &[usize]) -> Said {
    let names: Vec<&str> = tasks.iter().map(|task| workflow.tasks[*task].task_id.as_str()).collect();
    let (first, prefix) = (names[0], prefix(&names));
    let tally = tally(tasks.iter().map(|task| state(&workflow.tasks[*task])));
    let done =
        tally.iter().filter(|(state, _)| *state == State::Completed).map(|(_, count)| count).sum::<usize>();
    let name = match prefix {
        "" => format!("{} tasks", names.len()),
        prefix => format!("{} × {prefix}…", names.len()),
    };
    let words = in_words(&tally);
    Said {
        key: format!("{first}*"),
        to: Url::ui(&["workflows", &workflow.workflow_id]).with("task", prefix).at("tasks"),
        label: format!(
            "{} tasks that begin with {}: {words}",
            names.len(),
            if prefix.is_empty() { first } else { prefix }
        ),
        name,
        state: tally.first().map_or(State::Pending, |(state, _)| *state),
        words,
        done: Some(done as f64 * 100.0 / names.len() as f64),
    }
}

/// What all names begin with.
fn prefix<'a>(names: &[&'a str]) -> &'a str {
    let Some((first, rest)) = names.split_first() else { return "" };
    let mut length = first.len();
    for name in rest {
        let alike = first.bytes().zip(name.bytes()).take_while(|(one, other)| one == other).count();
        length = length.min(alike);
    }
    while !first.is_char_boundary(length) {
        length -= 1;
    }
    &first[..length]
}

fn drawn_box(said: &Said, sizes: Sizes, x: f64, y: f64) -> Element {
    let Sizes { height, one_line, .. } = sizes;
    let frame = element("rect").class("frame").attr("width", WIDTH).attr("height", height).attr("rx", 9);
    let sign_y = (height - 16.0) / 2.0;
    let sign = element("g").attr("transform", format!("translate(12 {sign_y})")).child(said.state.mark());
    // Nothing is drawn beyond the box, however wide its letters are.
    let inner = element("svg").attr("x", 36).attr("width", WIDTH - 42.0).attr("height", height);
    let inner = if one_line {
        let words = cut(&said.words, 11);
        let room = 23 - words.chars().count().min(14);
        let state = text("text", words)
            .class("words")
            .attr("x", WIDTH - 50.0)
            .attr("y", 18)
            .attr("text-anchor", "end");
        inner.child(text("text", cut(&said.name, room)).class("name").attr("y", 18)).child(state)
    } else {
        inner
            .child(text("text", cut(&said.name, 19)).class("name").attr("y", 20))
            .child(text("text", cut(&said.words, 26)).class("words").attr("y", 37))
    };
    let done = said.done.map(|share| {
        let width = (WIDTH - 18.0) * share.clamp(0.0, 100.0) / 100.0;
        element("rect")
            .class("done")
            .attr("x", 9)
            .attr("y", height - 3.5)
            .attr("width", format!("{width:.1}"))
            .attr("height", 2.5)
            .attr("rx", 1.2)
    });
    element("a")
        .class(&format!("box {}", said.state.tone()))
        .attr("id", format!("box-{}", said.key))
        .attr("aria-label", &said.label)
        .attr("transform", format!("translate({x:.1} {y:.1})"))
        .to("href", &said.to)
        .child(text("title", &said.label))
        .child(frame)
        .children(done)
        .child(sign)
        .child(inner)
}

/// At most so many letters; wide ones count twice.
fn cut(words: &str, max: usize) -> String {
    let mut room = max;
    let mut shown = String::new();
    for letter in words.chars() {
        let width = if letter as u32 >= 0x1100 { 2 } else { 1 };
        if room <= width {
            // What is left over may be just this letter.
            if shown.chars().count() + 1 == words.chars().count() && room == width {
                shown.push(letter);
                return shown;
            }
            shown.push('…');
            return shown;
        }
        room -= width;
        shown.push(letter);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_cut() {
        assert_eq!(cut("plan", 4), "plan");
        assert_eq!(cut("planning", 4), "pla…");
        assert_eq!(cut("計画を立てる", 6), "計画…");
    }

    #[test]
    fn many_tasks_are_named_by_what_they_share() {
        assert_eq!(prefix(&["fetch-1", "fetch-22"]), "fetch-");
        assert_eq!(prefix(&["é", "è"]), "");
    }
}
