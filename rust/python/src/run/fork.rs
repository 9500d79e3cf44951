//! Runs in a forked child: they belong to the parent, whose threads are at their nodes.

use pyo3::prelude::*;

use super::current::here;
use super::failure::NO_NODE;
use crate::errors;

/// The error of a wait for a run that the parent has.
pub fn left_behind(py: Python<'_>) -> Py<PyAny> {
    errors::broken_executor(
        py,
        "this run belongs to the parent process: a forked child cannot wait for it, start it again here",
    )
}

/// To be called in a forked child. The runs that the thread which forked takes part in start nothing more
/// here, and end with an error when it comes back to them.
#[pyfunction]
pub fn _after_fork_in_runs(py: Python<'_>) {
    // SAFETY: used in this call alone.
    for execution in unsafe { here() } {
        if let Some(run) = execution.run.upgrade() {
            execution.note(py, NO_NODE, left_behind(py), true);
            run.marks().stop();
        }
    }
}
