//! An executor seen through options: the native base of `taskloom.view.ExecutorView`.

use crate::future::{self, Object, Record};
use crate::options::TaskOptions;
use crate::pool::{Pool, add_fast_method, is_task, submit_in_python};
use crate::timer;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use taskloom_core::clock;
use taskloom_core::completion::State;
use taskloom_core::timer::Expire;

#[pyclass(subclass, frozen, module = "taskloom._taskloom")]
pub struct Submitter {
    pool: Py<Pool>,
    #[pyo3(get)]
    chosen: Py<TaskOptions>,
}

#[pymethods]
impl Submitter {
    #[new]
    fn new(pool: Py<Pool>, chosen: Py<TaskOptions>) -> Self {
        Submitter { pool, chosen }
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        visit.call(&self.pool)?;
        visit.call(&self.chosen)
    }
}

/// `Submitter.submit(fn, /, *args, **kwargs)`.
unsafe extern "C" fn submit(
    this: Object,
    args: *const Object,
    count: isize,
    kwnames: Object,
) -> Object {
    // SAFETY: a method of `Submitter` or of a subclass, called attached by the interpreter.
    unsafe {
        let py = Python::assume_attached();
        if count < 1 {
            PyTypeError::new_err("submit() needs a function to run: submit(fn, *args, **kwargs)")
                .restore(py);
            return null_mut();
        }
        let count = count as usize;
        if is_task(*args) {
            return submit_in_python(this, c"_submit_task", args, count, kwnames);
        }
        let view = Bound::from_borrowed_ptr(py, this).cast_into_unchecked::<Submitter>();
        let view = view.get();
        let chosen = view.chosen.get();
        if chosen.special {
            return submit_in_python(this, c"_submit_special", args, count, kwnames);
        }
        view.pool
            .get()
            .submit_call(args, count, kwnames, Some(chosen))
    }
}

/// Has `callable()` asked when a promise is to be cancelled; it says whether it was.
#[pyfunction]
fn _set_canceller(future: &Bound<'_, PyAny>, callable: Py<PyAny>) {
    if let Some(native) = future::native(future) {
        native.observers_or_new().set_canceller(callable);
    }
}

/// Cancels a future that has not started, without asking its canceller.
#[pyfunction]
fn _cancel_here(future: &Bound<'_, PyAny>) -> bool {
    future::native(future).is_some_and(|native| future::cancel_here(native, future.py()))
}

/// Has `callable()` called when the task of a prepared future leaves its slot.
#[pyfunction]
fn _set_on_left(future: &Bound<'_, PyAny>, callable: Py<PyAny>) {
    if let Some(record) = future::native(future).and_then(future::record_of) {
        record.set_on_left(callable);
    }
}

/// Marks a future that runs elsewhere as running; false if it was cancelled.
#[pyfunction]
fn _begin(future: &Bound<'_, PyAny>) -> bool {
    let Some(native) = future::native(future) else {
        return false;
    };
    let begun = native.begin();
    if let Some(record) = future::record_of(native)
        && record.timing()
        && begun
    {
        record.started.store(clock::ticks(), Relaxed);
    }
    begun
}

/// Notes that a task begins that runs elsewhere, for its times.
#[pyfunction]
fn _note_begin(future: &Bound<'_, PyAny>) {
    if let Some(record) = future::native(future).and_then(future::record_of) {
        record.note_begin();
    }
}

/// Ends a future that runs elsewhere, as "done", "failed" or "cancelled"; false if it is over.
#[pyfunction]
fn _settle(future: &Bound<'_, PyAny>, end: &str, outcome: Option<Py<PyAny>>) -> bool {
    let Some(native) = future::native(future) else {
        return false;
    };
    let py = future.py();
    if let Some(record) = future::record_of(native)
        && record.timing()
    {
        record.finished.store(clock::ticks(), Relaxed);
    }
    match end {
        "done" => {
            let value = outcome.unwrap_or_else(|| py.None());
            future::settle(native, State::Done, Some(value), py)
        }
        "failed" => future::settle(native, State::Failed, outcome, py),
        _ => future::settle(native, State::Cancelled, None, py),
    }
}

/// Calls a callable at a time.
struct Call(Py<PyAny>);

