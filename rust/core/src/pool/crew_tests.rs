use super::*;

#[cfg(not(loom))]
mod bookkeeping {
    use super::*;

    fn start_all(crew: &Crew) {
        while let Some(recruit) = crew.recruit() {
            assert!(matches!(recruit, Recruit::Start(_)));
        }
    }

    #[test]
    fn workers_are_started_up_to_the_active_count() {
        let crew = Crew::new(4, 2);
        assert_eq!(crew.set_active(2), 4);
        assert_eq!(crew.recruit(), Some(Recruit::Start(0)));
        assert!(crew.is_short());
        assert_eq!(crew.recruit(), Some(Recruit::Start(1)));
        assert!(!crew.is_short());
        assert_eq!(crew.recruit(), None);
    }

    #[test]
    fn only_as_many_park_as_are_too_many() {
        let crew = Crew::new(4, 2);
        start_all(&crew);
        crew.set_active(2);
        assert!(!crew.is_surplus(1));
        assert!(crew.is_surplus(2) && crew.is_surplus(3));
        assert_eq!(crew.park(3), Aside::Parked);
        assert_eq!(crew.park(2), Aside::Parked);
        assert_eq!(crew.park(1), Aside::Stay);
        assert_eq!(crew.threads(), (2, 2));
    }

    #[test]
    fn parked_workers_are_called_before_threads_are_started() {
        let crew = Crew::new(4, 2);
        crew.set_active(3);
        start_all(&crew);
        crew.set_active(1);
        assert_eq!(crew.park(2), Aside::Parked);
        crew.set_active(4);
        assert_eq!(crew.recruit(), Some(Recruit::Call(2)));
        assert_eq!(crew.recruit(), Some(Recruit::Start(3)));
        assert_eq!(crew.recruit(), None);
    }

    #[test]
    fn a_parked_worker_stands_in_for_one_that_is_blocked() {
        let crew = Crew::new(2, 1);
        start_all(&crew);
        crew.set_active(1);
        assert_eq!(crew.park(1), Aside::Parked);
        crew.block();
        assert_eq!(crew.recruit(), Some(Recruit::Call(1)));
        assert!(!crew.is_surplus(1));
        crew.unblock();
        assert!(crew.is_surplus(1));
    }

    #[test]
    fn spares_are_bounded_and_leave_when_nobody_is_blocked() {
        let crew = Crew::new(1, 1);
        start_all(&crew);
        crew.block();
        crew.block();
        assert_eq!(crew.recruit(), Some(Recruit::Start(1)));
        assert_eq!(crew.recruit(), None);
        assert!(!crew.is_surplus(1));
        crew.unblock();
        crew.unblock();
        assert!(crew.is_surplus(1));
        crew.leave(1);
        assert_eq!(crew.threads(), (1, 0));
    }

    #[test]
    fn a_closed_crew_sends_surplus_workers_home() {
        let crew = Crew::new(2, 0);
        start_all(&crew);
        crew.set_active(1);
        crew.close();
        assert_eq!(crew.park(1), Aside::Leave);
        assert!(!crew.is_short());
    }

    #[test]
    fn the_active_count_stays_between_one_and_all() {
        let crew = Crew::new(3, 0);
        crew.set_active(0);
        assert_eq!(crew.active(), 1);
        crew.set_active(9);
        assert_eq!(crew.active(), 3);
    }
}

/// A pool of two workers, reduced to its queue: one is dismissed while work comes and goes.
#[cfg(loom)]
mod loom_models {
    use super::*;
    use crate::sleep::{Found, Notified, Seek, Sleep};
    use crate::sync::Arc;
    use loom::thread;

    struct Small {
        crew: Crew,
        sleep: Sleep,
        queued: AtomicUsize,
        closed: crate::sync::atomic::AtomicBool,
    }

