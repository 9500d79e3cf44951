mod active_tests;

use super::*;
use crate::latch::Event;
use crate::ready::Order;
use std::cell::Cell;
use std::sync::atomic::AtomicU64;
use std::sync::{OnceLock, Weak};

std::thread_local! {
    /// Whether this thread holds the interpreter, as the host was told.
    static ATTACHED: Cell<bool> = const { Cell::new(true) };
}

/// Starts std threads; there is no interpreter, but who takes it twice is found out.
#[derive(Default)]
struct Threads {
    pool: OnceLock<Weak<Pool>>,
    handles: Mutex<Vec<std::thread::JoinHandle<()>>>,
}

impl Host for Arc<Threads> {
    fn spawn(&self, index: usize) -> bool {
        let Some(pool) = self.pool.get().and_then(Weak::upgrade) else {
            return false;
        };
        let handle = std::thread::spawn(move || pool.work(index));
        self.handles.lock().push(handle);
        true
    }
    fn attach(&self) {
        assert!(!ATTACHED.replace(true), "attached twice");
    }
    fn detach(&self) {
        assert!(ATTACHED.replace(false), "detached twice");
    }
    fn is_untidy(&self) -> bool {
        false
    }
    fn tidy(&self) {}
    fn now(&self) -> u64 {
        0
    }
}

fn start(max_workers: usize, gated: bool, bound: Option<usize>) -> (Arc<Pool>, Arc<Threads>) {
    start_with(settings(max_workers, gated, bound))
}

fn settings(max_workers: usize, gated: bool, bound: Option<usize>) -> Settings {
    Settings {
        max_workers,
        max_spares: 4,
        local_bound: None,
        nearest: Arc::default(),
        gated,
        local_queues: !gated,
        bound,
        order: Order::default(),
        timing: false,
    }
}

fn start_with(settings: Settings) -> (Arc<Pool>, Arc<Threads>) {
    let threads = Arc::new(Threads::default());
    let pool = Pool::new(Box::new(Arc::clone(&threads)), settings);
    assert!(threads.pool.set(Arc::downgrade(&pool)).is_ok());
    (pool, threads)
}

/// A pool that finds no threads to start.
fn start_without_threads(bound: usize) -> (Arc<Pool>, Arc<Threads>) {
    let threads = Arc::new(Threads::default());
    let settings = settings(1, true, Some(bound));
    let pool = Pool::new(Box::new(Arc::clone(&threads)), settings);
    (pool, threads)
}

fn join(pool: &Pool, threads: &Threads) {
    pool.close();
    loop {
        let Some(handle) = threads.handles.lock().pop() else {
            return;
        };
        assert!(handle.join().is_ok());
    }
}

type Boxed = Box<dyn FnOnce(&Worker) + Send>;

fn job(work: impl FnOnce(&Worker) + Send + 'static) -> Job {
    // SAFETY: `job` leaked the box for the one execution that a job gets.
    unsafe fn execute(data: *const (), worker: &Worker) {
        // SAFETY: as above.
        let work = unsafe { Box::from_raw(data as *mut Boxed) };
        work(worker);
    }
    let boxed: Box<Boxed> = Box::new(Box::new(work));
    // SAFETY: the box is leaked here and freed by its one execution; its contents are Send.
    unsafe { Job::new(Box::into_raw(boxed) as *const (), execute) }
}

#[test]
fn held_tasks_and_queued_jobs_never_pass_the_bound_together() {
    let (pool, _threads) = start_without_threads(2);
    let barrier = std::sync::Barrier::new(4);
    std::thread::scope(|scope| {
        for number in 0..4 {
            let (pool, barrier) = (&pool, &barrier);
            scope.spawn(move || {
                for _ in 0..500 {
                    barrier.wait();
                    let held = number % 2 == 0 && pool.hold(true).is_ok();
                    if number % 2 == 1 {
                        let _ = pool.submit_bounded(job(|_| {}), DEFAULT_BAND, None);
                    }
                    barrier.wait();
                    assert_eq!(pool.queued() + pool.held(), 2);
                    barrier.wait();
                    if held {
                        pool.submit_held(job(|_| {}), DEFAULT_BAND, None);
                    }
                    barrier.wait();
                    assert_eq!((pool.queued(), pool.held()), (2, 0));
                    barrier.wait();
                    if number == 0 {
                        drop(pool.drain());
                    }
                }
            });
        }
    });
}

#[test]
fn every_job_is_executed_once() {
    for (workers, gated) in [(1, true), (4, true), (4, false)] {
        let (pool, threads) = start(workers, gated, None);
        let sum = Arc::new(AtomicU64::new(0));
        for number in 1..=10_000_u64 {
            let sum = Arc::clone(&sum);
            pool.submit(
                job(move |_| {
                    sum.fetch_add(number, Relaxed);
                }),
                DEFAULT_BAND,
            );
        }
        join(&pool, &threads);
        assert_eq!(sum.load(Relaxed), 10_000 * 10_001 / 2);
    }
}

