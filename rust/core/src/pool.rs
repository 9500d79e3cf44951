//! The work-stealing pool: workers, their deques, the shared queue, and who is woken for what.
//!
//! The pool starts no threads of its own and knows no interpreter: both are its host's. A host
//! thread that calls [`Pool::work`] becomes a worker until the pool is closed and drained.

mod crew;
mod host;
mod pinned;
mod worker;

use crate::histogram::Counts;
pub use crate::injector::Full;
use crate::injector::Injector;
use crate::job::Job;
use crate::ready::{BANDS, DEFAULT_BAND};
use crate::sleep::{Notified, Seek, Sleep};
use crate::stats::{ArrivalStats, PoolReading, WorkerStats};
use crate::sync::Mutex;
use crate::sync::atomic::Ordering::{Acquire, Relaxed, SeqCst};
use crate::sync::atomic::{AtomicBool, AtomicUsize};
use crate::sync::{Arc, Wait};
use crate::trace::Switch;
use crew::{Crew, Recruit};
use crossbeam_deque::{Stealer, Worker as Deque};
use crossbeam_utils::CachePadded;
pub use host::{Host, Settings};
use pinned::Inbox;
use std::time::Duration;
pub use worker::Worker;
use worker::steal;

/// A bound that no queue reaches.
const UNBOUNDED: fn() -> usize = || usize::MAX;

pub struct Pool {
    host: Box<dyn Host>,
    /// Whether tasks are recorded.
    switch: Switch,
    settings: Settings,
    injector: Injector,
    /// Jobs in the workers' own deques, all together.
    local: AtomicUsize,
    /// Tasks that were accepted and wait for something else than a worker; they count as queued.
    held: AtomicUsize,
    deques: Box<[Mutex<Option<Deque<Job>>>]>,
    stealers: Box<[Stealer<Job>]>,
    inboxes: Box<[CachePadded<Inbox>]>,
    sleep: Sleep,
    crew: Crew,
    /// Why workers stay although the pool is closed: runs that are not over.
    retained: AtomicUsize,
    closed: AtomicBool,
    stats: Box<[WorkerStats]>,
    arrivals: ArrivalStats,
}

impl Pool {
    pub fn new(host: Box<dyn Host>, settings: Settings) -> Arc<Self> {
        let places = settings.max_workers + settings.max_spares;
        let deques: Vec<Deque<Job>> = (0..places).map(|_| Deque::new_fifo()).collect();
        let stealers = deques.iter().map(Deque::stealer).collect();
        Arc::new(Pool {
            host,
            switch: Switch::default(),
            injector: Injector::new(settings.order, settings.bound),
            local: AtomicUsize::new(0),
            held: AtomicUsize::new(0),
            deques: deques.into_iter().map(|d| Mutex::new(Some(d))).collect(),
            stealers,
            inboxes: (0..places).map(|_| CachePadded::default()).collect(),
            sleep: Sleep::new(settings.gated),
            crew: Crew::new(settings.max_workers, settings.max_spares),
            retained: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            stats: (0..places)
                .map(|_| WorkerStats::new(settings.timing))
                .collect(),
            arrivals: ArrivalStats::default(),
            settings,
        })
    }

    /// Whether, and where, what its threads do is recorded.
    #[inline]
    pub fn switch(&self) -> &Switch {
        &self.switch
    }

    pub fn host(&self) -> &dyn Host {
        &*self.host
    }

    pub fn max_workers(&self) -> usize {
        self.settings.max_workers
    }

    /// How many jobs wait to be taken.
    pub fn queued(&self) -> usize {
        self.injector.len() + self.local.load(Acquire)
    }

    /// How many jobs of each band wait to be taken.
    pub fn depths(&self) -> [usize; BANDS] {
        let mut depths = self.injector.depths();
        depths[DEFAULT_BAND] += self.local.load(Acquire);
        depths
    }

    /// How many threads work for the pool, spares included and parked ones not.
    pub fn threads(&self) -> usize {
        self.crew.threads().0
    }

    /// How many threads are parked, since they are more than may take jobs.
    pub fn parked(&self) -> usize {
        self.crew.threads().1
    }

    /// How many workers have nothing to do.
    pub fn idle(&self) -> u64 {
        self.sleep.idle()
    }

