//! What one participant of a shared run does: takes a node, runs it, releases what waited for it.
//!
//! A node becomes ready when the last of its sources arrives at its join counter. Where threads exclude
//! each other, all participants share one `Frontier` of ready nodes, and what is run next is the node of
//! the lowest rank in it. Elsewhere, the participant that sees it runs the first such successor at once
//! and puts the others on its own lane; it takes from its lane first, then an entry node that nobody
//! took, then from other lanes: ranks order the successors of each node and the entries, not the rest.
//! Either way a participant that nobody joins takes the nodes in the static order unless the plan ranks
//! them otherwise. The counters put themselves back when they reach zero, and every node passes through,
//! skipped ones too: so they are fit for the next run without being written again.

use std::cmp::Reverse;

use super::frontier::Frontier;
use super::lane::Claim;
use super::shared::Shared;
use super::{NodeExec, Outcome, POLL_EVERY, Run};
use crate::plan::NODE;
use crate::sync::Arc;
use crate::sync::atomic::{
    AtomicU32,
    Ordering::{AcqRel, Relaxed, SeqCst},
};

impl<E: NodeExec> Run<E> {
    /// Takes part until there is nothing to take; whether the run is over then. None if there was no lane
    /// free. `CALLER` is for the thread that called.
    ///
    /// # Safety
    /// Attached.
    pub(super) unsafe fn participate<const CALLER: bool>(self: &Arc<Self>) -> Option<bool> {
        let shared = self.shared_state();
        // The first lane is the calling thread's, which must always get one.
        let lanes = &shared.lanes[usize::from(!CALLER)..];
        let lane = lanes.iter().find_map(|lane| lane.claim())?;
        // SAFETY: attached, as the caller says.
        self.noted(|| unsafe { self.work::<CALLER>(shared, &lane) });
        drop(lane);
        Some(self.is_over())
    }

    /// # Safety
    /// Attached.
    unsafe fn work<const CALLER: bool>(self: &Arc<Self>, shared: &Shared, lane: &Claim<'_>) {
        let mut scratch = self.exec.scratch();
        let mut ended = 0;
        let mut found = self.find_for::<CALLER>(lane);
        if E::EXCLUSIVE && found.is_some() && self.has_work() {
            // Whoever offered the work called one participant only: this one calls the next.
            self.offer();
        }
        while let Some(mut node) = found {
            loop {
                // SAFETY: attached; the node was taken from where it stood once.
                if unsafe { self.run_node(node, &mut scratch) } == Outcome::Pending {
                    break;
                }
                ended += 1;
                lane.note(ended);
                if ended % POLL_EVERY as usize == 0 && !self.exec.poll(&mut scratch) {
                    self.stop();
                }
                match self.release(node, shared, lane) {
                    Some(next) => node = next,
                    None => break,
                }
            }
            found = self.find_for::<CALLER>(lane);
        }
        if ended > 0 {
            lane.note(0);
            self.count(ended);
        }
    }

    /// # Safety
    /// As for [`NodeExec::execute`].
    #[inline(always)]
    pub(super) unsafe fn run_node(&self, node: u32, scratch: &mut E::Scratch) -> Outcome {
        let marks = &self.state.marks;
        let exec = &self.exec;
        if marks.careful() && !marks.admits(exec.shape(), node, || exec.order_only(node)) {
            // SAFETY: the contract above; this node is not executed.
            unsafe { exec.skip::<false>(node) };
            return Outcome::Done;
        }
        // SAFETY: the contract above.
        let outcome = unsafe { exec.execute::<false>(node, scratch) };
        self.settle(node, outcome);
        outcome
    }

    #[inline(always)]
    pub(super) fn settle(&self, node: u32, outcome: Outcome) {
        if outcome != Outcome::Done && outcome != Outcome::Pending {
            self.state.marks.ended_badly(
                self.exec.shape(),
                node,
                outcome,
                self.exec.order_only(node),
            );
        }
    }

    /// Releases what waited for a node: returns the one to run next, offers the others.
    #[inline(always)]
    fn release(self: &Arc<Self>, node: u32, shared: &Shared, lane: &Claim<'_>) -> Option<u32> {
        let plan = self.exec.shape();
        let mut next = None;
        let mut surplus = false;
        // Backwards, so that the first in order is run next and the lane gives the others in order.
        for &edge in plan.successors(node).iter().rev() {
            let successor = edge & NODE;
            if self.arrive(successor, shared)
                && let Some(later) = next.replace(successor)
            {
                self.put(later, shared, lane);
                surplus = true;
            }
        }
        if surplus {
            self.offer();
        }
        if E::EXCLUSIVE {
            // SAFETY: as in `find`.
            let frontier =
                |own| unsafe { shared.with_frontier(|frontier| frontier.exchange(plan.rank(own))) };
            return next.map(|own| plan.at_rank(frontier(own)));
        }
        next
    }

