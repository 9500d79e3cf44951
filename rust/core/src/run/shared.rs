//! A run shared by participants: how it starts, how they find each other, and how it ends.
//!
//! **Help.** A participant with more work than it runs at once gets takers for it, and one that finds
//! nothing leaves, or sleeps if it is the calling thread; `help` says why no work is forgotten between
//! them. A worker that finds more work than for one offers what remains, so that tickets follow each
//! other only as fast as they are of use.
//!
//! **The end.** Participants count the nodes that they ended and subtract the sum when they have nothing
//! left to take; whoever brings the count to zero ends the run.

use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::ptr;
use std::sync::Weak;

use crossbeam_utils::CachePadded;

use super::errand::Errands;
use super::frontier::Frontier;
use super::help::{Call, Help};
use super::lane::Lane;
use super::{NodeExec, Outcome, Run, State};
use crate::job::Job;
use crate::latch::Event;
use crate::plan::{NODE, Plan};
use crate::pool::{Pool, Worker};
use crate::sync::atomic::{
    AtomicU32, AtomicUsize,
    Ordering::{AcqRel, Acquire, Relaxed, SeqCst},
};
use crate::sync::{Arc, Mutex, full_fence};

/// The part of a [`State`] that shared runs need.
pub struct Shared {
    /// Sources still to come, for nodes that have more than one.
    pub(super) joins: Box<[AtomicU32]>,
    pub(super) lanes: Box<[CachePadded<Lane>]>,
    /// The ready nodes, where threads exclude each other; empty between runs.
    frontier: UnsafeCell<Frontier>,
}

// SAFETY: `frontier` is used only under the promise of `with_frontier`; the rest is Sync by itself.
unsafe impl Sync for Shared {}

impl Shared {
    fn new(plan: &Plan, lanes: usize, exclusive: bool) -> Self {
        Shared {
            joins: (0..plan.len() as u32)
                .map(|node| AtomicU32::new(plan.join(node)))
                .collect(),
            lanes: (0..lanes).map(|_| CachePadded::new(Lane::new())).collect(),
            frontier: UnsafeCell::new(Frontier::new(if exclusive { plan.len() } else { 0 })),
        }
    }

    /// # Safety
    /// No other thread is in a run's code while this one is (`NodeExec::EXCLUSIVE`), and `body` lets
    /// none in.
    #[inline(always)]
    pub(super) unsafe fn with_frontier<R>(&self, body: impl FnOnce(&mut Frontier) -> R) -> R {
        // SAFETY: the contract above; the reference ends with the call.
        body(unsafe { &mut *self.frontier.get() })
    }
}

/// What participants of one run share, beside its [`State`].
pub struct Sharing {
    pool: Option<Arc<Pool>>,
    band: usize,
    pub(super) help: CachePadded<Help>,
    /// The first of the entry nodes that nobody took.
    pub(super) entry: CachePadded<AtomicUsize>,
    /// Nodes that have not ended.
    remaining: CachePadded<AtomicUsize>,
    /// How far a serial run is.
    pub(super) in_order: AtomicUsize,
    /// Nodes that became ready on a thread that does not participate, or again, and how many they are.
    pub(super) inbox: Mutex<Vec<u32>>,
    pub(super) inbox_len: AtomicUsize,
    pub(super) errands: Errands,
    /// Wakes the calling thread.
    pub(super) work: Event,
    /// Keeps a started run alive to its end: its handle may be dropped, and tickets are weak.
    goes_on: Mutex<Option<Box<dyn Any + Send + Sync>>>,
}

impl Sharing {
    pub fn none() -> Self {
        Sharing {
            pool: None,
            band: 0,
            help: CachePadded::new(Help::new(0)),
            entry: CachePadded::new(AtomicUsize::new(0)),
            remaining: CachePadded::new(AtomicUsize::new(0)),
            in_order: AtomicUsize::new(0),
            inbox: Mutex::new(Vec::new()),
            inbox_len: AtomicUsize::new(0),
            errands: Errands::none(),
            work: Event::new(),
            goes_on: Mutex::new(None),
        }
    }
}

/// The runs that this thread is taking part in, innermost first.
struct Participation {
    run: *const (),
    outer: *const Participation,
}

thread_local! {
    static INNERMOST: Cell<*const Participation> = const { Cell::new(ptr::null()) };
}

