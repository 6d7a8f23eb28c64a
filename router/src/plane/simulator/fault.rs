//! What goes wrong with connections, and what changes, while calls are under way.

use super::{
    World,
    link::Who,
    plan::{MS, NEVER},
};
use crate::link::Update;
use switchboard_http2::ErrorCode;

impl World {
    /// Something goes wrong, or changes.
    pub(super) fn fault(&mut self) {
        self.next_fault_us = self.now_us + self.dice.between(1, 2 * self.plan.pause_us);
        let at = if self.links.is_empty() { return } else { self.dice.below(self.links.len()) };
        let usable = self.links[at].is_usable() && self.links[at].connecting.is_none();
        match self.dice.below(8) {
            0 if self.plan.cuts && usable => self.cut(at),
            1 if self.plan.freezes && usable => self.freeze(at),
            2 | 3 if self.plan.goaways && usable && matches!(self.links[at].who, Who::Instance(_)) => {
                self.note(|| format!("GOAWAY on link {at}"));
                match self.dice.chance(500) {
                    true => self.links[at].http2.drain(),
                    false => self.links[at].http2.goaway(ErrorCode::NO_ERROR, b""),
                }
            }
            4 | 5 if self.plan.registry => self.registry_changes(),
            6 if self.plan.drain => {
                self.note(|| "drain".into());
                self.plane.update(Update::Drain);
            }
            7 if self.plan.stop && self.now_us > 5_000 * MS => {
                self.note(|| "stop".into());
                self.stopped = true;
                self.plane.update(Update::Stop);
            }
            _ => {}
        }
    }

    /// A connection breaks: with what is on its way, or in order.
    pub(super) fn cut(&mut self, at: usize) {
        self.note(|| format!("link {at} breaks"));
        let link = &mut self.links[at];
        link.cut = true;
        if self.dice.chance(500) {
            link.to_plane.cut();
        } else if self.plan.garbage && self.dice.chance(500) {
            let garbage: Vec<u8> = (0..self.dice.size(2_000)).map(|_| self.dice.below(256) as u8).collect();
            link.to_plane.spoil(&garbage);
            link.spoiled = true;
        }
        self.peer_leaves(at);
    }

    /// The peer stops, and its connection stays: only the plane's PINGs can tell.
    fn freeze(&mut self, at: usize) {
        self.note(|| format!("link {at} freezes"));
        let link = &mut self.links[at];
        (link.frozen, link.cut) = (true, true);
        link.releases.clear();
        match link.who {
            Who::Client(_) => self.client_lost(at),
            Who::Instance(_) => {
                let at_it = self.attempts.iter_mut().filter(|attempt| attempt.link == at);
                at_it.for_each(|attempt| attempt.next_us = NEVER);
            }
        }
    }
}
