//! The methods of a future.

use super::cancel as cancel_future;
use super::execute::{self, as_object, finish};
use super::publish::call_back;
use super::{FutureObject, INLINE, MANAGED, Object, PROMISE, record_of, standard, waits};
use crate::{call, errors, tracing};
use pyo3::exceptions::{PyTimeoutError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use taskloom_core::completion::State;
use taskloom_core::pool::Worker;

/// Runs the body of a method or of a getter, turning an error into a raised exception.
pub(super) fn method(
    this: Object,
    body: impl FnOnce(&FutureObject, Python<'_>) -> PyResult<Py<PyAny>>,
) -> Object {
    // SAFETY: the interpreter calls both attached, on live objects of the class.
    let (py, future) = unsafe { (Python::assume_attached(), &*this.cast::<FutureObject>()) };
    match body(future, py) {
        Ok(object) => object.into_ptr(),
        Err(error) => {
            error.restore(py);
            null_mut()
        }
    }
}

fn boolean(value: bool, py: Python<'_>) -> Py<PyAny> {
    pyo3::types::PyBool::new(py, value)
        .to_owned()
        .into_any()
        .unbind()
}

/// Whether it must not start yet, or runs elsewhere.
fn is_held(future: &FutureObject) -> bool {
    future.shape.has(MANAGED) && record_of(future).is_some_and(|r| r.held.load(Relaxed))
}

/// Waits until the future is over, running it here if that is allowed. False: the time is up.
fn wait(future: &FutureObject, timeout: Option<Duration>, py: Python<'_>) -> PyResult<bool> {
    if future.state(py).is_over() {
        return Ok(true);
    }
    let zero = timeout.is_some_and(|t| t.is_zero());
    Worker::with_current(|worker| {
        let mine = worker.filter(|w| {
            std::ptr::eq(
                std::sync::Arc::as_ptr(w.pool()).cast(),
                future.origin.pool(),
            )
        });
        let inline = mine.is_some() || future.shape.has(INLINE);
        // A worker that waits runs what it waits for, and nothing else. With a limit on the wait
        // it does not: a task cannot be left half-way.
        let inline = inline && !is_held(future);
        if inline && timeout.is_none() && future.completion.claim() {
            execute::run_inline(future, py);
            return Ok(true);
        }
        if zero {
            return Ok(false);
        }
        let _noted = waits::note(future, py);
        let completion = &future.completion;
        let wait = || call::wait_detached(py, timeout, |slice| completion.wait(slice));
        match worker {
            Some(worker) => {
                let traced = worker.pool().switch().is_on();
                let this = std::ptr::from_ref(future).cast();
                if traced {
                    tracing::waits(worker, this, true);
                }
                let result = worker.blocked(wait);
                if traced {
                    tracing::waits(worker, this, false);
                }
                result
            }
            None => wait(),
        }
    })
}

/// The parameter `timeout`, positional or by keyword.
fn timeout_argument(
    name: &str,
    args: *const Object,
    count: isize,
    kwnames: Object,
    py: Python<'_>,
) -> PyResult<Option<Duration>> {
    let keywords = if kwnames.is_null() {
        0
    } else {
        // SAFETY: a vectorcall's names are a tuple.
        unsafe { ffi::PyTuple_GET_SIZE(kwnames) }
    };
    if count + keywords == 0 {
        return Ok(None);
    }
    if count + keywords > 1 {
        let given = count + keywords;
        return Err(PyTypeError::new_err(format!(
            "{name}() takes one argument, timeout, in seconds ({given} were given)"
        )));
    }
    if keywords == 1 {
        // SAFETY: a tuple with one item, a live string.
        let key = unsafe { Bound::from_borrowed_ptr(py, ffi::PyTuple_GET_ITEM(kwnames, 0)) };
        let key: String = key.extract()?;
        if key != "timeout" {
            return Err(PyTypeError::new_err(format!(
                "{name}() has no parameter {key:?}; its only one is 'timeout'"
            )));
        }
    }
    // SAFETY: one argument was given.
    let value = unsafe { Bound::from_borrowed_ptr(py, *args) };
    Ok(call::timeout_from(value.extract()?))
}

pub(super) unsafe extern "C" fn result(
    this: Object,
    args: *const Object,
    count: isize,
    kwnames: Object,
) -> Object {
    // SAFETY: a live future; a published outcome never changes.
    unsafe {
        let future = &*this.cast::<FutureObject>();
        if count == 0 && kwnames.is_null() && future.completion.state() == State::Done {
            ffi::Py_INCREF(future.outcome);
            return future.outcome;
        }
    }
    method(this, |future, py| {
        let timeout = timeout_argument("result", args, count, kwnames, py)?;
        if !wait(future, timeout, py)? {
            return Err(PyTimeoutError::new_err(()));
        }
        let outcome = standard::outcome(future, py);
        match future.completion.state() {
            State::Done => outcome.ok_or_else(|| errors::cancelled(py)),
            State::Failed => match outcome {
                Some(exception) => Err(PyErr::from_value(exception.into_bound(py))),
                None => Err(errors::cancelled(py)),
            },
            _ => Err(errors::cancelled(py)),
        }
    })
}

pub(super) unsafe extern "C" fn exception(
    this: Object,
    args: *const Object,
    count: isize,
    kwnames: Object,
) -> Object {
    method(this, |future, py| {
        let timeout = timeout_argument("exception", args, count, kwnames, py)?;
        if !wait(future, timeout, py)? {
            return Err(PyTimeoutError::new_err(()));
        }
        match future.completion.state() {
            State::Done => Ok(py.None()),
            State::Failed => Ok(standard::outcome(future, py).unwrap_or_else(|| py.None())),
            _ => Err(errors::cancelled(py)),
        }
    })
}

pub(super) unsafe extern "C" fn done(this: Object, _: Object) -> Object {
    method(this, |future, py| {
        Ok(boolean(future.state(py).is_over(), py))
    })
}

pub(super) unsafe extern "C" fn cancelled(this: Object, _: Object) -> Object {
    method(this, |future, py| {
        Ok(boolean(future.state(py) == State::Cancelled, py))
    })
}

pub(super) unsafe extern "C" fn running(this: Object, _: Object) -> Object {
    method(this, |future, py| {
        Ok(boolean(future.state(py) == State::Running, py))
    })
}

pub(super) unsafe extern "C" fn cancel(this: Object, _: Object) -> Object {
    method(this, |future, py| {
        let _ = future.state(py);
        Ok(boolean(cancel_future(future, py), py))
    })
}

pub(super) unsafe extern "C" fn add_done_callback(this: Object, callback: Object) -> Object {
    method(this, |future, py| {
        // SAFETY: the argument of a method call, live.
        let callback = unsafe { Bound::from_borrowed_ptr(py, callback) }.unbind();
        let _ = future.state(py);
        let observers = future.observers_or_new();
        let late = if future.completion.observe().is_over() {
            Some(callback)
        } else {
            observers.register(callback, || future.completion.state().is_over())
        };
        if let Some(callback) = late {
            call_back(future, callback, py);
        }
        Ok(py.None())
    })
}

fn refuse_to_set(future: &FutureObject, py: Python<'_>) -> PyErr {
    let this = as_object(future, py);
    if !future.shape.has(PROMISE) && !future.completion.state().is_over() {
        errors::invalid_state(
            py,
            format!(
                "{this}: its executor sets the outcome of a submitted task; make a Future() to set one yourself"
            ),
        )
    } else {
        errors::invalid_state(
            py,
            format!("{}: {this}", standard::state_name(future.state(py))),
        )
    }
}

fn settle(future: &FutureObject) -> bool {
    future.shape.has(PROMISE)
        && (future.completion.claim_to_settle() || future.completion.settle_running())
}

pub(super) unsafe extern "C" fn set_result(this: Object, value: Object) -> Object {
    method(this, |future, py| {
        if !settle(future) {
            return Err(refuse_to_set(future, py));
        }
        // SAFETY: the argument of a method call, live.
        let value = unsafe { Bound::from_borrowed_ptr(py, value) }.unbind();
        finish(future, State::Done, Some(value), py);
        Ok(py.None())
    })
}

pub(super) unsafe extern "C" fn set_exception(this: Object, value: Object) -> Object {
    method(this, |future, py| {
        // SAFETY: the argument of a method call, live.
        let value = unsafe { Bound::from_borrowed_ptr(py, value) };
        if !value.is_instance_of::<pyo3::exceptions::PyBaseException>() {
            return Err(PyTypeError::new_err(format!(
                "set_exception() takes an exception, not {}",
                value.get_type().name()?
            )));
        }
        if !settle(future) {
            return Err(refuse_to_set(future, py));
        }
        finish(future, State::Failed, Some(value.unbind()), py);
        Ok(py.None())
    })
}

pub(super) unsafe extern "C" fn set_running_or_notify_cancel(this: Object, _: Object) -> Object {
    method(this, |future, py| {
        if future.shape.has(PROMISE) && future.completion.claim() {
            return Ok(boolean(true, py));
        }
        if future.state(py) == State::Cancelled {
            return Ok(boolean(false, py));
        }
        Err(errors::unexpected_state(py, &as_object(future, py)))
    })
}

static AWAIT: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

pub(super) unsafe extern "C" fn am_await(this: Object) -> Object {
    method(this, |future, py| {
        let function = AWAIT.get_or_try_init(py, || {
            py.import("taskloom._bridge")?
                .getattr("await_future")
                .map(Bound::unbind)
        })?;
        function.call1(py, (as_object(future, py),))
    })
}

pub(super) unsafe extern "C" fn repr(this: Object) -> Object {
    method(this, standard::repr)
}

static IDENTIFIERS: AtomicU64 = AtomicU64::new(1);

pub(super) unsafe extern "C" fn get_id(this: Object, _: *mut c_void) -> Object {
    method(this, |future, py| {
        let id = future
            .observers_or_new()
            .id(|| IDENTIFIERS.fetch_add(1, Relaxed));
        Ok(id.into_pyobject(py)?.into_any().unbind())
    })
}
