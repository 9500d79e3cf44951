//! The classes of awaitables that are made for every message and every turn.
//!
//! PyO3's classes would do (`awaitable!` makes those, for what is less often), but around each call they keep
//! account of who is attached, and around each object of who borrows it, and that is most of what a
//! turn costs. Here the slots are the interpreter's own: who steps a coroutine of ours is attached
//! and known to be, and one byte tells whether an awaitable is in use.

use super::stop::stop_with;
use super::suspend::{Operation, Step, Suspended};
use super::task::{self, Current};
use crate::method::method;
use crate::sharing::leave_class;
use crate::spare;
use pyo3::exceptions::{PyRuntimeError, PyStopIteration, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use std::ffi::{CStr, c_int, c_void};
use std::ptr::null_mut;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicPtr};

type Object = *mut ffi::PyObject;

/// An operation with a class of its own.
pub trait Awaitable: Operation + 'static {
    const NAME: &'static CStr;

    /// Its number among the classes of which threads keep a spare; None for no spare.
    const SPARE: Option<usize> = None;

    /// Where its class is kept; set by `register`.
    fn class() -> &'static AtomicPtr<ffi::PyTypeObject>;
}

#[repr(C)]
struct Layout<O: Operation> {
    base: ffi::PyObject,
    busy: AtomicBool,
    state: Suspended<O>,
}

/// The right to use an awaitable, until it is dropped.
struct InUse<'a>(&'a AtomicBool);

impl<'a> InUse<'a> {
    /// All callers are attached, so where one thread at a time is, no bus lock is needed.
    #[inline]
    fn begin(busy: &'a AtomicBool) -> Option<Self> {
        let before = if cfg!(Py_GIL_DISABLED) {
            busy.swap(true, Acquire)
        } else {
            let before = busy.load(Relaxed);
            busy.store(true, Relaxed);
            before
        };
        (!before).then_some(InUse(busy))
    }
}

impl Drop for InUse<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.store(false, Release);
    }
}

/// A new awaitable, as a new reference; null with an exception set if there is no memory. Attached.
#[inline]
pub fn new<O: Awaitable>(operation: O) -> Object {
    // SAFETY: attached; the class is ours and of this layout, whose fields are written at once. A spare
    // is memory of an object of it, which nobody else knows.
    unsafe {
        let class = O::class().load(Acquire);
        let spare = O::SPARE.map_or(null_mut(), spare::take);
        let object = if spare.is_null() {
            ffi::PyObject_New::<Layout<O>>(class)
        } else {
            ffi::PyObject_Init(spare, class).cast()
        };
        if !object.is_null() {
            (&raw mut (*object).busy).write(AtomicBool::new(false));
            (&raw mut (*object).state).write(Suspended::new(operation));
        }
        object.cast()
    }
}

