//! The gate that the store on disk has to pass. `NOTES.md` has the figures and says how to compare them.
//!
//! `cargo bench -p workflow-store --bench gate -- <part> <directory> [number]`, where a part is one of
//! - `submit`: one workflow per commit, 64 callers that wait for their answers;
//! - `batch`: 100 workflows per commit, 16 callers;
//! - `transition`: one task ended and the next one started per commit, 1,024 callers, 10,000 workflows alive;
//! - `life`: whole lives of workflows with three tasks, 1,024 at once;
//! - `fill`: finished workflows, then 10,000 live ones, then an end as by kill -9;
//! - `open`: opens what `fill` left, and asks for pages and counts;
//! - `purge`: removes finished workflows in steps of 100.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench")]

use std::{
    fs,
    path::PathBuf,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use bytes::Bytes;
use hdrhistogram::Histogram;
use workflow_store::{
    Commit, Committer, CommitterSettings, EmbeddedSettings, EmbeddedStore, Filter, Remembered, Status, Store,
    Summary, WorkflowId, Write,
};

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [part, directory, rest @ ..] = &arguments[..] else {
        // `cargo test --all-targets` comes by here.
        println!("gate: names a part and a directory, see the source");
        return;
    };
    let number = rest.first().map(|number| number.parse().unwrap());
    let bench = Bench::open(PathBuf::from(directory));
    match part.as_str() {
        "submit" => bench.closed_loop("submit", 64, number.unwrap_or(200_000), 1, |n| vec![(n, 0)]),
        "batch" => bench.closed_loop("batch", 16, number.unwrap_or(5_000), 100, |n| {
            (n * 100..(n + 1) * 100).map(|n| (n, 0)).collect()
        }),
        "transition" => {
            bench.fill_live(10_000);
            bench.closed_loop("transition", 1_024, number.unwrap_or(500_000), 1, |n| {
                vec![(n % 10_000, 1 + n / 10_000)]
            });
        }
        "life" => bench.closed_loop("life (steps)", 1_024, number.unwrap_or(1_000_000), 1, |n| {
            // Four steps per workflow, 1,024 workflows interleaved.
            let (block, within) = (n / 4096, n % 4096);
            vec![(block * 1_024 + within % 1_024, within / 1_024)]
        }),
        "fill" => bench.fill(number.unwrap_or(1_000_000)),
        "open" => bench.ask(),
        "purge" => bench.purge(number.unwrap_or(100_000)),
        other => println!("gate: no part {other}"),
    }
}

struct Bench {
    store: Arc<dyn Store>,
    committer: Committer,
    opened: Duration,
}

/// A workflow's ID as a UUID of version 7 would be: time first.
fn id(n: u64) -> WorkflowId {
    let time = 0x0199_0000_0000 + n / 10;
    let tail = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    WorkflowId::new(&format!(
        "{:08x}-{:04x}-7{:03x}-8{:03x}-{:012x}",
        time >> 16,
        time & 0xffff,
        n % 10,
        tail >> 52,
        tail & 0xffff_ffff_ffff
    ))
    .unwrap()
}

fn payload(bytes: usize, n: u64) -> Bytes {
    let mut state = n | 1;
    let text = (0..bytes).map(|at| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        if at % 3 == 0 { b'a' + (state >> 59) as u8 % 26 } else { b'{' }
    });
    text.collect()
}

