//! The native base of `Scope`: counts children, keeps their errors, and spawns coroutines quickly.
//!
//! A coroutine child needs one future, one task and one job, all native; what is rare (plain
//! functions, foreign event loops, options) is `Scope`'s, in Python, and counts its children by
//! `_begin` and `_child_over`.

use super::home::Home;
use super::task::{Body, Context, Sink, Task};
use super::token::Token;
use super::wait::Wait;
use crate::{context, future};
use parking_lot::Mutex;
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple};
use std::sync::{Arc, OnceLock};
use taskloom_core::cancel;

type Object = *mut ffi::PyObject;

#[derive(Default)]
struct State {
    open: bool,
    live: usize,
    waiters: Vec<Py<super::wait::Setter>>,
    errors: Vec<Py<PyAny>>,
    /// The function that was last seen to be a coroutine function: scopes spawn the same one often.
    known: Option<Py<PyAny>>,
}

/// What a scope's children share.
pub struct Shared {
    state: Mutex<State>,
    cancel_on_error: bool,
    entered: OnceLock<(cancel::Token, Option<Home>)>,
}

impl Shared {
    fn begin(&self) -> PyResult<()> {
        let mut state = self.state.lock();
        if !state.open {
            return Err(PyRuntimeError::new_err(
                "this scope is not open: nothing can be spawned in it",
            ));
        }
        state.live += 1;
        Ok(())
    }

    /// A child has ended; the last one lets go on who waits for all.
    pub fn child_over(&self) {
        let mut state = self.state.lock();
        state.live -= 1;
        if state.live > 0 || state.waiters.is_empty() {
            return;
        }
        let waiters = std::mem::take(&mut state.waiters);
        drop(state);
        for waiter in waiters {
            waiter.get().set(None);
        }
    }

    /// A child has failed.
    pub fn child_failed(&self, error: Py<PyAny>) {
        self.state.lock().errors.push(error);
        if self.cancel_on_error
            && let Some((token, _)) = self.entered.get()
        {
            token.cancel(Some("another task of the scope failed".into()));
        }
    }
}

/// Whether an object is `taskloom.errors.Cancelled`'s.
pub fn is_cancelled_error(py: Python<'_>, error: &PyErr) -> bool {
    static CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let class = CLASS.get_or_try_init(py, || {
        let errors = py.import("taskloom.errors")?;
        Ok::<_, PyErr>(errors.getattr("Cancelled")?.unbind())
    });
    class.is_ok_and(|class| error.is_instance(py, class.bind(py)))
}

/// The native base of `taskloom.Scope`.
#[pyclass(subclass, frozen, module = "taskloom._taskloom")]
pub struct Nursery(Arc<Shared>);

#[pymethods]
impl Nursery {
    #[new]
    #[pyo3(signature = (cancel_on_error))]
    fn new(cancel_on_error: bool) -> Self {
        Nursery(Arc::new(Shared {
            state: Mutex::new(State::default()),
            cancel_on_error,
            entered: OnceLock::new(),
        }))
    }

    /// Opens it: children are cancelled by `token`, and coroutines live at `home`.
    fn _open(&self, token: &Token, home: Option<&super::home::HomeObject>) -> PyResult<()> {
        let entered = (token.0.clone(), home.map(|home| home.0.clone()));
        if self.0.entered.set(entered).is_err() {
            return Err(PyRuntimeError::new_err("a scope can be entered once"));
        }
        self.0.state.lock().open = true;
        Ok(())
    }

    /// Closes it if no child is left; false if there is one.
    fn _close(&self) -> bool {
        let mut state = self.0.state.lock();
        state.open = state.live > 0;
        !state.open
    }

    #[getter]
    fn _is_open(&self) -> bool {
        self.0.state.lock().open
    }

    #[getter]
    fn _live(&self) -> usize {
        self.0.state.lock().live
    }

    /// Counts a child that Python spawns.
    fn _begin(&self) -> PyResult<()> {
        self.0.begin()
    }

    /// A child that Python spawned has ended.
    fn _child_over(&self) {
        self.0.child_over();
    }

    /// A child that Python spawned has failed.
    fn _child_failed(&self, error: Py<PyAny>) {
        self.0.child_failed(error);
    }

    /// What ends when no child is left; None if there is none now.
    fn _idle_wait(&self, py: Python<'_>) -> PyResult<Option<Py<Wait>>> {
        let wait = Py::new(py, Wait::new())?;
        let setter = Py::new(py, wait.borrow(py).setter())?;
        let mut state = self.0.state.lock();
        if state.live == 0 {
            return Ok(None);
        }
        state.waiters.push(setter);
        drop(state);
        Ok(Some(wait))
    }

    /// The errors of children so far, in the order in which they happened.
    fn _errors(&self, py: Python<'_>) -> Vec<Py<PyAny>> {
        let state = self.0.state.lock();
        state.errors.iter().map(|e| e.clone_ref(py)).collect()
    }
}

/// Whether calling it gives a coroutine: plain `async def` functions only, the rest is Python's.
fn is_coroutine_function(function: &Bound<'_, PyAny>) -> bool {
    const COROUTINE: u32 = 0x80;
    // SAFETY: a live object; the exact type is asked for.
    if unsafe { ffi::Py_TYPE(function.as_ptr()) != &raw mut ffi::PyFunction_Type } {
        return false;
    }
    function
        .getattr("__code__")
        .and_then(|code| code.getattr("co_flags"))
        .and_then(|flags| flags.extract::<u32>())
        .is_ok_and(|flags| flags & COROUTINE != 0)
}

