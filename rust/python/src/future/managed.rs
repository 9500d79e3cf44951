//! Running a future that has a record: attempts, deadlines, and who owns its end.
//!
//! A plain future belongs to whoever claimed it until it is over. One with a record may be ended
//! from elsewhere while it runs, so its runner has to win its end by `settle_running`, and drops
//! what the call returned if somebody else did. The call and its inputs are the runner's always.

use super::execute::{end_with, is_cancellation, vectorcall};
use super::limit::Armed;
use super::record::Record;
use super::{FutureObject, Object, limit, record_of};
use crate::{call, context, errors};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};
use std::ptr::null_mut;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use taskloom_core::clock;
use taskloom_core::completion::State;
use taskloom_core::pool::Worker;

/// Runs the call of a claimed future and drops it, on `worker` or inside of what runs on this thread.
/// Returns how the future ended, to be published, or None if somebody else ended it.
///
/// # Safety
/// Attached, claimed by the caller, and made with a record. `worker` runs nothing else.
pub unsafe fn run(
    this: *mut FutureObject,
    py: Python<'_>,
    worker: Option<&Worker>,
) -> Option<State> {
    // SAFETY: live, and its record was there before it was shared.
    let future = unsafe { &*this };
    let record = record_of(future)?;
    let is_timed = record.timing() || record.deadline().is_some() || record.timeout().is_some();
    let now = match worker {
        Some(worker) if is_timed => worker.began(),
        None if is_timed => clock::ticks(),
        _ => 0,
    };
    match worker {
        Some(_) => record.note_start(worker, now),
        None => Worker::with_current(|around| record.note_start(around, now)),
    }
    let mut struck = false;
    let (end, outcome) = if future.origin.is_cancelled() {
        (State::Cancelled, py.None())
    } else if record
        .hard_deadline()
        .is_some_and(|deadline| now > deadline)
    {
        let text = format!(
            "the deadline of {} passed before it began",
            record.describe(py)
        );
        (State::Failed, missed(py, &text))
    } else {
        // SAFETY: as the caller promises.
        unsafe { attempts(this, record, now, &mut struck, worker.is_some()) }
    };
    // SAFETY: whoever claimed owns the call; dropping it may run arbitrary code, which still finds
    // the future running.
    unsafe { FutureObject::clear_call(this) };
    if struck {
        limit::leave(record);
    }
    record.forget_error();
    if record.timing() {
        match worker {
            Some(on) => record.note_end(worker, on.ends()),
            None => Worker::with_current(|around| record.note_end(around, clock::ticks())),
        }
    }
    let ended = future.completion.settle_running();
    if ended {
        // SAFETY: settled by this thread, so the outcome is its own.
        unsafe {
            if end != State::Cancelled {
                let outcome = outcome.into_ptr();
                (*this).outcome = outcome;
                if ffi::PyObject_IS_GC(outcome) != 0 && ffi::PyObject_GC_IsTracked(outcome) != 0 {
                    FutureObject::track(this);
                }
            }
        }
    }
    if let Some(callable) = record.take_on_left() {
        if let Err(error) = callable.call0(py) {
            call::write_unraisable(py, error, Some(callable.bind(py)));
        }
        if let Some(worker) = worker {
            worker.interrupted();
        }
    }
    ended.then_some(end)
}

/// Calls until the task returned, or raised what is not to be tried again. Begins at `now`; tells
/// whether a limit of time may have struck.
///
/// # Safety
/// As `run`.
unsafe fn attempts(
    this: *mut FutureObject,
    record: &Record,
    mut now: u64,
    struck: &mut bool,
    outermost: bool,
) -> (State, Py<PyAny>) {
    // SAFETY: as the caller promises.
    let py = unsafe { Python::assume_attached() };
    loop {
        // Only its runner counts attempts.
        let count = record.attempt.load(Relaxed) + 1;
        record.attempt.store(count, Relaxed);
        // SAFETY: as the caller promises.
        let result = unsafe {
            let armed = limit::arm(&*this, record, now);
            record.enter();
            let result = attempt(this, py, outermost);
            record.exit();
            *struck |= armed.is_some_and(Armed::disarm);
            result
        };
        // SAFETY: a new reference, or null.
        if let Some(value) = unsafe { Bound::from_owned_ptr_or_opt(py, result) } {
            return (State::Done, value.unbind());
        }
        let error = call::take_exception(py);
        if is_cancellation(py, &error) {
            return (State::Cancelled, error);
        }
        match record.again(py, &error) {
            Ok(None) => return (State::Failed, error),
            // SAFETY: as the caller promises.
            Ok(Some(delay)) => unsafe { back_off(&*this, record, py, delay) },
            Err(problem) => return (State::Failed, problem.into_value(py).into_any()),
        }
        // SAFETY: live.
        if unsafe { (*this).completion.state() } != State::Running {
            // Ended meanwhile: what is returned here is dropped.
            return (State::Failed, error);
        }
        now = clock::ticks();
    }
}

