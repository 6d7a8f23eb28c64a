//! What the system says of this process. Zero, or a sentence, where it says nothing.

use std::{
    collections::BTreeMap,
    fs,
    sync::{Mutex, PoisonError},
    time::Instant,
};

/// Clock ticks of a second in /proc; on Linux 100 for all that is not ancient.
pub(super) const TICKS_PER_SECOND: f64 = 100.0;

/// Bytes in memory.
pub(crate) fn resident_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) << 10
}

/// Processor time since it was asked last, in percent of one core; the first time zero.
pub(super) fn cpu_percent() -> f64 {
    static LAST: Mutex<Option<(Instant, f64, f64)>> = Mutex::new(None);
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name in parentheses may hold anything; the 12th and 13th field behind it are user and system time.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
    let ticks: f64 = fields.skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
    let now = Instant::now();
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    let percent = match *last {
        // Shorter than ticks are counted: it is what it was.
        Some((then, _, percent)) if now.duration_since(then).as_millis() < 100 => return percent,
        Some((then, before, _)) => {
            (ticks - before) / TICKS_PER_SECOND / now.duration_since(then).as_secs_f64() * 100.0
        }
        None => 0.0,
    };
    *last = Some((now, ticks, percent));
    percent
}

/// Processor time of a thread, in ticks.
#[derive(Clone, Debug, Default)]
pub(super) struct ThreadTime {
    pub(super) name: String,
    pub(super) user: u64,
    pub(super) kernel: u64,
}

/// Processor time of every thread, by its number.
pub(super) fn thread_times() -> BTreeMap<u64, ThreadTime> {
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let time = |thread: fs::DirEntry| {
        let number = thread.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(thread.path().join("stat")).ok()?;
        let (name, fields) = stat.split_once('(')?.1.rsplit_once(')')?;
        let mut ticks = fields.split_whitespace().skip(11).map_while(|field| field.parse().ok());
        Some((number, ThreadTime { name: name.to_owned(), user: ticks.next()?, kernel: ticks.next()? }))
    };
    threads.filter_map(time).collect()
}

/// The threads with their states, and what the runtime counts.
pub(super) fn threads() -> String {
    let metrics = tokio::runtime::Handle::current().metrics();
    let mut text = format!(
        "runtime: {} tasks alive on {} worker threads, {} tasks in the global queue\n",
        metrics.num_alive_tasks(),
        metrics.num_workers(),
        metrics.global_queue_depth(),
    );
    for thread in fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let read = |file| fs::read_to_string(thread.path().join(file)).unwrap_or_default();
        let stat = read("stat");
        let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().next()).unwrap_or("?");
        text += &format!("thread {} {} {state}\n", thread.file_name().to_string_lossy(), read("comm").trim());
    }
    text
}

/// How the process's memory is made up.
pub(super) fn memory() -> String {
    let rollup = fs::read_to_string("/proc/self/smaps_rollup");
    rollup.unwrap_or_else(|error| format!("the system does not say how the memory is made up: {error}\n"))
}