    /// How many workers are stuck in their jobs.
    pub fn blocked(&self) -> usize {
        self.crew.blocked()
    }

    /// How many workers may take jobs, spares for blocked ones aside.
    pub fn active(&self) -> usize {
        self.crew.active()
    }

    /// Changes that, between 1 and `max_workers`. Of a lower number those that are too many park when
    /// they have finished the job at hand; of a higher one they are called back for what is queued.
    /// Attached.
    pub fn set_active(&self, count: usize) {
        let before = self.crew.set_active(count);
        if self.active() < before {
            // Who sleeps parks at once, so that no wake-up is spent on it.
            self.sleep.wake_all();
        }
        for _ in before..self.active() {
            if self.queued() as u64 > self.sleep.idle() {
                self.start_worker();
            }
        }
    }

    /// Queues a job and sees to it that somebody takes it. From a worker of this pool a job of the
    /// default band goes to its own deque. Never full, and allowed on a closed pool. Attached.
    pub fn submit(self: &Arc<Self>, job: Job, band: usize) {
        if band == DEFAULT_BAND && self.push_local(job, false) {
            self.announce(1);
        } else {
            self.submit_until(job, band, None);
        }
    }

    /// As `submit`, with a deadline in ticks; goes to the shared queue always. Attached.
    pub fn submit_until(self: &Arc<Self>, job: Job, band: usize, deadline: Option<u64>) {
        let len = self.injector.push_ticket(job, band, deadline);
        self.announce(len);
    }

    /// Puts a drained job back without waking or starting anybody for it.
    pub fn requeue(&self, job: Job) {
        self.injector.push_ticket(job, DEFAULT_BAND, None);
    }

    /// How long the shared queue may be now.
    #[inline]
    fn room(&self) -> usize {
        match self.settings.bound {
            Some(bound) => bound
                .saturating_sub(self.local.load(Relaxed))
                .saturating_sub(self.held.load(SeqCst)),
            None => usize::MAX,
        }
    }

    /// Whether a submit of this thread would be refused now.
    #[inline]
    pub fn is_full(&self) -> bool {
        let bound = self.settings.bound;
        bound.is_some_and(|bound| self.queued() + self.held() >= bound) && !self.is_current()
    }

    /// Counts a task that cannot be queued yet, unless the bound refuses it; a worker of this pool
    /// is never refused, nor is anybody if not `bounded`.
    pub fn hold(&self, bounded: bool) -> Result<(), Full> {
        let bounded = bounded && !self.is_current();
        // Who submits asks for the room under the same lock, so that nobody passes the bound.
        self.injector.at_length(|len| {
            if bounded && len >= self.room() {
                return Err(Full);
            }
            self.held.fetch_add(1, SeqCst);
            Ok(())
        })
    }

    /// A task that was held will not be queued.
    pub fn let_go(&self) {
        self.held.fetch_sub(1, SeqCst);
        self.injector.note_room();
    }

    /// How many tasks are held.
    pub fn held(&self) -> usize {
        self.held.load(Acquire)
    }

    /// As `submit`, for a user's job: the bound may refuse it, unless a worker of this pool
    /// submits it (a worker that waited for room could wait for itself). Attached.
    #[inline]
    pub fn submit_bounded(
        self: &Arc<Self>,
        job: Job,
        band: usize,
        deadline: Option<u64>,
    ) -> Result<(), Full> {
        if deadline.is_none() && band == DEFAULT_BAND && self.push_local(job, true) {
            self.announce(1);
            return Ok(());
        }
        let len = match self.injector.push(job, band, deadline, || self.room()) {
            Ok(len) => len,
            Err(Full) if self.is_current() => self.injector.push(job, band, deadline, UNBOUNDED)?,
            Err(Full) => return Err(Full),
        };
        self.announce(len);
        Ok(())
    }

    /// As `submit_bounded`, for a job that was accepted before and only now may start. Never full,
    /// and allowed on a closed pool that is retained. Attached.
    pub fn submit_accepted(self: &Arc<Self>, job: Job, band: usize, deadline: Option<u64>) {
        // Cannot be full: the bound is the largest number there is.
        let _ = self.injector.push(job, band, deadline, UNBOUNDED);
        self.announce(self.injector.len());
    }

