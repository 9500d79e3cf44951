//! Running a future's call, and telling the world how it ended.

use super::publish::publish;
use super::{COROUTINE, FutureObject, MANAGED, Object, family, managed, record_of};
use crate::{call, context, errors, flow, tracing};
use pyo3::ffi;
use pyo3::prelude::*;
use std::cell::RefCell;
use std::ptr::{null, null_mut};
use taskloom_core::completion::State;
use taskloom_core::job::Job;
use taskloom_core::pool::Worker;
use taskloom_core::trace::{EventKind, interrupted};

/// The job of a queued future. The queue's reference to the future is the job's to drop.
///
/// # Safety
/// `data` is a future with a reference that the job owns; the worker is attached.
pub unsafe fn execute(data: *const (), worker: &Worker) {
    let future = data.cast::<FutureObject>().cast_mut();
    // SAFETY: as the contract says; whoever claims owns the call.
    unsafe {
        let counts = &worker.stats().counts;
        if !(*future).completion.claim() {
            // Cancelled, or run by who waited for it.
            match (*future).completion.state() {
                State::Cancelled | State::Settling => counts.cancelled.add(1),
                State::Failed => counts.failed.add(1),
                _ => counts.done.add(1),
            }
            ffi::Py_DECREF(future.cast());
            return;
        }
        worker.may_take_long();
        worker.replace_current(data);
        let traced = worker.pool().switch().is_on();
        if traced {
            tracing::started(worker, data, (*future).named_by());
        }
        let managed = (*future).shape.has(MANAGED);
        let end = if managed {
            match managed::run(future, Python::assume_attached(), Some(worker)) {
                Some(end) => end,
                None => {
                    worker.replace_current(null());
                    let end = ended_elsewhere(&*future, worker);
                    match end {
                        State::Cancelled => counts.cancelled.add(1),
                        State::Done => counts.done.add(1),
                        _ => counts.timed_out.add(1),
                    }
                    if traced {
                        tracing::ended(worker, data, event_of(end));
                    }
                    ffi::Py_DECREF(future.cast());
                    return;
                }
            }
        } else if (*future).origin.is_cancelled() {
            State::Cancelled
        } else if context::enter_outermost((*future).context) {
            run_call(future)
        } else {
            fail(future)
        };
        worker.replace_current(null());
        match end {
            State::Done => counts.done.add(1),
            State::Failed => counts.failed.add(1),
            _ => counts.cancelled.add(1),
        }
        (*future).shape.set_end(end);
        if !managed {
            FutureObject::clear_call(future);
        }
        if traced {
            tracing::ended(worker, data, event_of(end));
        }
        let is_last = ffi::Py_REFCNT(future.cast()) == 1;
        if worker.has_more() || is_last {
            // There is no interpreter to hand over yet, or nobody to hand it to.
            publish(future, Python::assume_attached());
            ffi::Py_DECREF(future.cast());
            if is_last {
                // What the outcome did as it went is no part of the next task.
                worker.interrupted();
            }
        } else {
            worker.set_late(Job::new(data, publish_late));
        }
    }
}

/// How a future ended that somebody else has settled while its call ran.
///
/// Waits for that to be so: where the workers have left, all that they ran is over.
#[cold]
fn ended_elsewhere(future: &FutureObject, worker: &Worker) -> State {
    // SAFETY: workers execute attached.
    let py = unsafe { Python::assume_attached() };
    let completion = &future.completion;
    if !completion.state().is_over() {
        // Workers get no signals, so that nothing is raised here.
        worker.blocked(|| {
            let _ = call::wait_detached(py, None, |slice| completion.wait(slice));
        });
    }
    completion.state()
}

fn event_of(end: State) -> EventKind {
    match end {
        State::Done => EventKind::Done,
        State::Failed => EventKind::Fail,
        _ => EventKind::Cancel,
    }
}

/// Runs a future on the thread that waits for it, which has claimed it, in a context of its own.
pub fn run_inline(future: &FutureObject, py: Python<'_>) {
    let this = std::ptr::from_ref(future).cast_mut();
    let before = family::replace_current(this);
    Worker::with_current(|worker| {
        let traced = worker.filter(|worker| worker.pool().switch().is_on());
        if let Some(worker) = traced {
            interrupted();
            // SAFETY: attached, and the caller has claimed the call.
            unsafe { tracing::started(worker, this.cast(), future.named_by()) };
        }
        run_nested(this, py);
        if let Some(worker) = traced {
            tracing::ended(worker, this.cast(), event_of(future.completion.state()));
            interrupted();
        }
    });
    family::replace_current(before);
}