/// # Safety
/// As `run`.
unsafe fn attempt(this: *mut FutureObject, py: Python<'_>, outermost: bool) -> Object {
    // SAFETY: as the caller promises; the context and inputs are the runner's.
    unsafe {
        if !outermost {
            return context::run_nested(py, (*this).context, || vectorcall_again(this, py));
        }
        if !context::enter_outermost((*this).context) {
            return null_mut();
        }
        vectorcall_again(this, py)
    }
}

/// As `vectorcall`, with the error of the attempt before where the task wants it by a keyword.
///
/// # Safety
/// As `run`.
unsafe fn vectorcall_again(this: *mut FutureObject, py: Python<'_>) -> Object {
    // SAFETY: live, as the caller promises.
    let passed = record_of(unsafe { &*this }).and_then(|record| record.error_to_pass(py));
    // SAFETY: as the caller promises.
    unsafe {
        let Some((name, error)) = passed else {
            return vectorcall(this);
        };
        let inputs = std::slice::from_raw_parts(
            FutureObject::inputs(this).cast_const(),
            usize::from((*this).shape.inputs),
        );
        let kwnames = FutureObject::keywords(this);
        let names = match Bound::from_borrowed_ptr_or_opt(py, kwnames) {
            Some(names) => names.cast_into_unchecked::<PyTuple>().to_list(),
            None => PyList::empty(py),
        };
        let positional = inputs.len() - names.len();
        let mut arguments = inputs.to_vec();
        arguments.push(error.as_ptr());
        let named = names.append(name).map(|()| names.to_tuple());
        match named {
            Ok(named) => ffi::PyObject_Vectorcall(
                (*this).callable,
                arguments.as_ptr(),
                positional,
                named.as_ptr(),
            ),
            Err(error) => {
                error.restore(py);
                null_mut()
            }
        }
    }
}

/// Waits before the next attempt, or until somebody ends the future.
fn back_off(future: &FutureObject, record: &Record, py: Python<'_>, seconds: f64) {
    let Some(delay) = call::timeout_from(Some(seconds)).filter(|d| !d.is_zero()) else {
        return;
    };
    record.backing_off.store(true, SeqCst);
    // Whoever cancels sets the token and then looks whether it waits; here it is the other way round.
    if future.was_asked_to_stop() && cancel_waiting(future, py) {
        return;
    }
    let completion = &future.completion;
    let pause = || {
        // What a signal handler raised is for the waiting thread, not for the task.
        let _ = call::wait_detached(py, Some(delay), |slice| completion.wait(slice));
    };
    Worker::with_current(|worker| match worker {
        Some(worker) => worker.blocked(pause),
        None => pause(),
    });
    record.backing_off.store(false, Relaxed);
}

/// The error of a task whose deadline has passed.
pub fn missed(py: Python<'_>, how: &str) -> Py<PyAny> {
    errors::raise(py, "DeadlineMissed", how)
        .into_value(py)
        .into_any()
}

/// Cancels a future that waits for its next attempt. True if that ended it.
pub fn cancel_waiting(future: &FutureObject, py: Python<'_>) -> bool {
    let Some(record) = record_of(future) else {
        return false;
    };
    if !record.backing_off.load(SeqCst) || !future.completion.settle_running() {
        return false;
    }
    end_with(future, State::Cancelled, None, py);
    true
}

/// Raises Cancelled in the thread that runs a future, if its options want that.
pub fn interrupt(future: &FutureObject, py: Python<'_>) {
    if let Some(record) = record_of(future).filter(|record| record.interrupt())
        && let Ok(class) = errors::cancelled_inside(py)
    {
        record.raise_inside(class);
    }
}
