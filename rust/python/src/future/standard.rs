//! What the standard library reaches for in a future, served on demand.

use super::execute::as_object;
use super::methods::method;
use super::observers::Condition;
use super::record::Record;
use super::{FutureObject, Object, record_of};
use crate::tracing;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyList, PyString, PyType};
use std::ffi::c_void;
use taskloom_core::completion::State;
use taskloom_core::pool::Worker;

static TIMING: PyOnceLock<Py<PyType>> = PyOnceLock::new();

/// The name of a state in `concurrent.futures`.
pub fn state_name(state: State) -> &'static str {
    match state {
        State::Pending | State::Settling => "PENDING",
        State::Running => "RUNNING",
        State::Cancelled => "CANCELLED_AND_NOTIFIED",
        State::Done | State::Failed => "FINISHED",
    }
}

/// The outcome of a future that is over: its value or its exception.
pub fn outcome(future: &FutureObject, py: Python<'_>) -> Option<Py<PyAny>> {
    // SAFETY: published, so immutable, and alive as long as the future.
    unsafe { Bound::from_borrowed_ptr_or_opt(py, future.outcome) }.map(Bound::unbind)
}

fn outcome_of(future: &FutureObject, state: State, py: Python<'_>) -> Py<PyAny> {
    if future.state(py) == state {
        outcome(future, py).unwrap_or_else(|| py.None())
    } else {
        py.None()
    }
}

fn condition(future: &FutureObject, py: Python<'_>) -> PyResult<Condition> {
    let pair = future.observers_or_new().condition(py)?;
    // After this, whoever ends the future does it under the condition.
    let over = future.completion.observe().is_over();
    // A worker that asks for the condition of something unfinished is about to block on it.
    if !over {
        Worker::with_current(|worker| {
            if let Some(worker) = worker {
                worker.may_block();
            }
        });
    }
    Ok(pair)
}

pub unsafe extern "C" fn get_state(this: Object, _: *mut c_void) -> Object {
    method(this, |future, py| {
        let name = state_name(future.state(py));
        Ok(name.into_pyobject(py)?.into_any().unbind())
    })
}

pub unsafe extern "C" fn get_condition(this: Object, _: *mut c_void) -> Object {
    method(this, |future, py| {
        let _ = future.state(py);
        Ok(condition(future, py)?.condition)
    })
}

pub unsafe extern "C" fn get_waiters(this: Object, _: *mut c_void) -> Object {
    method(this, |future, py| {
        Ok(condition(future, py)?.waiters.into_any())
    })
}

pub unsafe extern "C" fn get_result(this: Object, _: *mut c_void) -> Object {
    method(this, |future, py| Ok(outcome_of(future, State::Done, py)))
}

pub unsafe extern "C" fn get_exception(this: Object, _: *mut c_void) -> Object {
    method(this, |future, py| Ok(outcome_of(future, State::Failed, py)))
}

pub unsafe extern "C" fn get_name(this: Object, _: *mut c_void) -> Object {
    method(this, |future, py| {
        if let Some(name) = record_of(future).and_then(|record| record.name.as_ref()) {
            return Ok(name.clone_ref(py).into_any());
        }
        let this = std::ptr::from_ref(future).cast::<()>();
        if Worker::with_current(|worker| worker.is_some_and(|it| it.current() == this)) {
            // Its call is below us on this thread, so what names it is there.
            return qualified_name(&tracing::named(future.named_by(), py)?);
        }
        match future.callable(py) {
            Some(callable) => qualified_name(&tracing::named(callable.as_ptr(), py)?),
            None => Ok(py.None()),
        }
    })
}

fn qualified_name(callable: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    if callable.is_instance_of::<PyString>() {
        return Ok(callable.clone().unbind());
    }
    let name = callable.getattr("__qualname__");
    let name = name.or_else(|_| callable.repr().map(Bound::into_any));
    Ok(name?.unbind())
}

pub unsafe extern "C" fn get_progress(this: Object, _: *mut c_void) -> Object {
    method(this, |future, py| {
        let progress = future.observers().and_then(|o| o.progress());
        Ok(progress.into_pyobject(py)?.into_any().unbind())
    })
}

pub unsafe extern "C" fn get_timing(this: Object, _: *mut c_void) -> Object {
    method(this, |future, py| {
        let Some(times) = record_of(future).and_then(Record::times) else {
            return Ok(py.None());
        };
        let class = TIMING.import(py, "taskloom.scheduling.statistics", "Timing")?;
        let keywords = pyo3::types::PyDict::new(py);
        keywords.set_item("submitted", times.0)?;
        keywords.set_item("started", times.1)?;
        keywords.set_item("finished", times.2)?;
        keywords.set_item("worker", times.3)?;
        Ok(class.call((), Some(&keywords))?.unbind())
    })
}

pub unsafe extern "C" fn get_callbacks(this: Object, _: *mut c_void) -> Object {
    method(this, |future, py| {
        let callbacks = future
            .observers()
            .map(|observers| observers.callbacks(py))
            .unwrap_or_default();
        Ok(PyList::new(py, callbacks)?.into_any().unbind())
    })
}

pub unsafe extern "C" fn get_snapshot(this: Object, _: Object) -> Object {
    method(this, |future, py| {
        let state = future.state(py);
        let snapshot = (
            state.is_over(),
            state == State::Cancelled,
            outcome_of(future, State::Done, py),
            outcome_of(future, State::Failed, py),
        );
        Ok(snapshot.into_pyobject(py)?.into_any().unbind())
    })
}

/// `<Future at 0x... state=finished returned int>`, as the standard library writes it.
pub fn repr(future: &FutureObject, py: Python<'_>) -> PyResult<Py<PyAny>> {
    let this = as_object(future, py);
    let state = future.state(py);
    let mut text = format!(
        "<Future at {:#x} state={}",
        this.as_ptr() as usize,
        match state {
            State::Cancelled => "cancelled",
            State::Done | State::Failed => "finished",
            State::Running => "running",
            State::Pending | State::Settling => "pending",
        }
    );
    if let (State::Done | State::Failed, Some(outcome)) = (state, outcome(future, py)) {
        let verb = if state == State::Done {
            "returned"
        } else {
            "raised"
        };
        text += &format!(" {verb} {}", outcome.bind(py).get_type().name()?);
    }
    text.push('>');
    Ok(text.into_pyobject(py)?.into_any().unbind())
}
