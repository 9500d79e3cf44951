//! A worker: a thread at work for a pool, what it looks at next, and how it sleeps.

use super::Pool;
use super::crew::Aside;
use super::pinned::Inbox;
use crate::job::Job;
use crate::sleep::{Found, Seek};
use crate::stats::WorkerStats;
use crate::sync::Arc;
use crate::sync::atomic::Ordering::{Relaxed, SeqCst};
use crate::trace;
use crossbeam_deque::{Steal, Stealer, Worker as Deque};
use std::cell::Cell;

impl Pool {
    /// Makes this thread the worker `index`, which its host was asked to start. Returns when the
    /// pool is closed and drained, or when a spare is no longer needed. Called attached.
    pub fn work(self: &Arc<Self>, index: usize) {
        let Some(deque) = self.deques[index].lock().take() else {
            // The host started a thread that it was not asked for.
            return;
        };
        let worker = Worker::new(Arc::clone(self), index, deque);
        CURRENT.with(|current| current.set(&worker));
        self.inboxes[index].open();
        worker.run();
        self.close_inbox(index);
        CURRENT.with(|current| current.set(std::ptr::null()));
        if worker.orphaned.get() {
            // Not ours to put back: other threads may have held the pool's locks at the fork.
            std::mem::forget(worker);
            return;
        }
        *self.deques[index].lock() = Some(worker.deque);
        self.crew.leave(index);
        self.pass_on();
    }
}

impl Seek for Worker {
    fn has_own(&self) -> bool {
        self.inbox().has_jobs()
    }

    fn number(&self) -> usize {
        self.index
    }

    fn has_work(&self) -> bool {
        self.pool.has_work()
    }

    fn closed(&self) -> bool {
        Seek::closed(&*self.pool)
    }

    fn dismissed(&self) -> bool {
        // On a closed pool who finds nothing leaves anyhow.
        self.pool.crew.is_surplus(self.index) && !self.pool.is_closed()
    }

    fn before_sleep(&self) {
        self.pool.before_sleep();
        self.inbox().set_asleep(true);
    }
}

/// Takes the oldest job of a deque that is another's.
pub(super) fn steal(stealer: &Stealer<Job>) -> Option<Job> {
    loop {
        match stealer.steal() {
            Steal::Success(job) => return Some(job),
            Steal::Empty => return None,
            Steal::Retry => crate::sync::hint::spin_loop(),
        }
    }
}

thread_local! {
    static CURRENT: Cell<*const Worker> = const { Cell::new(std::ptr::null()) };
}

/// Every how many jobs a worker looks at the shared queue first, so that its own cannot starve it.
const FAIRNESS: u32 = 61;

/// A thread at work for a pool; jobs get it to see where they run.
pub struct Worker {
    pool: Arc<Pool>,
    index: usize,
    pub(super) deque: Deque<Job>,
    late: Cell<Option<Job>>,
    attached: Cell<bool>,
    ticks: Cell<u32>,
    steal_from: Cell<usize>,
    may_block: Cell<bool>,
    /// Jobs that have begun here will come back here.
    awaits_jobs: Cell<bool>,
    /// The job at hand may take any time: others take what is for this worker.
    away: Cell<bool>,
    orphaned: Cell<bool>,
    /// What the host says that it runs.
    current: Cell<*const ()>,
    /// When the job before ended or the next was looked for, in ticks; 0 if nobody read the clock, or
    /// something else was done since.
    boundary: Cell<u64>,
    /// The boundary before the job at hand, until somebody asks.
    began: Cell<u64>,
}

impl Worker {
    pub(super) fn new(pool: Arc<Pool>, index: usize, deque: Deque<Job>) -> Self {
        Worker {
            pool,
            index,
            deque,
            late: Cell::new(None),
            attached: Cell::new(true),
            ticks: Cell::new(0),
            steal_from: Cell::new(index),
            may_block: Cell::new(false),
            awaits_jobs: Cell::new(false),
            away: Cell::new(false),
            orphaned: Cell::new(false),
            current: Cell::new(std::ptr::null()),
            boundary: Cell::new(0),
            began: Cell::new(0),
        }
    }

    /// Calls `f` with the worker that this thread is, if it is one.
    #[inline]
    pub fn with_current<R>(f: impl FnOnce(Option<&Worker>) -> R) -> R {
        let current = CURRENT.with(Cell::get);
        // SAFETY: set by `Pool::work` on this very thread for as long as its frame, which holds
        // the worker, is alive below us; `f` cannot keep the reference.
        f(unsafe { current.as_ref() })
    }

    /// For a forked child: its only thread, if it was a worker, stops being one, since the pool's
    /// other threads are gone and may have held its locks. When the job at hand returns, the
    /// thread leaves without touching the pool.
    pub fn orphan_current() {
        Worker::with_current(|worker| {
            if let Some(worker) = worker {
                worker.orphaned.set(true);
            }
        });
        CURRENT.with(|current| current.set(std::ptr::null()));
    }

