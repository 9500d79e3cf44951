//! Sending into the coroutine, in its context.

use super::{Body, Context, Task};
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;

/// A context that this thread is in.
pub(super) struct Entered(Option<*mut ffi::PyObject>);

impl Drop for Entered {
    #[inline]
    fn drop(&mut self) {
        if let Some(context) = self.0 {
            // SAFETY: entered on this thread, attached; its task, which owns it, is still alive,
            // and no exception is pending: who sends takes it.
            unsafe {
                if ffi::PyContext_Exit(context) != 0 {
                    // The coroutine left a context of its own entered: it is lost, not ours.
                    ffi::PyErr_Clear();
                }
            }
        }
    }
}

/// How the coroutine answered.
pub(super) enum Sent {
    Returned(Py<PyAny>),
    Raised(PyErr),
    Yielded(Py<PyAny>),
}

impl Task {
    /// Brings this thread into the task's context until the guard goes.
    #[inline]
    pub(super) fn enter_context(&self, _py: Python<'_>) -> Option<Entered> {
        // SAFETY: as in `step`.
        let context = match &unsafe { self.inner() }.context {
            Context::Own(context) => Some(context.as_ptr()),
            Context::Shared(_) | Context::None => None,
        };
        if let Some(context) = context {
            // SAFETY: a live PyContext that the task owns; it is entered by one step at a time.
            if unsafe { ffi::PyContext_Enter(context) } != 0 {
                return None;
            }
        }
        Some(Entered(context))
    }

    pub(super) fn send(&self, py: Python<'_>, throw: Option<PyErr>) -> Sent {
        let sent = self.send_inside(py, throw);
        crate::coro::stop::forget_last_value();
        sent
    }

    pub(super) fn send_inside(&self, py: Python<'_>, throw: Option<PyErr>) -> Sent {
        if let Some(foreign) = take_foreign(self)
            && throw.is_some()
            && let Err(error) = crate::coro::foreign::give_up_foreign(foreign.bind(py))
        {
            error.write_unraisable(py, Some(foreign.bind(py)));
        }
        let coroutine = match self.coroutine(py) {
            Ok(coroutine) => coroutine,
            Err(error) => return Sent::Raised(error),
        };
        if let Some(error) = throw {
            return match coroutine.bind(py).call_method1("throw", (error,)) {
                Ok(value) => Sent::Yielded(value.unbind()),
                Err(error) => ended_by(py, error),
            };
        }
        let mut result = std::ptr::null_mut();
        // SAFETY: a live coroutine, attached; the result is a new reference unless it is an error.
        let how = unsafe { ffi::PyIter_Send(coroutine.as_ptr(), ffi::Py_None(), &mut result) };
        if how == ffi::PySendResult::PYGEN_ERROR {
            return Sent::Raised(PyErr::fetch(py));
        }
        // SAFETY: the new reference that PyIter_Send gave.
        let value = unsafe { Bound::from_owned_ptr(py, result) }.unbind();
        if how == ffi::PySendResult::PYGEN_RETURN {
            Sent::Returned(value)
        } else {
            Sent::Yielded(value)
        }
    }

    /// The coroutine, made by the call at the first step.
    pub(super) fn coroutine(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        // SAFETY: as in `step`; the body is taken out before the call, so no reference stays.
        let body = std::mem::replace(&mut unsafe { self.inner() }.body, Body::Gone);
        let coroutine = match body {
            Body::Coroutine(coroutine) => coroutine,
            Body::Gone => return Err(PyRuntimeError::new_err("the coroutine is over")),
            Body::Call(function, arguments, keywords) => {
                let keywords = keywords.as_ref().map(|k| k.bind(py));
                let made = function.bind(py).call(arguments.bind(py), keywords)?;
                // SAFETY: asks for a slot of a live type.
                if unsafe { ffi::PyCoro_CheckExact(made.as_ptr()) } == 0
                    && !made.hasattr("send").unwrap_or(false)
                {
                    return Err(PyTypeError::new_err(format!(
                        "{} returned {}, not a coroutine: spawn a plain function as such, or \
                         write `async def`",
                        function.bind(py).repr()?,
                        made.get_type().name()?,
                    )));
                }
                made.unbind()
            }
        };
        let same = coroutine.clone_ref(py);
        // SAFETY: as above.
        unsafe { self.inner() }.body = Body::Coroutine(coroutine);
        Ok(same)
    }
}

/// The foreign future that the task waited for, if it did.
fn take_foreign(task: &Task) -> Option<Py<PyAny>> {
    // SAFETY: called by `send_inside` only, on the thread that steps the task.
    unsafe { task.inner() }.foreign.take()
}

/// What `throw` left the coroutine with: a return comes as StopIteration.
fn ended_by(py: Python<'_>, error: PyErr) -> Sent {
    if error.is_instance_of::<pyo3::exceptions::PyStopIteration>(py) {
        return match error.value(py).getattr("value") {
            Ok(value) => Sent::Returned(value.unbind()),
            Err(error) => Sent::Raised(error),
        };
    }
    Sent::Raised(error)
}
