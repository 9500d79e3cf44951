//! Real time: the one clock of the process and its thread, which starts with the first deadline.

use pyo3::ffi;
use pyo3::prelude::*;
use std::cell::OnceCell;
use std::sync::{Arc, OnceLock};
use taskloom_core::timer::Clock;

static REAL: OnceLock<Arc<Clock>> = OnceLock::new();

/// Real time.
pub fn real_clock() -> &'static Arc<Clock> {
    REAL.get_or_init(Clock::real)
}

/// The thread state that a thread of ours keeps for its life.
///
/// Attaching makes one where there is none, and ends it again. Without a GIL that abandons the memory
/// that the state had to itself, which takes the longer the more states have ended: a second for some
/// hundred sleepers that wake at the same time.
struct Kept {
    before: ffi::PyGILState_STATE,
    state: *mut ffi::PyThreadState,
}

impl Kept {
    /// Of a thread that has none and is not attached.
    fn new() -> Self {
        // SAFETY: the timer ends before the interpreter does. The thread attaches, which makes its state,
        // and detaches without ending it: attaching finds it from here on.
        unsafe {
            let before = ffi::PyGILState_Ensure();
            let state = ffi::PyEval_SaveThread();
            Kept { before, state }
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // SAFETY: on the thread that the state is of, detached; who ends the thread waits for it, and
        // only then goes on to end the interpreter.
        unsafe {
            ffi::PyEval_RestoreThread(self.state);
            ffi::PyGILState_Release(self.before);
        }
    }
}

thread_local! {
    static KEPT: OnceCell<Kept> = const { OnceCell::new() };
}

/// Calls `f` attached: on the timer's thread, or on whichever moves virtual time.
pub fn attach<R>(f: impl FnOnce(Python<'_>) -> R) -> R {
    // SAFETY: only asks.
    if unsafe { ffi::PyGILState_GetThisThreadState() }.is_null() {
        KEPT.with(|kept| {
            kept.get_or_init(Kept::new);
        });
    }
    Python::attach(f)
}

/// Ends the timer's thread, before the interpreter does.
pub fn stop(py: Python<'_>) {
    if let Some(clock) = REAL.get() {
        py.detach(|| clock.stop());
    }
}

/// In a forked child: the thread did not come along.
pub fn after_fork() {
    if let Some(clock) = REAL.get() {
        clock.after_fork();
    }
}