impl<E: NodeExec> Run<E> {
    /// A run that participants share; jobs of it go to this band of the pool.
    pub fn shared(exec: E, mut state: State, pool: &Arc<Pool>, band: usize) -> Self {
        let most = pool.max_workers();
        // One for the calling thread, one for a worker that waits for the run while all have joined.
        let lanes = most + 2;
        if state
            .shared
            .as_ref()
            .is_none_or(|shared| shared.lanes.len() < lanes)
        {
            state.shared = Some(Shared::new(exec.shape(), lanes, E::EXCLUSIVE));
        }
        let mut run = Run::new(exec, state);
        run.sharing.pool = Some(Arc::clone(pool));
        run.sharing.band = band;
        run.sharing.help = CachePadded::new(Help::new(most));
        run.sharing.remaining = CachePadded::new(AtomicUsize::new(run.exec.shape().len()));
        run
    }

    /// Runs the plan on this thread and whichever workers join; returns when it is over, or when
    /// [`NodeExec::park`] asked for the end: then what others are running may still be running.
    ///
    /// # Safety
    /// Attached, once, and only this or [`Run::start`] is called on a run made by [`Run::shared`].
    pub unsafe fn run_shared(self: &Arc<Self>) {
        self.retain();
        self.enter_entries();
        match self.exec.shape().entries().len() {
            0 => return self.end(),
            1 => {}
            _ => self.offer(),
        }
        // SAFETY: attached, as the caller says.
        while unsafe { self.participate::<true>() } != Some(true) {
            let sharing = &self.sharing;
            sharing.work.reset();
            // Also orders the reset before the look at `ended`, which is set before the event.
            sharing.help.fall_asleep();
            if !self.has_work() && !sharing.errands.any() {
                if self.is_over() {
                    return;
                }
                if !self.exec.park(&sharing.work) {
                    sharing.help.wake_up();
                    self.stop();
                    // SAFETY: attached. What nobody has taken is cancelled here; the rest ends elsewhere.
                    unsafe { self.participate::<true>() };
                    return;
                }
            }
            sharing.help.wake_up();
        }
    }

    /// Has workers of the pool run the plan.
    ///
    /// # Safety
    /// As for [`Run::run_shared`].
    pub unsafe fn start(self: &Arc<Self>) {
        self.retain();
        self.enter_entries();
        if self.exec.shape().is_empty() {
            self.end();
        } else {
            *self.sharing.goes_on.lock() = Some(Box::new(Arc::clone(self)));
            self.offer();
        }
    }

    /// Makes the entry nodes ready. Elsewhere than in a frontier they are so by themselves.
    fn enter_entries(&self) {
        if E::EXCLUSIVE {
            let plan = self.exec.shape();
            let entries = plan.entries().iter();
            // SAFETY: attached, as the callers' callers say.
            unsafe {
                self.shared_state().with_frontier(|frontier| {
                    entries.for_each(|&node| frontier.insert(plan.rank(node)));
                });
            }
        }
    }

    /// Runs the plan on this thread, as long as there is work for it, and on whichever workers join, who
    /// go on when this returns.
    ///
    /// # Safety
    /// As for [`Run::run_shared`].
    pub unsafe fn start_here(self: &Arc<Self>) {
        self.retain();
        self.enter_entries();
        if self.exec.shape().is_empty() {
            return self.end();
        }
        *self.sharing.goes_on.lock() = Some(Box::new(Arc::clone(self)));
        if self.exec.shape().entries().len() > 1 {
            self.offer();
        }
        self.sharing.help.join();
        // SAFETY: attached, as the caller says.
        let over = unsafe { self.participate::<false>() };
        self.sharing.help.leave();
        if over != Some(true) && self.has_work() {
            self.offer();
        }
    }

    /// Has one worker run the plan in its static order.
    ///
    /// # Safety
    /// As for [`Run::run_shared`].
    pub unsafe fn start_serial(self: &Arc<Self>) {
        self.retain();
        if let Some(pool) = &self.sharing.pool {
            let data = Arc::into_raw(Arc::clone(self)).cast();
            // SAFETY: `serial_job` takes over the reference; runs may be run on any attached thread.
            pool.submit(
                unsafe { Job::new(data, serial_job::<E>) },
                self.sharing.band,
            );
        }
    }

    /// Whether a drained job must be executed or submitted again, lest its run never end.
    pub fn is_job(job: Job) -> bool {
        job.is_made_of(ticket::<E>) || job.is_made_of(serial_job::<E>)
    }