/// The same for who knows no raw references.
pub fn make<O: Awaitable>(py: Python<'_>, operation: O) -> PyResult<Bound<'_, PyAny>> {
    // SAFETY: attached; a new reference, or null with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(py, new(operation)) }
}

/// Lets `body` use the operation of an awaitable. None if it is of another class, or in use.
pub fn with<O: Awaitable, R>(
    object: &Bound<'_, PyAny>,
    body: impl FnOnce(&mut O) -> R,
) -> Option<R> {
    // SAFETY: live; an object of the class has this layout, and this is its only user meanwhile.
    unsafe {
        let this = object.as_ptr().cast::<Layout<O>>();
        if ffi::Py_TYPE(object.as_ptr()) != O::class().load(Acquire) {
            return None;
        }
        let _in_use = InUse::begin(&(*this).busy)?;
        Some(body(&mut (*this).state.operation))
    }
}

/// Calls `body` with the state of a live awaitable, unless it is in use.
///
/// # Safety
/// Attached; `this` is of the class.
#[inline]
unsafe fn used<O: Awaitable, R>(
    this: Object,
    body: impl FnOnce(&mut Suspended<O>) -> PyResult<R>,
) -> PyResult<R> {
    let this = this.cast::<Layout<O>>();
    // SAFETY: as the caller promises; this is its only user meanwhile.
    unsafe {
        match InUse::begin(&(*this).busy) {
            Some(_in_use) => body(&mut (*this).state),
            None => Err(PyRuntimeError::new_err("this is being awaited already")),
        }
    }
}

/// Calls `body` attached, and known to PyO3 to be: whoever steps a task of ours is.
#[inline]
fn attached<R>(body: impl FnOnce(Python<'_>, Option<&Current>) -> R) -> R {
    match task::current() {
        // SAFETY: steps are taken attached, inside of a call that PyO3 was told of.
        Some(task) => body(unsafe { Python::assume_attached() }, Some(&task)),
        None => Python::attach(|py| body(py, None)),
    }
}

/// What an awaitable's step means to the interpreter; null with an exception set for an error, and
/// null for the end, with one set if there is a value.
fn answer(py: Python<'_>, step: PyResult<Step>) -> Object {
    let error = match step {
        Ok(Step::Yield(value)) => return value.into_ptr(),
        Ok(Step::Return(value)) => match stop_with(py, value) {
            Ok(()) => return null_mut(),
            Err(error) => error,
        },
        Err(error) => error,
    };
    error.restore(py);
    null_mut()
}

unsafe extern "C" fn itself(this: Object) -> Object {
    // SAFETY: called by the interpreter on a live object, attached.
    unsafe { ffi::Py_INCREF(this) };
    this
}

unsafe extern "C" fn next<O: Awaitable>(this: Object) -> Object {
    attached(|py, task| {
        // SAFETY: called by the interpreter on a live object of the class, attached.
        unsafe {
            if let (false, Some(task)) = (O::WAITS, task)
                && let Ok(Some(again)) = used::<O, _>(this, |state| Ok(state.give_way(task)))
            {
                return if again {
                    py.None().into_ptr()
                } else {
                    null_mut()
                };
            }
            answer(
                py,
                used::<O, _>(this, |state| state.advance(py, task, None)),
            )
        }
    })
}

/// `send(value)`
unsafe extern "C" fn send<O: Awaitable>(this: Object, value: Object) -> Object {
    attached(|py, task| {
        // SAFETY: called by the interpreter on live objects, attached.
        let step = unsafe {
            let value = Bound::from_borrowed_ptr(py, value).unbind();
            let sent = (!value.is_none(py)).then_some(value);
            used::<O, _>(this, |state| state.advance(py, task, sent))
        };
        let step = match step {
            // Unlike `__next__`, it has to say so if it ends with None.
            Ok(Step::Return(value)) => Err(PyStopIteration::new_err((value,))),
            step => step,
        };
        answer(py, step)
    })
}

/// `throw(kind, value=None, traceback=None)`
unsafe extern "C" fn throw<O: Awaitable>(
    this: Object,
    arguments: *mut Object,
    count: isize,
) -> Object {
    attached(|py, _| {
        // SAFETY: called by the interpreter on live objects, attached.
        let (kind, value) = unsafe {
            let argument = |index| {
                (index < count).then(|| Bound::from_borrowed_ptr(py, *arguments.offset(index)))
            };
            (argument(0), argument(1))
        };
        let Some(kind) = kind else {
            let message = "throw() takes an exception";
            return answer(py, Err(PyTypeError::new_err(message)));
        };
        // SAFETY: as above.
        let left = unsafe {
            used::<O, _>(this, |state| {
                state.leave(py);
                Ok(())
            })
        };
        let error = left.err();
        answer(
            py,
            Err(error.unwrap_or_else(|| thrown(&kind, value.as_ref()))),
        )
    })
}

/// `close()`
unsafe extern "C" fn close<O: Awaitable>(this: Object, _: Object) -> Object {
    attached(|py, _| {
        // SAFETY: called by the interpreter on a live object, attached.
        let left = unsafe {
            used::<O, _>(this, |state| {
                state.leave(py);
                Ok(Step::Yield(py.None()))
            })
        };
        answer(py, left)
    })
}

unsafe extern "C" fn dealloc<O: Awaitable>(this: Object) {
    let object = this.cast::<Layout<O>>();
    // SAFETY: the last reference is gone; attached. What is set as an exception stays so.
    unsafe {
        let state = &raw mut (*object).state;
        if (*state).waits() {
            Python::attach(|py| {
                let pending = PyErr::take(py);
                (*state).leave(py);
                if let Some(pending) = pending {
                    pending.restore(py);
                }
            });
        }
        let class = ffi::Py_TYPE(this);
        if std::mem::needs_drop::<Suspended<O>>() {
            attached(|_, _| std::ptr::drop_in_place(state));
        }
        if !O::SPARE.is_some_and(|class| spare::keep(class, this)) {
            ffi::PyObject_Free(this.cast());
        }
        leave_class(class);
    }
}

/// Makes the class; once, before there is any object.
pub fn register<O: Awaitable>(py: Python<'_>) -> PyResult<()> {
    use ffi::PyMethodDefPointer as P;
    // The class lives as long as the process, and so must its table.
    let methods = Box::leak(Box::new([
        method(
            c"send",
            P { PyCFunction: send::<O> },
            ffi::METH_O,
            c"send($self, value, /)\n--\n\nOne step of the await.",
        ),
        method(
            c"throw",
            P { PyCFunctionFast: throw::<O> },
            ffi::METH_FASTCALL,
            c"throw($self, kind, value=None, traceback=None, /)\n--\n\nGives the await up and raises.",
        ),
        method(
            c"close",
            P { PyCFunction: close::<O> },
            ffi::METH_NOARGS,
            c"close($self, /)\n--\n\nGives the await up.",
        ),
        ffi::PyMethodDef::zeroed(),
    ]));
    let slot = |slot: c_int, pfunc: *mut c_void| ffi::PyType_Slot { slot, pfunc };
    let mut slots = [
        slot(ffi::Py_tp_dealloc, dealloc::<O> as *mut c_void),
        slot(ffi::Py_am_await, itself as *mut c_void),
        slot(ffi::Py_tp_iter, itself as *mut c_void),
        slot(ffi::Py_tp_iternext, next::<O> as *mut c_void),
        slot(ffi::Py_tp_methods, methods.as_mut_ptr().cast()),
        slot(0, null_mut()),
    ];
    let flags = ffi::Py_TPFLAGS_DEFAULT | ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION;
    let mut spec = ffi::PyType_Spec {
        name: O::NAME.as_ptr(),
        basicsize: size_of::<Layout<O>>() as c_int,
        itemsize: 0,
        flags: flags as u32,
        slots: slots.as_mut_ptr(),
    };
    // SAFETY: the spec is complete and its table is leaked; a null result carries an exception.
    let class = unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyType_FromSpec(&mut spec))? };
    O::class().store(class.into_ptr().cast(), Release);
    Ok(())
}

