//! The methods of a future, and the making of its class.

use super::execute::{self, as_object, call_back, cancel as cancel_future, finish};
use super::managed::record_of;
use super::{
    CLASS, CLASS_POINTER, FutureObject, INLINE, MANAGED, Object, Origin, PROMISE, Shape, dealloc,
    standard, tp_clear, traverse,
};
use crate::{call, errors};
use pyo3::exceptions::{PyTimeoutError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple};
use std::ffi::{CStr, c_void};
use std::os::raw::c_int;
use std::ptr::{null, null_mut};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::time::Duration;
use taskloom_core::completion::State;
use taskloom_core::pool::Worker;

/// Runs a method's body, turning an error into a raised exception.
fn method(
    this: Object,
    body: impl FnOnce(&FutureObject, Python<'_>) -> PyResult<Py<PyAny>>,
) -> Object {
    // SAFETY: the interpreter calls methods attached, on live objects of the class.
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
        let completion = &future.completion;
        let wait = || call::wait_detached(py, timeout, |slice| completion.wait(slice));
        match worker {
            Some(worker) => worker.blocked(wait),
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

unsafe extern "C" fn result(
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

unsafe extern "C" fn exception(
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

unsafe extern "C" fn done(this: Object, _: Object) -> Object {
    method(this, |future, py| {
        Ok(boolean(future.state(py).is_over(), py))
    })
}

unsafe extern "C" fn cancelled(this: Object, _: Object) -> Object {
    method(this, |future, py| {
        Ok(boolean(future.state(py) == State::Cancelled, py))
    })
}

unsafe extern "C" fn running(this: Object, _: Object) -> Object {
    method(this, |future, py| {
        Ok(boolean(future.state(py) == State::Running, py))
    })
}

unsafe extern "C" fn cancel(this: Object, _: Object) -> Object {
    method(this, |future, py| {
        let _ = future.state(py);
        Ok(boolean(cancel_future(future, py), py))
    })
}

unsafe extern "C" fn add_done_callback(this: Object, callback: Object) -> Object {
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

unsafe extern "C" fn set_result(this: Object, value: Object) -> Object {
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

unsafe extern "C" fn set_exception(this: Object, value: Object) -> Object {
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

unsafe extern "C" fn set_running_or_notify_cancel(this: Object, _: Object) -> Object {
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

unsafe extern "C" fn am_await(this: Object) -> Object {
    method(this, |future, py| {
        let function = AWAIT.get_or_try_init(py, || {
            py.import("taskloom._bridge")?
                .getattr("await_future")
                .map(Bound::unbind)
        })?;
        function.call1(py, (as_object(future, py),))
    })
}

unsafe extern "C" fn repr(this: Object) -> Object {
    method(this, standard::repr)
}

static IDENTIFIERS: AtomicU64 = AtomicU64::new(1);

unsafe extern "C" fn get_id(this: Object, _: *mut c_void) -> Object {
    method(this, |future, py| {
        let id = future
            .observers_or_new()
            .id(|| IDENTIFIERS.fetch_add(1, Relaxed));
        Ok(id.into_pyobject(py)?.into_any().unbind())
    })
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

fn def(
    name: &'static CStr,
    meth: ffi::PyMethodDefPointer,
    flags: c_int,
    doc: &'static CStr,
) -> ffi::PyMethodDef {
    ffi::PyMethodDef {
        ml_name: name.as_ptr(),
        ml_meth: meth,
        ml_flags: flags,
        ml_doc: doc.as_ptr(),
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
        def(c"result", P { PyCFunctionFastWithKeywords: result }, fast,
            c"result($self, /, timeout=None)\n--\n\nThe value that the task returned, or its exception raised.\n\nWaits up to `timeout` seconds (None: for ever), then raises TimeoutError. Raises\nCancelledError if the task was cancelled."),
        def(c"exception", P { PyCFunctionFastWithKeywords: exception }, fast,
            c"exception($self, /, timeout=None)\n--\n\nThe exception that the task raised, or None. Waits as `result` does."),
        def(c"done", P { PyCFunction: done }, ffi::METH_NOARGS,
            c"done($self, /)\n--\n\nWhether the task has finished, failed or been cancelled."),
        def(c"cancelled", P { PyCFunction: cancelled }, ffi::METH_NOARGS,
            c"cancelled($self, /)\n--\n\nWhether the task was cancelled."),
        def(c"running", P { PyCFunction: running }, ffi::METH_NOARGS,
            c"running($self, /)\n--\n\nWhether the task runs at this moment."),
        def(c"cancel", P { PyCFunction: cancel }, ffi::METH_NOARGS,
            c"cancel($self, /)\n--\n\nCancels the task if it has not started. Returns whether it is cancelled.\n\nA task that runs is asked to stop: `taskloom.checkpoint()` raises Cancelled in it from now on.\nWhat it has submitted is cancelled with it."),
        def(c"add_done_callback", P { PyCFunction: add_done_callback }, ffi::METH_O,
            c"add_done_callback($self, fn, /)\n--\n\nHas `fn(future)` called when the task is over; at once if it is."),
        def(c"set_result", P { PyCFunction: set_result }, ffi::METH_O,
            c"set_result($self, result, /)\n--\n\nEnds a promise made by Future() with a result."),
        def(c"set_exception", P { PyCFunction: set_exception }, ffi::METH_O,
            c"set_exception($self, exception, /)\n--\n\nEnds a promise made by Future() with an exception."),
        def(c"set_running_or_notify_cancel", P { PyCFunction: set_running_or_notify_cancel }, ffi::METH_NOARGS,
            c"set_running_or_notify_cancel($self, /)\n--\n\nMarks a promise as running; False if it was cancelled."),
        def(c"_get_snapshot", P { PyCFunction: standard::get_snapshot }, ffi::METH_NOARGS,
            c"_get_snapshot($self, /)\n--\n\nWhat asyncio asks for: (done, cancelled, result, exception)."),
        ffi::PyMethodDef::zeroed(),
    ]
}

fn attribute_table() -> Vec<ffi::PyGetSetDef> {
    vec![
        get(
            c"id",
            get_id,
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
        slot(ffi::Py_tp_repr, repr as *mut c_void),
        slot(ffi::Py_tp_setattro, setattro as *mut c_void),
        slot(ffi::Py_am_await, am_await as *mut c_void),
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
    // From here on, nobody makes a subclass of the class or puts attributes on it.
    let type_object = class.as_ptr().cast::<ffi::PyTypeObject>();
    // SAFETY: our own class, not yet known to anybody else.
    unsafe {
        (*type_object).tp_flags &= !ffi::Py_TPFLAGS_BASETYPE;
    }
    Ok(())
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
