//! The way in: a call with its arguments becomes a future in the queue.

use super::overload::WhenFull;
use super::{BROKEN, Pool};
use crate::context;
use crate::future::{self, Call, FutureObject, Management, Object, Origin, Record};
use crate::options::TaskOptions;
use crate::tracing;
use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};
use std::ptr::null_mut;
use std::sync::atomic::AtomicPtr;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use taskloom_core::job::Job;
use taskloom_core::ready::DEFAULT_BAND;

/// `taskloom.Task`: a submit of one brings its options.
static TASK_CLASS: AtomicPtr<ffi::PyTypeObject> = AtomicPtr::new(null_mut());

/// Whether `callable` is a `taskloom.Task`.
///
/// # Safety
/// Attached; `callable` is a live object.
#[inline]
pub unsafe fn is_task(callable: Object) -> bool {
    // SAFETY: as the caller promises.
    unsafe { ffi::Py_TYPE(callable) == TASK_CLASS.load(Relaxed) }
}

/// Passes a submit on to a Python method of `this`: `name(fn, /, *args, **kwargs)`.
///
/// # Safety
/// Attached; `args` holds `count` positional arguments, then the values of `kwnames`.
#[cold]
pub unsafe fn submit_in_python(
    this: Object,
    name: &std::ffi::CStr,
    args: *const Object,
    count: usize,
    kwnames: Object,
) -> Object {
    // SAFETY: as the caller promises; the new vector holds borrowed references for the call.
    unsafe {
        let method = ffi::PyObject_GetAttrString(this, name.as_ptr());
        if method.is_null() {
            return null_mut();
        }
        let result = ffi::PyObject_Vectorcall(method, args, count, kwnames);
        ffi::Py_DECREF(method);
        result
    }
}

/// Tells the class `taskloom.Task`, which lives for ever.
#[pyfunction]
pub(super) fn _know_task(task_class: &Bound<'_, PyType>) {
    TASK_CLASS.store(task_class.clone().into_ptr().cast(), Relaxed);
}

impl Pool {
    /// Who submits: the task that this thread runs, or somebody outside.
    #[inline(always)]
    pub(super) fn origin(&self) -> Origin {
        match future::current_on_worker() {
            Some(parent) => Origin::of_child(parent, self.identity()),
            None => Origin::of_pool(self.identity()),
        }
    }

    /// Makes a future. Null with an exception set if that failed.
    ///
    /// # Safety
    /// As `submit_call`.
    #[inline(always)]
    pub(super) unsafe fn new_future(
        &self,
        args: *const Object,
        count: usize,
        kwnames: Object,
        managed: Option<Management<'_>>,
    ) -> *mut FutureObject {
        // SAFETY: as the caller promises.
        unsafe {
            let context = context::capture();
            if context.is_null() {
                return null_mut();
            }
            let call = Call {
                callable: *args,
                context,
                origin: self.origin(),
                inline: self.inline,
                managed,
            };
            future::new(&call, args.add(1), count - 1, kwnames)
        }
    }

    /// What these options ask for beyond a plain call.
    #[inline(always)]
    pub(super) fn management<'a>(&self, options: &'a TaskOptions) -> Management<'a> {
        Management {
            options,
            hard: self.hard_deadlines,
        }
    }

    /// Makes a future that is not queued yet but counted, unless there is no room for it or the pool is
    /// closed: what belongs to a run is still taken when that goes on after the closing.
    pub(super) fn accept<'py>(
        &self,
        py: Python<'py>,
        options: &TaskOptions,
        function: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
        kwargs: &Bound<'py, PyDict>,
        bounded: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        match self.shared().flags.load(SeqCst) {
            0 => {}
            flags if !bounded && flags & BROKEN == 0 => {}
            flags => return Err(self.refusal(py, flags)),
        }
        let accepted = self.hold(py, options.band, bounded)?;
        let future = self.prepare(py, options, function, args, kwargs);
        match (&future, accepted) {
            (Ok(future), true) => {
                if let Some(record) = future::native(future).and_then(future::record_of) {
                    record.held.store(true, SeqCst);
                    record.kept.store(!bounded, Relaxed);
                }
                if self.core().switch().is_on() {
                    tracing::submitted(self.core(), future.as_ptr().cast_const().cast());
                }
            }
            (Ok(future), false) => {
                self.core().arrivals().submitted.add(1);
                self.core().arrivals().dropped.add(1);
                self._refuse(future, self.no_room(py));
            }
            (Err(_), true) => self.core().let_go(),
            (Err(_), false) => {}
        }
        future
    }

    /// Makes a future that is not queued yet.
    fn prepare<'py>(
        &self,
        py: Python<'py>,
        options: &TaskOptions,
        function: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
        kwargs: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let mut call = vec![function.clone()];
        call.extend(args.iter());
        let count = call.len();
        call.extend(kwargs.iter().map(|(_, value)| value));
        let names = PyTuple::new(py, kwargs.keys())?;
        let kwnames = if names.is_empty() {
            null_mut()
        } else {
            names.as_ptr()
        };
        let pointers: Vec<Object> = call.iter().map(Bound::as_ptr).collect();
        // SAFETY: live references, as many as said; the new future is nobody else's.
        unsafe {
            let managed = Some(self.management(options));
            let future = self.new_future(pointers.as_ptr(), count, kwnames, managed);
            Bound::from_owned_ptr_or_err(py, future.cast())
        }
    }

    /// The future of a coroutine, which bears the name of a callable, with the record that the
    /// options need.
    pub fn coroutine_future<'py>(
        &self,
        py: Python<'py>,
        named: &Py<PyAny>,
        options: Option<&TaskOptions>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let call = future::CoroutineCall {
            managed: options.map(|options| self.management(options)),
            ..future::CoroutineCall::named(named)
        };
        // SAFETY: the callable is live.
        unsafe { future::of_coroutine(py, &call, None) }
    }

    /// Makes a future and queues it. Null with an exception set if it was refused.
    ///
    /// # Safety
    /// Attached; `args` holds the callable and as many positional arguments as `count` says, then
    /// the values of the keywords in `kwnames`.
    #[inline]
    pub unsafe fn submit_call(
        &self,
        args: *const Object,
        count: usize,
        kwnames: Object,
        options: Option<&TaskOptions>,
    ) -> Object {
        let shared = self.shared();
        // SAFETY: as the caller promises.
        unsafe {
            let flags = shared.flags.load(Relaxed);
            if flags != 0 {
                let py = Python::assume_attached();
                self.refusal(py, flags).restore(py);
                return null_mut();
            }
            if self.when_full == WhenFull::Reject && shared.core.is_full() {
                // Before anything is made for it: overload makes many of these.
                let py = Python::assume_attached();
                if !self.sweep(py) {
                    self.reject(py, 1).restore(py);
                    return null_mut();
                }
            }
            let managed = options.filter(|options| !options.plain);
            let managed = managed.map(|options| self.management(options));
            let future = self.new_future(args, count, kwnames, managed);
            if future.is_null() {
                return null_mut();
            }
            let band = options.map_or(DEFAULT_BAND, |options| options.band);
            let deadline = future::record_of(&*future).and_then(Record::deadline);
            if shared.core.switch().is_on() {
                tracing::submitted(&shared.core, future.cast());
            }
            // One reference for the queue, one for the caller.
            ffi::Py_INCREF(future.cast());
            let job = Job::new(future.cast(), future::execute);
            if shared.core.submit_bounded(job, band, deadline).is_err() {
                let py = Python::assume_attached();
                if let Err(error) = self.wait_and_submit(py, job, band, deadline) {
                    ffi::Py_DECREF(future.cast());
                    ffi::Py_DECREF(future.cast());
                    error.restore(py);
                    return null_mut();
                }
            }
            future.cast()
        }
    }
}

