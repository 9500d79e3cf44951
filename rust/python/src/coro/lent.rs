//! Threads whose blocking waits somebody else governs: those of a seeded scheduler, which lets others
//! go on meanwhile, on virtual time.

use pyo3::prelude::*;
use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;
use taskloom_core::latch::Event;
use taskloom_core::timer::Clock;

thread_local! {
    static LENT: RefCell<Option<(Py<PyAny>, Arc<Clock>)>> = const { RefCell::new(None) };
}

/// Lends this thread, or takes it back.
pub fn lend(to: Option<(Py<PyAny>, Arc<Clock>)>) {
    let before = LENT.replace(to);
    // Not while the cell is borrowed: this drops a Python object.
    drop(before);
}

/// The clock of whoever governs this thread.
pub fn clock() -> Option<Arc<Clock>> {
    LENT.with_borrow(|lent| lent.as_ref().map(|(_, clock)| Arc::clone(clock)))
}

/// Whether an event is set.
#[pyclass(frozen, module = "taskloom._taskloom")]
struct IsSet(Arc<Event>);

#[pymethods]
impl IsSet {
    fn __call__(&self) -> bool {
        self.0.is_set()
    }
}

/// Waits for the event as whoever governs this thread waits; None if nobody does.
pub fn wait(
    py: Python<'_>,
    timeout: Option<Duration>,
    event: &Arc<Event>,
) -> Option<PyResult<bool>> {
    let wait = LENT.with_borrow(|lent| lent.as_ref().map(|(wait, _)| wait.clone_ref(py)))?;
    let is_set = IsSet(Arc::clone(event));
    let seconds = timeout.map(|timeout| timeout.as_secs_f64());
    let waited = wait.call1(py, (is_set, seconds));
    Some(waited.and_then(|woken| woken.extract(py)))
}
