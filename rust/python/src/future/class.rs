//! The making of the class: its tables, and what its objects do by themselves.

use super::collect::{dealloc, tp_clear, traverse};
#[cfg(Py_3_12)]
use super::memory;
use super::{
    CLASS, CLASS_POINTER, FutureObject, Object, Origin, PROMISE, Shape, methods, standard,
};
use crate::method::method;
use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use std::ffi::{CStr, c_void};
use std::os::raw::{c_int, c_ulong};
use std::ptr::{null, null_mut};
#[cfg(Py_GIL_DISABLED)]
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::Ordering::Release;

/// `Py_TPFLAGS_INLINE_VALUES`, which the bindings do not name.
const INLINE_VALUES: c_ulong = 1 << 2;

/// A promise for what somebody else calls: it is named after `named`, a callable or a string, until
/// its outcome is set.
#[pyfunction]
pub fn _promise(named: Bound<'_, PyAny>) -> PyResult<Bound<'_, PyAny>> {
    let py = named.py();
    // SAFETY: attached; a new reference, or null with an exception set. The callable is a reference of
    // the future's own, stored before anybody knows it.
    unsafe {
        let shape = Shape::new(0, PROMISE);
        let future = FutureObject::allocate(shape, Origin::of_pool(null()));
        let object = Bound::from_owned_ptr_or_err(py, future.cast())?;
        (*future).callable = named.into_ptr();
        FutureObject::track(future);
        Ok(object)
    }
}

/// `Future()`: a promise, pending until its owner sets its outcome.
unsafe extern "C" fn tp_new(_: *mut ffi::PyTypeObject, args: Object, kwargs: Object) -> Object {
    // SAFETY: the interpreter calls this attached, with a tuple and a dict or null.
    unsafe {
        let any =
            ffi::PyTuple_GET_SIZE(args) > 0 || (!kwargs.is_null() && ffi::PyDict_Size(kwargs) > 0);
        if any {
            let message = c"Future() takes no arguments: submit a task to an executor to run one";
            ffi::PyErr_SetString(ffi::PyExc_TypeError, message.as_ptr());
            return null_mut();
        }
        let shape = Shape::new(0, PROMISE);
        let future = FutureObject::allocate(shape, Origin::of_pool(null()));
        if !future.is_null() {
            FutureObject::track(future);
        }
        future.cast()
    }
}

/// Keeps `concurrent.futures.Future.__init__`, which would set attributes, from running.
unsafe extern "C" fn tp_init(_: Object, _: Object, _: Object) -> c_int {
    0
}

/// Attributes can close a cycle, so the collector must see a future that has some.
unsafe extern "C" fn setattro(this: Object, name: Object, value: Object) -> c_int {
    // SAFETY: the interpreter calls this attached on a live future.
    unsafe {
        FutureObject::track(this.cast());
        ffi::PyObject_GenericSetAttr(this, name, value)
    }
}

fn get(name: &'static CStr, getter: ffi::getter, doc: &'static CStr) -> ffi::PyGetSetDef {
    ffi::PyGetSetDef {
        name: name.as_ptr(),
        get: Some(getter),
        set: None,
        doc: doc.as_ptr(),
        closure: null_mut(),
    }
}

fn method_table() -> Vec<ffi::PyMethodDef> {
    use ffi::PyMethodDefPointer as P;
    let fast = ffi::METH_FASTCALL | ffi::METH_KEYWORDS;
    vec![
        method(c"result", P { PyCFunctionFastWithKeywords: methods::result }, fast,
            c"result($self, /, timeout=None)\n--\n\nThe value that the task returned, or its exception raised.\n\nWaits up to `timeout` seconds (None: for ever), then raises TimeoutError. Raises\nCancelledError if the task was cancelled."),
        method(c"exception", P { PyCFunctionFastWithKeywords: methods::exception }, fast,
            c"exception($self, /, timeout=None)\n--\n\nThe exception that the task raised, or None. Waits as `result` does."),
        method(c"done", P { PyCFunction: methods::done }, ffi::METH_NOARGS,
            c"done($self, /)\n--\n\nWhether the task has finished, failed or been cancelled."),
        method(c"cancelled", P { PyCFunction: methods::cancelled }, ffi::METH_NOARGS,
            c"cancelled($self, /)\n--\n\nWhether the task was cancelled."),
        method(c"running", P { PyCFunction: methods::running }, ffi::METH_NOARGS,
            c"running($self, /)\n--\n\nWhether the task runs at this moment."),
        method(c"cancel", P { PyCFunction: methods::cancel }, ffi::METH_NOARGS,
            c"cancel($self, /)\n--\n\nCancels the task if it has not started. Returns whether it is cancelled.\n\nA task that runs is asked to stop: `taskloom.checkpoint()` raises Cancelled in it from now on.\nWhat it has submitted is cancelled with it."),
        method(c"add_done_callback", P { PyCFunction: methods::add_done_callback }, ffi::METH_O,
            c"add_done_callback($self, fn, /)\n--\n\nHas `fn(future)` called when the task is over; at once if it is."),
        method(c"set_result", P { PyCFunction: methods::set_result }, ffi::METH_O,
            c"set_result($self, result, /)\n--\n\nEnds a promise made by Future() with a result."),
        method(c"set_exception", P { PyCFunction: methods::set_exception }, ffi::METH_O,
            c"set_exception($self, exception, /)\n--\n\nEnds a promise made by Future() with an exception."),
        method(c"set_running_or_notify_cancel", P { PyCFunction: methods::set_running_or_notify_cancel }, ffi::METH_NOARGS,
            c"set_running_or_notify_cancel($self, /)\n--\n\nMarks a promise as running; False if it was cancelled."),
        method(c"_get_snapshot", P { PyCFunction: standard::get_snapshot }, ffi::METH_NOARGS,
            c"_get_snapshot($self, /)\n--\n\nWhat asyncio asks for: (done, cancelled, result, exception)."),
        ffi::PyMethodDef::zeroed(),
    ]
}

fn attribute_table() -> Vec<ffi::PyGetSetDef> {
    vec![
        get(
            c"id",
            methods::get_id,
            c"A number that no other future of this process has.",
        ),
        get(
            c"name",
            standard::get_name,
            c"The task's name: that of its options, or of its function while it is there.",
        ),
        get(
            c"progress",
            standard::get_progress,
            c"How far the task says it is, as (done, total), or None.",
        ),
        get(
            c"timing",
            standard::get_timing,
            c"When the task was submitted, began and ended: a Timing, or None without timing.",
        ),
        get(
            c"_state",
            standard::get_state,
            c"The state, as concurrent.futures names it.",
        ),
        get(
            c"_condition",
            standard::get_condition,
            c"A condition under which the state changes.",
        ),
        get(
            c"_waiters",
            standard::get_waiters,
            c"Who is told when the task is over.",
        ),
        get(c"_result", standard::get_result, c"The result, or None."),
        get(
            c"_exception",
            standard::get_exception,
            c"The exception, or None.",
        ),
        get(
            c"_done_callbacks",
            standard::get_callbacks,
            c"The callbacks that wait.",
        ),
        // SAFETY: an all-zero entry ends the table.
        unsafe { std::mem::zeroed() },
    ]
}

/// Makes the class and adds it to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    // The class lives as long as the process, and so must its tables.
    let methods = Box::leak(method_table().into_boxed_slice());
    let attributes = Box::leak(attribute_table().into_boxed_slice());
    let slot = |slot: c_int, pfunc: *mut c_void| ffi::PyType_Slot { slot, pfunc };
    let doc = c"The native part of a future; see taskloom.Future.";
    let mut slots = vec![
        slot(ffi::Py_tp_doc, doc.as_ptr().cast_mut().cast()),
        slot(ffi::Py_tp_new, tp_new as *mut c_void),
        slot(ffi::Py_tp_init, tp_init as *mut c_void),
        slot(ffi::Py_tp_dealloc, dealloc as *mut c_void),
        slot(ffi::Py_tp_traverse, traverse as *mut c_void),
        slot(ffi::Py_tp_clear, tp_clear as *mut c_void),
        slot(ffi::Py_tp_repr, methods::repr as *mut c_void),
        slot(ffi::Py_tp_setattro, setattro as *mut c_void),
        slot(ffi::Py_am_await, methods::am_await as *mut c_void),
        slot(ffi::Py_tp_methods, methods.as_mut_ptr().cast()),
        slot(ffi::Py_tp_getset, attributes.as_mut_ptr().cast()),
        slot(0, null_mut()),
    ];
    let flags = ffi::Py_TPFLAGS_DEFAULT | ffi::Py_TPFLAGS_BASETYPE | ffi::Py_TPFLAGS_HAVE_GC;
    let mut spec = ffi::PyType_Spec {
        name: c"taskloom._taskloom.FutureBase".as_ptr(),
        basicsize: size_of::<FutureObject>() as c_int,
        itemsize: 0,
        flags: flags as u32,
        slots: slots.as_mut_ptr(),
    };
    // SAFETY: the spec is complete and its tables are leaked; a null result carries an exception.
    let base = unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyType_FromSpec(&mut spec))? };
    let standard = py.import("concurrent.futures")?.getattr("Future")?;
    let namespace = PyDict::new(py);
    namespace.set_item("__slots__", PyTuple::empty(py))?;
    namespace.set_item("__module__", "taskloom")?;
    namespace.set_item("__doc__", CLASS_DOC)?;
    namespace.set_item("__final__", true)?;
    let class =
        py.get_type::<pyo3::types::PyType>()
            .call1(("Future", (&base, standard), namespace))?;
    let size: usize = class.getattr("__basicsize__")?.extract()?;
    let expected = size_of::<FutureObject>();
    if cfg!(Py_3_12) && size != expected {
        return Err(PyTypeError::new_err(format!(
            "this Python lays objects out in an unknown way (a future has {size} bytes, not {expected})"
        )));
    }
    module.add("FutureBase", &base)?;
    module.add("Future", &class)?;
    let class = CLASS.get_or_init(py, || class.unbind());
    CLASS_POINTER.store(class.as_ptr().cast(), Release);
    // From here on, nobody makes a subclass of the class or puts attributes on it. Attributes of its
    // objects are in a dictionary of their own: from 3.14 on they would be kept inline, right behind
    // the object, where the inputs are.
    let unwanted = ffi::Py_TPFLAGS_BASETYPE | INLINE_VALUES;
    let type_object = class.as_ptr().cast::<ffi::PyTypeObject>();
    // SAFETY: our own class, of which there is no object yet.
    unsafe {
        #[cfg(not(Py_GIL_DISABLED))]
        {
            (*type_object).tp_flags &= !unwanted;
        }
        #[cfg(Py_GIL_DISABLED)]
        (*type_object).tp_flags.fetch_and(!unwanted, Relaxed);
    }
    #[cfg(Py_3_12)]
    if memory::self_test(&probe(py)?)? {
        // The probe is gone: it was the interpreter's to free.
        memory::rely();
        #[cfg(Py_3_13)]
        // SAFETY: our own class, of which there is no object any more.
        unsafe {
            (*type_object).tp_dealloc = Some(super::collect::dealloc_whole);
        }
    }
    module.add_function(wrap_pyfunction!(_promise, module)?)
}

/// A future with nothing in it, which the collector does not see.
#[cfg(Py_3_12)]
fn probe(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    // SAFETY: attached; a new reference, or null with an exception set; it has no inputs to fill in.
    unsafe {
        let shape = Shape::new(0, PROMISE);
        let future = FutureObject::allocate(shape, Origin::of_pool(null()));
        Bound::from_owned_ptr_or_err(py, future.cast())
    }
}

const CLASS_DOC: &str = "\
The handle of one submitted task: waits, cancels, awaits.

A native `concurrent.futures.Future`: `isinstance` holds, and the standard library's `wait`,
`as_completed` and `asyncio.wrap_future` work on it. `Executor.submit` makes one; `Future()` makes
a promise, whose outcome its owner sets.

>>> from taskloom import Executor
>>> with Executor(2) as executor:
...     future = executor.submit(pow, 2, 10)
...     future.result()
1024
";