/// Adds a method to a class of PyO3's, called without its guards.
pub fn add_method(
    class: &Bound<'_, pyo3::types::PyType>,
    name: &'static CStr,
    meth: ffi::PyMethodDefPointer,
    flags: c_int,
    doc: &'static CStr,
) -> PyResult<()> {
    let def = Box::leak(Box::new(method(name, meth, flags, doc)));
    // SAFETY: the definition is leaked, as the descriptor needs; the class is a heap type.
    let descriptor = unsafe {
        let descriptor = ffi::PyDescr_NewMethod(class.as_type_ptr(), def);
        Bound::from_owned_ptr_or_err(class.py(), descriptor)?
    };
    class.setattr(name.to_string_lossy().as_ref(), descriptor)
}

/// As `add_method`, for a function of a module.
pub fn add_function(
    module: &Bound<'_, PyModule>,
    name: &'static CStr,
    meth: ffi::PyMethodDefPointer,
    flags: c_int,
    doc: &'static CStr,
) -> PyResult<()> {
    let def = Box::leak(Box::new(method(name, meth, flags, doc)));
    let within = module.name()?;
    // SAFETY: the definition is leaked, as the function needs.
    let function = unsafe {
        let function = ffi::PyCFunction_NewEx(def, null_mut(), within.as_ptr());
        Bound::from_owned_ptr_or_err(module.py(), function)?
    };
    module.add(name.to_string_lossy().as_ref(), function)
}