    /// Takes part until nothing is left to take; for a worker of the run's pool that would wait for it.
    ///
    /// # Safety
    /// Attached.
    pub unsafe fn assist(self: &Arc<Self>) {
        if self.sharing.pool.is_some() && self.state.shared.is_some() && !self.is_over() {
            self.sharing.help.join();
            // SAFETY: attached.
            unsafe { self.stay() };
        }
    }

    pub fn pool(&self) -> Option<&Arc<Pool>> {
        self.sharing.pool.as_ref()
    }

    /// Whether a node of this run is running on this very thread: it must not wait for the run.
    pub fn runs_here(&self) -> bool {
        let mut participation = INNERMOST.with(Cell::get);
        // SAFETY: the chain leads through frames of this thread that have not returned.
        while let Some(found) = unsafe { participation.as_ref() } {
            if found.run == ptr::from_ref(self).cast() {
                return true;
            }
            participation = found.outer;
        }
        false
    }

    /// Calls `body` with this run noted as one that the thread takes part in.
    pub(super) fn noted<R>(&self, body: impl FnOnce() -> R) -> R {
        let outer = INNERMOST.with(Cell::get);
        let here = Participation {
            run: ptr::from_ref(self).cast(),
            outer,
        };
        INNERMOST.with(|innermost| innermost.set(&here));
        let result = body();
        INNERMOST.with(|innermost| innermost.set(outer));
        result
    }

    /// Ends a node that was [`Outcome::Pending`]. Any attached thread.
    pub fn complete(self: &Arc<Self>, node: u32, outcome: Outcome) {
        self.settle(node, outcome);
        self.release_to_all(node);
    }

    /// Releases what waited for a node that has ended, and leaves it to whoever finds it.
    pub(super) fn release_to_all(self: &Arc<Self>, node: u32) {
        let ready: Vec<u32> = self
            .exec
            .shape()
            .successors(node)
            .iter()
            .map(|edge| edge & NODE)
            .filter(|&successor| self.arrive(successor, self.shared_state()))
            .collect();
        if !ready.is_empty() {
            self.hand_in(ready);
        }
        self.count(1);
    }

    /// Has a node that was [`Outcome::Pending`] executed again. Any attached thread.
    pub fn again(self: &Arc<Self>, node: u32) {
        self.hand_in([node]);
    }

    /// Leaves ready nodes to whoever finds them.
    pub(super) fn hand_in(self: &Arc<Self>, ready: impl IntoIterator<Item = u32>) {
        let mut inbox = self.sharing.inbox.lock();
        inbox.extend(ready);
        self.sharing.inbox_len.store(inbox.len(), SeqCst);
        drop(inbox);
        self.offer();
    }

    fn retain(&self) {
        if let Some(pool) = &self.sharing.pool {
            pool.retain();
        }
    }

    /// The run is over: says so, lets callbacks follow, and wakes who waits.
    #[cold]
    pub(super) fn end(self: &Arc<Self>) {
        self.ended.store(true, SeqCst);
        if let Some(pool) = &self.sharing.pool {
            pool.release();
        }
        self.exec.finished();
        // Not the last reference: whoever ends the run has one.
        drop(self.sharing.goes_on.lock().take());
        Worker::with_current(|worker| match worker {
            // Woken while this thread holds the interpreter, a waiter would only wait for that.
            Some(worker) => {
                let data = Arc::into_raw(Arc::clone(self)).cast();
                // SAFETY: `publish_job` takes over the reference, and needs no interpreter.
                worker.set_late(unsafe { Job::new(data, publish_job::<E>) });
            }
            None => self.publish(),
        });
    }

    /// Wakes who waits. Needs no interpreter.
    fn publish(&self) {
        self.sharing.work.set();
        self.sharing.errands.end_wait();
        self.over.set();
    }

    pub(super) fn shared_state(&self) -> &Shared {
        match &self.state.shared {
            Some(shared) => shared,
            // `Run::shared` put it there, and a run made otherwise has no pool to get here by.
            None => unreachable!("a run that is not shared has participants"),
        }
    }

