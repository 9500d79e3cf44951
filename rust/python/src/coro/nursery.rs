//! The native base of `Scope`: counts children, keeps their errors, and spawns coroutines quickly.
//!
//! A coroutine child needs one future, one task and one job, all native; what is rare (plain
//! functions, foreign event loops, options) is `Scope`'s, in Python, and counts its children by
//! `_begin` and `_child_over`.

use super::home::Home;
use super::task::Task;
use super::token::Token;
use super::wait::Wait;
use crate::{context, future};
use parking_lot::Mutex;
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, OnceLock, Weak};
use taskloom_core::cancel;

type Object = *mut ffi::PyObject;

/// How many children there are and whether more may come, in one word.
///
/// Who finds that no child is left looks for waiters after that; who waits looks at the count after
/// having put itself among them. Both words are changed and read in one order (`SeqCst`), so either
/// the waiter sees the count at zero, or the last child sees the waiter.
#[derive(Default)]
struct Children(AtomicUsize);

const OPEN: usize = 1;
const CHILD: usize = 2;

impl Children {
    fn open(&self) {
        self.0.fetch_or(OPEN, SeqCst);
    }

    /// Closes it unless there are children; whether it is closed.
    fn close(&self) -> bool {
        let closed = (self.0).compare_exchange(OPEN, 0, SeqCst, SeqCst);
        closed.map_or_else(|word| word == 0, |_| true)
    }

    fn is_open(&self) -> bool {
        self.0.load(SeqCst) & OPEN != 0
    }

    fn live(&self) -> usize {
        self.0.load(SeqCst) / CHILD
    }

    /// Counts one more and returns how many there are then; None if none may come.
    fn begin(&self) -> Option<usize> {
        let more = |word| (word & OPEN != 0).then_some(word + CHILD);
        let before = self.0.fetch_update(SeqCst, SeqCst, more).ok()?;
        Some(before / CHILD + 1)
    }

    /// Counts one less; true if none is left.
    fn end(&self) -> bool {
        self.0.fetch_sub(CHILD, SeqCst) / CHILD == 1
    }
}

#[derive(Default)]
struct State {
    waiters: Vec<Py<super::wait::Setter>>,
    errors: Vec<Py<PyAny>>,
}

/// What a scope's children share.
pub struct Shared {
    /// This very object.
    own: Weak<Shared>,
    children: Children,
    state: Mutex<State>,
    cancel_on_error: bool,
    entered: OnceLock<(cancel::Token, Option<Home>)>,
    /// The code of the coroutine function that was spawned first: scopes spawn the same one often.
    known: OnceLock<Py<PyAny>>,
}

impl Shared {
    /// Counts a child. While there are any, a pool is retained, and this kept alive: by the first, which
    /// is queued after that and so counted until then, and both given up by the last.
    fn begin(&self) -> PyResult<()> {
        match self.children.begin() {
            Some(1) => {
                std::mem::forget(self.own.upgrade());
                if let Some(pool) = self.pool() {
                    pool.begin();
                }
                Ok(())
            }
            Some(_) => Ok(()),
            None => Err(PyRuntimeError::new_err(
                "this scope is not open: nothing can be spawned in it",
            )),
        }
    }

    /// A child has ended; the last one lets go on who waits for all. Nothing keeps this alive for the
    /// caller any more.
    pub fn child_over(&self) {
        if !self.children.end() {
            return;
        }
        let waiters = std::mem::take(&mut self.state.lock().waiters);
        for waiter in waiters {
            waiter.get().set(None);
        }
        if let Some(pool) = self.pool() {
            pool.over();
        }
        // SAFETY: the share that the first child took for all.
        unsafe { Arc::decrement_strong_count(self.own.as_ptr()) };
    }

    fn pool(&self) -> Option<&Home> {
        let (_, home) = self.entered.get()?;
        home.as_ref().filter(|home| home.is_pool())
    }

    /// What a child that was spawned here begins with.
    #[inline]
    pub fn token(&self) -> &cancel::Token {
        match self.entered.get() {
            Some((token, _)) => token,
            None => unreachable!("nothing is spawned in a scope before it is entered"),
        }
    }

