//! Objects that many threads use at once: their reference counts must not be fought over.
//!
//! Without a GIL, calling a nested function counts it up and down in memory that all threads write, which
//! costs 174 ns where an uncontended call costs 22. With deferred reference counting the interpreter
//! leaves the count alone; the function is then freed by the garbage collector only. Functions of a
//! Python module have it from the start, those of an extension do not: two threads that called
//! `yield_now` needed 470 ns a call, and one needs 46.

use pyo3::ffi;
use pyo3::prelude::*;

#[cfg(all(Py_GIL_DISABLED, Py_3_14))]
unsafe extern "C" {
    fn PyUnstable_Object_EnableDeferredRefcount(object: *mut ffi::PyObject) -> std::ffi::c_int;
}

/// Prepares a callable for being called by several threads, if it is a function: others gain too little to
/// be kept so long. Does something only on builds of CPython 3.14 and newer without a GIL.
pub fn share(callable: &Bound<'_, PyAny>) {
    #[cfg(all(Py_GIL_DISABLED, Py_3_14))]
    if callable.is_exact_instance_of::<pyo3::types::PyFunction>()
        || callable.is_exact_instance_of::<pyo3::types::PyCFunction>()
    {
        // SAFETY: attached, a live object; it cannot fail, and says 0 where it changed nothing.
        unsafe { PyUnstable_Object_EnableDeferredRefcount(callable.as_ptr()) };
    }
    let _ = callable;
}

/// Prepares the functions of a module.
pub fn share_functions(module: &Bound<'_, PyModule>) {
    for value in module.dict().values() {
        share(&value);
    }
}

/// Gives up the reference to a class that an object of it held, for the class's own `dealloc`.
///
/// Without a GIL an object's making counts its class in a place of its thread's own, and this could only
/// be counted where all threads meet. The class stays for ever then, as ours do.
///
/// # Safety
/// Attached; called once for an object that was made by the interpreter's allocator.
#[inline]
pub unsafe fn leave_class(class: *mut ffi::PyTypeObject) {
    if !cfg!(Py_GIL_DISABLED) {
        // SAFETY: the reference was the object's.
        unsafe { ffi::Py_DECREF(class.cast()) }
    }
}
