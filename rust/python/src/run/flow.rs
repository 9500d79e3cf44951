//! Nodes that direct the flow: what becomes of a run when one raises a signal, and pauses between attempts.

use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi;
use pyo3::prelude::*;
use taskloom_core::run::Outcome;

use super::current::here;
use super::ending::wait_for;
use super::execution::Execution;
use super::scratch::Scratch;
use crate::call;
use crate::errors;
use crate::flow::{self, Signal};
use crate::plan::Step;

impl Execution {
    /// Does what a node asked for by the signal that it raised.
    #[cold]
    pub(super) fn directed(
        &self,
        py: Python<'_>,
        node: u32,
        error: Py<PyAny>,
        signal: Signal,
    ) -> Outcome {
        let outcome = match signal {
            Signal::EndBranch => Outcome::Ended,
            Signal::LeaveOut => Outcome::LeftOut,
            Signal::EndRun => {
                self.cancel_pending(py);
                Outcome::Aborted
            }
            Signal::Skip(place) => match self.plan().argument_at(py, node, place) {
                Some(source) => return Outcome::Skipped(source),
                None => Outcome::Ended,
            },
            Signal::Retry => {
                let problem = PyRuntimeError::new_err(
                    "RetryTask was raised by a node that has taken its argument, which is gone for \
                     another attempt: give the node retry=..., and retry_safe=True if that is fine",
                );
                return self.failed_with(py, node, problem.into_value(py).into_any());
            }
        };
        self.signals.lock().push((node, error));
        outcome
    }
}

/// Calls a step again, whose call failed, for as long as it asks for that. The arguments are still in
/// the scratch. Null with an exception set if it ends by one.
#[cold]
pub(super) fn again_if_asked(py: Python<'_>, step: &Step, scratch: &Scratch) -> *mut ffi::PyObject {
    let Some(signal) = flow::take_retry(py) else {
        return std::ptr::null_mut();
    };
    let again = || -> PyResult<*mut ffi::PyObject> {
        let retry = py.import("taskloom.retry")?.getattr("asked_again")?;
        let keywords = match step.names.is_null() {
            true => 0,
            // SAFETY: attached; the compiler put a tuple there.
            false => unsafe { ffi::PyTuple_GET_SIZE(step.names) as usize },
        };
        let positional = step.positional as usize;
        let mut arguments = scratch.with_first(step.callable, positional + keywords);
        arguments.insert(0, signal.as_ptr());
        // SAFETY: attached; all arguments live until the call returns.
        Ok(unsafe {
            ffi::PyObject_Vectorcall(
                retry.as_ptr(),
                arguments.as_ptr(),
                positional + 2,
                step.names,
            )
        })
    };
    again().unwrap_or_else(|error| {
        error.restore(py);
        std::ptr::null_mut()
    })
}

/// Pauses a node of the run that this thread takes part in; raises `Cancelled` if the run is stopped.
#[pyfunction]
pub fn _pause(py: Python<'_>, seconds: f64) -> PyResult<()> {
    // SAFETY: used in this call alone.
    let Some(execution) = unsafe { here() }.pop() else {
        return py
            .import("taskloom._taskloom")?
            .call_method1("sleep_blocking", (seconds,))
            .map(drop);
    };
    let Some(run) = execution.run.upgrade() else {
        return Ok(());
    };
    if wait_for(py, call::timeout_from(Some(seconds)), run.marks().halt())? {
        let class = errors::cancelled_inside(py)?;
        return Err(PyErr::from_type(class.clone(), "the run was stopped"));
    }
    Ok(())
}