    /// As `submit_accepted`, for the job of a task that was held until now. Attached.
    pub fn submit_held(self: &Arc<Self>, job: Job, band: usize, deadline: Option<u64>) {
        // It is counted all the time, and once.
        let let_go = || {
            self.held.fetch_sub(1, SeqCst);
            usize::MAX
        };
        // Cannot be full: the bound is the largest number there is.
        let _ = self.injector.push(job, band, deadline, let_go);
        self.announce(self.injector.len());
    }

    /// Queues a job for one worker, where it stays while that worker takes jobs; one that blocks, is at
    /// something long or has left passes it on to whoever is free. Never full. Attached.
    pub fn submit_to(self: &Arc<Self>, index: usize, job: Job) {
        let own = Worker::with_current(|worker| {
            worker.is_some_and(|w| w.index() == index && std::ptr::eq(&**w.pool(), &**self))
        });
        let inbox = &self.inboxes[index];
        let pushed = match own {
            true => inbox.push_own(job).map(|()| false),
            false => inbox.push(job),
        };
        match pushed {
            Ok(false) => {}
            Ok(true) => self.sleep.wake_owner(index),
            Err(job) => self.submit(job, DEFAULT_BAND),
        }
    }

    /// Gives the jobs of a worker that cannot take them to the others; whether there were any.
    fn close_inbox(&self, index: usize) -> bool {
        let jobs = self.inboxes[index].close();
        let any = !jobs.is_empty();
        for job in jobs {
            self.injector.push_ticket(job, DEFAULT_BAND, None);
        }
        any
    }

    /// Queues as many jobs as fit and returns how many. Attached.
    pub fn submit_many(self: &Arc<Self>, jobs: &[Job], band: usize) -> usize {
        let taken = self.injector.push_many(jobs, band, || self.room());
        for _ in 0..taken.min(self.settings.max_workers) {
            self.announce(self.injector.len());
        }
        taken
    }

    /// What the workers and arrivals were counted as until about now; `submitted` is all that was
    /// queued as tasks.
    pub fn stats(&self) -> PoolReading {
        let mut reading = PoolReading::new(&self.arrivals, &self.stats);
        let local = reading.total().submitted;
        reading.arrivals.submitted += self.injector.pushed() + local;
        reading
    }

    /// How many tasks have ended on workers until about now.
    pub fn finished(&self) -> u64 {
        self.stats
            .iter()
            .map(|worker| worker.counts.finished())
            .sum()
    }

    /// The ticks that tasks waited before they began; empty without `timing`.
    pub fn queue_latencies(&self) -> Counts {
        let mut counts = Counts::default();
        for worker in &self.stats {
            worker.add_queued_to(&mut counts);
        }
        counts
    }

    /// What any thread counts.
    pub fn arrivals(&self) -> &ArrivalStats {
        &self.arrivals
    }

    /// Gives up the job that waits longest in the shared queue.
    pub fn remove_oldest(&self) -> Option<Job> {
        self.injector.remove_oldest()
    }

    /// Takes the jobs out of the shared queue that `goes` names, which may not block.
    pub fn take_out(&self, goes: impl FnMut(Job) -> bool) -> Vec<Job> {
        self.injector.take_out(goes)
    }

    /// Gives up the least urgent job of the shared queue, unless all are more urgent than `band`.
    pub fn remove_lowest(&self, band: usize) -> Option<Job> {
        self.injector.remove_lowest(band)
    }

    /// Sleeps (detached) until the queue may have room again.
    pub fn wait_for_room(&self, timeout: Option<Duration>) -> Wait {
        self.injector.wait_for_room(|| self.room(), timeout)
    }

    /// `queued` jobs are there: wake or start a worker if nobody is about to take them.
    #[inline]
    fn announce(self: &Arc<Self>, queued: usize) {
        // While workers are still to be started, one is started unless the idle ones suffice, as
        // ThreadPoolExecutor does: later, whoever searches takes what it finds and wakes the next.
        if self.crew.is_short() && queued as u64 > self.sleep.idle() {
            self.start_worker();
        }
        // A closed pool has let its workers go, but a run that is not over may need one again.
        if self.sleep.notify() == Notified::NobodyIdle
            && (self.crew.blocked() > 0 || self.is_closed())
        {
            self.start_worker();
        }
    }

