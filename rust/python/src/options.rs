//! The options of a task as the engine needs them: resolved once, used for many submits.

use pyo3::prelude::*;
use pyo3::types::PyString;
use taskloom_core::clock;
use taskloom_core::ready::{BANDS, DEFAULT_BAND};

/// What a submit with options does beyond the plain call. Made by `taskloom._resolving.resolve`.
#[pyclass(frozen, module = "taskloom._taskloom")]
pub struct TaskOptions {
    /// The `taskloom.task.Options` that this was made from.
    #[pyo3(get)]
    given: Py<PyAny>,
    #[pyo3(get)]
    pub band: usize,
    /// Ticks from the submit; None for no deadline.
    pub deadline: Option<u64>,
    /// Nanoseconds per attempt.
    pub timeout: Option<u64>,
    pub name: Option<Py<PyString>>,
    /// A `taskloom.Retry`.
    pub retry: Option<Py<PyAny>>,
    /// Whether the submit takes more than making a future and queueing it; then Python does it.
    #[pyo3(get)]
    pub special: bool,
    /// Whether a failure leaves those go on that come after this task.
    pub lets_go_on: bool,
    /// Whether its times are recorded.
    pub timing: bool,
    /// Whether to cancel it by an exception in its thread.
    pub interrupt: bool,
    /// Whether the band is all there is.
    pub plain: bool,
}

fn nanos(seconds: Option<f64>) -> Option<u64> {
    // A span too long to count is none.
    seconds
        .map(|s| s * 1e9)
        .filter(|n| *n < 9e18)
        .map(|n| n as u64)
}

#[pymethods]
impl TaskOptions {
    #[new]
    #[pyo3(signature = (given, *, priority = 0, deadline = None, timeout = None, name = None,
                        retry = None, special = false, lets_go_on = false, timing = false,
                        interrupt = false))]
    #[expect(clippy::too_many_arguments, reason = "one per option")]
    fn new(
        given: Py<PyAny>,
        priority: i64,
        deadline: Option<f64>,
        timeout: Option<f64>,
        name: Option<Py<PyString>>,
        retry: Option<Py<PyAny>>,
        special: bool,
        lets_go_on: bool,
        timing: bool,
        interrupt: bool,
    ) -> Self {
        let deadline = nanos(deadline).map(clock::from_nanos);
        let timeout = nanos(timeout);
        let none = deadline.is_none() && timeout.is_none() && name.is_none() && retry.is_none();
        TaskOptions {
            given,
            band: band_of(priority),
            deadline,
            timeout,
            plain: none && !special && !lets_go_on && !timing && !interrupt,
            timing,
            interrupt,
            name,
            retry,
            special,
            lets_go_on,
        }
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        visit.call(&self.given)?;
        visit.call(&self.retry)
    }
}

/// The band of a priority: 0 is the default, more is more urgent; beyond the last band is the last.
fn band_of(priority: i64) -> usize {
    (DEFAULT_BAND as i64)
        .saturating_sub(priority)
        .clamp(0, BANDS as i64 - 1) as usize
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<TaskOptions>()
}
