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
    /// What a lane has that nobody set.
    pub lane: LaneSettings,
    /// Lanes; tasks of further ones go to the default lane.
    pub max_lanes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_queued_commands: 4_096,
            max_live: 200_000,
            key_ttl_ms: 24 * 3_600_000,
            lane: LaneSettings::DEFAULT,
            max_lanes: 1_000,
        }
    }
}
