//! The tables: services, their checks, and the indexes that blocked reads wait for. Time is given; it does no I/O.
//!
//! | index | moves when |
//! |---|---|
//! | of a service that exists | an instance of it is added, changed or removed, or a check changes its status |
//! | of an unknown service | a service loses its last instance; before that ever happened, with every change |
//! | of the list of services | an instance of any service is added, changed or removed |
//!
//! An identical registration and a changed output of a check move none, as in Consul.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::body::{NewCheck, NewService, Probe};
use crate::instance::Status;

/// A development machine has tens; beyond this it is a loop that registers under new IDs.
const MAX_SERVICES: usize = 2048;
/// Of a check's output, what a person reads.
const MAX_OUTPUT_BYTES: usize = 512;

pub(super) struct State {
    index: u64,
    /// By service ID.
    entries: BTreeMap<String, Entry>,
    /// By service name, as long as it has an instance.
    service_index: BTreeMap<String, u64>,
    services_index: u64,
    extinction_index: Option<u64>,
}

/// One registered instance.
pub(super) struct Entry {
    pub(super) service: NewService,
    pub(super) checks: Vec<Check>,
    pub(super) create_index: u64,
    pub(super) modify_index: u64,
}

/// One check of an instance.
pub(super) struct Check {
    pub(super) settings: NewCheck,
    pub(super) status: Status,
    pub(super) output: String,
    pub(super) create_index: u64,
    pub(super) modify_index: u64,
    successes: u32,
    failures: u32,
    critical_since: Option<Instant>,
    expires: Option<Instant>,
    probe: Option<Running>,
}

/// Ends a probe's task with the check that owns it.
struct Running(AbortHandle);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl State {
    pub(super) fn new() -> Self {
        // Never 0, which would turn the first blocking read into a plain one.
        Self {
            index: 1,
            entries: BTreeMap::new(),
            service_index: BTreeMap::new(),
            services_index: 1,
            extinction_index: None,
        }
    }

    pub(super) fn index(&self) -> u64 {
        self.index
    }

    pub(super) fn services_index(&self) -> u64 {
        self.services_index
    }

    pub(super) fn service_index(&self, name: &str) -> u64 {
        let of_unknown = self.extinction_index.unwrap_or(self.index);
        self.service_index.get(name).copied().unwrap_or(of_unknown)
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    pub(super) fn entry(&self, id: &str) -> Option<&Entry> {
        self.entries.get(id)
    }

    /// Adds or replaces an instance. A check that existed under the same ID keeps its status: registering heals nothing.
    ///
    /// # Errors
    /// The registry is full.
    pub(super) fn register(&mut self, service: NewService, now: Instant) -> Result<(), String> {
        let old = self.entries.remove(&service.id);
        if old.is_none() && self.entries.len() >= MAX_SERVICES {
            return Err(format!("this registry holds at most {MAX_SERVICES} services"));
        }
        let unchanged = old.as_ref().is_some_and(|old| old.service == service);
        if !unchanged {
            self.index += 1;
        }
        let index = self.index;
        let (create_index, mut modify_index, old_checks, old_name) = match old {
            Some(old) => (old.create_index, old.modify_index, old.checks, Some(old.service.name)),
            None => (index, index, Vec::new(), None),
        };
        if !unchanged {
            modify_index = index;
        }
        let mut old_checks = old_checks;
        let checks = service
            .checks
            .iter()
            .map(|settings| {
                let position = old_checks.iter().position(|old| old.settings.id == settings.id);
                let old = position.map(|position| old_checks.swap_remove(position));
                Check::new(settings.clone(), old, index, now)
            })
            .collect();
        let (id, name) = (service.id.clone(), service.name.clone());
        self.entries.insert(id, Entry { service, checks, create_index, modify_index });
        if !unchanged {
            self.services_index = index;
            self.service_index.insert(name.clone(), index);
            if let Some(old_name) = old_name.filter(|old| *old != name) {
                self.touch(&old_name);
            }
        }
        Ok(())
    }

    /// Gives the probes of an instance that are not running yet.
    pub(super) fn idle_probes(&self, id: &str) -> Vec<(String, Probe)> {
        let checks = self.entries.get(id).map(|entry| entry.checks.as_slice()).unwrap_or_default();
        checks
            .iter()
            .filter(|check| check.probe.is_none() && !matches!(check.settings.probe, Probe::Ttl { .. }))
            .map(|check| (check.settings.id.clone(), check.settings.probe.clone()))
            .collect()
    }

    /// Makes a check the owner of its probe's task.
    pub(super) fn own_probe(&mut self, id: &str, check: &str, task: AbortHandle) {
        match self.check_mut(id, check) {
            Some(check) => check.probe = Some(Running(task)),
            None => task.abort(),
        }
    }

    /// Removes an instance. An unknown one is no error.
    pub(super) fn deregister(&mut self, id: &str) {
        if let Some(entry) = self.entries.remove(id) {
            self.index += 1;
            self.services_index = self.index;
            self.touch(&entry.service.name);
        }
    }

    /// Removes everything.
    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }

