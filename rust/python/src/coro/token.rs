//! The cancel token as Python sees it, and which token is the innermost one right here.

use super::sleep::clock_here;
use super::suspend::{self, Waker};
use super::task;
use crate::future;
use crate::run;
use crate::timer;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use std::sync::Arc;
use taskloom_core::cancel::{self, OnCancel, Registration};
use taskloom_core::timer::{Clock, Deadline, Expire};

/// The context variable with the innermost token of code that taskloom does not drive itself.
static VARIABLE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

pub fn variable(py: Python<'_>) -> PyResult<Py<PyAny>> {
    let variable = VARIABLE.get_or_try_init(py, || {
        let class = py.import("contextvars")?.getattr("ContextVar")?;
        Ok::<_, PyErr>(class.call1(("taskloom_token",))?.unbind())
    })?;
    Ok(variable.clone_ref(py))
}

/// A cancel token: cancelling it cancels every token below it that is not shielded.
#[pyclass(frozen, module = "taskloom._taskloom")]
pub struct Token(pub cancel::Token);

/// A Python callable, called when a token is cancelled.
struct Call(Py<PyAny>);

impl OnCancel for Call {
    fn cancelled(&self) {
        Python::attach(|py| {
            if let Err(error) = self.0.call0(py) {
                error.write_unraisable(py, Some(self.0.bind(py)));
            }
        });
    }
}

struct CancelAtDeadline(cancel::Token);

impl Expire for CancelAtDeadline {
    fn expire(&self) {
        // Callbacks may be Python's, so the thread attaches once for all of them.
        timer::attach(|_| self.0.cancel(Some("deadline".into())));
    }
}

/// A deadline that was set on a token.
#[pyclass(frozen, module = "taskloom._taskloom")]
pub struct TokenDeadline {
    token: cancel::Token,
    clock: Arc<Clock>,
    deadline: Option<Deadline>,
}

#[pymethods]
impl TokenDeadline {
    fn forget(&self) {
        self.token.note_deadline(u64::MAX);
        if let Some(deadline) = self.deadline {
            self.clock.forget(deadline);
        }
    }
}

/// A callback's registration.
#[pyclass(frozen, module = "taskloom._taskloom")]
pub struct TokenCallback(cancel::Token, Registration);

#[pymethods]
impl TokenCallback {
    fn forget(&self) -> bool {
        self.0.forget(self.1)
    }
}

#[pymethods]
impl Token {
    #[new]
    #[pyo3(signature = (parent = None, *, shielded = false))]
    fn new(parent: Option<&Token>, shielded: bool) -> Self {
        Token(match parent {
            Some(parent) => parent.0.child(shielded),
            None => cancel::Token::new(),
        })
    }