impl Nursery {
    fn knows(&self, function: &Bound<'_, PyAny>) -> bool {
        let known = self.0.state.lock();
        if let Some(known) = &known.known
            && known.as_ptr() == function.as_ptr()
        {
            return true;
        }
        drop(known);
        if !is_coroutine_function(function) {
            return false;
        }
        let before = self.0.state.lock().known.replace(function.clone().unbind());
        drop(before);
        true
    }

    /// Spawns a coroutine here; None if that is not for this way.
    fn spawn_quickly<'py>(
        &self,
        function: &Bound<'py, PyAny>,
        arguments: &[Object],
        kwnames: Object,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = function.py();
        let Some((token, Some(home))) = self.0.entered.get() else {
            return Ok(None);
        };
        if !self.knows(function) {
            return Ok(None);
        }
        let (positional, keywords) = unpack(py, arguments, kwnames)?;
        let future = future::promise_of(py, function.clone().unbind())?;
        let snapshot = context::capture();
        // SAFETY: a new reference, or null with an exception set.
        let snapshot = unsafe { Bound::from_owned_ptr_or_err(py, snapshot)? };
        self.0.begin()?;
        let task = Task::new(
            home.clone(),
            Body::Call(function.clone().unbind(), positional, keywords),
            Context::Shared(snapshot.unbind()),
            token.clone(),
            Sink::Future(future.clone().unbind(), Some(Arc::clone(&self.0))),
            None,
        );
        home.begin();
        home.queue(task);
        Ok(Some(future))
    }
}

/// Positional and keyword arguments out of a vectorcall's.
fn unpack(
    py: Python<'_>,
    arguments: &[Object],
    kwnames: Object,
) -> PyResult<(Py<PyTuple>, Option<Py<PyDict>>)> {
    let borrow = |object: &Object| {
        // SAFETY: the caller's arguments are live for the call.
        unsafe { Bound::from_borrowed_ptr(py, *object) }
    };
    if kwnames.is_null() {
        let positional = PyTuple::new(py, arguments.iter().map(borrow))?;
        return Ok((positional.unbind(), None));
    }
    // SAFETY: the interpreter passes a tuple of names.
    let names = unsafe { Bound::from_borrowed_ptr(py, kwnames).cast_into_unchecked::<PyTuple>() };
    let (positional, values) = arguments.split_at(arguments.len() - names.len());
    let keywords = PyDict::new(py);
    for (name, value) in names.iter().zip(values) {
        keywords.set_item(name, borrow(value))?;
    }
    let positional = PyTuple::new(py, positional.iter().map(borrow))?;
    Ok((positional.unbind(), Some(keywords.unbind())))
}

/// `Nursery.spawn(fn, /, *args, **kwargs)`.
unsafe extern "C" fn spawn(
    this: Object,
    args: *const Object,
    count: isize,
    kwnames: Object,
) -> Object {
    // SAFETY: a method of `Nursery` or of a subclass, called attached by the interpreter with
    // `count` positional arguments and then the values of the keywords.
    unsafe {
        let py = Python::assume_attached();
        let this = Bound::from_borrowed_ptr(py, this).cast_into_unchecked::<Nursery>();
        let spawned = if count < 1 {
            Err(PyTypeError::new_err(
                "spawn() needs a function to run: spawn(fn, *args, **kwargs)",
            ))
        } else {
            let keywords = if kwnames.is_null() {
                0
            } else {
                ffi::PyTuple_GET_SIZE(kwnames)
            };
            let all = std::slice::from_raw_parts(args, (count + keywords) as usize);
            spawn_any(&this, all, kwnames)
        };
        match spawned {
            Ok(future) => future.into_ptr(),
            Err(error) => {
                error.restore(py);
                std::ptr::null_mut()
            }
        }
    }
}

/// # Safety
/// `all` holds a function, its arguments and the values of its keywords, all live.
unsafe fn spawn_any<'py>(
    this: &Bound<'py, Nursery>,
    all: &[Object],
    kwnames: Object,
) -> PyResult<Bound<'py, PyAny>> {
    let py = this.py();
    // SAFETY: as the caller promises.
    let function = unsafe { Bound::from_borrowed_ptr(py, all[0]) };
    if let Some(future) = this.get().spawn_quickly(&function, &all[1..], kwnames)? {
        return Ok(future);
    }
    let (arguments, keywords) = unpack(py, &all[1..], kwnames)?;
    let keywords = match keywords {
        Some(keywords) => keywords.into_bound(py),
        None => PyDict::new(py),
    };
    this.call_method1("_spawn", (function, arguments, keywords))
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Nursery>()?;
    // With the vectorcall convention, which PyO3 does not offer: no tuple, no dict.
    let class = module.py().get_type::<Nursery>();
    let def = Box::leak(Box::new(ffi::PyMethodDef {
        ml_name: c"spawn".as_ptr(),
        ml_meth: ffi::PyMethodDefPointer {
            PyCFunctionFastWithKeywords: spawn,
        },
        ml_flags: ffi::METH_FASTCALL | ffi::METH_KEYWORDS,
        ml_doc: c"spawn($self, fn, /, *args, **kwargs)\n--\n\nStarts `fn(*args, **kwargs)` as a child of this scope; from any thread.\n\nReturns a future that can be awaited, waited for, cancelled, or ignored: an error comes out of the\nscope in any case. RuntimeError if the scope is not open.\n\n>>> import taskloom\n>>> with taskloom.Scope() as scope:\n...     future = scope.spawn(pow, 2, 10)\n>>> future.result()\n1024"
            .as_ptr(),
    }));
    // SAFETY: the definition is leaked, as the descriptor needs; the class is a heap type.
    let descriptor = unsafe {
        let descriptor = ffi::PyDescr_NewMethod(class.as_type_ptr(), def);
        Bound::from_owned_ptr_or_err(module.py(), descriptor)?
    };
    class.setattr("spawn", descriptor)
}