    /// Takes the result of a probe; the thresholds decide whether the status changes.
    pub(super) fn report(&mut self, id: &str, check: &str, result: Result<String, String>, now: Instant) {
        let Some(check) = self.check_mut(id, check) else { return };
        let (status, output) = match result {
            Ok(output) => {
                check.failures = 0;
                check.successes = check.successes.saturating_add(1);
                let passes = check.successes >= check.settings.success_before_passing;
                (passes.then_some(Status::Passing), output)
            }
            Err(output) => {
                check.successes = 0;
                check.failures = check.failures.saturating_add(1);
                let fails = check.failures >= check.settings.failures_before_critical;
                (fails.then_some(Status::Critical), output)
            }
        };
        let status = status.unwrap_or(check.status);
        let check_id = check.settings.id.clone();
        self.set(id, &check_id, status, output, now);
    }

    /// Takes the word of the service itself for a TTL check.
    ///
    /// # Errors
    /// Consul's text if there is no such TTL check.
    pub(super) fn heartbeat(
        &mut self,
        check_id: &str,
        status: Status,
        note: String,
        now: Instant,
    ) -> Result<(), String> {
        let owner = self.entries.iter_mut().find_map(|(id, entry)| {
            let check = entry.checks.iter_mut().find(|check| check.settings.id == check_id)?;
            let Probe::Ttl { ttl } = check.settings.probe else { return None };
            check.expires = Some(now + ttl);
            Some(id.clone())
        });
        let owner = owner.ok_or_else(|| format!("CheckID {check_id:?} does not have associated TTL"))?;
        self.set(&owner, check_id, status, note, now);
        Ok(())
    }

    /// Ends TTLs and removes what was critical for too long; gives the IDs of what was removed.
    pub(super) fn sweep(&mut self, now: Instant) -> Vec<String> {
        let mut expired = Vec::new();
        let mut removed = Vec::new();
        for (id, entry) in &self.entries {
            for check in &entry.checks {
                if check.expires.is_some_and(|at| at <= now) {
                    expired.push((id.clone(), check.settings.id.clone()));
                }
                if check.is_overdue(now) && removed.last() != Some(id) {
                    removed.push(id.clone());
                }
            }
        }
        for (id, check) in expired {
            self.set(&id, &check, Status::Critical, "TTL expired".to_owned(), now);
        }
        for id in &removed {
            self.deregister(id);
        }
        removed
    }

    fn set(&mut self, id: &str, check_id: &str, status: Status, mut output: String, now: Instant) {
        let next_index = self.index + 1;
        let Some(check) = self.check_mut(id, check_id) else { return };
        output.truncate(output.floor_char_boundary(MAX_OUTPUT_BYTES));
        check.output = output;
        if check.status == status {
            return;
        }
        check.status = status;
        check.modify_index = next_index;
        check.critical_since = (status == Status::Critical).then_some(now);
        if status == Status::Critical {
            check.expires = None;
        }
        self.index = next_index;
        if let Some(name) = self.entries.get(id).map(|entry| entry.service.name.clone()) {
            self.service_index.insert(name, next_index);
        }
    }

    /// Moves the index of a service that lost an instance.
    fn touch(&mut self, name: &str) {
        if self.entries.values().any(|entry| entry.service.name == name) {
            self.service_index.insert(name.to_owned(), self.index);
        } else {
            self.service_index.remove(name);
            self.extinction_index = Some(self.index);
        }
    }

    fn check_mut(&mut self, id: &str, check: &str) -> Option<&mut Check> {
        self.entries.get_mut(id)?.checks.iter_mut().find(|known| known.settings.id == check)
    }
}

impl Check {
    fn new(settings: NewCheck, old: Option<Check>, index: u64, now: Instant) -> Self {
        let expires = match settings.probe {
            Probe::Ttl { ttl } => Some(now + ttl),
            _ => None,
        };
        let fresh = Self {
            status: settings.status,
            output: String::new(),
            create_index: index,
            modify_index: index,
            successes: 0,
            failures: 0,
            critical_since: (settings.status == Status::Critical).then_some(now),
            expires,
            probe: None,
            settings,
        };
        match old {
            None => fresh,
            Some(mut old) => Self {
                status: old.status,
                output: std::mem::take(&mut old.output),
                create_index: old.create_index,
                modify_index: old.modify_index,
                critical_since: old.critical_since,
                ..fresh
            },
        }
    }

    fn is_overdue(&self, now: Instant) -> bool {
        let since = |after: Duration| self.critical_since.is_some_and(|since| since + after <= now);
        self.settings.deregister_after.is_some_and(since)
    }
}

impl Entry {
    /// Gives the worst status of its checks.
    pub(super) fn status(&self) -> Status {
        self.checks.iter().map(|check| check.status).max().unwrap_or(Status::Passing)
    }
}

#[cfg(test)]
mod tests;
