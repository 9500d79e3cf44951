//! One execution of a plan: who runs when, what a failure skips, and when it is over.
//!
//! The engine knows nodes by number only; what a node does is the business of a [`NodeExec`], into
//! which the loops here are monomorphised. A node that ended well leaves no mark at all: a mark is
//! written for those that failed, were skipped or were cancelled. So the common run pays for none,
//! and when it is over a node without a mark has run.
//!
//! A run is executed either by [`Run::run_serial`], on one thread in the plan's order, or by
//! participants that share it: the thread that called [`Run::run_shared`], and workers of a pool that
//! picked up a ticket. `participant` says how they find work, `shared` how they find each other and the end.

mod caller;
mod errand;
mod frontier;
mod help;
mod lane;
mod marks;
mod participant;
mod serial;
mod shared;

pub use errand::Errands;
pub use marks::{Mark, Marks};
pub use shared::Shared;

use std::mem::ManuallyDrop;
use std::time::Duration;

use crate::latch::Event;
use crate::plan::Plan;
use crate::sync::Wait;
use crate::sync::atomic::{
    AtomicBool,
    Ordering::{Relaxed, SeqCst},
};

/// How a node ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Outcome {
    Done,
    Failed,
    /// It failed, and so nothing more of this run is to start.
    Fatal,
    /// It was pending, and never started.
    Cancelled,
    /// It asks for the end of its branch: what depends on it is skipped, and nothing has failed.
    Ended,
    /// As `Ended`; besides, what is skipped on its account counts as left out from the start, and has
    /// left the objects alone that it was to change.
    LeftOut,
    /// It asks for the end of the run: nothing more of it is to start, and nothing has failed.
    Aborted,
    /// It finds that it has nothing to do, because of the node with this number.
    Skipped(u32),
    /// It goes on elsewhere, and [`Run::complete`] will tell how it ended; or it waits until
    /// [`Run::again`] has it executed anew. Not in a serial run.
    Pending,
}

/// What a node that did not run to its end means for those that only come after it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OrderOnly {
    Skip,
    GoOn,
}

/// What the nodes of a run do.
///
/// # Safety
/// [`NodeExec::EXCLUSIVE`] must hold: counters and queues are then used without synchronisation. What
/// may let another thread in, here or in the pool, is called with no update of them half done.
pub unsafe trait NodeExec: Send + Sync + 'static {
    /// Whether attached threads exclude each other, as an interpreter lock makes them do: outside of
    /// the functions of this trait, which may let others in, one thread at a time is in this module.
    const EXCLUSIVE: bool;

    /// What each participant keeps to itself, such as a buffer for arguments.
    type Scratch;

    fn shape(&self) -> &Plan;

    fn scratch(&self) -> Self::Scratch;

    /// Runs a node to its end.
    ///
    /// # Safety
    /// Once per node and run, and once more for each [`Run::again`], after everything that it waits for,
    /// on an attached thread.
    unsafe fn execute<const SERIAL: bool>(&self, node: u32, scratch: &mut Self::Scratch)
    -> Outcome;

    /// Lets go of what the node would have read.
    ///
    /// # Safety
    /// As for `execute`, in place of it.
    unsafe fn skip<const SERIAL: bool>(&self, node: u32);

    fn order_only(&self, node: u32) -> OrderOnly;

    /// Called attached, every [`POLL_EVERY`] nodes of a participant; false asks for the end of the run.
    fn poll(&self, scratch: &mut Self::Scratch) -> bool;

    /// Called attached: gives the interpreter up until the event is set; false if something else came
    /// first that asks for the end of the run. May return early.
    fn park(&self, event: &Event) -> bool;

    /// Called once, attached, when the run is over and says so.
    fn finished(&self);

    /// Called once, attached, by whoever drops the run: takes its state, ready for another one.
    fn recycle(&mut self, state: State);
}

/// Nodes between two calls of [`NodeExec::poll`].
pub const POLL_EVERY: u32 = 1024;

/// What a run needs beside its nodes' own data; made once and used by one run after the other.
pub struct State {
    marks: Marks,
    /// Made for the first run that is shared.
    shared: Option<Shared>,
}

impl State {
    pub fn new(plan: &Plan) -> Self {
        State {
            marks: Marks::new(plan.len()),
            shared: None,
        }
    }
}

/// One execution of a plan.
pub struct Run<E: NodeExec> {
    exec: E,
    state: ManuallyDrop<State>,
    sharing: shared::Sharing,
    ended: AtomicBool,
    /// Set after `ended`, possibly later, by a thread that may hold no interpreter then.
    over: Event,
}

impl<E: NodeExec> Run<E> {
    /// A run that only [`Run::run_serial`] may run.
    pub fn new(exec: E, state: State) -> Self {
        Run {
            exec,
            state: ManuallyDrop::new(state),
            sharing: shared::Sharing::none(),
            ended: AtomicBool::new(false),
            over: Event::new(),
        }
    }

    pub fn exec(&self) -> &E {
        &self.exec
    }

    pub fn marks(&self) -> &Marks {
        &self.state.marks
    }

    /// Whether every node has run, or never will.
    pub fn is_over(&self) -> bool {
        self.ended.load(SeqCst)
    }

    /// About how many nodes have ended so far, skipped ones included.
    pub fn ended(&self) -> usize {
        match self.pool() {
            Some(_) => self.ended_by_participants(),
            None => self.sharing.in_order.load(Relaxed),
        }
    }

    /// Waits, detached, for the end of the run.
    pub fn wait(&self, timeout: Option<Duration>) -> Wait {
        self.over.wait(timeout)
    }

    /// The event that is set at the end of the run.
    pub fn over(&self) -> &Event {
        &self.over
    }
}

impl<E: NodeExec> Drop for Run<E> {
    fn drop(&mut self) {
        // SAFETY: taken once, here, and never used afterwards.
        let mut state = unsafe { ManuallyDrop::take(&mut self.state) };
        state.marks.reset();
        self.exec.recycle(state);
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
