//! A one-shot wait: set once, from anywhere, waited for once, from anywhere. Locks, events and the
//! other primitives are built on it.

use super::awaitable::awaitable;
use super::blocking;
use super::suspend::{Operation, Suspended, Waker};
use crate::call;
use parking_lot::Mutex;
use pyo3::prelude::*;
use std::sync::Arc;
use std::task::Poll;
use taskloom_core::channel::Wake;

#[derive(Default)]
struct Shared {
    set: bool,
    left: bool,
    value: Option<Py<PyAny>>,
    waker: Option<Waker>,
}

pub struct Waiting(Arc<Mutex<Shared>>);

impl Operation for Waiting {
    fn poll(&mut self, py: Python<'_>, wake: impl FnOnce() -> Waker) -> Poll<PyResult<Py<PyAny>>> {
        let waker = wake();
        let mut shared = self.0.lock();
        if !shared.set {
            shared.waker = Some(waker);
            return Poll::Pending;
        }
        drop(shared);
        self.poll_now(py)
    }

    fn poll_now(&mut self, py: Python<'_>) -> Poll<PyResult<Py<PyAny>>> {
        let mut shared = self.0.lock();
        if !shared.set {
            return Poll::Pending;
        }
        let value = shared.value.take();
        drop(shared);
        Poll::Ready(Ok(value.unwrap_or_else(|| py.None())))
    }

    fn leave(&mut self, py: Python<'_>) -> Option<PyResult<Py<PyAny>>> {
        let mut shared = self.0.lock();
        if shared.set {
            // What was set is ours: a permit that was handed over, say.
            let value = shared.value.take();
            drop(shared);
            return Some(Ok(value.unwrap_or_else(|| py.None())));
        }
        shared.left = true;
        let waker = shared.waker.take();
        drop(shared);
        drop(waker);
        None
    }
}

/// A one-shot wait. `set(value)` ends it, once; `await` it or call `wait()`, once.
#[pyclass(module = "taskloom._taskloom")]
pub struct Wait {
    state: Suspended<Waiting>,
    shared: Arc<Mutex<Shared>>,
}

/// The other half of a `Wait`, usable while the wait itself is being awaited.
#[pyclass(frozen, module = "taskloom._taskloom")]
pub struct Setter(Arc<Mutex<Shared>>);

#[pymethods]
impl Setter {
    /// Ends the wait with a value. False if it has ended, was given up, or is cancelled.
    #[pyo3(signature = (value = None))]
    pub fn set(&self, value: Option<Py<PyAny>>) -> bool {
        let mut shared = self.0.lock();
        let unwanted = |waker: &Waker| !waker.is_wanted();
        if shared.set || shared.left || shared.waker.as_ref().is_some_and(unwanted) {
            return false;
        }
        shared.set = true;
        shared.value = value;
        let waker = shared.waker.take();
        drop(shared);
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }

    /// Whether the wait was ended.
    #[getter]
    fn is_set(&self) -> bool {
        self.0.lock().set
    }
}

awaitable!(Wait {
    #[new]
    pub fn new() -> Self {
        let shared = Arc::new(Mutex::new(Shared::default()));
        Wait {
            state: Suspended::new(Waiting(Arc::clone(&shared))),
            shared,
        }
    }

    /// What ends it.
    #[getter]
    pub fn setter(&self) -> Setter {
        Setter(Arc::clone(&self.shared))
    }

    /// Blocks the calling thread until it is set, at most `timeout` seconds; returns the value.
    #[pyo3(signature = (timeout = None))]
    fn wait(&mut self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Py<PyAny>> {
        blocking::block(py, &mut self.state.operation, call::timeout_from(timeout))
    }
});
