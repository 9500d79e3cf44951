//! Nodes for the thread that started the run: `place="caller"`.

use std::sync::atomic::Ordering::*;
use std::time::{Duration, Instant};

use pyo3::ffi;
use pyo3::prelude::*;
use taskloom_core::run::Run;

use super::ending::wait_for;
use super::execution::Execution;

fn this_thread() -> u64 {
    // SAFETY: asks the C runtime for this thread's identifier; no precondition.
    unsafe { ffi::PyThread_get_thread_ident() as u64 }
}

impl Execution {
    /// This thread starts the run.
    pub(super) fn note_caller(&self) {
        self.caller.store(this_thread(), Release);
    }

    /// The identifier of the thread that started the run.
    pub(super) fn caller(&self) -> u64 {
        self.caller.load(Acquire)
    }

    pub(super) fn is_caller_here(&self) -> bool {
        self.caller() == this_thread()
    }

    /// Whether this thread has to see to nodes while it waits.
    pub(super) fn is_needed_here(&self) -> bool {
        self.tables().has_callers() && self.is_caller_here()
    }

    /// Tells a thread that does not block that there is a node for it.
    #[cold]
    pub(super) fn tell_caller(&self) {
        // SAFETY: nodes are executed attached.
        let py = unsafe { Python::assume_attached() };
        let callback = self.on_errand.lock().as_ref().map(|c| c.clone_ref(py));
        if let Some(callback) = callback
            && let Err(error) = callback.call0(py)
        {
            error.write_unraisable(py, Some(callback.bind(py)));
        }
    }
}

/// Waits for the end of a run on the thread that started it, and runs the nodes that are for it.
pub fn attend(
    py: Python<'_>,
    run: &std::sync::Arc<Run<Execution>>,
    timeout: Option<Duration>,
) -> PyResult<bool> {
    let started = Instant::now();
    let errands = run.errands();
    loop {
        // SAFETY: attached.
        unsafe { run.run_errands() };
        if run.is_over() {
            return Ok(true);
        }
        if !errands.is_to_wait() || run.is_over() {
            continue;
        }
        let left = timeout.map(|timeout| timeout.saturating_sub(started.elapsed()));
        if !wait_for(py, left, errands.event())? {
            return Ok(run.is_over());
        }
    }
}
