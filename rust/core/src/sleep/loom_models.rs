//! loom explores every interleaving of these small programs; a lost wake-up is a deadlock there.

use super::*;
use crate::sync::Arc;
use crate::sync::atomic::AtomicUsize;
use loom::thread;

struct Work {
    sleep: Sleep,
    queued: AtomicUsize,
    closed: AtomicBool,
    done: AtomicUsize,
}

impl Seek for Work {
    fn has_work(&self) -> bool {
        self.queued.load(SeqCst) > 0
    }
    fn closed(&self) -> bool {
        self.closed.load(SeqCst)
    }
    fn before_sleep(&self) {}
}

impl Work {
    fn new(gated: bool, workers: usize) -> Arc<Self> {
        let work = Work {
            sleep: Sleep::new(gated),
            queued: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            done: AtomicUsize::new(0),
        };
        for _ in 0..workers {
            work.sleep.begin_search();
        }
        Arc::new(work)
    }

    fn submit(&self) {
        self.queued.fetch_add(1, SeqCst);
        let _ = self.sleep.notify();
    }

    fn close(&self) {
        self.closed.store(true, SeqCst);
        self.sleep.wake_all();
    }

    fn take(&self) -> bool {
        let mut queued = self.queued.load(SeqCst);
        while queued > 0 {
            match self
                .queued
                .compare_exchange(queued, queued - 1, SeqCst, SeqCst)
            {
                Ok(_) => return true,
                Err(current) => queued = current,
            }
        }
        false
    }

    /// The pool's loop: attach (here: nothing), leave standby, take, stop counting as searching.
    fn work(&self) {
        while self.sleep.search(self) == Found::Work {
            self.sleep.leave_standby();
            if !self.take() {
                continue;
            }
            if self.sleep.end_search() && self.has_work() {
                let _ = self.sleep.notify();
            }
            self.done.fetch_add(1, SeqCst);
            while self.take() {
                self.done.fetch_add(1, SeqCst);
            }
            self.sleep.begin_search();
        }
    }
}

fn explore(gated: bool, workers: usize, jobs: usize, preemptions: usize) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(preemptions);
    model.check(move || {
        let work = Work::new(gated, workers);
        let threads: Vec<_> = (0..workers)
            .map(|_| {
                let work = Arc::clone(&work);
                thread::spawn(move || work.work())
            })
            .collect();
        for _ in 0..jobs {
            work.submit();
        }
        work.close();
        for thread in threads {
            assert!(thread.join().is_ok());
        }
        assert_eq!(work.done.load(SeqCst), jobs);
        assert_eq!(work.sleep.counts.load(SeqCst), 0);
        assert_eq!(work.sleep.permits.word.load(SeqCst) % GRANT, 0);
    });
}

#[test]
fn one_worker_misses_nothing() {
    explore(false, 1, 2, 3);
}

#[test]
fn two_workers_miss_nothing() {
    explore(false, 2, 1, 2);
}

#[test]
fn two_gated_workers_miss_nothing() {
    explore(true, 2, 2, 2);
}

/// Nobody closes: work that comes to sleeping workers is done all the same, and a worker that
/// found work and stays busy with it leaves what it has queued meanwhile to the other.
#[test]
fn a_submit_alone_wakes_a_sleeper() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(|| {
        let work = Work::new(true, 2);
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let work = Arc::clone(&work);
                thread::spawn(move || {
                    loop {
                        assert_eq!(work.sleep.search(&*work), Found::Work);
                        work.sleep.leave_standby();
                        if work.take() {
                            break;
                        }
                    }
                    if work.done.fetch_add(1, SeqCst) == 0 {
                        work.queued.fetch_add(1, SeqCst);
                    }
                    if work.sleep.end_search() && work.has_work() {
                        let _ = work.sleep.notify();
                    }
                })
            })
            .collect();
        work.submit();
        for thread in threads {
            assert!(thread.join().is_ok());
        }
        assert_eq!(work.done.load(SeqCst), 2);
    });
}

/// One worker as a seeker: it has an inbox of its own beside the shared work.
struct Owner {
    work: Arc<Work>,
    own: AtomicUsize,
    asleep: AtomicBool,
}

impl Seek for Owner {
    fn has_own(&self) -> bool {
        self.own.load(Relaxed) > 0
    }
    fn number(&self) -> usize {
        1
    }
    fn has_work(&self) -> bool {
        self.work.has_work()
    }
    fn closed(&self) -> bool {
        self.work.closed()
    }
    fn before_sleep(&self) {
        self.asleep.store(true, Relaxed);
        full_fence();
    }
}

#[test]
fn work_for_one_worker_wakes_that_one_beside_another() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(|| {
        let work = Work::new(true, 2);
        let owner = Arc::new(Owner {
            work: Arc::clone(&work),
            own: AtomicUsize::new(0),
            asleep: AtomicBool::new(false),
        });
        let first = {
            let (work, owner) = (Arc::clone(&work), Arc::clone(&owner));
            thread::spawn(move || {
                assert_eq!(work.sleep.search(&*owner), Found::Own);
                owner.own.fetch_sub(1, Relaxed);
                let _ = work.sleep.end_search();
                work.close();
            })
        };
        let second = {
            let work = Arc::clone(&work);
            thread::spawn(move || assert_eq!(work.sleep.search(&*work), Found::Closed))
        };
        owner.own.fetch_add(1, Relaxed);
        full_fence();
        if owner.asleep.load(Relaxed) {
            work.sleep.wake_owner(1);
        }
        assert!(first.join().is_ok());
        assert!(second.join().is_ok());
    });
}

/// A worker that may be dismissed at any moment; it leaves then, as a spare does.
struct Spare {
    work: Arc<Work>,
    dismissed: AtomicBool,
}

impl Seek for Spare {
    fn has_work(&self) -> bool {
        self.work.has_work()
    }
    fn closed(&self) -> bool {
        self.work.closed()
    }
    fn dismissed(&self) -> bool {
        self.dismissed.load(SeqCst)
    }
    fn before_sleep(&self) {}
}

/// The wake-up for a job may go to a worker that is dismissed in that moment: the other gets the job, and
/// hears of the closing.
#[test]
fn a_dismissed_worker_leaves_no_wake_up_behind() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(|| {
        let work = Work::new(false, 2);
        let spare = Arc::new(Spare {
            work: Arc::clone(&work),
            dismissed: AtomicBool::new(false),
        });
        let first = {
            let (work, spare) = (Arc::clone(&work), Arc::clone(&spare));
            thread::spawn(move || match work.sleep.search(&*spare) {
                Found::Dismissed => {
                    if work.sleep.end_search() && work.has_work() {
                        let _ = work.sleep.notify();
                    }
                }
                Found::Work => {
                    while work.take() {
                        work.done.fetch_add(1, SeqCst);
                    }
                    let _ = work.sleep.end_search();
                    work.close();
                }
                found => assert_eq!(found, Found::Closed),
            })
        };
        let second = {
            let work = Arc::clone(&work);
            thread::spawn(move || {
                while work.done.load(SeqCst) == 0 {
                    match work.sleep.search(&*work) {
                        Found::Work => {
                            while work.take() {
                                work.done.fetch_add(1, SeqCst);
                            }
                        }
                        found => assert_eq!(found, Found::Closed),
                    }
                }
            })
        };
        spare.dismissed.store(true, SeqCst);
        work.submit();
        assert!(second.join().is_ok());
        work.close();
        assert!(first.join().is_ok());
        assert_eq!(work.done.load(SeqCst), 1);
    });
}
