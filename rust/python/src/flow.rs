//! What a task asks for by raising one of `taskloom.flow`'s signals.
//!
//! They are no `Exception`, so only a call that ended otherwise than by one is looked at here.

use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

pub enum Signal {
    Retry,
    EndBranch,
    EndRun,
    /// That what depends on it is left out.
    LeaveOut,
    /// To be skipped, because of the source that is its argument at this place.
    Skip(usize),
}

static BASE: PyOnceLock<Py<PyType>> = PyOnceLock::new();

/// What an exception asks for; None for one that is no signal.
pub fn signal_of(error: &Bound<'_, PyAny>) -> Option<Signal> {
    if error.is_instance_of::<PyException>() {
        return None;
    }
    let base = BASE
        .import(error.py(), "taskloom.flow", "FlowSignal")
        .ok()?;
    if !error.is_instance(base).unwrap_or(false) {
        return None;
    }
    let kind: u8 = error.getattr("_kind").ok()?.extract().ok()?;
    match kind {
        0 => Some(Signal::Retry),
        1 => Some(Signal::EndBranch),
        2 => Some(Signal::EndRun),
        4 => Some(Signal::LeaveOut),
        _ => Some(Signal::Skip(error.getattr("cause").ok()?.extract().ok()?)),
    }
}

/// Takes the exception that a failed call left behind if it asks for another attempt; leaves any other.
pub fn take_retry<'py>(py: Python<'py>) -> Option<Bound<'py, PyAny>> {
    let error = PyErr::take(py)?;
    if matches!(signal_of(error.value(py)), Some(Signal::Retry)) {
        return Some(error.into_value(py).into_bound(py).into_any());
    }
    error.restore(py);
    None
}
