//! What became of the nodes that did not simply run to their end.

use super::{OrderOnly, Outcome};
use crate::latch::Event;
use crate::plan::{NODE, ORDER_ONLY, Plan, WAIT_ONLY};
use crate::sync::atomic::{
    AtomicBool, AtomicU8, AtomicU32,
    Ordering::{Acquire, Relaxed, Release},
};

/// What is known about a node once the run is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mark {
    Done,
    Failed,
    /// Not run, because of the node with this number.
    Skipped(u32),
    /// Not run, because the run was stopped before.
    Cancelled,
    /// It asked for the end of its branch, and those that depend on it were skipped: no failure.
    Ended,
    /// It asked for the end of the run.
    Aborted,
}

const DONE: u8 = 0;
const FAILED: u8 = 1;
const SKIPPED: u8 = 2;
const CANCELLED: u8 = 3;
const ENDED: u8 = 4;
const ABORTED: u8 = 5;

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
    /// Some node failed, was cancelled or asked for the end of the run.
    unsound: AtomicBool,
    /// Set when the run is stopped.
    halt: Event,
}

impl Marks {
    pub fn new(count: usize) -> Self {
        Marks {
            marks: (0..count).map(|_| AtomicU8::new(DONE)).collect(),
            causes: (0..count).map(|_| AtomicU32::new(0)).collect(),
            careful: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            marked: AtomicBool::new(false),
            unsound: AtomicBool::new(false),
            halt: Event::new(),
        }
    }

    /// Whether every node ran to its end.
    pub fn clean(&self) -> bool {
        !self.marked.load(Acquire)
    }

    /// Whether every node ran to its end, or was left out because one asked for the end of its branch.
    pub fn sound(&self) -> bool {
        !self.unsound.load(Acquire)
    }

    /// Set when the run is told to stop.
    pub fn halt(&self) -> &Event {
        &self.halt
    }

    /// Starts nothing more.
    pub fn stop(&self) {
        self.stopped.store(true, Relaxed);
        self.careful.store(true, Release);
        self.halt.set();
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
            ENDED => Mark::Ended,
            ABORTED => Mark::Aborted,
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
        *self.unsound.get_mut() = false;
        self.halt.reset();
    }

    #[inline(always)]
    pub(super) fn careful(&self) -> bool {
        self.careful.load(Relaxed)
    }

    fn mark(&self, node: u32, mark: u8) {
        self.marks[node as usize].store(mark, Relaxed);
        if matches!(mark, FAILED | CANCELLED | ABORTED) {
            self.unsound.store(true, Release);
        }
        self.marked.store(true, Release);
        self.careful.store(true, Release);
    }

    /// Marks those that a node which did not run to its end takes along, before they are released.
    fn spread(&self, plan: &Plan, node: u32, order_only: OrderOnly) {
        for &edge in plan.successors(node) {
            let ordered = edge & ORDER_ONLY != 0 && order_only == OrderOnly::GoOn;
            if ordered || edge & WAIT_ONLY != 0 {
                continue;
            }
            let successor = edge & NODE;
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
    pub(super) fn ended_badly(
        &self,
        plan: &Plan,
        node: u32,
        outcome: Outcome,
        order_only: OrderOnly,
    ) {
        let mark = match outcome {
            Outcome::Cancelled => CANCELLED,
            Outcome::Ended => ENDED,
            Outcome::Aborted => ABORTED,
            Outcome::Skipped(cause) => {
                self.causes[node as usize].store(cause, Relaxed);
                SKIPPED
            }
            _ => FAILED,
        };
        self.mark(node, mark);
        if matches!(outcome, Outcome::Fatal | Outcome::Aborted) {
            self.stop();
        }
        self.spread(plan, node, order_only);
    }

    /// Whether a released node is to run; if not, marks it and those that go with it.
    pub(super) fn admits(
        &self,
        plan: &Plan,
        node: u32,
        order_only: impl FnOnce() -> OrderOnly,
    ) -> bool {
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
