//! One execution of a plan: who runs when, what a failure skips, and when it is over.
//!
//! The engine knows nodes by number only; what a node does is the business of a [`NodeExec`], into
//! which the loops here are monomorphised. A node that ended well leaves no mark at all: a mark is
//! written for those that failed, were skipped or were cancelled. So the common run pays for none,
//! and when it is over a node without a mark has run.

mod serial;

use crate::sync::atomic::{
    AtomicBool, AtomicU8, AtomicU32,
    Ordering::{Acquire, Relaxed, Release},
};

use std::mem::ManuallyDrop;
use std::time::Duration;

use crate::latch::Event;
use crate::plan::{ORDER_ONLY, Plan};
use crate::sync::Wait;

/// How a node ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Outcome {
    Done,
    Failed,
    /// It failed, and so nothing more of this run is to start.
    Fatal,
}

/// What a node that did not run to its end means for those that only come after it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OrderOnly {
    Skip,
    GoOn,
}

/// What the nodes of a run do.
pub trait NodeExec {
    /// What each participant keeps to itself, such as a buffer for arguments.
    type Scratch;

    fn shape(&self) -> &Plan;

    fn scratch(&self) -> Self::Scratch;

    /// Runs a node to its end.
    ///
    /// # Safety
    /// Once per node and run, after everything that it waits for, on a thread that may run nodes.
    unsafe fn execute<const SERIAL: bool>(&self, node: u32, scratch: &mut Self::Scratch)
    -> Outcome;

    /// Lets go of what the node would have read.
    ///
    /// # Safety
    /// As for `execute`, in place of it.
    unsafe fn skip<const SERIAL: bool>(&self, node: u32);

    fn order_only(&self, node: u32) -> OrderOnly;

    /// Called every [`POLL_EVERY`] nodes of a participant; false asks for the end of the run.
    fn poll(&self) -> bool;

    /// Called once, attached, when the run is over and waiters know.
    fn finished(&self);

    /// Takes the state of a run that is dropped, ready for another one.
    fn recycle(&mut self, state: State);
}

/// Nodes between two calls of [`NodeExec::poll`].
pub const POLL_EVERY: u32 = 1024;

/// What is known about a node once the run is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mark {
    Done,
    Failed,
    /// Not run, because of the node with this number.
    Skipped(u32),
    /// Not run, because the run was stopped before.
    Cancelled,
}

const DONE: u8 = 0;
const FAILED: u8 = 1;
const SKIPPED: u8 = 2;
const CANCELLED: u8 = 3;

/// The marks of one run.
pub struct Marks {
    marks: Box<[AtomicU8]>,
    /// Why a skipped node was skipped; meaningful only beside that mark.
    causes: Box<[AtomicU32]>,
    /// Set with the first mark, and when the run is stopped: from then on each node is looked at.
    careful: AtomicBool,
    stopped: AtomicBool,
    /// Some node was marked, as opposed to a stop that came too late to matter.
    marked: AtomicBool,
}

impl Marks {
    pub fn new(count: usize) -> Self {
        Marks {
            marks: (0..count).map(|_| AtomicU8::new(DONE)).collect(),
            causes: (0..count).map(|_| AtomicU32::new(0)).collect(),
            careful: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            marked: AtomicBool::new(false),
        }
    }

    /// Whether every node that is not marked later ran to its end.
    pub fn clean(&self) -> bool {
        !self.marked.load(Acquire)
    }

    /// Starts nothing more.
    pub fn stop(&self) {
        self.stopped.store(true, Relaxed);
        self.careful.store(true, Release);
    }

    pub fn stopped(&self) -> bool {
        self.stopped.load(Relaxed)
    }

    /// What became of a node, once the run is over.
    pub fn get(&self, node: u32) -> Mark {
        match self.marks[node as usize].load(Acquire) {
            DONE => Mark::Done,
            FAILED => Mark::Failed,
            SKIPPED => Mark::Skipped(self.causes[node as usize].load(Relaxed)),
            _ => Mark::Cancelled,
        }
    }

    /// Makes the marks fit for another run; nobody else may be using them.
    pub fn reset(&mut self) {
        if *self.marked.get_mut() {
            self.marks
                .iter_mut()
                .for_each(|mark| *mark.get_mut() = DONE);
        }
        *self.marked.get_mut() = false;
        *self.careful.get_mut() = false;
        *self.stopped.get_mut() = false;
    }

    #[inline(always)]
    fn careful(&self) -> bool {
        self.careful.load(Relaxed)
    }

    fn mark(&self, node: u32, mark: u8) {
        self.marks[node as usize].store(mark, Relaxed);
        self.marked.store(true, Release);
        self.careful.store(true, Release);
    }

    /// Marks those that a node which did not run to its end takes along, before they are released.
    fn spread(&self, plan: &Plan, node: u32, order_only: OrderOnly) {
        for &edge in plan.successors(node) {
            if edge & ORDER_ONLY != 0 && order_only == OrderOnly::GoOn {
                continue;
            }
            let successor = edge & !ORDER_ONLY;
            let mark = &self.marks[successor as usize];
            // The first cause stays; the successor is released only after all its sources came by
            // here, so whoever looks at the mark then sees the cause too.
            if mark
                .compare_exchange(DONE, SKIPPED, Relaxed, Relaxed)
                .is_ok()
            {
                self.causes[successor as usize].store(node, Relaxed);
            }
        }
        self.marked.store(true, Release);
    }

    /// Takes note of how an executed node ended.
    #[cold]
    fn ended_badly(&self, plan: &Plan, node: u32, outcome: Outcome, order_only: OrderOnly) {
        self.mark(node, FAILED);
        if outcome == Outcome::Fatal {
            self.stop();
        }
        self.spread(plan, node, order_only);
    }

    /// Whether a released node is to run; if not, marks it and those that go with it.
    fn admits(&self, plan: &Plan, node: u32, order_only: impl FnOnce() -> OrderOnly) -> bool {
        if self.marks[node as usize].load(Relaxed) == DONE {
            if !self.stopped() {
                return true;
            }
            self.mark(node, CANCELLED);
            return false;
        }
        self.spread(plan, node, order_only());
        false
    }
}

/// What a run needs beside its nodes' own data; made once and used by one run after the other.
pub struct State {
    marks: Marks,
}

impl State {
    pub fn new(plan: &Plan) -> Self {
        State {
            marks: Marks::new(plan.len()),
        }
    }
}

/// One execution of a plan.
pub struct Run<E: NodeExec> {
    exec: E,
    state: ManuallyDrop<State>,
    over: Event,
}

impl<E: NodeExec> Run<E> {
    pub fn new(exec: E, state: State) -> Self {
        Run {
            exec,
            state: ManuallyDrop::new(state),
            over: Event::new(),
        }
    }

    pub fn exec(&self) -> &E {
        &self.exec
    }

    pub fn marks(&self) -> &Marks {
        &self.state.marks
    }

    /// Whether no node runs any more or will.
    pub fn is_over(&self) -> bool {
        self.over.is_set()
    }

    /// Waits, detached, for the end of the run.
    pub fn wait(&self, timeout: Option<Duration>) -> Wait {
        self.over.wait(timeout)
    }

    fn finish(&self) {
        self.over.set();
        self.exec.finished();
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
