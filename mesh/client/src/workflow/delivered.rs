//! Which log lines the reader has had: the engine tells a log from its beginning whenever it is asked, and lines have no
//! numbers.

use std::collections::VecDeque;
use std::collections::hash_map::{DefaultHasher, HashMap};
use std::hash::{Hash, Hasher};

use switchboard_proto::goclaw::v1::LogEntry;

/// Lines that are remembered: 1 MiB of memory, and more than the engine keeps of most workflows.
const MAX_REMEMBERED: usize = 65_536;

/// Milliseconds since 1970.
type Moment = i64;

/// The lines that were given out, the newest of them by their digests.
#[derive(Debug, Default)]
pub(super) struct Delivered {
    newest: VecDeque<(u64, Moment)>,
    /// What was forgotten is not newer than this.
    forgotten_until: Option<Moment>,
    /// How often each line is still to come a second time.
    again: HashMap<u64, u32>,
}

impl Delivered {
    /// The log is told anew.
    pub(super) fn rewind(&mut self) {
        self.again.clear();
        for (digest, _) in &self.newest {
            *self.again.entry(*digest).or_default() += 1;
        }
    }

    /// Whether the reader has not had this line; it has now.
    pub(super) fn is_new(&mut self, entry: &LogEntry) -> bool {
        let (digest, at) = (digest(entry), moment(entry));
        if let Some(left) = self.again.get_mut(&digest) {
            *left -= 1;
            if *left == 0 {
                self.again.remove(&digest);
            }
            return false;
        }
        if !self.again.is_empty() && self.forgotten_until.is_some_and(|until| at <= until) {
            return false;
        }
        if self.newest.len() == MAX_REMEMBERED
            && let Some((_, at)) = self.newest.pop_front()
        {
            self.forgotten_until = self.forgotten_until.max(Some(at));
        }
        self.newest.push_back((digest, at));
        true
    }
}

fn moment(entry: &LogEntry) -> Moment {
    entry
        .timestamp
        .as_ref()
        .map_or(0, |at| at.seconds.saturating_mul(1_000) + i64::from(at.nanos / 1_000_000))
}

fn digest(entry: &LogEntry) -> u64 {
    let mut hasher = DefaultHasher::new();
    moment(entry).hash(&mut hasher);
    (entry.level, &entry.task_id, &entry.message, entry.attempt).hash(&mut hasher);
    for field in &entry.fields {
        field.hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(at: i64, message: &str) -> LogEntry {
        let timestamp = Some(prost_types::Timestamp { seconds: at, nanos: 0 });
        LogEntry { timestamp, message: message.to_owned(), ..LogEntry::default() }
    }

    fn news(delivered: &mut Delivered, lines: &[LogEntry]) -> Vec<String> {
        lines.iter().filter(|line| delivered.is_new(line)).map(|line| line.message.clone()).collect()
    }

    #[test]
    fn a_log_told_again_gives_only_what_is_new_and_equal_lines_count() {
        let mut delivered = Delivered::default();
        let first = [line(1, "a"), line(2, "b"), line(2, "b")];
        assert_eq!(news(&mut delivered, &first), ["a", "b", "b"]);
        delivered.rewind();
        let again = [line(1, "a"), line(2, "b"), line(2, "b"), line(2, "b"), line(3, "c")];
        assert_eq!(news(&mut delivered, &again), ["b", "c"]);
    }

    #[test]
    fn what_was_forgotten_is_known_by_its_time() {
        let mut delivered = Delivered::default();
        let lines: Vec<_> = (0..MAX_REMEMBERED as i64 + 3).map(|at| line(at, "x")).collect();
        assert_eq!(news(&mut delivered, &lines).len(), lines.len());
        delivered.rewind();
        assert_eq!(news(&mut delivered, &lines), Vec::<String>::new());
        assert_eq!(news(&mut delivered, &[line(MAX_REMEMBERED as i64 + 9, "new")]), ["new"]);
    }
}
