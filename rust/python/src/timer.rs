//! Real time: the one clock of the process and its thread, which starts with the first deadline.

use pyo3::prelude::*;
use std::cell::RefCell;
use std::sync::{Arc, OnceLock};
use taskloom_core::timer::{Clock, Held};

static REAL: OnceLock<Arc<Clock>> = OnceLock::new();

thread_local! {
    static HELD: RefCell<Option<Held<'static>>> = const { RefCell::new(None) };
}

/// Real time.
pub fn real_clock() -> &'static Arc<Clock> {
    REAL.get_or_init(Clock::real)
}

/// Ends the timer's thread, before the interpreter does.
pub fn stop(py: Python<'_>) {
    if let Some(clock) = REAL.get() {
        py.detach(|| clock.stop());
    }
}

/// Before a fork, on the forking thread: the child must not inherit a lock that a thread holds
/// which does not come along.
pub fn before_fork() {
    HELD.set(REAL.get().map(|clock| clock.hold()));
}

/// In the parent, after the fork.
pub fn after_fork_in_parent() {
    drop(HELD.take());
}

/// In the forked child: the thread did not come along.
pub fn after_fork_in_child() {
    if let Some(held) = HELD.take() {
        held.forget_all();
    }
}