fn run_nested(this: *mut FutureObject, py: Python<'_>) {
    // SAFETY: attached and claimed by the caller.
    unsafe {
        let end = if ffi::Py_EnterRecursiveCall(
            c" while running a task that is waited for".as_ptr(),
        ) != 0
        {
            if (*this).shape.has(MANAGED) {
                let error = call::take_exception(py);
                FutureObject::clear_call(this);
                if (*this).completion.settle_running() {
                    end_with(&*this, State::Failed, Some(error), py);
                }
                return;
            }
            fail(this)
        } else if (*this).shape.has(MANAGED) {
            let end = managed::run(this, py, None);
            ffi::Py_LeaveRecursiveCall();
            match end {
                Some(end) => end,
                None => return,
            }
        } else if (*this).origin.is_cancelled() {
            ffi::Py_LeaveRecursiveCall();
            State::Cancelled
        } else {
            let result = context::run_nested(py, (*this).context, || call_while_asked(this));
            ffi::Py_LeaveRecursiveCall();
            settle(this, result)
        };
        (*this).shape.set_end(end);
        FutureObject::clear_call(this);
        publish(this, py);
    }
}

/// # Safety
/// Attached, claimed by the caller.
#[inline]
pub unsafe fn vectorcall(this: *mut FutureObject) -> Object {
    // SAFETY: the inputs are live, preceded by a scratch slot, and as many as the shape says.
    unsafe {
        let inputs = FutureObject::inputs(this);
        let kwnames = FutureObject::keywords(this);
        let named = if kwnames.is_null() {
            0
        } else {
            ffi::PyTuple_GET_SIZE(kwnames) as usize
        };
        let positional = usize::from((*this).shape.inputs) - named;
        // The slot before the inputs is the callee's for the call, where it is scratch.
        let scratch = if (*this).shape.has(COROUTINE) {
            0
        } else {
            ffi::PY_VECTORCALL_ARGUMENTS_OFFSET
        };
        ffi::PyObject_Vectorcall((*this).callable, inputs, positional | scratch, kwnames)
    }
}

/// # Safety
/// Attached, claimed by the caller.
#[inline]
unsafe fn run_call(this: *mut FutureObject) -> State {
    // SAFETY: as the caller promises.
    unsafe { settle(this, call_while_asked(this)) }
}

/// Calls, and calls again for as long as the task asks for it by `RetryTask`.
///
/// # Safety
/// Attached, claimed by the caller.
#[inline]
unsafe fn call_while_asked(this: *mut FutureObject) -> Object {
    // SAFETY: as the caller promises.
    unsafe {
        let result = vectorcall(this);
        if result.is_null() {
            return again_if_asked(this);
        }
        result
    }
}

/// # Safety
/// As `call_while_asked`, with an exception set; returns null with one set, or what a later call gave.
#[cold]
unsafe fn again_if_asked(this: *mut FutureObject) -> Object {
    // SAFETY: as the caller promises.
    let py = unsafe { Python::assume_attached() };
    while let Some(asked) = flow::take_retry(py) {
        let pause = || -> PyResult<()> {
            let delay: Option<f64> = asked.getattr("delay")?.extract()?;
            // Raises if the task is cancelled; without a delay it only looks.
            py.import("taskloom._taskloom")?
                .call_method1("sleep_blocking", (delay.unwrap_or(0.0),))
                .map(drop)
        };
        if let Err(error) = pause() {
            error.restore(py);
            return null_mut();
        }
        // SAFETY: as the caller promises; the inputs are kept until the future is over.
        let result = unsafe { vectorcall(this) };
        if !result.is_null() {
            return result;
        }
    }
    null_mut()
}

/// Stores how a call ended: its result, or the exception that it left behind.
///
/// # Safety
/// Attached, claimed by the caller; `result` is a new reference or null.
#[inline]
unsafe fn settle(this: *mut FutureObject, result: Object) -> State {
    // SAFETY: as the caller promises.
    unsafe {
        if result.is_null() {
            return fail(this);
        }
        if (*this).completion.state() != State::Running {
            return ended_meanwhile(this, result);
        }
        keep_outcome(this, result);
        State::Done
    }
}

/// # Safety
/// Attached with an exception set, claimed by the caller.
#[cold]
unsafe fn fail(this: *mut FutureObject) -> State {
    // SAFETY: as the caller promises.
    unsafe {
        let py = Python::assume_attached();
        let error = call::take_exception(py);
        if (*this).completion.state() != State::Running {
            return ended_meanwhile(this, error.into_ptr());
        }
        if is_cancellation(py, &error) {
            return State::Cancelled;
        }
        (*this).outcome = error.into_ptr();
        // An exception refers to frames, which may refer to the future.
        FutureObject::track(this);
        State::Failed
    }
}

/// The call came back in a forked child, where its future had been abandoned: it keeps that end.
///
/// # Safety
/// Attached; `outcome` is a reference to give up.
#[cold]
unsafe fn ended_meanwhile(this: *mut FutureObject, outcome: Object) -> State {
    // SAFETY: as the caller promises.
    unsafe {
        ffi::Py_DECREF(outcome);
        (*this).shape.end()
    }
}