#[test]
fn jobs_submitted_by_jobs_are_executed_by_all() {
    let (pool, threads) = start(3, false, None);
    let left = Arc::new(AtomicU64::new(2_u64.pow(12)));
    let done = Arc::new(Event::new());
    fn split(worker: &Worker, size: u64, left: Arc<AtomicU64>, done: Arc<Event>) {
        if size == 1 {
            if left.fetch_sub(1, SeqCst) == 1 {
                done.set();
            }
            return;
        }
        for _ in 0..2 {
            let (left, done) = (Arc::clone(&left), Arc::clone(&done));
            let half = job(move |worker| split(worker, size / 2, left, done));
            worker.pool().submit(half, DEFAULT_BAND);
        }
    }
    let (count, event) = (Arc::clone(&left), Arc::clone(&done));
    let root = job(move |worker| split(worker, 2_u64.pow(12), count, event));
    pool.submit(root, DEFAULT_BAND);
    assert_eq!(done.wait(None), Wait::Woken);
    join(&pool, &threads);
    assert_eq!(left.load(SeqCst), 0);
}

#[test]
fn one_worker_takes_jobs_in_order() {
    let (pool, threads) = start(1, true, None);
    let seen = Arc::new(Mutex::new(Vec::new()));
    for number in 0..100 {
        let seen = Arc::clone(&seen);
        pool.submit(job(move |_| seen.lock().push(number)), DEFAULT_BAND);
    }
    join(&pool, &threads);
    assert_eq!(*seen.lock(), (0..100).collect::<Vec<_>>());
}

#[test]
fn a_late_job_that_sets_another_one_finds_itself_attached() {
    let (pool, threads) = start(1, true, None);
    let done = Arc::new(Event::new());
    let end = Arc::clone(&done);
    let last = job(move |worker| worker.attached(|| end.set()));
    let first = job(move |worker| {
        // Twice: what is set second flushes the first, within.
        worker.attached(|| {
            worker.set_late(job(|worker| worker.attached(|| {})));
            worker.set_late(last);
        });
    });
    pool.submit(job(move |worker| worker.set_late(first)), DEFAULT_BAND);
    assert_eq!(done.wait(None), Wait::Woken);
    join(&pool, &threads);
}

#[test]
fn an_urgent_job_goes_before_those_that_wait() {
    let (pool, threads) = start(1, false, None);
    let (entered, gate) = (Arc::new(Event::new()), Arc::new(Event::new()));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (inside, opened) = (Arc::clone(&entered), Arc::clone(&gate));
    pool.submit(
        job(move |_| {
            inside.set();
            assert_eq!(opened.wait(None), Wait::Woken);
        }),
        DEFAULT_BAND,
    );
    assert_eq!(entered.wait(None), Wait::Woken);
    for (name, band) in [("late", 7), ("default", DEFAULT_BAND), ("urgent", 0)] {
        let seen = Arc::clone(&seen);
        pool.submit(job(move |_| seen.lock().push(name)), band);
    }
    gate.set();
    join(&pool, &threads);
    assert_eq!(*seen.lock(), ["urgent", "default", "late"]);
}

#[test]
fn a_full_queue_refuses_and_takes_again_when_it_has_drained() {
    let (pool, threads) = start(1, false, Some(2));
    let (entered, gate) = (Arc::new(Event::new()), Arc::new(Event::new()));
    let (inside, opened) = (Arc::clone(&entered), Arc::clone(&gate));
    let blocker = job(move |_| {
        inside.set();
        assert_eq!(opened.wait(None), Wait::Woken);
    });
    assert_eq!(pool.submit_bounded(blocker, DEFAULT_BAND, None), Ok(()));
    assert_eq!(entered.wait(None), Wait::Woken);
    for _ in 0..2 {
        assert_eq!(pool.submit_bounded(job(|_| ()), DEFAULT_BAND, None), Ok(()));
    }
    let refused = job(|_| ());
    assert_eq!(pool.submit_bounded(refused, DEFAULT_BAND, None), Err(Full));
    gate.set();
    while pool.submit_bounded(refused, DEFAULT_BAND, None) == Err(Full) {
        let _ = pool.wait_for_room(None);
    }
    join(&pool, &threads);
    assert_eq!(pool.queued(), 0);
}

