//! What became of the nodes that did not simply run to their end.

use super::{OrderOnly, Outcome};
use crate::latch::Event;
use crate::plan::{NODE, ORDER_ONLY, Plan, SAME_OBJECT, WAIT_ONLY};
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

/// In a cause: the node is left out, because of a case that was not taken. A failure outranks that.
const LEFT_OUT: u32 = 1 << 31;
/// No cause yet.
const NONE: u32 = u32::MAX;

/// The marks of one run.
pub struct Marks {
    marks: Box<[AtomicU8]>,
    /// Why a node is skipped: another one, perhaps with `LEFT_OUT`.
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
            causes: (0..count).map(|_| AtomicU32::new(NONE)).collect(),
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
            SKIPPED => Mark::Skipped(self.causes[node as usize].load(Relaxed) & !LEFT_OUT),
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
            self.causes
                .iter_mut()
                .for_each(|cause| *cause.get_mut() = NONE);
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
    fn spread(&self, plan: &Plan, node: u32, order_only: OrderOnly, left_out: bool) {
        for &edge in plan.successors(node) {
            let goes_on = match edge & !NODE {
                WAIT_ONLY => true,
                ORDER_ONLY => order_only == OrderOnly::GoOn,
                SAME_OBJECT => left_out,
                _ => false,
            };
            if !goes_on {
                self.skip(edge & NODE, node, left_out);
            }
        }
        self.marked.store(true, Release);
    }

    /// Marks a node as skipped. It is released only after all its sources came by here, so whoever
    /// looks at the mark then sees the cause too.
    fn skip(&self, node: u32, cause: u32, left_out: bool) {
        let cause = cause | if left_out { LEFT_OUT } else { 0 };
        let outranks = |before: u32| before == NONE || (before & LEFT_OUT != 0 && !left_out);
        // Of causes of one rank the first stays.
        let _ = self.causes[node as usize]
            .fetch_update(Relaxed, Relaxed, |before| outranks(before).then_some(cause));
        let _ = self.marks[node as usize].compare_exchange(DONE, SKIPPED, Relaxed, Relaxed);
    }

    /// Whether a skipped node is so because of a case that was not taken, and nothing else.
    fn is_left_out(&self, node: u32) -> bool {
        let cause = self.causes[node as usize].load(Relaxed);
        cause != NONE && cause & LEFT_OUT != 0
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
            Outcome::Ended | Outcome::LeftOut => ENDED,
            Outcome::Aborted => ABORTED,
            Outcome::Skipped(cause) => {
                self.skip(node, cause, self.is_left_out(cause));
                SKIPPED
            }
            _ => FAILED,
        };
        self.mark(node, mark);
        if matches!(outcome, Outcome::Fatal | Outcome::Aborted) {
            self.stop();
        }
        let left_out = match outcome {
            Outcome::LeftOut => true,
            Outcome::Skipped(_) => self.is_left_out(node),
            _ => false,
        };
        self.spread(plan, node, order_only, left_out);
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
        self.spread(plan, node, order_only(), self.is_left_out(node));
        false
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::plan::{Dependencies, Urgency};

    /// What becomes of nodes that each wait for these, of which some end badly, in a serial run.
    fn marks_of(graph: &[&[u32]], outcomes: &[(u32, Outcome)]) -> Vec<Mark> {
        let mut starts = vec![0];
        let mut sources = Vec::new();
        for of in graph {
            sources.extend_from_slice(of);
            starts.push(sources.len() as u32);
        }
        let dependencies = Dependencies { starts, sources };
        let Ok(layout) = Plan::lay_out(&dependencies, &Urgency::default()) else {
            return Vec::new();
        };
        let marks = Marks::new(graph.len());
        for (place, &node) in layout.order.iter().enumerate() {
            let place = place as u32;
            let ended = outcomes.iter().find(|(other, _)| *other == node);
            if marks.admits(&layout.plan, place, || OrderOnly::Skip)
                && let Some(&(_, outcome)) = ended
            {
                marks.ended_badly(&layout.plan, place, outcome, OrderOnly::Skip);
            }
        }
        let named = |mark| match mark {
            Mark::Skipped(cause) => Mark::Skipped(layout.order[cause as usize]),
            other => other,
        };
        let places = layout.position.iter();
        places.map(|&place| named(marks.get(place))).collect()
    }

    #[test]
    fn who_uses_an_object_goes_on_past_one_that_is_left_out() {
        let graph: &[&[u32]] = &[
            &[],
            &[ORDER_ONLY],
            &[1 | SAME_OBJECT],
            &[1],
            &[1 | WAIT_ONLY],
        ];
        let found = marks_of(graph, &[(0, Outcome::LeftOut)]);
        let wanted = [
            Mark::Ended,
            Mark::Skipped(0),
            Mark::Done,
            Mark::Skipped(1),
            Mark::Done,
        ];
        assert_eq!(found, wanted);
    }

    #[test]
    fn who_uses_an_object_is_skipped_with_one_that_ended_its_branch() {
        let graph: &[&[u32]] = &[&[], &[ORDER_ONLY], &[1 | SAME_OBJECT]];
        let found = marks_of(graph, &[(0, Outcome::Ended)]);
        assert_eq!(found, [Mark::Ended, Mark::Skipped(0), Mark::Skipped(1)]);
    }

    #[test]
    fn a_failure_outranks_that_a_node_is_left_out_whichever_came_first() {
        let outcomes = [(0, Outcome::LeftOut), (1, Outcome::Failed)];
        for sources in [[ORDER_ONLY, 1 | SAME_OBJECT], [1 | SAME_OBJECT, ORDER_ONLY]] {
            let found = marks_of(&[&[], &[], &sources, &[2 | SAME_OBJECT]], &outcomes);
            assert_eq!(found[2..], [Mark::Skipped(1), Mark::Skipped(2)]);
        }
        let graph: &[&[u32]] = &[&[], &[], &[1 | SAME_OBJECT, ORDER_ONLY], &[2 | SAME_OBJECT]];
        let outcomes = [(1, Outcome::LeftOut), (0, Outcome::Failed)];
        let found = marks_of(graph, &outcomes);
        assert_eq!(found[2..], [Mark::Skipped(0), Mark::Skipped(2)]);
    }

    #[test]
    fn what_is_skipped_on_account_of_one_that_is_left_out_is_left_out_too() {
        let graph: &[&[u32]] = &[&[], &[ORDER_ONLY], &[1 | WAIT_ONLY], &[2 | SAME_OBJECT]];
        // Skipped by its own account, because of 1; of the places this one is the second.
        let outcomes = [(0, Outcome::LeftOut), (2, Outcome::Skipped(1))];
        let found = marks_of(graph, &outcomes);
        assert_eq!(found[2..], [Mark::Skipped(1), Mark::Done]);
    }
}