/// An unsupported argument of `throw`, made into the error to raise.
pub fn thrown(kind: &Bound<'_, PyAny>, value: Option<&Bound<'_, PyAny>>) -> PyErr {
    let py = kind.py();
    if let Some(value) = value
        && value.is_instance_of::<pyo3::exceptions::PyBaseException>()
    {
        return PyErr::from_value(value.clone());
    }
    if kind.is_instance_of::<pyo3::exceptions::PyBaseException>() {
        return PyErr::from_value(kind.clone());
    }
    let made = match value {
        Some(value) if !value.is_none() => kind.call1((value,)),
        _ => kind.call0(),
    };
    match made {
        Ok(value) if value.is_instance_of::<pyo3::exceptions::PyBaseException>() => {
            PyErr::from_value(value)
        }
        Ok(_) => PyTypeError::new_err("throw() takes an exception"),
        Err(error) => error,
    }
    .clone_ref(py)
}

/// The awaitable protocol of a class whose `state` is a `Suspended` operation, plus the methods
/// given; and leaving the operation when the object goes.
macro_rules! awaitable {
    ($class:ident { $($body:tt)* }) => {
        #[pymethods]
        impl $class {
            fn __await__(slf: Py<Self>) -> Py<Self> {
                slf
            }

            fn __iter__(slf: Py<Self>) -> Py<Self> {
                slf
            }

            fn __next__(&mut self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
                let task = $crate::coro::task::current();
                match self.state.advance(py, task.as_ref(), None)? {
                    $crate::coro::suspend::Step::Yield(value) => Ok(Some(value)),
                    $crate::coro::suspend::Step::Return(value) => {
                        $crate::coro::stop::stop_with(py, value)?;
                        Ok(None)
                    }
                }
            }

            fn send(&mut self, py: Python<'_>, value: Py<PyAny>) -> PyResult<Py<PyAny>> {
                let sent = (!value.is_none(py)).then_some(value);
                let task = $crate::coro::task::current();
                match self.state.advance(py, task.as_ref(), sent)? {
                    $crate::coro::suspend::Step::Yield(value) => Ok(value),
                    $crate::coro::suspend::Step::Return(value) => {
                        Err(pyo3::exceptions::PyStopIteration::new_err((value,)))
                    }
                }
            }

            #[pyo3(signature = (kind, value = None, _traceback = None))]
            fn throw(
                &mut self,
                py: Python<'_>,
                kind: &Bound<'_, PyAny>,
                value: Option<&Bound<'_, PyAny>>,
                _traceback: Option<&Bound<'_, PyAny>>,
            ) -> PyResult<Py<PyAny>> {
                self.state.leave(py);
                Err($crate::coro::awaitable::thrown(kind, value))
            }

            fn close(&mut self, py: Python<'_>) {
                self.state.leave(py);
            }

            $($body)*
        }

        impl Drop for $class {
            fn drop(&mut self) {
                // Nearly always it is over, and attaching anew, if only in name, costs.
                if self.state.waits() {
                    Python::attach(|py| self.state.leave(py));
                }
            }
        }
    };
}
pub(crate) use awaitable;