    /// Below `max_workers` for a regular worker, from there on for a spare.
    pub fn index(&self) -> usize {
        self.index
    }

    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// What `replace_current` was last told.
    #[inline]
    pub fn current(&self) -> *const () {
        self.current.get()
    }

    /// Notes what the host runs on this worker, for itself to ask; returns what it was before.
    #[inline]
    pub fn replace_current(&self, current: *const ()) -> *const () {
        self.current.replace(current)
    }

    /// When the job at hand began, in ticks, read for it or for the end of the job before. For its
    /// first caller alone, before it does anything that takes time.
    #[inline]
    pub fn began(&self) -> u64 {
        match self.began.replace(0) {
            0 => self.pool.host.now(),
            began => began,
        }
    }

    /// The job at hand ends, and what follows takes no time: when, in ticks.
    #[inline]
    pub fn ends(&self) -> u64 {
        let now = self.pool.host.now();
        self.boundary.set(now);
        now
    }

    /// Something took time since `ends`, or may take time from here on.
    #[inline]
    pub fn interrupted(&self) {
        self.boundary.set(0);
    }

    /// What this worker counts.
    #[inline]
    pub fn stats(&self) -> &WorkerStats {
        &self.pool.stats[self.index]
    }

    /// Whether this thread holds the interpreter; a late job asks.
    pub fn is_attached(&self) -> bool {
        self.attached.get()
    }

    /// Does something that needs the interpreter, for a late job, which may be executed without it.
    pub fn attached<R>(&self, f: impl FnOnce() -> R) -> R {
        if self.attached.get() {
            return f();
        }
        self.attach();
        let result = f();
        self.detach();
        result
    }

    /// Has `job` executed after the current one. If the worker finds nothing else to do, that
    /// happens detached: whoever is woken by it then finds the interpreter free. A late job
    /// must not need the interpreter.
    #[inline]
    pub fn set_late(&self, job: Job) {
        // One at a time: a job that executes others inline flushes between them.
        self.flush_late();
        self.late.set(Some(job));
    }

    /// Whether more work is queued, so that this worker will not run dry after its job.
    #[inline]
    pub fn has_more(&self) -> bool {
        self.pool.has_work()
    }

    fn inbox(&self) -> &Inbox {
        &self.pool.inboxes[self.index]
    }

    /// Executes a late job now, and those that it sets in turn.
    #[inline]
    pub fn flush_late(&self) {
        while let Some(late) = self.late.take() {
            self.interrupted();
            // SAFETY: taken, so executed once, as the maker of the job was promised.
            unsafe { late.execute(self) }
        }
    }

    /// To be put around a wait that blocks this worker (called attached; the interpreter is given
    /// up inside `wait`): a spare may take its place meanwhile.
    pub fn blocked<R>(&self, wait: impl FnOnce() -> R) -> R {
        self.flush_late();
        self.pool.close_inbox(self.index);
        self.pool.crew.block();
        self.pool.pass_on();
        let result = wait();
        self.pool.crew.unblock();
        if !self.may_block.get() && !self.away.get() {
            self.inbox().open();
        }
        result
    }

    /// Says that the job at hand is about to block in a way that the pool cannot see: until the job
    /// ends, a spare may take this worker's place. Attached.
    pub fn may_block(&self) {
        if !self.may_block.replace(true) {
            self.flush_late();
            self.pool.close_inbox(self.index);
            self.pool.crew.block();
            self.pool.pass_on();
        }
    }

    /// Says that the job at hand comes back here when it has waited, by `Pool::submit_to`.
    #[inline]
    pub fn expect_job(&self) {
        self.awaits_jobs.set(true);
    }

    /// Says that the job at hand may take any time, and blocks in no way that the pool sees: until it
    /// ends, others take what is for this worker. Costs nothing where nothing has begun. Attached.
    #[inline]
    pub fn may_take_long(&self) {
        if self.awaits_jobs.get() && !self.away.replace(true) && self.pool.close_inbox(self.index) {
            self.pool.pass_on();
        }
    }

    /// The next job: urgent ones first, then its own, then the shared queue's, then others'.
    #[inline]
    fn find(&self) -> Option<Job> {
        let ticks = self.ticks.get().wrapping_add(1);
        self.ticks.set(ticks);
        let pool = &*self.pool;
        let now = || {
            if self.boundary.get() == 0 {
                self.boundary.set(pool.host.now());
            }
            self.boundary.get()
        };
        if (pool.injector.has_urgent() || ticks.is_multiple_of(FAIRNESS))
            && let Some(job) = pool.injector.pop(now)
        {
            return Some(job);
        }
        // What has begun here and what has not take turns, so that neither starves the other.
        if ticks & 1 == 0
            && let Some(job) = self.inbox().pop()
        {
            return Some(job);
        }
        let begins = pool.local.load(Relaxed) > 0 && !self.has_its_share(ticks);
        if begins && let Some(job) = self.deque.pop() {
            pool.local.fetch_sub(1, SeqCst);
            return Some(job);
        }
        if let Some(job) = pool.injector.pop(now) {
            return Some(job);
        }
        if begins && let Some(job) = self.steal() {
            return Some(job);
        }
        self.inbox().pop()
    }

