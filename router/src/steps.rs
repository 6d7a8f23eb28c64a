//! The hot steps of a call, each on its own and all together, without sockets: for benches (feature `steps`).
//!
//! | step | one iteration |
//! |---|---|
//! | `frame-parse` | the header of one frame |
//! | `hpack-decode`, `hpack-decode-unique` | a request's header block, all indexed, or with three values never seen before |
//! | `hpack-encode` | the block for the instance, with a new request ID |
//! | `peek` | the ID in a message of 93 bytes |
//! | `route` | path and ID to the service, among 1,000 |
//! | `pick-1`, `pick-8`, `pick-64` | an instance of so many |
//! | `timers` | a call's deadline set and cleared, among 256 |
//! | `call` | a whole unary call through the plane: 93 bytes there, 106 back |
//! | `call-unique` | the same, with three values in its headers never seen before, its request ID among them |
//! | `call-alone` | the same as `call`, with no other in flight |
//! | `message` | one message of 60 bytes of a response that streams 100 |
//! | `upload-frame`, `download-frame` | 16 KiB of a message of 1 MB, and that part of its call |
//!
//! The plane is used as the event loop does it, under a clock of its own (`mesh.rs`). Everything is warm: connections are
//! open, header tables filled, buffers grown. Nothing is random but the seeds of hash maps.

mod feed;
mod fixture;
mod mesh;
mod part;

use mesh::{Mesh, Shape};
use std::fmt;

/// A step, by name.
type Known = (&'static str, fn() -> Run);
/// Runs a step so many times.
type Run = Box<dyn FnMut(u64)>;

/// In the order in which they are told.
const KNOWN: [Known; 16] = [
    ("frame-parse", part::frame_parse),
    ("hpack-decode", || part::hpack_decode(false)),
    ("hpack-decode-unique", || part::hpack_decode(true)),
    ("hpack-encode", part::hpack_encode),
    ("peek", part::peek),
    ("route", part::route),
    ("pick-1", || part::pick(1)),
    ("pick-8", || part::pick(8)),
    ("pick-64", || part::pick(64)),
    ("timers", part::timers),
    ("call", || through(Shape::CALL)),
    ("call-unique", || through(Shape::CALL_UNIQUE)),
    ("call-alone", || through(Shape::CALL_ALONE)),
    ("message", || through(Shape::MESSAGES)),
    ("upload-frame", || through(Shape::UPLOAD)),
    ("download-frame", || through(Shape::DOWNLOAD)),
];

/// A step with what it needs, warm.
pub struct Step {
    name: &'static str,
    run: Run,
}

impl Step {
    /// The names of all steps.
    pub fn names() -> impl Iterator<Item = &'static str> {
        KNOWN.iter().map(|(name, _)| *name)
    }

    /// Prepares the step of that name; `None` if there is none. Takes some milliseconds.
    pub fn new(name: &str) -> Option<Self> {
        let (name, prepare) = KNOWN.iter().find(|(known, _)| *known == name)?;
        Some(Step { name, run: prepare() })
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Runs it so many times. Steps that go through the plane run several at a time, as one read of a socket brings
    /// several calls: what is not enough for that is kept for the next time.
    pub fn run(&mut self, iterations: u64) {
        (self.run)(iterations);
    }
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Step").field("name", &self.name).finish_non_exhaustive()
    }
}

fn through(shape: Shape) -> Run {
    let mut mesh = Mesh::new(shape);
    let (each, mut due) = (shape.iterations_per_round(), 0);
    Box::new(move |iterations| {
        due += iterations;
        while due >= each {
            due -= each;
            mesh.round();
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_runs() {
        for name in Step::names() {
            let mut step = Step::new(name).unwrap();
            step.run(10_000);
            assert_eq!(step.name(), name);
        }
        assert!(Step::new("no-such-step").is_none());
    }
}