impl Expire for Call {
    fn expire(&self) {
        let _ = Python::try_attach(|py| {
            if let Err(error) = self.0.call0(py) {
                error.write_unraisable(py, Some(self.0.bind(py)));
            }
        });
    }
}

/// Calls `callable()` on the timer's thread, `seconds` from now.
#[pyfunction]
fn _call_later(seconds: f64, callable: Py<PyAny>) {
    let clock = timer::real_clock();
    let span = (seconds.max(0.0) * 1e9) as u64;
    clock.set(clock.now().saturating_add(span), Arc::new(Call(callable)));
}

/// The future of the task that the calling thread is in, or None.
#[pyfunction]
fn _current_future(py: Python<'_>) -> Option<Bound<'_, PyAny>> {
    future::current().map(|native| future::as_object(native, py))
}

/// Notes how far the task of a future is.
#[pyfunction]
#[pyo3(signature = (future, done, total))]
fn _set_progress(future: &Bound<'_, PyAny>, done: f64, total: Option<f64>) {
    if let Some(native) = future::native(future) {
        future::count_report();
        native.set_progress(done, total);
    }
}

/// By what the children of a future's task are known, and by what it is known as a child; both may be None.
#[pyfunction]
fn _kinship(future: &Bound<'_, PyAny>) -> (Option<usize>, Option<usize>) {
    future::native(future).map_or((None, None), future::kinship)
}

/// The deadline of a future in seconds of the monotonic clock, or None.
#[pyfunction]
fn _deadline(future: &Bound<'_, PyAny>) -> Option<f64> {
    let record = future::native(future).and_then(future::record_of)?;
    let ticks = record.deadline()?;
    Some(taskloom_core::clock::monotonic_nanos(ticks) as f64 * 1e-9)
}

/// How often the task of a future was called; 0 if it has not begun or was submitted plainly.
#[pyfunction]
fn _attempts(future: &Bound<'_, PyAny>) -> u32 {
    let record = future::native(future).and_then(future::record_of);
    record.map_or(0, |record| {
        record.attempt.load(std::sync::atomic::Ordering::Relaxed)
    })
}

/// Has a task that was not begun count these attempts before its own, the last of which ended so.
#[pyfunction]
fn _set_attempts(future: &Bound<'_, PyAny>, attempts: u32, last_error: Option<Py<PyAny>>) {
    if let Some(record) = future::native(future).and_then(future::record_of) {
        record
            .attempt
            .store(attempts, std::sync::atomic::Ordering::Relaxed);
        record.set_last_error(last_error);
    }
}

/// The error of the attempt before, if the task of a future is being tried again.
#[pyfunction]
fn _last_error(future: &Bound<'_, PyAny>) -> Option<Py<PyAny>> {
    let record = future::native(future).and_then(future::record_of)?;
    record.last_error(future.py())
}

/// Whether a failure of this future lets those go on that come after it.
#[pyfunction]
fn _lets_go_on(future: &Bound<'_, PyAny>) -> bool {
    let record = future::native(future).and_then(future::record_of);
    record.is_some_and(Record::lets_go_on)
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Submitter>()?;
    add_fast_method::<Submitter>(module.py(), c"submit", submit)?;
    module.add_function(wrap_pyfunction!(_set_canceller, module)?)?;
    module.add_function(wrap_pyfunction!(_cancel_here, module)?)?;
    module.add_function(wrap_pyfunction!(_set_on_left, module)?)?;
    module.add_function(wrap_pyfunction!(_current_future, module)?)?;
    module.add_function(wrap_pyfunction!(_set_progress, module)?)?;
    module.add_function(wrap_pyfunction!(_deadline, module)?)?;
    module.add_function(wrap_pyfunction!(_kinship, module)?)?;
    module.add_function(wrap_pyfunction!(_begin, module)?)?;
    module.add_function(wrap_pyfunction!(_note_begin, module)?)?;
    module.add_function(wrap_pyfunction!(_settle, module)?)?;
    module.add_function(wrap_pyfunction!(_call_later, module)?)?;
    module.add_function(wrap_pyfunction!(_attempts, module)?)?;
    module.add_function(wrap_pyfunction!(_last_error, module)?)?;
    module.add_function(wrap_pyfunction!(_set_attempts, module)?)?;
    module.add_function(wrap_pyfunction!(_lets_go_on, module)?)
}