/// Whether an error says that a task has stopped because it was cancelled.
pub fn is_cancellation(py: Python<'_>, error: &Py<PyAny>) -> bool {
    errors::cancelled_inside(py)
        .is_ok_and(|class| error.bind(py).is_instance(class).unwrap_or(false))
}

thread_local! {
    /// Futures whose last reference of ours could not be dropped detached.
    static GARBAGE: RefCell<Vec<*mut FutureObject>> = const { RefCell::new(Vec::new()) };
}

/// Whether this thread still holds references that it could not drop.
pub fn has_garbage() -> bool {
    GARBAGE.with_borrow(|garbage| !garbage.is_empty())
}

/// Drops them. Attached.
pub fn drop_garbage() {
    // One at a time: a drop runs arbitrary code.
    while let Some(future) = GARBAGE.with_borrow_mut(Vec::pop) {
        // SAFETY: the reference was kept for this, and the thread is attached.
        unsafe { ffi::Py_DECREF(future.cast()) };
    }
}

/// # Safety
/// As `execute`, after it; may be called detached.
unsafe fn publish_late(data: *const (), worker: &Worker) {
    let future = data.cast::<FutureObject>().cast_mut();
    // SAFETY: the job's reference keeps the future alive.
    unsafe {
        let end = (*future).shape.end();
        if worker.is_attached() || !(*future).completion.try_publish(end) {
            // Callbacks may run here, and end what has a late job in turn.
            worker.attached(|| {
                publish(future, Python::assume_attached());
                ffi::Py_DECREF(future.cast());
            });
            return;
        }
    }
    GARBAGE.with_borrow_mut(|garbage| garbage.push(future));
}

/// The object of a future.
pub fn as_object<'py>(future: &FutureObject, py: Python<'py>) -> Bound<'py, PyAny> {
    let pointer = std::ptr::from_ref(future).cast_mut().cast();
    // SAFETY: a live object; the reference is a new one.
    unsafe { Bound::from_borrowed_ptr(py, pointer) }
}

/// Ends a future that the caller has settled, with an outcome given as a new reference.
pub fn finish(future: &FutureObject, end: State, outcome: Option<Py<PyAny>>, py: Python<'_>) {
    // SAFETY: the caller has claimed the future, and it is alive for this call.
    unsafe { FutureObject::clear_call(std::ptr::from_ref(future).cast_mut()) };
    end_with(future, end, outcome, py);
}

/// As `finish`, but leaves the call as it is: its runner still holds it.
pub fn end_with(future: &FutureObject, end: State, outcome: Option<Py<PyAny>>, py: Python<'_>) {
    let this = std::ptr::from_ref(future).cast_mut();
    // SAFETY: as in `finish`.
    unsafe {
        if let Some(outcome) = outcome {
            keep_outcome(this, outcome.into_ptr());
        }
        future.shape.set_end(end);
        publish(this, py);
    }
}

/// Stores an outcome, which the collector has to see if it can be part of a cycle.
///
/// # Safety
/// Attached, and the caller has claimed the future; `outcome` is a reference to give up.
#[inline]
pub(super) unsafe fn keep_outcome(this: *mut FutureObject, outcome: Object) {
    // SAFETY: as the caller promises; a live object.
    unsafe {
        (*this).outcome = outcome;
        if ffi::PyObject_IS_GC(outcome) != 0 && ffi::PyObject_GC_IsTracked(outcome) != 0 {
            FutureObject::track(this);
        }
    }
}

/// Ends a future that runs elsewhere than on a worker; false if it is over.
pub fn settle_elsewhere(
    future: &FutureObject,
    end: State,
    outcome: Option<Py<PyAny>>,
    py: Python<'_>,
) -> bool {
    let settled = future.completion.claim_to_settle() || future.completion.settle_running();
    if settled {
        if let Some(record) = record_of(future) {
            record.note_end_elsewhere();
        }
        finish(future, end, outcome, py);
    }
    settled
}

/// Fails a future whose process was left behind by a fork: nobody will run it here.
#[cold]
pub fn abandon(future: &FutureObject, py: Python<'_>) {
    let queued = future.completion.claim_to_settle();
    if queued || future.completion.settle_running() {
        let error = errors::broken_executor(
            py,
            "the executor of this future belongs to the parent process: \
             a forked child cannot wait for it, submit the task again here",
        );
        if queued {
            finish(future, State::Failed, Some(error), py);
        } else {
            // The thread that forked may be inside this very call: what it uses must stay.
            end_with(future, State::Failed, Some(error), py);
        }
    }
}

/// Fails a future that nobody will run, such as one of an executor that broke; false if it has begun
/// or is over.
pub fn fail_with(future: &FutureObject, error: Py<PyAny>, py: Python<'_>) -> bool {
    let settled = future.completion.claim_to_settle();
    if settled {
        finish(future, State::Failed, Some(error), py);
    }
    settled
}
