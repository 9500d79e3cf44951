//! Nodes that return a `taskloom.Spawn`: the graph in it is run as a part of this run, and the node goes on
//! until it is over.
//!
//! Whoever ran the node takes part in the new run at once, as far as there is work for it, and then goes on
//! with this one. So a single thread is enough, and none ever waits for another one here. What others are
//! still at ends the node later, as for a deferred one.

use std::cell::Cell;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering::Relaxed};

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyType;
use taskloom_core::run::Outcome;

use super::current::here;
use super::execution::Execution;
use crate::call::take_exception;

/// The class `taskloom.Spawn`, once somebody has imported it.
static SPAWN: AtomicPtr<ffi::PyTypeObject> = AtomicPtr::new(null_mut());

/// Tells the class `taskloom.Spawn`, which lives for ever.
#[pyfunction]
pub fn _know_spawn(class: &Bound<'_, PyType>) {
    SPAWN.store(class.clone().into_ptr().cast(), Relaxed);
}

/// Whether a value is a `taskloom.Spawn`.
#[pyfunction]
pub fn _is_spawn(value: &Bound<'_, PyAny>) -> bool {
    // SAFETY: attached, and a live object.
    unsafe { is_spawn(value.as_ptr()) }
}

/// # Safety
/// Attached; `value` is a live object.
#[inline(always)]
pub unsafe fn is_spawn(value: *mut ffi::PyObject) -> bool {
    // SAFETY: the contract above.
    unsafe { ffi::Py_TYPE(value) == SPAWN.load(Relaxed) }
}

/// The executor of the run that this thread takes part in, innermost, and whether that run is serial.
#[pyfunction]
pub fn _run_here(py: Python<'_>) -> Option<(Py<PyAny>, bool)> {
    // SAFETY: used in this call alone.
    let execution = unsafe { here() }.pop()?;
    let executor = execution.executor.as_ref()?.clone_ref(py);
    Some((executor, execution.serial))
}

/// How many runs inside of runs one thread takes part in: beyond that, a new one is left to the workers,
/// since each takes a piece of the stack.
const DEEPEST: u32 = 50;

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

impl Execution {
    /// Runs what a node has spawned; `here` if this thread is at the node, rather than told of its end.
    #[cold]
    pub(super) fn expand(
        &self,
        py: Python<'_>,
        node: u32,
        spawn: Bound<'_, PyAny>,
        serial: bool,
        here: bool,
    ) -> Outcome {
        let depth = DEPTH.get();
        let begun = || -> PyResult<Bound<'_, PyAny>> {
            let joined = spawn.call_method1("_join", (self.executor.as_ref(), serial))?;
            self.wait_for_end_of(py, node, &joined);
            joined.call_method1("begin", (here && depth < DEEPEST,))?;
            Ok(joined)
        };
        DEPTH.set(depth + 1);
        let begun = begun();
        DEPTH.set(depth);
        let joined = match begun {
            Ok(joined) => joined,
            Err(error) => {
                let entry = self.pending.lock().remove(&node);
                drop(entry);
                if here && !serial {
                    self.leave_window(node);
                }
                error.restore(py);
                return self.failed_with(py, node, take_exception(py));
            }
        };
        let done = joined.call_method0("done");
        if serial || done.is_ok_and(|done| done.is_truthy().unwrap_or(false)) {
            if here && !serial {
                self.leave_window(node);
            }
            return self.take_result(node, &joined, serial);
        }
        self.follow(node, joined.unbind())
    }
}