/// `Pool.submit(fn, /, *args, **kwargs)`.
pub(super) unsafe extern "C" fn submit(
    this: Object,
    args: *const Object,
    count: isize,
    kwnames: Object,
) -> Object {
    // SAFETY: a method of `Pool` or of a subclass, called attached by the interpreter.
    unsafe {
        let py = Python::assume_attached();
        if count < 1 {
            PyTypeError::new_err("submit() needs a function to run: submit(fn, *args, **kwargs)")
                .restore(py);
            return null_mut();
        }
        if is_task(*args) {
            return submit_in_python(this, c"_submit_task", args, count as usize, kwnames);
        }
        let pool = Bound::from_borrowed_ptr(py, this).cast_into_unchecked::<Pool>();
        let pool = pool.get();
        pool.submit_call(args, count as usize, kwnames, pool.defaults(py))
    }
}

/// `Pool._submit(options, fn, /, *args, **kwargs)`.
pub(super) unsafe extern "C" fn submit_chosen(
    this: Object,
    args: *const Object,
    count: isize,
    kwnames: Object,
) -> Object {
    // SAFETY: as `submit`.
    unsafe {
        let py = Python::assume_attached();
        let chosen = if count < 2 {
            Err(PyTypeError::new_err(
                "_submit() needs options and a function",
            ))
        } else {
            Bound::from_borrowed_ptr(py, *args)
                .cast_into::<TaskOptions>()
                .map_err(PyErr::from)
        };
        match chosen {
            Ok(chosen) => {
                let pool = Bound::from_borrowed_ptr(py, this).cast_into_unchecked::<Pool>();
                let count = count as usize - 1;
                pool.get()
                    .submit_call(args.add(1), count, kwnames, Some(chosen.get()))
            }
            Err(error) => {
                error.restore(py);
                null_mut()
            }
        }
    }
}

/// As `submit`, but not as a child of the task that submits: cancelling that does not reach it.
pub(super) unsafe extern "C" fn submit_unlinked(
    this: Object,
    args: *const Object,
    count: isize,
    kwnames: Object,
) -> Object {
    let before = future::replace_current(std::ptr::null());
    // SAFETY: as the caller promises.
    let submitted = unsafe { submit(this, args, count, kwnames) };
    future::replace_current(before);
    submitted
}

pub type FastMethod = unsafe extern "C" fn(Object, *const Object, isize, Object) -> Object;

/// Adds a method with the vectorcall convention, which PyO3 does not offer: no tuple, no dict.
pub fn add_fast_method<T: pyo3::PyTypeInfo>(
    py: Python<'_>,
    name: &'static std::ffi::CStr,
    method: FastMethod,
) -> PyResult<()> {
    let class = py.get_type::<T>();
    let def = Box::leak(Box::new(ffi::PyMethodDef {
        ml_name: name.as_ptr(),
        ml_meth: ffi::PyMethodDefPointer {
            PyCFunctionFastWithKeywords: method,
        },
        ml_flags: ffi::METH_FASTCALL | ffi::METH_KEYWORDS,
        ml_doc: c"submit($self, fn, /, *args, **kwargs)\n--\n\nQueues fn(*args, **kwargs) and returns its Future."
            .as_ptr(),
    }));
    // SAFETY: the definition is leaked, as the descriptor needs; the class is a heap type.
    let descriptor = unsafe {
        Bound::from_owned_ptr_or_err(py, ffi::PyDescr_NewMethod(class.as_type_ptr(), def))?
    };
    class.setattr(name.to_string_lossy(), descriptor)
}
