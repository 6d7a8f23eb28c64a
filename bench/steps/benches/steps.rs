//! Time per iteration of the router's hot steps: `cargo bench -p switchboard-steps`.

use criterion::{Criterion, criterion_group, criterion_main};
use std::time::{Duration, Instant};
use switchboard_router::steps::Step;

fn steps(criterion: &mut Criterion) {
    for mut step in Step::names().filter_map(Step::new) {
        criterion.bench_function(step.name(), |bencher| {
            bencher.iter_custom(|iterations| {
                let began = Instant::now();
                step.run(iterations);
                began.elapsed()
            });
        });
    }
}

criterion_group! {
    name = all;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(2));
    targets = steps
}
criterion_main!(all);
