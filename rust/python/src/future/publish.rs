//! Telling the world how a future ended: who waits for it, by a condition, and callbacks.

use super::FutureObject;
use super::execute::as_object;
use crate::{call, errors};
use pyo3::prelude::*;
use pyo3::types::PyList;
use taskloom_core::completion::State;
use taskloom_core::pool::Worker;
use taskloom_core::trace::interrupted;

/// Ends a future that the caller has claimed and whose `end` is stored.
///
/// # Safety
/// `future` is live and stays so.
#[inline]
pub unsafe fn publish(future: *mut FutureObject, py: Python<'_>) {
    // SAFETY: live, as the caller promises.
    let future = unsafe { &*future };
    let end = future.shape.end();
    if !future.completion.try_publish(end) {
        publish_observed(future, end, py);
    }
}

#[cold]
fn publish_observed(future: &FutureObject, end: State, py: Python<'_>) {
    interrupted();
    Worker::with_current(|worker| worker.map(Worker::interrupted));
    let observers = future.observers_or_new();
    let publish = || future.completion.publish_observed(end);
    if let Some(pair) = observers.publish_or_condition(py, publish) {
        let this = as_object(future, py);
        let told = tell_waiters(
            &pair.condition.into_bound(py),
            &pair.waiters.into_bound(py),
            &this,
            end,
            publish,
        );
        if let Err(error) = told {
            if !future.completion.state().is_over() {
                future.completion.publish_observed(end);
            }
            call::write_unraisable(py, error, Some(&this));
        }
    }
    for callback in observers.take_callbacks() {
        call_back(future, callback, py);
    }
}

fn tell_waiters(
    condition: &Bound<'_, PyAny>,
    waiters: &Bound<'_, PyList>,
    future: &Bound<'_, PyAny>,
    end: State,
    publish: impl FnOnce(),
) -> PyResult<()> {
    condition.call_method0("acquire")?;
    publish();
    let method = match end {
        State::Failed => "add_exception",
        State::Cancelled => "add_cancelled",
        _ => "add_result",
    };
    let mut first = Ok(());
    for waiter in waiters.iter() {
        let told = waiter.call_method1(method, (future,)).map(drop);
        first = first.and(told);
    }
    let notified = condition.call_method0("notify_all").map(drop);
    let released = condition.call_method0("release").map(drop);
    first.and(notified).and(released)
}

/// Calls a callback; what it raises is logged, as the standard library does.
pub fn call_back(future: &FutureObject, callback: Py<PyAny>, py: Python<'_>) {
    let this = as_object(future, py);
    if let Err(error) = callback.call1(py, (&this,)) {
        if error.is_instance_of::<pyo3::exceptions::PyException>(py) {
            errors::log_callback_error(py, &this, error);
        } else {
            call::write_unraisable(py, error, Some(&this));
        }
    }
}