    /// As `ended`, of a run that is shared: what was counted, and what participants are yet to count.
    pub(super) fn ended_by_participants(&self) -> usize {
        let noted = self.state.shared.iter().flat_map(|shared| &shared.lanes);
        let noted: usize = noted.map(|lane| lane.ended()).sum();
        let count = self.exec.shape().len();
        let counted = count.saturating_sub(self.sharing.remaining.load(Acquire));
        (counted + noted)
            .max(self.sharing.in_order.load(Relaxed))
            .min(count)
    }

    /// Whether the thread that called `run_shared` has nothing to do.
    pub fn caller_sleeps(&self) -> bool {
        self.sharing.help.caller_sleeps()
    }

    /// How many threads take part now.
    pub fn participants(&self) -> usize {
        let lanes = self.state.shared.iter().flat_map(|shared| &shared.lanes);
        lanes.filter(|lane| lane.is_taken()).count()
    }

    /// Takes note of nodes that have ended; ends the run with the last.
    pub(super) fn count(self: &Arc<Self>, ended: usize) {
        // AcqRel: whoever ends the run sees what all nodes did.
        if self.sharing.remaining.fetch_sub(ended, AcqRel) == ended {
            self.end();
        }
    }

    /// To be called when there is more work than its finder runs at once: gets a taker for it.
    #[inline(always)]
    pub(super) fn offer(self: &Arc<Self>) {
        if !E::EXCLUSIVE {
            // After the work became visible, before the word is read; see the head of this file.
            full_fence();
        }
        if self.sharing.help.is_wanted() {
            self.call_for_help();
        }
    }

    #[cold]
    fn call_for_help(self: &Arc<Self>) {
        match self.sharing.help.call() {
            Call::Nobody => {}
            Call::Sleeper => self.sharing.work.set(),
            Call::Worker => {
                if let Some(pool) = &self.sharing.pool {
                    // Weak: a ticket that comes late keeps nothing alive.
                    let data = Arc::downgrade(self).into_raw().cast();
                    // SAFETY: `ticket` takes over the reference; a run may be joined on any attached thread.
                    pool.submit(unsafe { Job::new(data, ticket::<E>) }, self.sharing.band);
                }
            }
        }
    }

    /// Takes part as one who has been counted as joined, and leaves.
    ///
    /// # Safety
    /// Attached.
    unsafe fn stay(self: &Arc<Self>) {
        let help = &self.sharing.help;
        loop {
            // There may be work for more than one: so tickets follow each other while there is.
            if self.has_work() {
                self.offer();
            }
            // SAFETY: attached, as the caller says.
            let over = unsafe { self.participate::<false>() };
            help.leave();
            // Without a lane, as many are at it as can be of use: they look again before they leave.
            // To ask again at once would keep the interpreter from them.
            if over != Some(false) || !self.has_work() {
                return;
            }
            help.join();
        }
    }
}

#[cfg(test)]
impl<E: NodeExec> Run<E> {
    /// Makes the run believe that a ticket is queued already, so that it is run by the caller alone.
    pub(super) fn hold_off_help(&self) {
        assert_eq!(self.sharing.help.call(), Call::Worker);
    }
}

/// # Safety
/// `data` is a weak reference to a `Run<E>` made by `Weak::into_raw`; attached.
unsafe fn ticket<E: NodeExec>(data: *const (), worker: &Worker) {
    worker.may_take_long();
    // SAFETY: the contract above.
    let run: Weak<Run<E>> = unsafe { Weak::from_raw(data.cast()) };
    if let Some(run) = run.upgrade() {
        run.sharing.help.take_ticket();
        // SAFETY: jobs are executed attached.
        unsafe { run.stay() };
    }
}

/// # Safety
/// `data` is a reference to a `Run<E>` made by `Arc::into_raw`; attached.
unsafe fn serial_job<E: NodeExec>(data: *const (), worker: &Worker) {
    worker.may_take_long();
    // SAFETY: the contract above.
    let run: Arc<Run<E>> = unsafe { Arc::from_raw(data.cast()) };
    // SAFETY: jobs are executed attached, and this run has only this job.
    unsafe { run.run_serial() };
}

/// # Safety
/// As for `serial_job`, but attached or not.
unsafe fn publish_job<E: NodeExec>(data: *const (), worker: &Worker) {
    // SAFETY: the contract above.
    let run: Arc<Run<E>> = unsafe { Arc::from_raw(data.cast()) };
    run.publish();
    if let Some(last) = Arc::into_inner(run) {
        // The handle is gone already, and what a run leaves is to be dropped attached.
        worker.attached(|| drop(last));
    }
}
