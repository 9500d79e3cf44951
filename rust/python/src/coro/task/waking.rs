//! Waking a task and cancelling it, from any thread: what is marked on it, and that its scope is there.

use super::{NOTIFIED, QUEUED, RUNNING, SUSPENDED, Task};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use taskloom_core::cancel::OnCancel;

/// A mark: cancelled by its handle before it had a token of its own.
pub(super) const ASKED: u8 = 1;
/// A mark: cancelled where it waits. It will leave there, so nothing is to be handed to it any more.
pub(super) const DOOMED: u8 = 2;
/// A mark: has a share in its scope. Set by who steps it.
pub(super) const KEEPS: u8 = 4;

impl Task {
    #[inline]
    pub(super) fn is_marked(&self, marks: u8) -> bool {
        self.marks.load(Ordering::Relaxed) & marks != 0
    }

    pub(super) fn mark(&self, mark: u8) {
        self.marks.fetch_or(mark, Ordering::Relaxed);
    }

    /// Takes a mark away; whether it was there.
    pub(super) fn unmark(&self, mark: u8) -> bool {
        self.marks.fetch_and(!mark, Ordering::Relaxed) & mark != 0
    }

    /// Whether it was cancelled where it waits; from any thread. Whoever was told so before it came
    /// to serve the task does not serve it.
    pub fn is_doomed(&self) -> bool {
        self.is_marked(ASKED | DOOMED)
    }

    /// Cancels this task alone, from any thread. Attached.
    pub fn cancel(&self, reason: Option<Arc<str>>) {
        let mut own = self.own.lock();
        if let Some(token) = own.token.clone() {
            drop(own);
            token.cancel(reason);
            return;
        }
        own.reason = reason;
        self.mark(ASKED);
        drop(own);
        self.wake_marked();
    }

    /// Lets the task go on, from any thread. Attached, because its home may need that.
    pub fn wake(&self) {
        let mut state = self.state.load(Ordering::SeqCst);
        loop {
            let next = match state {
                SUSPENDED => QUEUED,
                RUNNING => NOTIFIED,
                // Queued or notified already, or over: nothing is lost, since whoever steps it
                // looks at everything again.
                _ => return,
            };
            match self
                .state
                .compare_exchange(state, next, Ordering::SeqCst, Ordering::SeqCst)
            {
                Ok(_) => break,
                Err(other) => state = other,
            }
        }
        if state == SUSPENDED {
            self.home().queue(self.share());
        }
    }

    /// As `wake`, after something was marked that whoever steps it has to see.
    pub(super) fn wake_marked(&self) {
        self.state.fetch_or(0, Ordering::SeqCst);
        self.wake();
    }

    /// Takes a share in its scope, if it has none. For who steps it.
    #[inline]
    pub(super) fn keep_scope(&self) {
        if let Some(scope) = self.scope
            && !self.is_marked(KEEPS)
        {
            // SAFETY: alive, since this task is not over; it came from an `Arc`.
            unsafe { Arc::increment_strong_count(scope.as_ptr()) };
            self.mark(KEEPS);
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if *self.marks.get_mut() & KEEPS != 0
            && let Some(scope) = self.scope
        {
            // SAFETY: the share that `keep_scope` took.
            unsafe { Arc::decrement_strong_count(scope.as_ptr()) };
        }
    }
}

impl OnCancel for Task {
    fn cancelled(&self) {
        self.mark(DOOMED);
        self.wake_marked();
    }
}
