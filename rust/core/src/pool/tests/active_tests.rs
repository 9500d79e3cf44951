//! How many workers take jobs, while that number changes.

use super::*;

/// Holds workers inside of jobs and counts those that are in.
#[derive(Default)]
struct Hall {
    inside: AtomicU64,
    gate: Event,
}

impl Hall {
    fn enter(self: &Arc<Self>, pool: &Arc<Pool>, count: usize) {
        for _ in 0..count {
            let hall = Arc::clone(self);
            pool.submit(
                job(move |_| {
                    hall.inside.fetch_add(1, SeqCst);
                    assert_eq!(hall.gate.wait(None), Wait::Woken);
                }),
                DEFAULT_BAND,
            );
        }
    }

    fn wait_for(&self, count: u64) {
        while self.inside.load(SeqCst) < count {
            std::thread::yield_now();
        }
    }
}

#[test]
fn no_more_workers_take_jobs_than_are_active() {
    let (pool, threads) = start(4, true, None);
    pool.set_active(2);
    let hall = Arc::new(Hall::default());
    hall.enter(&pool, 5);
    hall.wait_for(2);
    assert_eq!((pool.active(), pool.threads(), pool.queued()), (2, 2, 3));
    pool.set_active(3);
    hall.wait_for(3);
    assert_eq!((pool.threads(), pool.queued()), (3, 2));
    hall.gate.set();
    join(&pool, &threads);
    assert_eq!(hall.inside.load(SeqCst), 5);
}

#[test]
fn workers_that_are_too_many_park_and_are_called_back() {
    for gated in [true, false] {
        let (pool, threads) = start(4, gated, None);
        for _ in 0..20 {
            let hall = Arc::new(Hall::default());
            pool.set_active(4);
            hall.enter(&pool, 4);
            hall.wait_for(4);
            hall.gate.set();
            pool.set_active(1);
            while pool.parked() < 3 {
                std::thread::yield_now();
            }
            assert_eq!(pool.threads(), 1);
        }
        // Nobody was started anew.
        assert_eq!(threads.handles.lock().len(), 4);
        join(&pool, &threads);
    }
}

#[test]
fn a_parked_worker_takes_the_place_of_a_blocked_one() {
    let (pool, threads) = start(2, true, None);
    let hall = Arc::new(Hall::default());
    hall.enter(&pool, 2);
    hall.wait_for(2);
    pool.set_active(1);
    hall.gate.set();
    while pool.parked() < 1 {
        std::thread::yield_now();
    }
    let (gate, opened) = (Arc::new(Event::new()), Arc::new(Event::new()));
    let waiting = Arc::clone(&gate);
    pool.submit(
        job(move |worker| worker.blocked(|| assert_eq!(waiting.wait(None), Wait::Woken))),
        DEFAULT_BAND,
    );
    let (setting, told) = (Arc::clone(&gate), Arc::clone(&opened));
    pool.submit(
        job(move |_| {
            setting.set();
            told.set();
        }),
        DEFAULT_BAND,
    );
    assert_eq!(opened.wait(None), Wait::Woken);
    join(&pool, &threads);
    assert_eq!(threads.handles.lock().len(), 0);
}

/// The count is changed at random while jobs that submit jobs run: all are executed, once.
#[test]
fn nothing_is_lost_while_the_active_count_changes() {
    for gated in [true, false] {
        let (pool, threads) = start(4, gated, None);
        let sum = Arc::new(AtomicU64::new(0));
        for round in 0..4_000_u64 {
            let sum = Arc::clone(&sum);
            let outer = job(move |worker| {
                let inner = Arc::clone(&sum);
                worker.pool().submit(
                    job(move |_| {
                        inner.fetch_add(1, Relaxed);
                    }),
                    DEFAULT_BAND,
                );
                sum.fetch_add(1, Relaxed);
            });
            pool.submit(outer, DEFAULT_BAND);
            if round % 7 == 0 {
                pool.set_active(1 + ((round as usize * 2_654_435_761) >> 7) % 4);
            }
        }
        while sum.load(Relaxed) < 8_000 {
            std::thread::yield_now();
        }
        join(&pool, &threads);
    }
}
