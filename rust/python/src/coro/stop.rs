//! Ending an await: StopIteration, made once for each thread.

use super::task::with_last_value;
use pyo3::exceptions::PyStopIteration;
use pyo3::ffi;
use pyo3::prelude::*;
use std::cell::Cell;

/// A StopIteration to be used again while nobody else holds it: making one costs more than a
/// channel's whole message. Each thread has one.
pub struct LastValue(Cell<*mut ffi::PyObject>);

/// Ends an await with `value`: leaves StopIteration pending, as `__next__` must. None needs none.
pub fn stop_with(py: Python<'_>, value: Py<PyAny>) -> PyResult<()> {
    if value.is_none(py) {
        return Ok(());
    }
    with_last_value(|last| last.stop(py, value));
    Ok(())
}

impl LastValue {
    pub const fn new() -> Self {
        LastValue(Cell::new(std::ptr::null_mut()))
    }

    fn stop(&self, py: Python<'_>, value: Py<PyAny>) {
        // SAFETY: attached. The cached object is null or a StopIteration whose one reference is ours;
        // when the count says that nobody else has it, nobody else can reach it. It was made without
        // arguments, so that only its `value` slot refers to what it ends with; that owns a reference,
        // which is replaced before the old one is dropped. PyErr_Restore takes the reference that is
        // made here, before anything is dropped that could come back here.
        unsafe {
            let mut stop = self.0.get();
            let known = !stop.is_null() && ffi::Py_REFCNT(stop) == 1;
            if !known {
                stop = PyStopIteration::new_err(()).into_value(py).into_ptr();
            }
            ffi::Py_INCREF(stop);
            if !known {
                ffi::Py_XDECREF(self.0.replace(stop));
            }
            let slot = stop.cast::<ffi::PyStopIterationObject>();
            let old = std::mem::replace(&mut (*slot).value, value.into_ptr());
            ffi::Py_XDECREF(old);
            restore(stop);
        }
    }

    /// Lets go of the last value that an await ended with on this thread. Attached.
    #[inline]
    pub fn forget(&self) {
        let cached = self.0.get();
        if cached.is_null() {
            return;
        }
        // SAFETY: attached; as in `stop`.
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
