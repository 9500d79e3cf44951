//! The failures of a run: what an error means for it, and who is told.

use std::sync::atomic::Ordering::*;

use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::PyList;
use taskloom_core::run::Outcome;

use super::execution::Execution;
use crate::flow::signal_of;
use crate::future::is_cancellation;
use crate::plan::Policy;

/// A node, by position, and the exception that it raised.
pub struct Failure {
    pub node: u32,
    pub error: Py<PyAny>,
    /// As it was when the node failed: raising the error again lengthens it.
    pub traceback: Option<Py<PyAny>>,
    /// Not an `Exception`: a request to stop, such as `KeyboardInterrupt`.
    pub fatal: bool,
}

impl Failure {
    pub fn clone_ref(&self, py: Python<'_>) -> Self {
        Failure {
            node: self.node,
            error: self.error.clone_ref(py),
            traceback: self
                .traceback
                .as_ref()
                .map(|traceback| traceback.clone_ref(py)),
            fatal: self.fatal,
        }
    }
}

/// Position of a [`Failure`] that no node is to blame for: a signal handler raised between two nodes.
pub const NO_NODE: u32 = u32::MAX;

impl Execution {
    pub fn failed_with(&self, py: Python<'_>, node: u32, error: Py<PyAny>) -> Outcome {
        if let Some(signal) = signal_of(error.bind(py)) {
            return self.directed(py, node, error, signal);
        }
        if is_cancellation(py, &error)
            && self.run.upgrade().is_some_and(|run| run.marks().stopped())
        {
            return Outcome::Cancelled;
        }
        let fatal = !error.bind(py).is_instance_of::<PyException>();
        if let Ok(name) = self.plan().node_at(node).get().name(py) {
            add_note(error.bind(py), &format!("in node '{name}'"));
        }
        self.note(py, node, error, fatal);
        if fatal || self.tables().policies[node as usize] == Policy::CancelRun {
            if let Some(watch) = &self.watch {
                watch.note_stop();
            }
            self.cancel_pending(py);
            Outcome::Fatal
        } else {
            Outcome::Failed
        }
    }

    pub fn note(&self, py: Python<'_>, node: u32, error: Py<PyAny>, fatal: bool) {
        let traceback = error
            .bind(py)
            .getattr("__traceback__")
            .ok()
            .map(Bound::unbind);
        self.failures.lock().push(Failure {
            node,
            error,
            traceback,
            fatal,
        });
    }

    /// Raises what a signal handler raised between two nodes, or while this thread waited.
    pub fn raise_interrupt(&self, py: Python<'_>) -> PyResult<()> {
        let mut failures = self.failures.lock();
        let found = failures.iter().position(|failure| failure.node == NO_NODE);
        let interrupt = found.map(|place| failures.swap_remove(place));
        drop(failures);
        interrupt.map_or(Ok(()), |failure| {
            Err(PyErr::from_value(failure.error.into_bound(py)))
        })
    }

    /// Logs the errors that nobody asked for.
    pub fn report_unretrieved(&self, py: Python<'_>) {
        if self.retrieved.load(Acquire) || self.failures.lock().is_empty() {
            return;
        }
        self.retrieved.store(true, Release);
        let pending = PyErr::take(py);
        let failures: Vec<(Option<Py<crate::plan::Node>>, Py<PyAny>)> = self
            .failures
            .lock()
            .iter()
            .map(|failure| {
                let node = (failure.node != NO_NODE)
                    .then(|| self.plan().node_at(failure.node).clone_ref(py));
                (node, failure.error.clone_ref(py))
            })
            .collect();
        let report = || -> PyResult<()> {
            py.import("taskloom.run")?
                .call_method1("_log_unretrieved", (failures,))
                .map(drop)
        };
        if let Err(error) = report() {
            error.write_unraisable(py, None);
        }
        if let Some(pending) = pending {
            pending.restore(py);
        }
    }
}

/// Adds a note unless the exception, which several nodes may share, has it already.
fn add_note(error: &Bound<'_, PyAny>, note: &str) {
    let add = || -> PyResult<()> {
        if let Ok(notes) = error.getattr("__notes__")
            && notes
                .cast::<PyList>()
                .is_ok_and(|notes| notes.contains(note).unwrap_or(false))
        {
            return Ok(());
        }
        error.call_method1("add_note", (note,)).map(drop)
    };
    // An exception class may refuse notes; its error goes on without.
    drop(add());
}