    struct Member<'a>(&'a Small, usize);

    impl Seek for Member<'_> {
        fn has_work(&self) -> bool {
            self.0.queued.load(SeqCst) > 0
        }
        fn closed(&self) -> bool {
            self.0.closed.load(SeqCst)
        }
        fn dismissed(&self) -> bool {
            !self.closed() && self.0.crew.is_surplus(self.1)
        }
        fn before_sleep(&self) {}
    }

    impl Small {
        fn new() -> Arc<Self> {
            let crew = Crew::new(2, 1);
            let sleep = Sleep::new(false);
            for _ in 0..2 {
                assert!(matches!(crew.recruit(), Some(Recruit::Start(_))));
                sleep.begin_search();
            }
            Arc::new(Small {
                crew,
                sleep,
                queued: AtomicUsize::new(0),
                closed: crate::sync::atomic::AtomicBool::new(false),
            })
        }

        fn take(&self) -> bool {
            self.queued
                .fetch_update(SeqCst, SeqCst, |queued| queued.checked_sub(1))
                .is_ok()
        }

        /// As the pool's `start_worker`, in a process that is out of threads.
        fn enlist(&self) {
            match self.crew.recruit() {
                Some(Recruit::Call(index)) => {
                    self.sleep.begin_search();
                    self.crew.call(index);
                }
                Some(Recruit::Start(index)) => self.crew.leave(index),
                None => {}
            }
        }

        fn pass_on(&self) {
            if self.queued.load(SeqCst) > 0 && self.sleep.notify() == Notified::NobodyIdle {
                self.enlist();
            }
        }

        fn submit(&self) {
            self.queued.fetch_add(1, SeqCst);
            if self.crew.is_short() {
                self.enlist();
            }
            let _ = self.sleep.notify();
        }

        fn set_active(&self, count: usize) {
            self.crew.set_active(count);
            self.sleep.wake_all();
            self.pass_on();
        }

        fn close(&self) {
            self.closed.store(true, SeqCst);
            self.crew.close();
            self.sleep.wake_all();
        }

        /// As the pool's `Worker::run`.
        fn work(&self, index: usize) {
            let mut searching = true;
            loop {
                if !self.crew.is_surplus(index) && self.take() {
                    if std::mem::take(&mut searching) && self.sleep.end_search() {
                        self.pass_on();
                    }
                    continue;
                }
                if !searching {
                    self.sleep.begin_search();
                }
                searching = true;
                let aside = if self.crew.is_surplus(index) {
                    self.crew.park(index)
                } else {
                    Aside::Stay
                };
                match aside {
                    Aside::Stay => match self.sleep.search(&Member(self, index)) {
                        Found::Closed => break,
                        Found::Work => self.sleep.leave_standby(),
                        Found::Own | Found::Dismissed => {}
                    },
                    Aside::Leave => {
                        let _ = self.sleep.end_search();
                        break;
                    }
                    Aside::Parked => {
                        let _ = self.sleep.end_search();
                        self.pass_on();
                        if !self.crew.wait(index) {
                            break;
                        }
                    }
                }
            }
            self.crew.leave(index);
            self.pass_on();
        }
    }

    /// Worker 1 works while `scene` plays; worker 0 is at work in a job all the time, and so never looks
    /// at the queue: what is to be done beside it, worker 1 has to do.
    fn beside_a_busy_worker(scene: impl Fn(&Small) + Sync + Send + 'static) {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(2);
        model.check(move || {
            let small = Small::new();
            let _ = small.sleep.end_search();
            let other = Arc::clone(&small);
            let thread = thread::spawn(move || other.work(1));
            scene(&small);
            small.close();
            assert!(thread.join().is_ok());
            assert_eq!(small.queued.load(SeqCst), 0);
            assert_eq!(small.crew.threads(), (1, 0));
            assert_eq!(small.sleep.idle(), 0);
        });
    }

    #[test]
    fn loom_a_parked_worker_is_called_back_for_a_job() {
        beside_a_busy_worker(|small| {
            small.set_active(1);
            small.set_active(2);
            small.submit();
        });
    }

    #[test]
    fn loom_a_parked_worker_is_called_back_for_what_was_queued_meanwhile() {
        beside_a_busy_worker(|small| {
            small.set_active(1);
            small.submit();
            small.set_active(2);
        });
    }

    #[test]
    fn loom_a_parked_worker_stands_in_for_one_that_blocks() {
        beside_a_busy_worker(|small| {
            small.set_active(1);
            small.submit();
            small.crew.block();
            small.pass_on();
        });
    }

    #[test]
    fn loom_a_parked_worker_is_sent_home() {
        beside_a_busy_worker(|small| {
            small.set_active(1);
        });
    }

    /// Both sleep, or are about to: the one that is dismissed parks, whoever takes which permit.
    #[test]
    fn loom_a_dismissed_sleeper_parks() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(2);
        model.check(|| {
            let small = Small::new();
            let (one, other) = (Arc::clone(&small), Arc::clone(&small));
            let stays = thread::spawn(move || one.work(0));
            let goes = thread::spawn(move || {
                while other.crew.park(1) != Aside::Parked {
                    assert_eq!(other.sleep.search(&Member(&other, 1)), Found::Dismissed);
                }
            });
            small.set_active(1);
            assert!(goes.join().is_ok());
            small.close();
            assert!(stays.join().is_ok());
        });
    }

    /// The other way round: the one that stays sleeps, and a job must not be lost on the one that goes.
    #[test]
    fn loom_a_job_is_not_lost_on_a_dismissed_sleeper() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(1);
        model.check(|| {
            let small = Small::new();
            let threads: Vec<_> = (0..2)
                .map(|index| {
                    let small = Arc::clone(&small);
                    thread::spawn(move || small.work(index))
                })
                .collect();
            small.set_active(1);
            small.submit();
            small.close();
            for thread in threads {
                assert!(thread.join().is_ok());
            }
            assert_eq!(small.queued.load(SeqCst), 0);
            assert_eq!(small.crew.threads(), (0, 0));
        });
    }
}
