//! `RESULTS.md`.

use super::{
    bars, lines,
    names::{self, Columns},
    tables,
    targets::{self, Verdict},
};
use crate::results::{Meta, Results};

/// One-minute load of the machine before a run above which somebody else used it.
const BUSY: f64 = 0.5;

const READ: &str = "\
- **CPU** is what the proxy's process itself used, user and system time of all its threads from `/proc/PID/task/*/schedstat`,
  over the calls, messages or MB that were completed in the measured window. Warm-up is not in the window, and neither are load
  generator, backend and registry: those are processes of their own.
- Every round measures every contender once on every load, in an order that changes from round to round. A figure is the **median**
  over the rounds, *min - max* is its spread over them.
- A **ratio** is the median over the rounds of what a contender used over what the router used in the same round: what slows the
  machine for a while slows both. `2.00x` means twice the router's CPU.
- `8 x 32` is 8 connections with 32 calls in flight on each, closed loop. `4,000/s` is an open loop: calls begin when they are due, and
  latency counts from then, so a proxy that falls behind cannot hide it (no coordinated omission).
- A saturated closed loop on shared cores makes p50 and p99 depend on the load generator and the backend as well; compare them within
  one table, and latency at `1 x 1` and `4,000/s` first.
- Body and `grpc-status` of every answer are checked. One wrong answer fails the measurement; it is shown as `failed`.
- HAProxy tcp is a plain relay: it copies bytes and looks at nothing. The router runs as shipped (registry, metrics, deadlines, request
  IDs, balancing) with the access log off, as it is off for the peers, and finds the service by the ID in the first message; the peers match a
  path prefix. Every contender has one thread.
- **RSS** is resident memory of the proxy's processes at the end of the last window, *peak* the most it ever was.
- **Growth**: five windows of 0.5 s per point (quick: one of 0.4 s), in turn between router and HAProxy tcp where there is one. Two things
  move these lines: what a data structure costs when there is much in it, and how many calls share a system call, which nobody can
  avoid and HAProxy tcp shows. A cost that falls at first is judged by its rise from the lowest point. The limits that protect the router from
  its clients are raised to 12,000 there: `max_connections`, `max_connections_per_source`, `max_concurrent_streams`,
  `streams_per_upstream_connection` and `queue_per_service`. All instances are one process with many addresses.
- **Memory** is by how much the router's RSS grew over the number of connections or streams that were opened. A stalled stream holds what
  its client does not read, up to its window (1 MiB), all of them up to `memory_budget` (512 MiB).
";

/// The whole page.
pub(super) fn page(results: &Results) -> String {
    let verdicts = targets::verdicts(results);
    let mut page = format!(
        "<!-- Written by `switchboard-bench report` from results.json; edits are lost. -->\n\
         # What a call costs, side by side\n\n{}\n## Headline\n\n\
         CPU of the proxy's process per unit; in brackets how many times the router's that is.\n",
        measured(&results.meta)
    );
    let sections = [
        ("", Columns::calls(results)),
        ("", Columns::streams(results)),
        ("With TLS 1.3 on both sides:", Columns::tls(results)),
    ];
    for (title, columns) in sections {
        let Some(table) = tables::headline(results, &columns) else { continue };
        page.push_str(&if title.is_empty() { format!("\n{table}") } else { format!("\n{title}\n\n{table}") });
    }
    page.push_str(&format!("\n## Targets\n\n{}\n{}", summary(&verdicts), tables::targets(&verdicts)));
    page.push_str(&format!("\n## Machine\n\n{}\n{}", machine(&results.meta), versions(&results.meta)));
    page.push_str(&format!("\n## How to read it\n\n{READ}"));
    page.push_str(&growth(results));
    page.push_str(&loads(results));
    page
}

/// When, where and how, in a sentence.
pub(super) fn measured(meta: &Meta) -> String {
    let Meta { date, machine, kernel, command, .. } = meta;
    let day = date.split('T').next().unwrap_or(date);
    let quick = match meta.quick {
        true => " It was a quick run: fewer and shorter rounds, so rougher figures.",
        false => "",
    };
    let busy = match meta.load {
        Some(load) if load > BUSY => {
            format!(" Something else was running (load {load:.1}): the figures are too high.")
        }
        _ => String::new(),
    };
    let cores = cores(meta.cores);
    format!("Measured on {day} on {machine}, {cores}, {kernel}, by `{command}`.{quick}{busy}\n")
}

fn cores(cores: usize) -> String {
    if cores == 1 { "1 core".to_owned() } else { format!("{cores} cores") }
}

/// How many targets were reached.
fn summary(verdicts: &[Verdict]) -> String {
    let count = |wanted: Option<bool>| verdicts.iter().filter(|verdict| verdict.reached == wanted).count();
    let (reached, missed, unknown) = (count(Some(true)), count(Some(false)), count(None));
    let mut text = format!("{reached} of {} reached", verdicts.len());
    if missed > 0 {
        text.push_str(&format!(", {missed} missed ([NOTES.md](NOTES.md) says why)"));
    }
    if unknown > 0 {
        text.push_str(&format!(", {unknown} not measured"));
    }
    text + ".\n"
}

fn machine(meta: &Meta) -> String {
    let rows = [
        ("machine", meta.machine.clone()),
        ("cores", format!("{}, shared by load generator, proxy and backend", meta.cores)),
        ("kernel", meta.kernel.clone()),
        ("date", meta.date.clone()),
        ("command", format!("`{}`", meta.command)),
        ("commit", meta.commit.clone()),
        ("rounds", format!("{} of {} s for each contender and load", meta.rounds, meta.seconds)),
        ("warm-up", format!("{} s before each", meta.warmup)),
    ];
    let known = rows.into_iter().filter(|(_, value)| !value.is_empty());
    tables::pairs(["", ""], known.map(|(name, value)| (name.to_owned(), value)))
}

fn versions(meta: &Meta) -> String {
    let known = names::contenders(&meta.versions).filter(|(name, _)| *name != "direct");
    let rows = known.map(|(name, version)| (names::contender(name).to_owned(), version.clone()));
    tables::pairs(["contender", "version"], rows)
}

fn growth(results: &Results) -> String {
    let mut text = String::new();
    for (name, growth) in names::growth(results) {
        if lines::chart(growth).is_none() {
            continue;
        }
        if text.is_empty() {
            text.push_str("\n## Growth\n");
        }
        let table = tables::growth(growth);
        text.push_str(&format!(
            "\n### {}\n\n![{}, {}](charts/growth-{name}.svg)\n\n{table}",
            growth.title, growth.title, growth.unit
        ));
    }
    text
}

fn loads(results: &Results) -> String {
    let mut text = "\n## Every load\n".to_owned();
    for (name, scenario) in names::scenarios(results) {
        text.push_str(&format!("\n### {}\n\n`{name}`\n\n", scenario.title));
        if bars::chart(scenario).is_some() {
            text.push_str(&format!(
                "![{}, CPU per {}](charts/{name}.svg)\n\n",
                scenario.title, scenario.unit
            ));
        }
        text.push_str(&tables::scenario(scenario));
    }
    text
}
