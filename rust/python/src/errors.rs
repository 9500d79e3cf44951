//! Exceptions that the engine raises or logs, looked up where they are defined in Python.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyString, PyType};

/// An instance of `taskloom.errors.NAME` with this message, or the error of not getting one.
pub fn new<'py>(py: Python<'py>, name: &str, message: &str) -> PyResult<Bound<'py, PyAny>> {
    let class = py
        .import("taskloom.errors")?
        .getattr(name)?
        .cast_into::<PyType>()?;
    class.call1((message,))
}

/// The same as an error to return.
pub fn raise(py: Python<'_>, name: &str, message: &str) -> PyErr {
    match new(py, name, message) {
        Ok(value) => PyErr::from_value(value),
        Err(error) => error,
    }
}

fn from_module(py: Python<'_>, module: &str, class: &str, message: &str) -> PyErr {
    let made = py
        .import(module)
        .and_then(|module| module.getattr(class))
        .and_then(|class| class.call1((message,)));
    match made {
        Ok(exception) => PyErr::from_value(exception),
        Err(error) => error,
    }
}

/// `concurrent.futures.CancelledError`.
pub fn cancelled(py: Python<'_>) -> PyErr {
    let made = py
        .import("concurrent.futures")
        .and_then(|module| module.getattr("CancelledError"))
        .and_then(|class| class.call0());
    match made {
        Ok(exception) => PyErr::from_value(exception),
        Err(error) => error,
    }
}

// Overload makes many of these.
static QUEUE_FULL: PyOnceLock<Py<PyType>> = PyOnceLock::new();

static CANCELLED: PyOnceLock<Py<PyType>> = PyOnceLock::new();

/// `taskloom.errors.Cancelled`, which is raised inside of tasks.
pub fn cancelled_inside(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    CANCELLED.import(py, "taskloom.errors", "Cancelled")
}

/// `concurrent.futures.InvalidStateError`.
pub fn invalid_state(py: Python<'_>, message: String) -> PyErr {
    from_module(py, "concurrent.futures", "InvalidStateError", &message)
}

/// `taskloom.BrokenExecutor`, as an exception object.
pub fn broken_executor(py: Python<'_>, message: &str) -> Py<PyAny> {
    raise(py, "BrokenExecutor", message)
        .into_value(py)
        .into_any()
}

/// `taskloom.QueueFull`.
pub fn queue_full(py: Python<'_>, message: &str) -> PyErr {
    queue_full_with(py, &PyString::new(py, message))
}

/// The same, with a text that is there already.
pub fn queue_full_with(py: Python<'_>, message: &Bound<'_, PyString>) -> PyErr {
    let made = QUEUE_FULL
        .import(py, "taskloom.errors", "QueueFull")
        .and_then(|class| class.call1((message,)));
    match made {
        Ok(value) => PyErr::from_value(value),
        Err(error) => error,
    }
}

fn log(
    py: Python<'_>,
    level: &str,
    message: &str,
    future: &Bound<'_, PyAny>,
    error: Option<&PyErr>,
) {
    let logged = (|| {
        let logger = py
            .import("logging")?
            .call_method1("getLogger", ("concurrent.futures",))?;
        let keywords = pyo3::types::PyDict::new(py);
        if let Some(error) = error {
            keywords.set_item("exc_info", error.value(py))?;
        }
        logger.call_method(level, (message, future), Some(&keywords))
    })();
    if let Err(error) = logged {
        error.write_unraisable(py, Some(future));
    }
}

/// Logs what a callback raised, with the words of the standard library.
pub fn log_callback_error(py: Python<'_>, future: &Bound<'_, PyAny>, error: PyErr) {
    log(
        py,
        "error",
        "exception calling callback for %r",
        future,
        Some(&error),
    );
}

/// Logs and returns the error of `set_running_or_notify_cancel` out of turn.
pub fn unexpected_state(py: Python<'_>, future: &Bound<'_, PyAny>) -> PyErr {
    log(
        py,
        "critical",
        "Future in unexpected state: %r",
        future,
        None,
    );
    pyo3::exceptions::PyRuntimeError::new_err("Future in unexpected state")
}
