//! kill -9, over and over: what was acknowledged is there, and what is there is whole.
//!
//! `STORE_KILLS` says how often; each time takes up to a second.

mod child;

use child::{Committing, check, settings};
use workflow_store::EmbeddedStore;

/// Some five seconds, and fifteen on a busy machine.
const KILLS: u64 = 12;

#[test]
fn child() {
    child::run();
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    let kills = std::env::var("STORE_KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    let mut random = 0x5eed_u64;
    // The directory begins anew now and then, since the whole of it is checked after each kill.
    let mut directory = child::directory();
    let mut length = 0;
    for kill in 0..kills {
        if kill.is_multiple_of(10) {
            directory = child::directory();
            length = 0;
        }
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let enough = (random >> 33) % 200;
        let mut child = Committing::start(directory.path(), &[], false);
        let mut acknowledged = length;
        for _ in 0..=enough {
            acknowledged = child.next_acknowledged().unwrap() + 1;
        }
        child.kill();
        // What it still said before it died counts as well.
        while let Some(number) = child.next_acknowledged() {
            assert_eq!(number, acknowledged, "answers out of order");
            acknowledged += 1;
        }
        drop(child);
        length = check(&EmbeddedStore::open(directory.path(), &settings()).unwrap());
        assert!(length >= acknowledged, "kill {kill}: {acknowledged} were acknowledged, {length} are there");
    }
}
