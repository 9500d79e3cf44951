//! What only the calling thread runs, and how a run is stopped: who tells whom is proved in `errand`.

use super::errand::Errands;
use super::{NodeExec, Outcome, Run};
use crate::sync::Arc;

impl<E: NodeExec> Run<E> {
    pub fn errands(&self) -> &Errands {
        &self.sharing.errands
    }

    /// Leaves a ready node, which is [`Outcome::Pending`], to the calling thread. Any attached thread.
    pub fn leave_to_caller(self: &Arc<Self>, node: u32) {
        let sharing = &self.sharing;
        sharing.errands.put(node);
        if self.marks().stopped() {
            return self.give_errands_up();
        }
        sharing.errands.event().set();
        if sharing.help.wake_up() {
            sharing.work.set();
        }
    }

    /// Starts nothing more of this run. Any attached thread.
    pub fn stop(self: &Arc<Self>) {
        self.marks().stop();
        self.give_errands_up();
    }

    #[cold]
    fn give_errands_up(self: &Arc<Self>) {
        let nodes = self.sharing.errands.take_all();
        if !nodes.is_empty() {
            self.hand_in(nodes);
        }
    }

    /// Runs the nodes that were left to the calling thread, which this is, and returns when there are none.
    ///
    /// # Safety
    /// Attached.
    pub unsafe fn run_errands(self: &Arc<Self>) {
        if !self.errands().any() {
            return;
        }
        self.noted(|| {
            let mut scratch = self.exec.scratch();
            while let Some(node) = self.errands().take() {
                // SAFETY: attached; the node was taken from where it stood once.
                if unsafe { self.run_node(node, &mut scratch) } != Outcome::Pending {
                    self.release_to_all(node);
                }
            }
        });
    }
}
