//! Settings that change while the engine runs: all of a request or none.

use std::{collections::BTreeMap, ops::RangeInclusive, time::Duration};

use switchboard_proto::goclaw::v1::UpdateConfigRequest;
use workflow_machine::{Invalid, MAX_VIOLATIONS, Violation, limits};

use crate::{
    api::{Api, Settings, status::Problem},
    engine::{CONFIG, LaneSettings, RETENTION_HOURS},
};

/// Hours for which what ended may be kept: ten years. 0 is for ever.
const MAX_RETENTION_HOURS: u64 = 87_600;

/// The settings, besides `lane.<name>.workers|capacity|rate`.
const NAMES: [&str; 8] = [
    "batch.max_size",
    RETENTION_HOURS,
    "limits.max_tasks",
    "streaming.heartbeat_ms",
    "streaming.max_streams",
    "streaming.max_streams_per_principal",
    "streaming.slow_consumer_grace_ms",
    "timeouts.call_ms",
];

fn whole(value: &str, range: RangeInclusive<u64>) -> Result<u64, String> {
    match value.parse() {
        Ok(number) if range.contains(&number) => Ok(number),
        _ => Err(format!("{:?} is no whole number from {} to {}", shown(value), range.start(), range.end())),
    }
}

fn shown(value: &str) -> String {
    crate::api::status::cut(value, 40)
}

/// Changes one setting.
fn set(settings: &mut Settings, name: &str, value: &str) -> Result<(), String> {
    match name {
        "batch.max_size" => settings.max_batch = whole(value, 1..=1_000)? as usize,
        "limits.max_tasks" => {
            settings.spec.max_tasks = whole(value, 1..=limits::MAX_TASKS as u64)? as usize;
        }
        "streaming.heartbeat_ms" => {
            settings.heartbeat = Duration::from_millis(whole(value, 100..=15_000)?);
        }
        "streaming.max_streams" => settings.max_streams = whole(value, 1..=1_000_000)? as usize,
        "streaming.max_streams_per_principal" => {
            settings.max_streams_per_principal = whole(value, 1..=1_000_000)? as usize;
        }
        "streaming.slow_consumer_grace_ms" => {
            settings.slow_consumer_grace = Duration::from_millis(whole(value, 100..=60_000)?);
        }
        "timeouts.call_ms" => settings.spec.call_timeout_ms = whole(value, 1..=86_400_000)?,
        _ => {
            let names = NAMES.join(", ");
            return Err(format!(
                "no setting of this engine; use {names}, or lane.<name>.workers|capacity|rate"
            ));
        }
    }
    Ok(())
}

/// Changes one setting of a lane.
fn set_lane(settings: &mut LaneSettings, what: &str, value: &str) -> Result<(), String> {
    match what {
        "workers" => settings.workers = whole(value, 1..=100_000)? as u32,
        "capacity" => settings.capacity = whole(value, 1..=10_000_000)? as u32,
        _ => {
            let rate = value.parse().ok().filter(|rate: &f64| (0.0..=1e6).contains(rate));
            settings.rate_per_sec =
                rate.ok_or_else(|| format!("{:?} is no rate, 0 to 1000000", shown(value)))?;
        }
    }
    Ok(())
}

/// The lane and what of it a name is about.
fn of_lane(name: &str) -> Option<(&str, &str)> {
    let (lane, what) = name.strip_prefix("lane.")?.rsplit_once('.')?;
    (["workers", "capacity", "rate"].contains(&what) && !lane.is_empty()).then_some((lane, what))
}

/// Puts what was kept on top of the settings. What this version does not know stays unread.
pub(in crate::api) fn restore(settings: &mut Settings, kept: Vec<(String, bytes::Bytes)>) {
    for (name, value) in kept {
        let value = String::from_utf8_lossy(&value);
        if let Some(name) = name.strip_prefix(CONFIG)
            // The engine has read it.
            && name != RETENTION_HOURS
            && let Err(reason) = set(settings, name, &value)
        {
            tracing::warn!(name, reason, "a setting that was kept is not used");
        }
    }
}

impl Api {
    pub(super) async fn update(
        &self,
        request: UpdateConfigRequest,
    ) -> Result<BTreeMap<String, String>, Problem> {
        let UpdateConfigRequest { config_updates: updates, persist, dry_run } = request;
        let mut lanes: BTreeMap<String, LaneSettings> = BTreeMap::new();
        for lane in self.engine.lanes().await? {
            lanes.insert(lane.name, lane.settings);
        }
        let mut settings = Settings::clone(&self.settings());
        let mut changed: BTreeMap<&str, LaneSettings> = BTreeMap::new();
        let mut retention = None;
        let mut violations = Vec::new();
        for (name, value) in &updates {
            let outcome = match of_lane(name) {
                None if name == RETENTION_HOURS => {
                    whole(value, 0..=MAX_RETENTION_HOURS).map(|hours| retention = Some(hours))
                }
                None => set(&mut settings, name, value),
                Some((lane, what)) => match lanes.get_mut(lane) {
                    None => Err(format!("there is no lane {:?}; create it first", shown(lane))),
                    Some(lane_settings) => set_lane(lane_settings, what, value).map(|()| {
                        changed.insert(lane, lane_settings.clone());
                    }),
                },
            };
            if let Err(reason) = outcome
                && violations.len() < MAX_VIOLATIONS
            {
                violations.push(Violation { field: format!("config_updates[{:?}]", shown(name)), reason });
            }
        }
        if !violations.is_empty() {
            return Err(Invalid { violations }.into());
        }
        if dry_run {
            return Ok(updates);
        }
        for (lane, settings) in changed {
            self.engine.set_lane(lane, settings).await?;
        }
        if persist {
            for (name, value) in updates.iter().filter(|(name, _)| of_lane(name).is_none()) {
                self.engine.keep_setting(name, Some(value.clone().into())).await?;
            }
        }
        self.set_settings(settings);
        if let Some(hours) = retention {
            self.engine.set_retention(hours);
        }
        Ok(updates)
    }
}