    /// Puts a ready node where participants find it.
    #[inline(always)]
    fn put(&self, node: u32, shared: &Shared, lane: &Claim<'_>) {
        if E::EXCLUSIVE {
            let rank = self.exec.shape().rank(node);
            // SAFETY: as in `find`.
            unsafe { shared.with_frontier(|frontier| frontier.insert(rank)) };
        } else {
            lane.push(node);
        }
    }

    /// Counts a source of `node` as ended; whether it was the last.
    #[inline(always)]
    pub(super) fn arrive(&self, node: u32, shared: &Shared) -> bool {
        let join = self.exec.shape().join(node);
        if join == 1 {
            return true;
        }
        let joins = &shared.joins;
        debug_assert!((node as usize) < joins.len());
        // SAFETY: there are as many as the plan has nodes.
        let waiting = unsafe { joins.get_unchecked(node as usize) };
        // AcqRel: what the sources did is visible to whoever runs the node.
        if decrement::<E>(waiting) == 1 {
            waiting.store(join, Relaxed);
            return true;
        }
        false
    }

    /// As `find`; the calling thread looks for what only it may run first.
    #[inline(always)]
    fn find_for<const CALLER: bool>(self: &Arc<Self>, lane: &Claim<'_>) -> Option<u32> {
        if CALLER
            && self.errands().any()
            && let Some(node) = self.errands().take()
        {
            return Some(node);
        }
        self.find(lane)
    }

    /// The next node for a participant, if there is one.
    #[inline(always)]
    fn find(self: &Arc<Self>, lane: &Claim<'_>) -> Option<u32> {
        if E::EXCLUSIVE {
            let shared = self.shared_state();
            // SAFETY: participants are attached: if threads exclude each other, nobody else is here.
            let found = unsafe { shared.with_frontier(Frontier::pop) };
            return found
                .map(|rank| self.exec.shape().at_rank(rank))
                .or_else(|| self.steal(lane));
        }
        lane.pop()
            .or_else(|| self.take_entry())
            .or_else(|| self.steal(lane))
    }

    #[inline(always)]
    fn take_entry(&self) -> Option<u32> {
        let entries = self.exec.shape().entries();
        let next = &self.sharing.entry;
        if next.load(Relaxed) >= entries.len() {
            return None;
        }
        // May pass the end by one for each participant, which the check above keeps from growing.
        entries.get(next.fetch_add(1, Relaxed)).copied()
    }

    #[cold]
    fn steal(self: &Arc<Self>, lane: &Claim<'_>) -> Option<u32> {
        let found = self
            .steal_from_lanes(lane)
            .or_else(|| self.take_inbox(lane));
        if found.is_some() && self.has_work() {
            self.offer();
        }
        found
    }

    fn steal_from_lanes(&self, lane: &Claim<'_>) -> Option<u32> {
        if E::EXCLUSIVE {
            return None;
        }
        let lanes = &self.shared_state().lanes;
        lanes
            .iter()
            .filter(|victim| !lane.is(victim))
            .find_map(|victim| lane.steal_from(victim))
    }

    fn take_inbox(&self, lane: &Claim<'_>) -> Option<u32> {
        if self.sharing.inbox_len.load(SeqCst) == 0 {
            return None;
        }
        let mut inbox = self.sharing.inbox.lock();
        inbox.sort_unstable_by_key(|&node| Reverse(self.exec.shape().rank(node)));
        let first = inbox.pop();
        for node in inbox.drain(..) {
            self.put(node, self.shared_state(), lane);
        }
        self.sharing.inbox_len.store(0, SeqCst);
        first
    }

    /// Whether there is something that a participant without work could take.
    pub(super) fn has_work(&self) -> bool {
        if self.sharing.inbox_len.load(SeqCst) > 0 {
            return true;
        }
        let shared = self.shared_state();
        if E::EXCLUSIVE {
            // SAFETY: as in `find`; who calls from outside is attached too.
            return unsafe { shared.with_frontier(|frontier| !frontier.is_empty()) };
        }
        self.sharing.entry.load(SeqCst) < self.exec.shape().entries().len()
            || shared.lanes.iter().any(|lane| !lane.is_empty())
    }
}

/// Takes one off a counter; what it was before.
#[inline(always)]
fn decrement<E: NodeExec>(counter: &AtomicU32) -> u32 {
    if E::EXCLUSIVE {
        let before = counter.load(Relaxed);
        counter.store(before.wrapping_sub(1), Relaxed);
        return before;
    }
    counter.fetch_sub(1, AcqRel)
}