/// The writes of step `step` of workflow `n`: 0 submits, 1 and 2 end a task and start the next, 3 ends the last.
fn writes(n: u64, step: u64) -> Vec<Write> {
    let mut summary = Summary::new(id(n), &format!("order-{}", n % 100), 1_700_000_000_000 + n / 10);
    summary.tasks.total = 3;
    summary.owner = format!("user-{}", n % 1_000);
    summary.last_seq = 2 + step * 2;
    summary.updated_ms += step;
    summary.status = if step == 3 {
        if n.is_multiple_of(100) { Status::Failed } else { Status::Completed }
    } else {
        Status::Running
    };
    summary.finished_ms = if step == 3 { summary.updated_ms } else { 0 };
    if n.is_multiple_of(10) {
        summary.attributes = vec![("customer".to_owned(), format!("c-{}", n % 5_000))];
    }
    let event = |seq, bytes| Write::Event { id: id(n), seq, data: payload(bytes, n + seq) };
    if step == 0 {
        let remembered = Remembered {
            hash: [7; 32],
            response: payload(60, n),
            expires_ms: summary.created_ms + 86_400_000,
        };
        let scope = Bytes::from_static(b"default/alice/SubmitWorkflow");
        let key =
            format!("{:032x}", u128::from(n + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835));
        return vec![
            Write::Create(summary),
            event(1, 600),
            event(2, 80),
            Write::Idempotent { scope, key, remembered },
        ];
    }
    vec![event(1 + step * 2, 200), event(2 + step * 2, 80), Write::Update(summary)]
}

impl Bench {
    fn open(path: PathBuf) -> Self {
        let start = Instant::now();
        let settings = EmbeddedSettings::default();
        let store: Arc<dyn Store> = Arc::new(EmbeddedStore::open(path, &settings).unwrap());
        let opened = start.elapsed();
        let committer = Committer::start(store.clone(), CommitterSettings::default()).unwrap();
        Self { store, committer, opened }
    }

    fn closed_loop(
        &self,
        name: &str,
        callers: u64,
        commits: u64,
        each: u64,
        steps: impl Fn(u64) -> Vec<(u64, u64)>,
    ) {
        let (cpu, io) = (cpu(), written());
        let (done, answers) = mpsc::channel();
        let mut latency = Histogram::<u64>::new_with_bounds(1, 60_000_000, 3).unwrap();
        let start = Instant::now();
        for n in 0..commits + callers {
            if n >= callers {
                let sent: Instant = answers.recv().unwrap();
                latency.record(sent.elapsed().as_micros() as u64).unwrap();
            }
            if n < commits {
                let commit =
                    Commit::new(steps(n).into_iter().flat_map(|(n, step)| writes(n, step)).collect());
                let (done, sent) = (done.clone(), Instant::now());
                let answered = self.committer.submit(commit, move |outcome| {
                    outcome.unwrap();
                    done.send(sent).unwrap();
                });
                answered.unwrap();
            }
        }
        let took = start.elapsed();
        let gauges = self.committer.gauges();
        let batches = gauges.batches.load(std::sync::atomic::Ordering::Relaxed);
        let rate = |count: u64| count as f64 / took.as_secs_f64();
        println!(
            "{name}: {:.0}/s in {:.1} s; p50 {:.2} p99 {:.2} p99.9 {:.2} max {:.1} ms; {:.1} commits/sync, {:.2} ms/sync; cpu {:.2} cores; written {:.0} MB ({:.0} MB/s); disk {} MB; rss {} MB",
            rate(commits * each),
            took.as_secs_f64(),
            latency.value_at_quantile(0.5) as f64 / 1e3,
            latency.value_at_quantile(0.99) as f64 / 1e3,
            latency.value_at_quantile(0.999) as f64 / 1e3,
            latency.max() as f64 / 1e3,
            gauges.commits.load(std::sync::atomic::Ordering::Relaxed) as f64 / batches as f64,
            gauges.sync_us.sum() as f64 / batches as f64 / 1e3,
            (self::cpu() - cpu).as_secs_f64() / took.as_secs_f64(),
            (written() - io) as f64 / 1e6,
            (written() - io) as f64 / 1e6 / took.as_secs_f64(),
            self.store.disk_bytes() >> 20,
            rss(),
        );
    }

