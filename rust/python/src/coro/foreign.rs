//! A coroutine of ours that awaits a future of a foreign event loop.

use super::suspend::hosts;
use super::task::{Task, TaskRef};
use pyo3::prelude::*;

/// Wakes a task from Python.
#[pyclass(frozen, module = "taskloom._taskloom")]
struct TaskWaker(TaskRef);

#[pymethods]
impl TaskWaker {
    #[pyo3(signature = (*_arguments))]
    fn __call__(&self, _arguments: &Bound<'_, pyo3::types::PyTuple>) {
        self.0.wake();
    }
}

/// A coroutine of ours awaits something of another event loop: has the task woken when it is done.
pub fn bridge_foreign(value: &Bound<'_, PyAny>, task: &Task) -> PyResult<()> {
    let py = value.py();
    let waker = Py::new(py, TaskWaker(task.share()))?;
    hosts(py)?.call_method1("bridge", (value, waker))?;
    Ok(())
}

/// Whether what the task waits for is there.
pub fn foreign_done(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    value.call_method0("done")?.is_truthy()
}

/// The task is not waiting for it any more.
pub fn give_up_foreign(value: &Bound<'_, PyAny>) -> PyResult<()> {
    hosts(value.py())?.call_method1("give_up", (value,))?;
    Ok(())
}
