//! Nodes that are submitted in place of being called: their limits, places and resources are the executor's.

use std::sync::Arc;

use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi;
use pyo3::prelude::*;
use taskloom_core::run::{Outcome, Run};

use super::execution::{Called, Execution};
use super::scratch::Scratch;
use super::spawned::is_spawn;
use crate::call::take_exception;
use crate::plan::Step;

/// Called by the future of a deferred node when it is done.
#[pyclass(frozen, module = "taskloom._taskloom")]
struct Follower {
    run: Arc<Run<Execution>>,
    node: u32,
}

#[pymethods]
impl Follower {
    fn __call__(&self, future: &Bound<'_, PyAny>) {
        let outcome = self.run.exec().take_result(self.node, future, false);
        if outcome == Outcome::Pending {
            // It has spawned a graph, and ends with that.
            return;
        }
        self.run.exec().note_elsewhere(self.node, future, outcome);
        self.run.exec().leave_window(self.node);
        self.run.complete(self.node, outcome);
    }
}

impl Execution {
    /// Submits a node, whose arguments are in the scratch.
    pub(super) fn defer(
        &self,
        py: Python<'_>,
        node: u32,
        step: &Step,
        scratch: &Scratch,
    ) -> PyResult<Called> {
        let keywords = match step.names.is_null() {
            true => 0,
            // SAFETY: attached; the compiler put a tuple there.
            false => unsafe { ffi::PyTuple_GET_SIZE(step.names) as usize },
        };
        let arguments = scratch.arguments(step.positional as usize + keywords);
        // SAFETY: attached; the caller set as many arguments, which live until the call returns.
        unsafe { self.submit(py, node, step, arguments, step.names) }
    }

    /// Calls what submits a node: with the executor, and then these arguments.
    ///
    /// # Safety
    /// Attached; the arguments are live, and `names`, if not null, is a tuple that names the last of them.
    pub(super) unsafe fn submit(
        &self,
        py: Python<'_>,
        node: u32,
        step: &Step,
        arguments: &[*mut ffi::PyObject],
        names: *mut ffi::PyObject,
    ) -> PyResult<Called> {
        let Some(executor) = &self.executor else {
            return Err(PyRuntimeError::new_err(
                "a node with limits, resources or a place needs an executor",
            ));
        };
        let mut given = vec![executor.as_ptr()];
        given.extend_from_slice(arguments);
        let keywords = match names.is_null() {
            true => 0,
            // SAFETY: a tuple, by the caller's promise.
            false => unsafe { ffi::PyTuple_GET_SIZE(names) as usize },
        };
        // SAFETY: attached; all arguments live until the call returns.
        let future = unsafe {
            ffi::PyObject_Vectorcall(step.callable, given.as_ptr(), given.len() - keywords, names)
        };
        // SAFETY: a new reference, or null with an exception set.
        let future = unsafe { Bound::from_owned_ptr_or_err(py, future)? }.unbind();
        self.wait_for_end_of(py, node, future.bind(py));
        Ok(Called::Future(future))
    }

    /// Takes note of the future that a node waits for, so that it is cancelled when the run is stopped.
    pub(super) fn wait_for_end_of(&self, py: Python<'_>, node: u32, future: &Bound<'_, PyAny>) {
        let entry = future.clone().unbind();
        let before = self.pending.lock().insert(node, entry);
        drop(before);
        if self.run.upgrade().is_some_and(|run| run.marks().stopped()) {
            // Stopped between the decision to run this node and now.
            self.cancel_pending(py);
        }
    }

    /// Has the run told when the future of a node is done.
    #[cold]
    pub(super) fn follow(&self, node: u32, future: Py<PyAny>) -> Outcome {
        // SAFETY: nodes are executed attached.
        let py = unsafe { Python::assume_attached() };
        let Some(run) = self.run.upgrade() else {
            // Whoever executes a node holds the run.
            return self.await_in_place(node, future);
        };
        match future.call_method1(py, "add_done_callback", (Follower { run, node },)) {
            Ok(_) => Outcome::Pending,
            Err(error) => {
                self.leave_window(node);
                self.failed_with(py, node, error.into_value(py).into_any())
            }
        }
    }

    /// Waits for the future of a node.
    #[cold]
    pub(super) fn await_in_place(&self, node: u32, future: Py<PyAny>) -> Outcome {
        // SAFETY: nodes are executed attached.
        let py = unsafe { Python::assume_attached() };
        let future = future.into_bound(py);
        // What it raises is taken from the future below, unless it came from a signal handler.
        if let Err(error) = future.call_method0("exception")
            && !future
                .call_method0("done")
                .is_ok_and(|done| done.is_truthy().unwrap_or(false))
        {
            drop(future.call_method0("cancel"));
            let entry = self.pending.lock().remove(&node);
            drop(entry);
            return self.failed_with(py, node, error.into_value(py).into_any());
        }
        self.take_result(node, &future, true)
    }

    /// Stores what a future that is done has come to as the node's value or error.
    pub(super) fn take_result(
        &self,
        node: u32,
        future: &Bound<'_, PyAny>,
        serial: bool,
    ) -> Outcome {
        let py = future.py();
        let entry = self.pending.lock().remove(&node);
        drop(entry);
        if future
            .call_method0("cancelled")
            .is_ok_and(|answer| answer.is_truthy().unwrap_or(false))
        {
            return Outcome::Cancelled;
        }
        match future.call_method0("result") {
            // SAFETY: attached, and a live object.
            Ok(value) if unsafe { is_spawn(value.as_ptr()) } => {
                self.expand(py, node, value, serial, serial)
            }
            Ok(value) => {
                self.keep_value(node, value.into_ptr());
                Outcome::Done
            }
            Err(error) => {
                error.restore(py);
                self.failed_with(py, node, take_exception(py))
            }
        }
    }

    /// Cancels the futures of deferred nodes, when nothing more of the run is to start.
    pub(super) fn cancel_pending(&self, py: Python<'_>) {
        if let Some(run) = self.run.upgrade() {
            run.stop();
        }
        self.cancel_token();
        let futures: Vec<Py<PyAny>> = self
            .pending
            .lock()
            .values()
            .map(|future| future.clone_ref(py))
            .collect();
        for future in futures {
            if let Err(error) = future.call_method0(py, "cancel") {
                error.write_unraisable(py, Some(future.bind(py)));
            }
        }
    }
}
