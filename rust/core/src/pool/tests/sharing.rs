//! Who begins what workers have spawned, where each of them has something to go on with.

use super::*;
use std::time::Duration;

/// What a worker did, in order: whether each job was one that had begun there.
type Order = Arc<Mutex<Vec<bool>>>;

fn noted(order: &Order, begun: bool) -> Job {
    let order = Arc::clone(order);
    job(move |_| order.lock().push(begun))
}

fn set(event: &Arc<Event>) -> Job {
    let event = Arc::clone(event);
    job(move |_| event.set())
}

/// Has the other worker of two execute a job: not by way of this one's deque.
fn give_away(worker: &Worker, job: Job) {
    worker.pool().requeue(job);
    worker.pool().pass_on();
}

/// Has the other worker of two stuck in a job until the event is set.
fn keep_other(worker: &Worker, until: &Arc<Event>) {
    let (inside, until) = (Arc::new(Event::new()), Arc::clone(until));
    let there = Arc::clone(&inside);
    let stuck = job(move |_| {
        there.set();
        let _ = until.wait(None);
    });
    give_away(worker, stuck);
    let _ = inside.wait(None);
}

/// What a worker did that had begun so many jobs and spawned one, while the other of two was stuck.
fn order_beside_one_stuck(begun: usize) -> Vec<bool> {
    let (pool, threads) = start(2, false, None);
    let (order, finished, gate) = (Order::default(), Arc::default(), Arc::default());
    let first = {
        let (order, finished, gate) = (order.clone(), Arc::clone(&finished), Arc::clone(&gate));
        job(move |worker| {
            keep_other(worker, &gate);
            for _ in 0..begun {
                worker.pool().submit_to(worker.index(), noted(&order, true));
            }
            worker.pool().submit_to(worker.index(), set(&finished));
            worker.pool().submit(noted(&order, false), DEFAULT_BAND);
        })
    };
    pool.submit(first, DEFAULT_BAND);
    let _ = finished.wait(None);
    let order = order.lock().clone();
    gate.set();
    join(&pool, &threads);
    order
}

#[test]
fn what_a_worker_spawns_is_left_to_one_that_has_less_to_go_on_with() {
    let order = order_beside_one_stuck(20);
    assert!(order[..20].iter().all(|begun| *begun), "{order:?}");
}

#[test]
fn what_a_worker_spawns_does_not_wait_for_one_that_is_stuck() {
    let order = order_beside_one_stuck(1_000);
    let place = order.iter().position(|begun| !begun);
    assert!(place.is_some_and(|place| place < 200), "{place:?}");
}

#[test]
fn a_worker_takes_what_others_have_spawned_in_turn_with_what_it_has_begun() {
    let (pool, threads) = start(2, false, None);
    let (order, finished) = (Order::default(), Arc::default());
    let first = {
        let (order, finished) = (order.clone(), Arc::clone(&finished));
        job(move |worker| {
            let gate = Arc::new(Event::new());
            keep_other(worker, &gate);
            // As many as the other will have, so that it has no more than its share.
            for _ in 0..10 {
                worker.pool().submit_to(worker.index(), job(|_| {}));
            }
            for _ in 0..9 {
                worker.pool().submit_to(1, noted(&order, true));
            }
            worker.pool().submit_to(1, set(&finished));
            for _ in 0..3 {
                worker.pool().submit(noted(&order, false), DEFAULT_BAND);
            }
            gate.set();
            let _ = finished.wait(None);
        })
    };
    pool.submit(first, DEFAULT_BAND);
    let _ = finished.wait(None);
    let order = order.lock().clone();
    let last = order.iter().rposition(|begun| !begun);
    assert!(last.is_some_and(|last| last < 7), "{order:?}");
    join(&pool, &threads);
}

/// What has begun on a worker goes on elsewhere while that is at something that may take any time.
#[test]
fn jobs_of_a_worker_that_is_at_something_long_are_done_by_others() {
    let (pool, threads) = start(2, false, None);
    let done = Arc::new(Event::new());
    let finished = Arc::clone(&done);
    pool.submit(
        job(move |worker| {
            let (before, during) = (Arc::new(Event::new()), Arc::new(Event::new()));
            worker.expect_job();
            worker.pool().submit_to(worker.index(), set(&before));
            worker.may_take_long();
            worker.pool().submit_to(worker.index(), set(&during));
            let patience = Some(Duration::from_secs(60));
            assert_eq!(before.wait(patience), Wait::Woken);
            assert_eq!(during.wait(patience), Wait::Woken);
            finished.set();
        }),
        DEFAULT_BAND,
    );
    assert_eq!(done.wait(None), Wait::Woken);
    join(&pool, &threads);
}