    /// Where a child that was spawned here lives.
    #[inline]
    pub fn home(&self) -> &Home {
        match self.entered.get() {
            Some((_, Some(home))) => home,
            _ => unreachable!("nothing is spawned in a scope that has no place for it"),
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
        Nursery(Arc::new_cyclic(|own| Shared {
            own: Weak::clone(own),
            children: Children::default(),
            state: Mutex::new(State::default()),
            cancel_on_error,
            entered: OnceLock::new(),
            known: OnceLock::new(),
        }))
    }

    /// Opens it: children are cancelled by `token`, and coroutines live at `home`.
    fn _open(&self, token: &Token, home: Option<&super::home::HomeObject>) -> PyResult<()> {
        let entered = (token.0.clone(), home.map(|home| home.0.clone()));
        if self.0.entered.set(entered).is_err() {
            return Err(PyRuntimeError::new_err("a scope can be entered once"));
        }
        self.0.children.open();
        Ok(())
    }

    /// Closes it if no child is left; false if there is one.
    fn _close(&self) -> bool {
        self.0.children.close()
    }

    #[getter]
    fn _is_open(&self) -> bool {
        self.0.children.is_open()
    }

    #[getter]
    fn _live(&self) -> usize {
        self.0.children.live()
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

    /// The body has failed, or was interrupted.
    fn _body_failed(&self, error: Py<PyAny>) {
        self.0.state.lock().errors.push(error);
    }

    /// What ends when no child is left; None if there is none now.
    fn _idle_wait(&self, py: Python<'_>) -> PyResult<Option<Py<Wait>>> {
        let wait = Py::new(py, Wait::new())?;
        let setter = Py::new(py, wait.borrow(py).setter())?;
        let mut state = self.0.state.lock();
        state.waiters.push(setter);
        if self.0.children.live() == 0 {
            let waiter = state.waiters.pop();
            drop(state);
            drop(waiter);
            return Ok(None);
        }
        drop(state);
        Ok(Some(wait))
    }

    /// Takes the errors so far, in the order in which they happened. Kept here, they would be out of
    /// the garbage collector's sight, and their tracebacks refer to the scope.
    fn _take_errors(&self) -> Vec<Py<PyAny>> {
        std::mem::take(&mut self.0.state.lock().errors)
    }
}

/// The code of a function whose calls give coroutines; the rest is Python's to look at.
fn code_of_coroutine<'py>(function: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    const COROUTINE: u32 = 0x80;
    let code = function.getattr("__code__").ok()?;
    let flags: u32 = code.getattr("co_flags").ok()?.extract().ok()?;
    (flags & COROUTINE != 0).then_some(code)
}

impl Nursery {
    /// Whether it is a plain `async def` function.
    #[inline]
    fn knows(&self, function: &Bound<'_, PyAny>) -> bool {
        // SAFETY: a live object; the exact type is asked for.
        if unsafe { ffi::Py_TYPE(function.as_ptr()) != &raw mut ffi::PyFunction_Type } {
            return false;
        }
        // SAFETY: a function, so it has code; the reference is borrowed from it.
        let code = unsafe { ffi::PyFunction_GetCode(function.as_ptr()) };
        match self.0.known.get() {
            Some(known) if known.as_ptr() == code => true,
            known => self.learn(function, known.is_none()),
        }
    }

    #[cold]
    fn learn(&self, function: &Bound<'_, PyAny>, first: bool) -> bool {
        let Some(code) = code_of_coroutine(function) else {
            return false;
        };
        if first {
            // Another thread may have been faster, with this one or another.
            let _ = self.0.known.set(code.unbind());
        }
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
        let shared = &self.0;
        let Some((_, Some(home))) = shared.entered.get() else {
            return Ok(None);
        };
        if !self.knows(function) {
            return Ok(None);
        }
        let call = future::CoroutineCall {
            callable: function.as_ptr(),
            inputs: arguments,
            names: kwnames,
            managed: None,
        };
        // SAFETY: a new reference, or null with an exception set; the caller's arguments and their
        // names are live for the call.
        let future = unsafe {
            let context = Bound::from_owned_ptr_or_err(py, context::capture())?;
            future::of_coroutine(py, &call, Some(context))?
        };
        shared.begin()?;
        let task = Task::of_scope(shared, future.clone().unbind());
        if !home.is_pool() {
            home.begin();
        }
        home.queue(task);
        Ok(Some(future))
    }
}

/// Positional and keyword arguments out of a vectorcall's.
fn unpack<'py>(
    py: Python<'py>,
    arguments: &[Object],
    kwnames: Object,
) -> PyResult<(Bound<'py, PyTuple>, Bound<'py, PyDict>)> {
    let borrow = |object: &Object| {
        // SAFETY: the caller's arguments are live for the call.
        unsafe { Bound::from_borrowed_ptr(py, *object) }
    };
    let keywords = PyDict::new(py);
    if kwnames.is_null() {
        return Ok((PyTuple::new(py, arguments.iter().map(borrow))?, keywords));
    }
    // SAFETY: the interpreter passes a tuple of names.
    let names = unsafe { Bound::from_borrowed_ptr(py, kwnames).cast_into_unchecked::<PyTuple>() };
    let (positional, values) = arguments.split_at(arguments.len() - names.len());
    for (name, value) in names.iter().zip(values) {
        keywords.set_item(name, borrow(value))?;
    }
    let positional = PyTuple::new(py, positional.iter().map(borrow))?;
    Ok((positional, keywords))
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