    /// Starts a worker if there is none. Attached.
    pub fn ensure_worker(&self) {
        if self.threads() == 0 {
            self.start_worker();
        }
    }

    /// Whether this thread is one of the pool's workers.
    #[inline]
    pub fn is_current(&self) -> bool {
        Worker::with_current(|worker| worker.is_some_and(|w| std::ptr::eq(&**w.pool(), self)))
    }

    /// Queues a job in the deque of this thread, if it is one of the workers; `counts` says whether the
    /// job is somebody's task.
    fn push_local(&self, job: Job, counts: bool) -> bool {
        if !self.settings.local_queues {
            return false;
        }
        Worker::with_current(|worker| match worker {
            Some(worker) if std::ptr::eq(&**worker.pool(), self) => {
                if (self.settings.local_bound).is_some_and(|bound| worker.deque.len() >= bound) {
                    return false;
                }
                self.local.fetch_add(1, SeqCst);
                if counts {
                    worker.stats().counts.submitted.add(1);
                }
                worker.deque.push(job);
                true
            }
            _ => false,
        })
    }

    /// Lets a spare take the place of a worker that is stuck in its job. Attached.
    pub fn add_spare(self: &Arc<Self>) {
        self.crew.block();
        self.pass_on();
    }

    /// The worker that `add_spare` was called for is back.
    pub fn remove_spare(&self) {
        self.crew.unblock();
    }

    /// Whether one more job would find a worker that has nothing to do.
    pub fn wants_work(&self) -> bool {
        self.sleep.nobody_searches() && (self.sleep.has_sleeper_only() || self.crew.is_short())
    }

    /// Calls a parked worker or starts a thread, if one more may work. Attached.
    #[cold]
    fn start_worker(&self) {
        let Some(recruit) = self.crew.recruit() else {
            return;
        };
        self.sleep.begin_search();
        match recruit {
            Recruit::Call(index) => self.crew.call(index),
            Recruit::Start(index) => {
                if !self.host.spawn(index) {
                    self.crew.leave(index);
                    let _ = self.sleep.end_search();
                }
            }
        }
    }

    /// A thread that the host had started for `index` will not work after all.
    pub fn worker_failed(&self, index: usize) {
        self.crew.leave(index);
        let _ = self.sleep.end_search();
        self.pass_on();
    }

    /// Wakes or starts a worker if work is queued that nobody is about to take. Attached.
    fn pass_on(&self) {
        if self.has_work() && self.sleep.notify() == Notified::NobodyIdle {
            self.start_worker();
        }
    }

    /// Lets workers leave once nothing is queued and no run is retained. May be called twice.
    pub fn close(&self) {
        self.closed.store(true, SeqCst);
        self.crew.close();
        self.sleep.wake_all();
        self.injector.wake_submitters();
    }

    pub fn is_closed(&self) -> bool {
        self.closed.load(SeqCst)
    }

    /// Keeps workers from leaving a closed pool, until `release`.
    pub fn retain(&self) {
        self.retained.fetch_add(1, SeqCst);
    }

    pub fn release(&self) {
        if self.retained.fetch_sub(1, SeqCst) == 1 && self.is_closed() {
            self.sleep.wake_all();
        }
    }

    /// Takes every queued job away from the pool.
    pub fn drain(&self) -> Vec<Job> {
        let mut jobs = self.injector.drain();
        for stealer in &self.stealers {
            while let Some(job) = steal(stealer) {
                self.local.fetch_sub(1, SeqCst);
                jobs.push(job);
            }
        }
        self.sleep.wake_all();
        jobs
    }
}

impl Seek for Pool {
    fn has_work(&self) -> bool {
        !self.injector.is_empty() || self.local.load(SeqCst) > 0
    }

    fn closed(&self) -> bool {
        self.closed.load(SeqCst) && self.retained.load(SeqCst) == 0
    }

    fn before_sleep(&self) {
        if self.host.is_untidy() {
            self.host.attach();
            self.host.tidy();
            self.host.detach();
        }
    }
}

#[cfg(test)]
mod tests;
