//! Nodes for the calling thread alone. Whoever else finds one ready leaves it here; the calling thread takes
//! them before anything else, the first in the plan's order first.
//!
//! **None is forgotten.** Whoever leaves one makes it visible before it looks whether the calling thread
//! sleeps, and that one looks for errands after it has said that it does: `help` and `Event` have a
//! sequentially consistent step on either side. A stop works the same way: the run is marked as stopped
//! before the errands are given up to all, and whoever leaves one looks for the mark afterwards. So each is
//! run, or is left out by whoever finds it then.

use super::{NodeExec, Outcome, Run};
use crate::latch::Event;
use crate::sync::atomic::{
    AtomicUsize,
    Ordering::{Relaxed, SeqCst},
    fence,
};
use crate::sync::{Arc, Mutex};

pub struct Errands {
    nodes: Mutex<Vec<u32>>,
    count: AtomicUsize,
    /// Set when there is one, and at the end of the run: for a thread that waits for nothing else.
    event: Event,
}

impl Errands {
    pub fn none() -> Self {
        Errands {
            nodes: Mutex::new(Vec::new()),
            count: AtomicUsize::new(0),
            event: Event::new(),
        }
    }

    pub fn event(&self) -> &Event {
        &self.event
    }

    #[inline(always)]
    pub fn any(&self) -> bool {
        self.count.load(Relaxed) > 0
    }

    fn put(&self, node: u32) {
        let mut nodes = self.nodes.lock();
        nodes.push(node);
        self.count.store(nodes.len(), SeqCst);
    }

    #[cold]
    pub fn take(&self) -> Option<u32> {
        let mut nodes = self.nodes.lock();
        let first = nodes.iter().enumerate().min_by_key(|(_, node)| **node)?.0;
        let node = nodes.swap_remove(first);
        self.count.store(nodes.len(), SeqCst);
        Some(node)
    }

    fn take_all(&self) -> Vec<u32> {
        let mut nodes = self.nodes.lock();
        self.count.store(0, SeqCst);
        std::mem::take(&mut *nodes)
    }
}

impl<E: NodeExec> Run<E> {
    pub fn errands(&self) -> &Errands {
        &self.sharing.errands
    }

    /// Leaves a ready node, which is [`Outcome::Pending`], to the calling thread. Any attached thread.
    pub fn leave_to_caller(self: &Arc<Self>, node: u32) {
        let sharing = &self.sharing;
        sharing.errands.put(node);
        fence(SeqCst);
        if self.marks().stopped() {
            return self.give_errands_up();
        }
        sharing.errands.event.set();
        if sharing.help.wake_up() {
            sharing.work.set();
        }
    }

    /// Starts nothing more of this run. Any attached thread.
    pub fn stop(self: &Arc<Self>) {
        self.marks().stop();
        fence(SeqCst);
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
