//! Sending into the coroutine, in its context.

use super::{Owner, Task};
use crate::context;
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;

/// A context that this thread is in, to be left by `leave_context`.
#[must_use]
pub(super) enum Entered {
    /// The task has none.
    Nothing,
    /// The task's own.
    Own(*mut ffi::PyObject),
    /// The worker's, filled with a snapshot.
    Shared,
}

/// Enters a context; None, with an exception set, if that fails.
fn enter(context: *mut ffi::PyObject) -> Option<Entered> {
    // SAFETY: a live PyContext that the task owns; it is entered by one step at a time.
    (unsafe { ffi::PyContext_Enter(context) } == 0).then_some(Entered::Own(context))
}

/// How the coroutine answered.
pub(super) enum Sent {
    Returned(Py<PyAny>),
    Raised(PyErr),
    Yielded(Py<PyAny>),
}

impl Task {
    /// Brings this thread into the task's context; None, with an exception set, if that fails.
    ///
    /// A worker has one context for all coroutines that keep but a snapshot of their variables.
    #[inline]
    pub(super) fn enter_context(&self, py: Python<'_>) -> Option<Entered> {
        let Some(context) = self.context_now(py) else {
            return Some(Entered::Nothing);
        };
        // SAFETY: as in `step`; the reference is gone at once.
        if unsafe { self.inner() }.owns_context {
            return enter(context);
        }
        if self.home().is_pool() && context::enter_for_step(context) {
            return Some(Entered::Shared);
        }
        // SAFETY: a live snapshot; a new reference, or null with an exception set.
        let own = unsafe { Bound::from_owned_ptr_or_opt(py, context::context_of(context))? };
        self.set_context(py, own.unbind(), true);
        enter(self.context_now(py)?)
    }

    /// What its context is at this moment, borrowed. Only on the thread that steps the task.
    fn context_now(&self, py: Python<'_>) -> Option<*mut ffi::PyObject> {
        // SAFETY: as the caller promises; the reference is gone at once.
        let place = unsafe { self.context(py) }?;
        place.as_ref().map(Py::as_ptr)
    }

    /// Where the context is; None for a scope's child that has no future of ours.
    ///
    /// # Safety
    /// Only on the thread that steps the task, which has begun, and not while another reference from
    /// here is alive.
    #[allow(clippy::mut_from_ref)]
    unsafe fn context(&self, py: Python<'_>) -> Option<&mut Option<Py<PyAny>>> {
        // SAFETY: the caller's promise; who has begun a future's call owns its context.
        unsafe {
            match self.owner() {
                Owner::Scope(_) => Some(&mut *self.native(py)?.context_of_coroutine()),
                Owner::Nobody(apart) => Some(&mut *apart.context.get()),
            }
        }
    }

    fn set_context(&self, py: Python<'_>, context: Py<PyAny>, owns: bool) {
        // SAFETY: as in `step`; what was there is dropped when all is written.
        let before = unsafe {
            self.inner().owns_context = owns;
            self.context(py).and_then(|place| place.replace(context))
        };
        drop(before);
    }

    /// Leaves it, before anybody else may step the task.
    #[inline]
    pub(super) fn leave_context(&self, py: Python<'_>, entered: Entered) {
        match entered {
            Entered::Nothing => {}
            Entered::Own(context) => {
                // SAFETY: entered on this thread, attached; its task, which owns it, is still alive,
                // and no exception is pending: who sends takes it.
                unsafe {
                    if ffi::PyContext_Exit(context) != 0 {
                        // The coroutine left a context of its own entered: it is lost, not ours.
                        ffi::PyErr_Clear();
                    }
                }
            }
            Entered::Shared => self.leave_shared(py),
        }
    }

    #[inline]
    fn leave_shared(&self, py: Python<'_>) {
        let snapshot = self.context_now(py);
        match snapshot.map(|snapshot| context::leave_after_step(py, snapshot)) {
            None | Some(context::Left::AsItWas) => {}
            Some(context::Left::Changed(snapshot)) => self.set_context(py, snapshot, false),
            Some(context::Left::Named(context)) => self.set_context(py, context, true),
        }
    }

    pub(super) fn send(&self, py: Python<'_>, throw: Option<PyErr>) -> Sent {
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
            // SAFETY: as below.
            let coroutine = unsafe { Bound::from_borrowed_ptr(py, coroutine) };
            return match coroutine.call_method1("throw", (error,)) {
                Ok(value) => Sent::Yielded(value.unbind()),
                Err(error) => ended_by(py, error),
            };
        }
        let mut result = std::ptr::null_mut();
        // SAFETY: a live coroutine, attached; the result is a new reference unless it is an error.
        let how = unsafe { ffi::PyIter_Send(coroutine, ffi::Py_None(), &mut result) };
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

    /// The coroutine, made by the call at the first step; borrowed from the task, which keeps it to its end.
    #[inline]
    pub(super) fn coroutine(&self, py: Python<'_>) -> PyResult<*mut ffi::PyObject> {
        // SAFETY: as in `step`; the reference is gone before the call.
        if let Some(coroutine) = unsafe { &self.inner().coroutine } {
            return Ok(coroutine.as_ptr());
        }
        let coroutine = self.make_coroutine(py)?;
        // SAFETY: as above.
        Ok(unsafe { self.inner() }.coroutine.insert(coroutine).as_ptr())
    }

    fn make_coroutine(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let call = match self.owner() {
            Owner::Scope(_) => None,
            Owner::Nobody(apart) => apart.call.lock().take(),
        };
        let function = call.as_ref().map(|(function, ..)| function.clone_ref(py));
        let made = match (&call, self.native(py)) {
            (Some((function, arguments, keywords)), _) => {
                let keywords = keywords.as_ref().map(|keywords| keywords.bind(py));
                function.bind(py).call(arguments.bind(py), keywords)?
            }
            // SAFETY: at the first step, so this task has claimed its future's call.
            (None, Some(future)) => unsafe { future.make_coroutine(py) }?.into_bound(py),
            (None, None) => return Err(PyRuntimeError::new_err("the coroutine is over")),
        };
        // SAFETY: asks for a slot of a live type.
        if unsafe { ffi::PyCoro_CheckExact(made.as_ptr()) } == 0
            && !made.hasattr("send").unwrap_or(false)
        {
            return Err(PyTypeError::new_err(format!(
                "{} returned {}, not a coroutine: spawn a plain function as such, or write \
                 `async def`",
                function
                    .unwrap_or_else(|| self.named_by(py))
                    .bind(py)
                    .repr()?,
                made.get_type().name()?,
            )));
        }
        Ok(made.unbind())
    }
}

/// The foreign future that the task waited for, if it did.
fn take_foreign(task: &Task) -> Option<Py<PyAny>> {
    // SAFETY: called by `send` only, on the thread that steps the task.
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
