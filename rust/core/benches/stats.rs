//! What watching costs a task: `cargo bench -p taskloom-core --bench stats`.

use std::hint::black_box;
use std::time::Instant;

use taskloom_core::clock;
use taskloom_core::histogram::Histogram;
use taskloom_core::stats::WorkerStats;
use taskloom_core::trace::{EventKind, TraceRing};

const COUNT: u64 = 100_000;
const ROUNDS: usize = 21;

fn main() {
    let histogram = Histogram::new();
    let (with, without) = (WorkerStats::new(true), WorkerStats::new(false));
    let ring = TraceRing::new(1 << 16);
    println!("counter as clock: {}", clock::is_counter());
    report("clock::ticks", |_| drop_it(clock::ticks()));
    report("Instant::now (peer)", |_| drop_it(Instant::now()));
    report("clock::nanos", |i| drop_it(clock::nanos(i)));
    report("Count::add", |_| with.counts.done.add(1));
    report("Histogram::record", |i| histogram.record(i * 37));
    report("WorkerStats::record", |i| {
        with.record(i, i + 900, i + 9000 + i)
    });
    report("WorkerStats::record, off", |i| {
        without.record(i, i + 900, i + 9000)
    });
    report("TraceRing::record", |i| ring.record(EventKind::Start, i));
    report("TraceRing::record_at", |i| {
        ring.record_at(i, EventKind::Start, i)
    });
}

fn drop_it<T>(value: T) {
    black_box(value);
}

/// The median and the best of several rounds, nanoseconds a call.
fn report(name: &str, mut call: impl FnMut(u64)) {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            for i in 0..COUNT {
                call(black_box(i));
            }
            start.elapsed().as_nanos() as f64 / COUNT as f64
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    println!(
        "{name:28} {:6.2} ns (best {:6.2})",
        rounds[ROUNDS / 2],
        rounds[0]
    );
}