    /// Whether another worker, a different one each time, has so much less to go on with that what
    /// workers have spawned is left to that one: it would stay here once it has begun. One that is
    /// stuck in a job takes nothing, so now and then the answer is no.
    #[inline]
    fn has_its_share(&self, ticks: u32) -> bool {
        let own = self.inbox().len();
        if own <= 1 || ticks.is_multiple_of(FAIRNESS) {
            return false;
        }
        let workers = self.pool.max_workers();
        let further = ticks as usize / 2 % (workers - 1).max(1);
        self.pool.inboxes[(self.index + 1 + further) % workers].is_shorter(own - 1)
    }

    /// A job of another worker: the nearest that has one, or from where the last was found.
    pub(super) fn steal(&self) -> Option<Job> {
        let stealers = &self.pool.stealers;
        if let Some(nearest) = self.pool.settings.nearest.get(self.index) {
            // Spares stand behind the regular workers; they are nobody's neighbours.
            let spares = self.pool.max_workers()..stealers.len();
            return (nearest.iter().copied().chain(spares)).find_map(|victim| self.rob(victim));
        }
        let start = self.steal_from.get();
        (1..=stealers.len()).find_map(|offset| {
            let victim = (start + offset) % stealers.len();
            let job = self.rob(victim)?;
            self.steal_from.set(victim + stealers.len() - 1);
            Some(job)
        })
    }

    /// Takes a job from the deque of another.
    fn rob(&self, victim: usize) -> Option<Job> {
        self.stats().counts.steal_attempts.add(1);
        let job = steal(&self.pool.stealers[victim])?;
        self.stats().counts.stolen.add(1);
        self.pool.local.fetch_sub(1, SeqCst);
        Some(job)
    }

    fn run(&self) {
        let pool = &*self.pool;
        // Started for work that is queued, counted as searching by who started it, and attached.
        let mut searching = true;
        loop {
            if !pool.crew.is_surplus(self.index)
                && let Some(job) = self.find()
            {
                if searching {
                    searching = false;
                    if pool.sleep.end_search() {
                        pool.pass_on();
                    }
                }
                self.flush_late();
                self.began.set(self.boundary.replace(0));
                // SAFETY: taken out of a queue, so executed once.
                unsafe { job.execute(self) };
                if self.orphaned.get() {
                    self.flush_late();
                    return;
                }
                let away = self.away.replace(false);
                let blocked = self.may_block.replace(false);
                if blocked {
                    pool.crew.unblock();
                }
                if away || blocked {
                    self.inbox().open();
                }
                continue;
            }
            self.detach();
            if !searching {
                // Before the late job: who is woken by it and submits again finds us searching.
                pool.sleep.begin_search();
                searching = true;
            }
            self.flush_late();
            let aside = if pool.crew.is_spare(self.index) {
                Aside::Leave
            } else if pool.crew.is_surplus(self.index) {
                pool.crew.park(self.index)
            } else {
                Aside::Stay
            };
            let found = match aside {
                Aside::Stay => pool.sleep.search(self),
                Aside::Parked => self.stay_parked(),
                Aside::Leave => {
                    // What is queued is passed on by `Pool::work`, which is returned to.
                    let _ = pool.sleep.end_search();
                    Found::Closed
                }
            };
            self.inbox().set_asleep(false);
            self.attach();
            match found {
                Found::Closed => return,
                Found::Own | Found::Dismissed => {}
                Found::Work => pool.sleep.leave_standby(),
            }
        }
    }

    /// Waits, parked, until called back. Detached; counted as searching before and after.
    fn stay_parked(&self) -> Found {
        let pool = &*self.pool;
        pool.close_inbox(self.index);
        let _ = pool.sleep.end_search();
        self.attach();
        if pool.host.is_untidy() {
            pool.host.tidy();
        }
        pool.pass_on();
        self.detach();
        if !pool.crew.wait(self.index) {
            return Found::Closed;
        }
        self.inbox().open();
        // What its own inbox lacks is found where everybody looks.
        Found::Own
    }

    fn attach(&self) {
        self.pool.host.attach();
        self.attached.set(true);
    }

    fn detach(&self) {
        if self.pool.switch().is_on() {
            trace::interrupted();
        }
        self.interrupted();
        self.attached.set(false);
        self.pool.host.detach();
    }
}
