//! Where the processor's time went: a profile in the format of pprof (`profile.proto` of google/pprof), not compressed.
//!
//! Its stacks have two frames, the thread and whether it was in user code or in the kernel, as the kernel counts them. They say
//! whether the loop (`engine`), the disk (`committer`) or the calls (`tokio-…`) are busy. Deeper stacks would take a signal
//! handler that unwinds, and none that can be had is safe wherever it may interrupt: `perf record -g -p <pid>` shows
//! them from outside.

use std::{collections::BTreeMap, time::Duration};

use prost::Message;
use workflow_machine::Millis;

use super::process::{TICKS_PER_SECOND, ThreadTime};

/// Thread times by thread number.
pub(super) type Times = BTreeMap<u64, ThreadTime>;

#[derive(Clone, PartialEq, Message)]
struct Profile {
    #[prost(message, repeated, tag = "1")]
    sample_type: Vec<ValueType>,
    #[prost(message, repeated, tag = "2")]
    sample: Vec<Sample>,
    #[prost(message, repeated, tag = "4")]
    location: Vec<Location>,
    #[prost(message, repeated, tag = "5")]
    function: Vec<Function>,
    #[prost(string, repeated, tag = "6")]
    string_table: Vec<String>,
    #[prost(int64, tag = "9")]
    time_nanos: i64,
    #[prost(int64, tag = "10")]
    duration_nanos: i64,
    #[prost(message, optional, tag = "11")]
    period_type: Option<ValueType>,
    #[prost(int64, tag = "12")]
    period: i64,
}

/// Positions in the string table.
#[derive(Clone, Copy, PartialEq, Message)]
struct ValueType {
    #[prost(int64, tag = "1")]
    kind: i64,
    #[prost(int64, tag = "2")]
    unit: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Sample {
    /// The leaf first.
    #[prost(uint64, repeated, tag = "1")]
    location_id: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    value: Vec<i64>,
    #[prost(message, repeated, tag = "3")]
    label: Vec<Label>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Label {
    #[prost(int64, tag = "1")]
    key: i64,
    #[prost(int64, tag = "3")]
    num: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Location {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(message, repeated, tag = "4")]
    line: Vec<Line>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Line {
    #[prost(uint64, tag = "1")]
    function_id: u64,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Function {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(int64, tag = "2")]
    name: i64,
}

impl Profile {
    fn string(&mut self, text: &str) -> i64 {
        let found = self.string_table.iter().position(|known| known == text);
        let at = found.unwrap_or_else(|| {
            self.string_table.push(text.to_owned());
            self.string_table.len() - 1
        });
        at as i64
    }

    /// The place in the code that is called so; a function and its only line have one number.
    fn place(&mut self, name: &str) -> u64 {
        let name = self.string(name);
        if let Some(known) = self.function.iter().find(|function| function.name == name) {
            return known.id;
        }
        let id = self.function.len() as u64 + 1;
        self.function.push(Function { id, name });
        self.location.push(Location { id, line: vec![Line { function_id: id }] });
        id
    }
}

/// What the threads did between two readings. Threads that ended between them are not in it.
pub(super) fn profile(before: &Times, after: &Times, began: Millis, lasted: Duration) -> Vec<u8> {
    let tick = 1_000_000_000 / TICKS_PER_SECOND as i64;
    // The first string is the empty one.
    let mut profile = Profile { string_table: vec![String::new()], ..Profile::default() };
    let samples = ValueType { kind: profile.string("samples"), unit: profile.string("count") };
    let cpu = ValueType { kind: profile.string("cpu"), unit: profile.string("nanoseconds") };
    profile.sample_type = vec![samples, cpu];
    (profile.period_type, profile.period) = (Some(cpu), tick);
    profile.time_nanos = i64::try_from(began).unwrap_or_default().saturating_mul(1_000_000);
    profile.duration_nanos = i64::try_from(lasted.as_nanos()).unwrap_or(i64::MAX);
    let key = profile.string("thread");
    for (number, thread) in after {
        let idle = ThreadTime::default();
        let earlier = before.get(number).unwrap_or(&idle);
        let modes = [("user", earlier.user, thread.user), ("kernel", earlier.kernel, thread.kernel)];
        for (mode, earlier, now) in modes {
            let ticks = now.saturating_sub(earlier) as i64;
            if ticks > 0 {
                let location_id = vec![profile.place(mode), profile.place(&thread.name)];
                let label = vec![Label { key, num: *number as i64 }];
                let value = vec![ticks, ticks.saturating_mul(tick)];
                profile.sample.push(Sample { location_id, value, label });
            }
        }
    }
    profile.encode_to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thread(name: &str, user: u64, kernel: u64) -> ThreadTime {
        ThreadTime { name: name.to_owned(), user, kernel }
    }

    #[test]
    fn a_profile_says_which_threads_were_busy_and_how() {
        let before = [(1, thread("engine", 10, 5)), (2, thread("idle", 3, 3))];
        let after = [(1, thread("engine", 60, 6)), (2, thread("idle", 3, 3)), (9, thread("committer", 0, 7))];
        let bytes = profile(&before.into(), &after.into(), 5, Duration::from_secs(1));
        let profile = Profile::decode(&bytes[..]).unwrap();
        let text = |at: i64| profile.string_table[at as usize].as_str();
        let name = |id: &u64| text(profile.function.iter().find(|function| function.id == *id).unwrap().name);
        let stacks: Vec<_> = profile
            .sample
            .iter()
            .map(|sample| (sample.location_id.iter().map(name).collect::<Vec<_>>(), sample.value[1]))
            .collect();
        let expected = [
            (vec!["user", "engine"], 500_000_000),
            (vec!["kernel", "engine"], 10_000_000),
            (vec!["kernel", "committer"], 70_000_000),
        ];
        assert_eq!(stacks, expected);
        let cpu = profile.sample_type[1];
        assert_eq!((text(cpu.kind), text(cpu.unit), text(0)), ("cpu", "nanoseconds", ""));
        assert_eq!((profile.time_nanos, profile.duration_nanos), (5_000_000, 1_000_000_000));
    }
}
