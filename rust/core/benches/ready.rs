//! What a push and a pop of the ready queue cost: `cargo bench -p taskloom-core --bench ready`.
//! The peer in the same run is `std`'s binary heap over (band, deadline, sequence).

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hint::black_box;
use std::time::Instant;

use taskloom_core::ready::{DEFAULT_BAND, Order, ReadyQueue};

type Job = [usize; 3];
const COUNT: usize = 10_000;
const ROUNDS: usize = 41;

fn main() {
    let mut seed = 1_u64;
    let options: Vec<(usize, u64)> = (0..COUNT)
        .map(|_| {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            ((seed >> 61) as usize, seed >> 24 & 0xFFFF_FFFF)
        })
        .collect();
    let order = Order {
        lead: 1 << 20,
        ..Order::default()
    };
    let mut queue = ReadyQueue::new(order);
    report("defaults", || {
        let pushed = time(|i| queue.push([i, 0, 0], DEFAULT_BAND, None));
        let popped = time(|_| consume(queue.pop(|| 0)));
        (pushed, popped)
    });
    report("push, pop in turn", || {
        let both = time(|i| {
            queue.push([i, 0, 0], DEFAULT_BAND, None);
            consume(queue.pop(|| 0));
        });
        (both, 0.0)
    });
    report("random bands", || {
        let pushed = time(|i| queue.push([i, 0, 0], options[i].0, None));
        let popped = time(|_| consume(queue.pop(|| 0)));
        (pushed, popped)
    });
    report("random bands and deadlines", || {
        let pushed = time(|i| queue.push([i, 0, 0], options[i].0, Some(options[i].1)));
        let popped = time(|_| consume(queue.pop(|| 0)));
        (pushed, popped)
    });
    report("random bands, all overdue", || {
        let pushed = time(|i| queue.push([i, 0, 0], options[i].0, Some(options[i].1)));
        let popped = time(|_| consume(queue.pop(|| u64::MAX)));
        (pushed, popped)
    });
    let mut heap: BinaryHeap<Reverse<(usize, u64, usize, Job)>> = BinaryHeap::new();
    report("std BinaryHeap, defaults", || {
        let pushed = time(|i| heap.push(Reverse((DEFAULT_BAND, u64::MAX, i, [i, 0, 0]))));
        let popped = time(|_| consume(heap.pop()));
        (pushed, popped)
    });
    report("std BinaryHeap, random", || {
        let pushed = time(|i| heap.push(Reverse((options[i].0, options[i].1, i, [i, 0, 0]))));
        let popped = time(|_| consume(heap.pop()));
        (pushed, popped)
    });
}

fn consume<T>(value: T) {
    black_box(value);
}

/// Nanoseconds a call, over `COUNT` calls.
fn time(mut call: impl FnMut(usize)) -> f64 {
    let start = Instant::now();
    for i in 0..COUNT {
        call(black_box(i));
    }
    start.elapsed().as_nanos() as f64 / COUNT as f64
}

fn report(name: &str, mut round: impl FnMut() -> (f64, f64)) {
    let (mut pushes, mut pops): (Vec<f64>, Vec<f64>) = (0..ROUNDS).map(|_| round()).unzip();
    pushes.sort_by(f64::total_cmp);
    pops.sort_by(f64::total_cmp);
    let middle = ROUNDS / 2;
    println!(
        "{name:28} push {:6.2} ns (best {:6.2})   pop {:6.2} ns (best {:6.2})",
        pushes[middle], pushes[0], pops[middle], pops[0]
    );
}
