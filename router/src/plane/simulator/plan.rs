//! What one seed decides beforehand: dice, the faults of the run and how often each strikes.

use crate::config::Config;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::time::Duration;
use switchboard_http2 as http2;

/// One millisecond of virtual time, which is counted in microseconds.
pub(super) const MS: u64 = 1_000;
/// Never, as a virtual time.
pub(super) const NEVER: u64 = u64::MAX;

/// The run's only source of chance.
#[derive(Debug)]
pub(super) struct Dice(StdRng);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Dice(StdRng::seed_from_u64(seed))
    }

    /// A number from `low` to `high`, both included.
    pub(super) fn between(&mut self, low: u64, high: u64) -> u64 {
        self.0.random_range(low..=high)
    }

    /// A number below `n`, which is not 0.
    pub(super) fn below(&mut self, n: usize) -> usize {
        self.0.random_range(0..n)
    }

    /// True this often in a thousand.
    pub(super) fn chance(&mut self, per_mille: u64) -> bool {
        self.0.random_range(0..1_000) < per_mille
    }

    pub(super) fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// A span that is short as a rule and long at times, up to `most_us`.
    pub(super) fn span(&mut self, most_us: u64) -> u64 {
        let most = match self.below(10) {
            0..5 => most_us / 1_000,
            5..9 => most_us / 30,
            _ => most_us,
        };
        self.between(0, most)
    }

    /// A size that is small as a rule and large at times.
    pub(super) fn size(&mut self, most: usize) -> usize {
        let most = match self.below(10) {
            0..5 => most / 1_000,
            5..8 => most / 20,
            _ => most,
        };
        self.below(most + 1)
    }
}

/// Probabilities in thousandths, 0 where the seed leaves a fault out.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) clients: usize,
    pub(super) calls: usize,
    /// The calls begin within this time.
    pub(super) spread_us: u64,
    pub(super) services: usize,
    pub(super) body_max: usize,
    /// Longest delay of a piece of bytes.
    pub(super) delay_us: u64,
    /// What a socket holds.
    pub(super) socket: usize,
    pub(super) cancels: u64,
    pub(super) deadlines: u64,
    pub(super) refuses: u64,
    pub(super) resets: u64,
    pub(super) silences: u64,
    pub(super) early_ends: u64,
    pub(super) no_trailers: u64,
    pub(super) slow_readers: u64,
    pub(super) stalls: u64,
    pub(super) bad_connects: u64,
    pub(super) slow_settings: u64,
    pub(super) lookups_fail: u64,
    /// Requests that are no gRPC, unreadable timeouts, large headers and trailers.
    pub(super) odd: u64,
    /// Faults of connections and changes of the registry, one each time that this pause is over; never if 0.
    pub(super) pause_us: u64,
    pub(super) cuts: bool,
    pub(super) freezes: bool,
    pub(super) garbage: bool,
    pub(super) goaways: bool,
    pub(super) registry: bool,
    pub(super) drain: bool,
    pub(super) stop: bool,
    pub(super) windows: [u32; 2],
    pub(super) max_streams: u32,
    pub(super) capacity: u32,
    pub(super) memory_budget: usize,
    starved_after_s: u64,
}

impl Plan {
    pub(super) fn new(dice: &mut Dice) -> Self {
        // Some seeds are calm, so that what has to work without faults is seen to.
        let wild = dice.below(8) as u64;
        let mut fault = |most: u64| match wild > 0 && dice.chance(500) {
            true => dice.between(1, most * wild / 7 + 1),
            false => 0,
        };
        let (cancels, deadlines) = (fault(300), fault(500));
        let (refuses, resets, silences) = (fault(400), fault(300), fault(200));
        let (early_ends, no_trailers) = (fault(500), fault(200));
        let (slow_readers, stalls) = (fault(300), fault(20));
        let (bad_connects, slow_settings, lookups_fail) = (fault(500), fault(500), fault(500));
        let odd = fault(200);
        let pause_us = fault(500) * 2 * MS;
        let windows = [[1 << 20, 1 << 20], [65_535, 65_535], [20_000, 1 << 20], [1 << 20, 20_000]];
        Plan {
            clients: 1 + dice.below(4),
            calls: dice.one_of(&[4, 20, 70]),
            spread_us: dice.one_of(&[10, 500, 20_000]) * MS,
            services: 1 + dice.below(2),
            body_max: dice.one_of(&[2_000, 50_000, 300_000]),
            delay_us: dice.one_of(&[0, 5 * MS, 400 * MS]),
            socket: dice.one_of(&[700, 20_000, 200_000]),
            cancels,
            deadlines,
            refuses,
            resets,
            silences,
            early_ends,
            no_trailers,
            slow_readers,
            stalls,
            bad_connects,
            slow_settings,
            lookups_fail,
            odd,
            pause_us,
            cuts: dice.chance(500),
            freezes: dice.chance(300),
            garbage: dice.chance(300),
            goaways: dice.chance(500),
            registry: dice.chance(500),
            drain: wild > 0 && dice.chance(150),
            stop: wild > 0 && dice.chance(100),
            windows: dice.one_of(&windows),
            max_streams: dice.one_of(&[1, 3, 100]),
            capacity: dice.one_of(&[0, 0, 1, 4]),
            memory_budget: dice.one_of(&[512 << 20, 512 << 20, 300_000, 60_000]),
            starved_after_s: dice.one_of(&[0, 1, 10]),
        }
    }

    /// The router's configuration.
    pub(super) fn config(&self, dice: &mut Dice) -> Config {
        let any = ([127, 0, 0, 1], 0).into();
        let mut config = Config::new(any, any, switchboard_registry::Config::default());
        let http2 = |window: u32, dice: &mut Dice| http2::Config {
            stream_window: window,
            connection_window: window.max(65_535).saturating_mul(4),
            output_high_water: dice.one_of(&[4_000, 64 << 10, 256 << 10]),
            max_concurrent_streams: dice.one_of(&[2, 100, 100]),
            ..http2::Config::default()
        };
        config.downstream_http2 = http2(self.windows[0], dice);
        config.upstream_http2 = http2(self.windows[1], dice);
        config.replay_max_bytes = dice.one_of(&[0, 1_000, 64 << 10]);
        config.connections_per_endpoint = 1 + dice.below(3);
        config.streams_per_upstream_connection = dice.one_of(&[2, 100]);
        config.queue_per_service = dice.one_of(&[3, 1_000]);
        config.default_unary_deadline = Duration::from_secs(300);
        config.connection_age = Duration::from_secs(dice.one_of(&[0, 2, 300]));
        config.memory_budget = self.memory_budget;
        config.starved_after = Duration::from_secs(self.starved_after_s);
        config.stream_idle = Duration::from_secs(90);
        config.drain_streams_after = Duration::from_secs(dice.one_of(&[0, 2]));
        config
    }

    /// Whether memory may run short.
    pub(super) fn tight(&self) -> bool {
        self.memory_budget < 1 << 20
    }

    /// HTTP/2 of a client or an instance.
    pub(super) fn peer_http2(&self, dice: &mut Dice) -> http2::Config {
        http2::Config {
            stream_window: dice.one_of(&[1 << 20, 65_535, 5_000]),
            connection_window: dice.one_of(&[16 << 20, 65_535]),
            max_concurrent_streams: self.max_streams,
            output_high_water: 1 << 20,
            ..http2::Config::default()
        }
    }
}

/// Byte `at` of what the sender with this tag sends.
pub(super) fn pattern(tag: usize, at: usize) -> u8 {
    (tag.wrapping_mul(89) ^ at.wrapping_mul(31) ^ (at >> 8)) as u8
}
