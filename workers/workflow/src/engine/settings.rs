//! What an operator may set of the engine.

use super::LaneSettings;

/// Bounds and defaults of the engine.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Commands that wait for the loop; who has more waits. 4,096: some 50 ms of work.
    pub max_queued_commands: usize,
    /// Workflows in memory. 200,000 with three tasks take less than 1 GiB.
    pub max_live: usize,
    /// How long an idempotency key counts. 24 hours: longer than any client retries.
    pub key_ttl_ms: u64,
    /// How long a workflow that ended is kept, in ms; 0 is for ever. 7 days: somebody who was away over a weekend still finds
    /// what went wrong, and a disk that nobody looks after does not fill. A setting that is kept counts instead.
    pub retention_ms: u64,
    /// What a lane has that nobody set.
    pub lane: LaneSettings,
    /// Schedules. 10,000, each with a timer and what it submits in memory; who has more has one that starts several.
    pub max_schedules: usize,
    /// Bytes of what all schedules submit, which stay in memory. 256 MiB: 25 KB for each of 10,000.
    pub max_schedule_bytes: usize,
    /// Lanes; tasks of further ones go to the default lane.
    pub max_lanes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_queued_commands: 4_096,
            max_live: 200_000,
            key_ttl_ms: 24 * 3_600_000,
            retention_ms: 7 * 24 * 3_600_000,
            lane: LaneSettings::DEFAULT,
            max_schedules: 10_000,
            max_schedule_bytes: 256 << 20,
            max_lanes: 1_000,
        }
    }
}
