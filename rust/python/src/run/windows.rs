//! Nodes that share a window: of them, at most so many run at once, and the others are ready again in turn.

use super::execution::Execution;

impl Execution {
    /// Whether a node may run now; if not, it is pending until another one leaves its window.
    pub(super) fn enter_window(&self, node: u32) -> bool {
        match self.tables().windows.members.get(&node) {
            Some(&window) => self.windows[window as usize].enter(node),
            None => true,
        }
    }

    /// A node that had entered has run.
    pub(super) fn leave_window(&self, node: u32) {
        if let Some(&window) = self.tables().windows.members.get(&node) {
            self.admit(self.windows[window as usize].leave());
        }
    }

    /// A node is not to run; it may have been let in already.
    #[cold]
    pub(super) fn give_window_up(&self, node: u32) {
        if let Some(&window) = self.tables().windows.members.get(&node) {
            self.admit(self.windows[window as usize].give_up(node));
        }
    }

    fn admit(&self, next: Option<u32>) {
        // Whoever runs or ends a node holds the run.
        if let (Some(node), Some(run)) = (next, self.run.upgrade()) {
            run.again(node);
        }
    }
}
