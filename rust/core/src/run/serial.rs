//! The whole run on one thread, in the plan's static order: no counters, no queues.

use crate::sync::Arc;
use crate::sync::atomic::Ordering::Relaxed;

use super::{NodeExec, Outcome, POLL_EVERY, Run};

impl<E: NodeExec> Run<E> {
    /// Runs every node of the plan on this thread.
    ///
    /// Until something goes wrong, or the run is told to stop, this is one call per node and nothing else.
    ///
    /// # Safety
    /// This thread may run nodes, and nothing else was or will be asked to run this run.
    pub unsafe fn run_serial(self: &Arc<Self>) {
        // SAFETY: the caller's promise.
        self.noted(|| unsafe { self.run_in_order() });
        self.end();
    }

    /// # Safety
    /// As for `run_serial`.
    unsafe fn run_in_order(&self) {
        let (exec, marks, plan) = (&self.exec, self.marks(), self.exec.shape());
        let mut scratch = exec.scratch();
        let count = plan.len() as u32;
        let mut node = 0;
        while node < count {
            let end = (node + POLL_EVERY).min(count);
            while node < end {
                if marks.careful() && !marks.admits(plan, node, || exec.order_only(node)) {
                    // SAFETY: the caller's promise; this node is not executed.
                    unsafe { exec.skip::<true>(node) };
                } else {
                    // SAFETY: the caller's promise; the order puts a node behind all that it waits for.
                    let outcome = unsafe { exec.execute::<true>(node, &mut scratch) };
                    if outcome != Outcome::Done {
                        marks.ended_badly(plan, node, outcome, exec.order_only(node));
                    }
                }
                node += 1;
                self.sharing.in_order.store(node as usize, Relaxed);
            }
            if !exec.poll(&mut scratch) {
                marks.stop();
            }
        }
    }
}
