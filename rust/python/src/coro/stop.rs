//! Ending an await: StopIteration, made once for each thread.

use pyo3::exceptions::PyStopIteration;
use pyo3::ffi;
use pyo3::prelude::*;
use std::cell::Cell;

thread_local! {
    /// A StopIteration to be used again while nobody else holds it: making one costs more than a
    /// channel's whole message.
    static STOP: Cell<*mut ffi::PyObject> = const { Cell::new(std::ptr::null_mut()) };
}

/// Ends an await with `value`: leaves StopIteration pending, as `__next__` must. None needs none.
pub fn stop_with(py: Python<'_>, value: Py<PyAny>) -> PyResult<()> {
    if value.is_none(py) {
        return Ok(());
    }
    let cached = STOP.with(Cell::get);
    // SAFETY: attached. The cached object is null or a StopIteration whose one reference is ours;
    // when the count says that nobody else has it, nobody else can reach it. Its `value` slot owns
    // a reference, which is replaced before the old one is dropped. PyErr_Restore takes the
    // references that it is given.
    unsafe {
        if cached.is_null() || ffi::Py_REFCNT(cached) != 1 {
            // The value goes into its slot alone: as an argument it would stay as long as the object.
            let made = PyStopIteration::new_err(()).into_value(py).into_ptr();
            let slot = made.cast::<ffi::PyStopIterationObject>();
            ffi::Py_XDECREF(std::mem::replace(&mut (*slot).value, value.into_ptr()));
            ffi::Py_INCREF(made);
            let old = STOP.with(|stop| stop.replace(made));
            ffi::Py_XDECREF(old);
            restore(made);
        } else {
            let slot = cached.cast::<ffi::PyStopIterationObject>();
            let old = std::mem::replace(&mut (*slot).value, value.into_ptr());
            ffi::Py_XDECREF(old);
            ffi::Py_INCREF(cached);
            restore(cached);
        }
    }
    Ok(())
}

/// # Safety
/// `exception` is an exception object, one reference of which is given up.
unsafe fn restore(exception: *mut ffi::PyObject) {
    // SAFETY: the caller's promise; the type's reference is made here.
    unsafe {
        let class = ffi::Py_TYPE(exception).cast::<ffi::PyObject>();
        ffi::Py_INCREF(class);
        #[allow(deprecated)]
        ffi::PyErr_Restore(class, exception, std::ptr::null_mut());
    }
}

/// Lets go of the last value that an await ended with on this thread.
#[inline]
pub fn forget_last_value() {
    let cached = STOP.with(Cell::get);
    if cached.is_null() {
        return;
    }
    // SAFETY: attached; as in `stop_with`.
    unsafe {
        if ffi::Py_REFCNT(cached) == 1 {
            let slot = cached.cast::<ffi::PyStopIterationObject>();
            let none = ffi::Py_None();
            if (*slot).value != none {
                ffi::Py_INCREF(none);
                let old = std::mem::replace(&mut (*slot).value, none);
                ffi::Py_XDECREF(old);
            }
        }
    }
}