    #[getter]
    fn cancelled(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Whether this very token was cancelled, not only one above it.
    #[getter]
    fn asked(&self) -> bool {
        self.0.was_asked()
    }

    /// Whether it is `other`, or below that.
    fn is_within(&self, other: &Token) -> bool {
        let mut token = Some(self.0.clone());
        while let Some(here) = token {
            if here.is_same(&other.0) {
                return true;
            }
            token = here.parent();
        }
        false
    }

    #[getter]
    fn reason(&self) -> Option<String> {
        self.0.reason().map(|reason| reason.to_string())
    }

    #[getter]
    fn get_shielded(&self) -> bool {
        self.0.is_shielded()
    }

    #[setter]
    fn set_shielded(&self, shielded: bool) {
        self.0.set_shielded(shielded);
    }

    #[pyo3(signature = (reason = None))]
    fn cancel(&self, reason: Option<&str>) -> bool {
        self.0.cancel(reason.map(Into::into))
    }

    /// Calls `callback()` once when the token is cancelled, on the cancelling thread. None, and no
    /// call, if it is cancelled already.
    fn on_cancel(&self, callback: Py<PyAny>) -> Option<TokenCallback> {
        let registration = self.0.on_cancel(Arc::new(Call(callback)))?;
        Some(TokenCallback(self.0.clone(), registration))
    }

    /// Cancels the token at `at` seconds on the clock in force here.
    fn cancel_at(&self, at: f64) -> TokenDeadline {
        let clock = clock_here();
        let callback = Arc::new(CancelAtDeadline(self.0.clone()));
        // Noted as bits, to be told exactly as it was given: those of floats above zero are in
        // the order of their values.
        self.0.note_deadline(at.max(0.0).to_bits());
        let deadline = clock.set(suspend::nanoseconds(at), callback);
        let token = self.0.clone();
        TokenDeadline {
            token,
            clock,
            deadline,
        }
    }

    /// When it will be cancelled, by its own deadline or one above it, in seconds; infinity for never,
    /// minus infinity if it has been.
    fn earliest_deadline(&self) -> f64 {
        match self.0.earliest_deadline() {
            0 => f64::NEG_INFINITY,
            u64::MAX => f64::INFINITY,
            bits => f64::from_bits(bits),
        }
    }

    /// Raises Cancelled if the token is cancelled.
    fn check(&self, py: Python<'_>) -> PyResult<()> {
        if self.0.is_cancelled() {
            return Err(suspend::cancelled(py, self.0.reason()));
        }
        Ok(())
    }
}

/// The innermost token here, if there is one.
pub fn here(py: Python<'_>) -> PyResult<Option<cancel::Token>> {
    if run::is_at_node() {
        return in_node(py);
    }
    if let Some(task) = task::current() {
        return Ok(Some(task.token()));
    }
    let Some(variable) = VARIABLE.get(py) else {
        return Ok(None);
    };
    let value = value_here(py, variable)?;
    let scope = match &value {
        Some(value) => token_of(value),
        None => None,
    };
    let innermost = value.as_ref().map_or(std::ptr::null_mut(), Bound::as_ptr);
    match future::current_token(py, variable, innermost, || scope.clone())? {
        Some(token) => Ok(Some(token)),
        None => Ok(scope),
    }
}

/// As `here`, for a caller that is a node of a run.
#[cold]
fn in_node(py: Python<'_>) -> PyResult<Option<cancel::Token>> {
    let variable = variable(py)?;
    let value = value_here(py, &variable)?;
    let innermost = value.as_ref().map_or(std::ptr::null_mut(), Bound::as_ptr);
    match run::token_here(py, &variable, innermost, token_of)? {
        Some(token) => Ok(Some(token)),
        None => Ok(value.as_ref().and_then(token_of)),
    }
}

/// The token in a value of the variable.
fn token_of(value: &Bound<'_, PyAny>) -> Option<cancel::Token> {
    let token = value.cast::<Token>().ok()?;
    Some(token.get().0.clone())
}

/// What the variable holds here.
fn value_here<'py>(py: Python<'py>, variable: &Py<PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let mut value = std::ptr::null_mut();
    // SAFETY: a live ContextVar, attached; the value is a new reference or null.
    let failed =
        unsafe { ffi::PyContextVar_Get(variable.as_ptr(), std::ptr::null_mut(), &mut value) != 0 };
    if failed {
        return Err(PyErr::fetch(py));
    }
    // SAFETY: a new reference, or null.
    Ok(unsafe { Bound::from_owned_ptr_or_opt(py, value) })
}

/// The innermost cancel token of the calling coroutine, task or thread; None outside any scope.
#[pyfunction]
pub fn current_token(py: Python<'_>) -> PyResult<Option<Token>> {
    Ok(here(py)?.map(Token))
}

/// Makes a token the innermost one of the calling coroutine; returns the one before. None, and
/// nothing changed, if taskloom does not drive the caller.
#[pyfunction]
pub fn replace_token(token: &Token) -> Option<Token> {
    let task = task::current()?;
    Some(Token(task.replace_token(token.0.clone())))
}

/// Makes `before` the innermost token of the calling coroutine again. False, and nothing changed, if
/// `token` is not the innermost one there.
#[pyfunction]
pub fn leave_token(token: &Token, before: &Token) -> bool {
    match task::current() {
        Some(task) if task.token().is_same(&token.0) => {
            task.replace_token(before.0.clone());
            true
        }
        _ => false,
    }
}

/// Raises Cancelled if the innermost scope here is cancelled.
#[pyfunction]
pub fn checkpoint_if_cancelled(py: Python<'_>) -> PyResult<()> {
    if !run::is_at_node()
        && let Some(task) = task::current()
    {
        return if task.is_cancelled() {
            Err(task.cancelled(py))
        } else {
            Ok(())
        };
    }
    match here(py)? {
        Some(token) if token.is_cancelled() => Err(suspend::cancelled(py, token.reason())),
        _ => Ok(()),
    }
}

/// Wakes somebody when a token is cancelled.
pub struct WakeOnCancel(pub Waker);

impl OnCancel for WakeOnCancel {
    fn cancelled(&self) {
        use taskloom_core::channel::Wake;
        self.0.wake();
    }
}
