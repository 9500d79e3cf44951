//! Real time: the one clock of the process and its thread, which starts with the first deadline.

use pyo3::prelude::*;
use std::sync::{Arc, OnceLock};
use taskloom_core::timer::Clock;

static REAL: OnceLock<Arc<Clock>> = OnceLock::new();

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

/// In a forked child: the thread did not come along.
pub fn after_fork() {
    if let Some(clock) = REAL.get() {
        clock.after_fork();
    }
}
