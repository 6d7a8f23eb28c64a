//! What is left of a refusal: a count by stage and reason, and now and then a line in the log. And what is left of every
//! decision on administration: a line, always.

use crate::{
    link::{Audited, Notice, Refused},
    plane::{CallKey, Command, Plane},
};
use std::net::IpAddr;
use switchboard_policy::Decision;

/// A line per stage and second, of each worker thread: enough to see what is going on, too few to hide in.
const SAMPLE_GAP_MS: u64 = 1_000;

/// A stage of the policy chain that refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Who calls?
    Auth,
    /// May it?
    Authorization,
    /// May it now?
    RateLimit,
}

impl Stage {
    /// The value of the label `stage`.
    pub fn as_str(self) -> &'static str {
        match self {
            Stage::Auth => "auth",
            Stage::Authorization => "authorization",
            Stage::RateLimit => "rate_limit",
        }
    }
}

/// When each stage wrote its last line, and how many refusals had none since.
#[derive(Debug, Default)]
pub(super) struct Samples([Sample; 3]);

#[derive(Debug, Clone, Copy, Default)]
struct Sample {
    next_ms: u64,
    passed_over: u64,
}

impl Samples {
    /// How many refusals had no line since the last one; `None` if this one has none either.
    fn take(&mut self, stage: Stage, now_ms: u64) -> Option<u64> {
        let sample = &mut self.0[stage as usize];
        if now_ms < sample.next_ms {
            sample.passed_over += 1;
            return None;
        }
        sample.next_ms = now_ms + SAMPLE_GAP_MS;
        Some(std::mem::take(&mut sample.passed_over))
    }
}

impl Plane {
    /// Counts a refusal, and has it written about unless there was a line just now.
    pub(super) fn rejected(&mut self, key: CallKey, stage: Stage, why: &'static str, id: Option<&str>) {
        self.recorder.rejected(stage, why);
        let Some(policy) = self.policy.as_deref_mut() else { return };
        let Some(passed_over) = policy.samples.take(stage, self.now_ms) else { return };
        let Some(call) = self.calls.get(key) else { return };
        let refused = Refused {
            stage,
            why,
            principal: call.caller.as_ref().and_then(|caller| caller.principal.clone()),
            id: id.map(Into::into),
            method: call.path().into(),
            source: self.source_of(key),
            request_id: call.request_id().into(),
            passed_over,
        };
        self.command(Command::Notice(Box::new(Notice::Refused(refused))));
    }

    /// Has a decision on administration written down.
    pub(super) fn audit(&mut self, key: CallKey, id: &str, decision: Decision<'_>) {
        let Some(call) = self.calls.get(key) else { return };
        let audited = Audited {
            allowed: decision.allowed,
            decided_by: decision.to_string(),
            principal: call.caller.as_ref().and_then(|caller| caller.principal.clone()),
            id: id.into(),
            method: call.path().into(),
            source: self.source_of(key),
            request_id: call.request_id().into(),
        };
        self.command(Command::Notice(Box::new(Notice::Audited(audited))));
    }

    fn source_of(&self, key: CallKey) -> Option<IpAddr> {
        self.conns.get(self.calls.get(key)?.down.0)?.as_ref()?.source
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_writes_a_line_a_second_and_counts_the_others() {
        let mut samples = Samples::default();
        assert_eq!(samples.take(Stage::Auth, 1), Some(0));
        assert_eq!(samples.take(Stage::Auth, 2), None);
        assert_eq!(samples.take(Stage::Auth, 1_000), None);
        assert_eq!(samples.take(Stage::RateLimit, 2), Some(0), "each for itself");
        assert_eq!(samples.take(Stage::Auth, 1_001), Some(2));
        assert_eq!(samples.take(Stage::Auth, 3_000), Some(0));
    }
}