    fn fill_live(&self, number: u64) {
        for n in (0..number).step_by(1_000) {
            let commit = Commit::new((n..n + 1_000).flat_map(|n| writes(n, 0)).collect());
            self.committer.submit(commit, |outcome| outcome.unwrap()).unwrap();
        }
        while !self.committer.is_idle() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn fill(&self, finished: u64) {
        let start = Instant::now();
        for block in 0..finished / 1_000 {
            for step in 0..4 {
                let some = block * 1_000..(block + 1) * 1_000;
                let commit = Commit::new(some.flat_map(|n| writes(n, step)).collect());
                self.committer.submit(commit, |outcome| outcome.unwrap()).unwrap();
            }
        }
        for n in (finished..finished + 10_000).step_by(1_000) {
            let commit = Commit::new((n..n + 1_000).flat_map(|n| writes(n, 0)).collect());
            self.committer.submit(commit, |outcome| outcome.unwrap()).unwrap();
        }
        while !self.committer.is_idle() {
            std::thread::sleep(Duration::from_millis(1));
        }
        println!(
            "fill: {:.0} workflows/s; disk {} MB; rss {} MB; ends as by kill -9",
            finished as f64 / start.elapsed().as_secs_f64(),
            self.store.disk_bytes() >> 20,
            rss()
        );
        std::process::abort();
    }

    fn ask(&self) {
        println!(
            "open: {:.2} s, {} live; disk {} MB; rss {} MB",
            self.opened.as_secs_f64(),
            self.store.live().unwrap().len(),
            self.store.disk_bytes() >> 20,
            rss()
        );
        let owner = Filter { owner: Some("user-7".to_owned()), ..Filter::default() };
        let rare = Filter {
            name_prefix: "order-99".to_owned(),
            statuses: [Status::Failed].into_iter().collect(),
            ..Filter::default()
        };
        let name = Filter { name_prefix: "order-5".to_owned(), ..Filter::default() };
        let attribute =
            Filter { attributes: vec![("customer".to_owned(), "c-70".to_owned())], ..Filter::default() };
        let range = Filter {
            created_from_ms: Some(1_700_000_000_000),
            created_before_ms: Some(1_700_000_050_000),
            ..Filter::default()
        };
        let cases = [
            ("all", Filter::default()),
            ("failed", Filter::status(Status::Failed)),
            ("running", Filter::status(Status::Running)),
            ("owner", owner),
            ("name prefix, 11%", name),
            ("name prefix and failed, none", rare),
            ("attribute", attribute),
            ("created range, half", range),
        ];
        for (name, filter) in cases {
            let start = Instant::now();
            let first = self.store.list(&filter, None, 50).unwrap();
            let cold = start.elapsed();
            let start = Instant::now();
            let second = self.store.list(&filter, first.next.as_ref(), 50).unwrap();
            let warm = start.elapsed();
            let start = Instant::now();
            let count = self.store.count(&filter).unwrap();
            println!(
                "  {name}: page of {} {cold:.1?}, next of {} {warm:.1?}, count {count:?} {:.1?}",
                first.summaries.len(),
                second.summaries.len(),
                start.elapsed()
            );
        }
        let start = Instant::now();
        for n in 0..1_000 {
            let wanted = id(n * 997);
            assert!(self.store.summary(&wanted).unwrap().is_some());
            assert_eq!(self.store.events(&wanted, 0, 100).unwrap().items.len(), 8);
        }
        println!("  summary and history of 1,000 workflows: {:.1?}", start.elapsed());
    }

    fn purge(&self, number: u64) {
        let start = Instant::now();
        let (mut purged, mut after, mut slowest) = (0, None, Duration::ZERO);
        while purged < number {
            let step = Instant::now();
            let page = self.store.ended(u64::MAX / 2, after.as_ref(), 100).unwrap();
            let writes = page.summaries.iter().map(|summary| Write::Purge(summary.id.clone())).collect();
            self.store.commit(&[Commit::new(writes)]).unwrap();
            slowest = slowest.max(step.elapsed());
            purged += page.summaries.len() as u64;
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let took = start.elapsed();
        println!(
            "purge: {:.0}/s, slowest step of 100 {slowest:.1?}; disk {} MB; rss {} MB",
            purged as f64 / took.as_secs_f64(),
            self.store.disk_bytes() >> 20,
            rss()
        );
    }
}

/// CPU time of this process so far.
fn cpu() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

/// Bytes that this process has sent to the disk so far.
fn written() -> u64 {
    field("/proc/self/io", "write_bytes:")
}

fn rss() -> u64 {
    field("/proc/self/status", "VmRSS:") >> 10
}

fn field(file: &str, name: &str) -> u64 {
    let text = fs::read_to_string(file).unwrap();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