/// A latch that only another queued job can open does not deadlock a pool of one.
#[test]
fn a_spare_takes_the_place_of_a_blocked_worker() {
    let (pool, threads) = start(1, false, None);
    let (gate, done) = (Arc::new(Event::new()), Arc::new(Event::new()));
    let (opened, finished) = (Arc::clone(&gate), Arc::clone(&done));
    pool.submit(
        job(move |worker| {
            worker.blocked(|| assert_eq!(opened.wait(None), Wait::Woken));
            finished.set();
        }),
        DEFAULT_BAND,
    );
    let indices = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&indices);
    pool.submit(
        job(move |worker| {
            seen.lock().push(worker.index());
            gate.set();
        }),
        DEFAULT_BAND,
    );
    assert_eq!(done.wait(None), Wait::Woken);
    join(&pool, &threads);
    assert_eq!(*indices.lock(), [1]);
    assert_eq!(pool.threads(), 0);
}

#[test]
fn drained_jobs_are_given_back() {
    let (pool, threads) = start(1, false, None);
    let (entered, gate) = (Arc::new(Event::new()), Arc::new(Event::new()));
    let (inside, opened) = (Arc::clone(&entered), Arc::clone(&gate));
    pool.submit(
        job(move |_| {
            inside.set();
            assert_eq!(opened.wait(None), Wait::Woken);
        }),
        DEFAULT_BAND,
    );
    assert_eq!(entered.wait(None), Wait::Woken);
    for _ in 0..5 {
        pool.submit(job(|_| ()), DEFAULT_BAND);
    }
    let drained = pool.drain();
    assert_eq!(drained.len(), 5);
    gate.set();
    join(&pool, &threads);
    assert_eq!(pool.queued(), 0);
    for job in drained {
        // The boxes still have to be freed; nobody else will execute them.
        // SAFETY: drained, so never executed; the data is the box that `job` leaked.
        drop(unsafe { Box::from_raw(job.data() as *mut Boxed) });
    }
}

#[test]
fn pools_start_and_stop_a_thousand_times() {
    for round in 0..1_000 {
        let (pool, threads) = start(2, round % 2 == 0, None);
        let ran = Arc::new(AtomicU64::new(0));
        for _ in 0..4 {
            let ran = Arc::clone(&ran);
            pool.submit(
                job(move |_| {
                    ran.fetch_add(1, Relaxed);
                }),
                DEFAULT_BAND,
            );
        }
        join(&pool, &threads);
        assert_eq!(ran.load(Relaxed), 4);
    }
}

#[test]
fn a_worker_steals_from_its_nearest_neighbours_first() {
    // Workers 0 and 2 share a node, and so do 1 and 3.
    let nearest: [Box<[usize]>; 4] = [[2, 1, 3], [3, 2, 0], [0, 3, 1], [1, 0, 2]].map(Box::from);
    let (pool, _threads) = start_with(Settings {
        nearest: Arc::from(nearest),
        ..settings(4, false, None)
    });
    let robbed = Arc::new(Mutex::new(Vec::new()));
    for victim in 0..4 {
        let robbed = Arc::clone(&robbed);
        let deques = &pool.deques;
        if let Some(deque) = &*deques[victim].lock() {
            deque.push(job(move |_| robbed.lock().push(victim)));
        }
        pool.local.fetch_add(1, SeqCst);
    }
    let thief = Worker::new(Arc::clone(&pool), 3, Deque::new_fifo());
    while let Some(job) = thief.steal() {
        // SAFETY: stolen, so executed once.
        unsafe { job.execute(&thief) };
    }
    assert_eq!(*robbed.lock(), [1, 0, 2]);
}

#[test]
fn what_a_full_deque_does_not_take_goes_to_the_shared_queue() {
    let (pool, threads) = start_with(Settings {
        local_bound: Some(2),
        ..settings(1, false, None)
    });
    let done = Arc::new(Event::new());
    let seen = Arc::new(Mutex::new((0, 0)));
    let (finished, noted) = (Arc::clone(&done), Arc::clone(&seen));
    pool.submit(
        job(move |worker| {
            for _ in 0..5 {
                worker.pool().submit(job(|_| {}), DEFAULT_BAND);
            }
            let pool = worker.pool();
            *noted.lock() = (pool.local.load(SeqCst), pool.injector.len());
            finished.set();
        }),
        DEFAULT_BAND,
    );
    let _ = done.wait(None);
    assert_eq!(*seen.lock(), (2, 3));
    join(&pool, &threads);
}

#[test]
fn held_tasks_take_places_of_the_queue_until_they_are_let_go() {
    let (pool, _threads) = start(0, true, Some(2));
    assert_eq!(pool.hold(true), Ok(()));
    let submit = || pool.submit_bounded(job(|_| {}), DEFAULT_BAND, None);
    assert_eq!(submit(), Ok(()));
    assert_eq!(pool.hold(true), Err(Full));
    assert_eq!(submit(), Err(Full));
    pool.let_go();
    assert_eq!(submit(), Ok(()));
    assert_eq!(pool.held(), 0);
}

mod sharing;
