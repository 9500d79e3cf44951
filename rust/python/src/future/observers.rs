//! What stands beside a future that somebody observes: callbacks, and the condition and waiters
//! that `concurrent.futures.wait` and `as_completed` reach for.

use super::Object;
use super::family::Family;
use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyList;
use std::sync::{Arc, OnceLock};
use taskloom_core::cancel::Token;

/// A condition variable and the list of waiters that it guards.
pub struct Condition {
    pub condition: Py<PyAny>,
    pub waiters: Py<PyList>,
}

#[derive(Default)]
struct Inner {
    callbacks: Vec<Py<PyAny>>,
    condition: Option<Condition>,
    id: u64,
    /// Who is asked to cancel a promise.
    canceller: Option<Py<PyAny>>,
    /// It was to be cancelled while it ran and had nobody to ask.
    asked: bool,
    /// How much is done, of how much.
    progress: Option<(f64, Option<f64>)>,
}

/// Everything but the two that are made once is behind one lock, which is never held across a Python operation.
#[derive(Default)]
pub struct Observers {
    inner: Mutex<Inner>,
    /// By which its task is asked to stop.
    pub token: OnceLock<Token>,
    /// What it shares with those that it submits.
    pub family: OnceLock<Arc<Family>>,
}

static THREADING_CONDITION: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

impl Observers {
    /// Registers a callback unless `is_over` says, under the lock, that it came too late; then it
    /// is given back.
    pub fn register(
        &self,
        callback: Py<PyAny>,
        is_over: impl FnOnce() -> bool,
    ) -> Option<Py<PyAny>> {
        let mut inner = self.inner.lock();
        if is_over() {
            drop(inner);
            return Some(callback);
        }
        inner.callbacks.push(callback);
        None
    }

    /// Has something done under the lock, which must be no Python operation.
    pub fn locked<T>(&self, something: impl FnOnce() -> T) -> T {
        let _inner = self.inner.lock();
        something()
    }

    /// Takes the callbacks, in the order of registration.
    pub fn take_callbacks(&self) -> Vec<Py<PyAny>> {
        std::mem::take(&mut self.inner.lock().callbacks)
    }

    /// The callbacks that wait, for whoever looks from outside.
    pub fn callbacks(&self, py: Python<'_>) -> Vec<Py<PyAny>> {
        let inner = self.inner.lock();
        // A reference count is no Python operation that could run code.
        inner.callbacks.iter().map(|c| c.clone_ref(py)).collect()
    }

    /// Runs `publish` under the lock if there is no condition, else returns the condition: the
    /// caller then publishes under that. Either way no waiter is installed in between.
    pub fn publish_or_condition(
        &self,
        py: Python<'_>,
        publish: impl FnOnce(),
    ) -> Option<Condition> {
        let inner = self.inner.lock();
        match &inner.condition {
            Some(pair) => Some(pair.clone_ref(py)),
            None => {
                publish();
                None
            }
        }
    }

    /// The condition and its waiters, made now if there were none.
    pub fn condition(&self, py: Python<'_>) -> PyResult<Condition> {
        if let Some(pair) = &self.inner.lock().condition {
            return Ok(pair.clone_ref(py));
        }
        let class = THREADING_CONDITION.get_or_try_init(py, || {
            py.import("threading")?
                .getattr("Condition")
                .map(Bound::unbind)
        })?;
        let fresh = Condition {
            condition: class.call0(py)?,
            waiters: PyList::empty(py).unbind(),
        };
        let mut inner = self.inner.lock();
        let lost = match &inner.condition {
            None => {
                inner.condition = Some(fresh.clone_ref(py));
                return Ok(fresh);
            }
            Some(pair) => pair.clone_ref(py),
        };
        drop(inner);
        Ok(lost)
    }

    /// The identifier, drawn from `next` on first use.
    pub fn id(&self, next: impl FnOnce() -> u64) -> u64 {
        let mut inner = self.inner.lock();
        if inner.id == 0 {
            inner.id = next();
        }
        inner.id
    }

    pub fn set_progress(&self, done: f64, total: Option<f64>) {
        self.inner.lock().progress = Some((done, total));
    }

    pub fn progress(&self) -> Option<(f64, Option<f64>)> {
        self.inner.lock().progress
    }

    /// Has `callable()` asked when the future is to be cancelled; it says whether it was. True if
    /// that was wanted before there was anybody to ask.
    pub fn set_canceller(&self, callable: Py<PyAny>) -> bool {
        let mut inner = self.inner.lock();
        let before = inner.canceller.replace(callable);
        let asked = std::mem::take(&mut inner.asked);
        drop(inner);
        drop(before);
        asked
    }

    /// Who is to be asked; if nobody is there yet, who comes will be told.
    pub fn canceller_or_ask(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        let mut inner = self.inner.lock();
        inner.asked = inner.canceller.is_none();
        inner.canceller.as_ref().map(|c| c.clone_ref(py))
    }

    pub fn canceller(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.inner
            .lock()
            .canceller
            .as_ref()
            .map(|c| c.clone_ref(py))
    }

    /// What the garbage collector has to see. It runs while nobody is inside a lock: on a build
    /// with a GIL it needs the GIL, which is not given up inside; elsewhere it stops the others at
    /// points outside.
    pub fn referents(&self) -> Vec<Object> {
        let Some(inner) = self.inner.try_lock() else {
            return Vec::new();
        };
        let mut objects: Vec<Object> = inner.callbacks.iter().map(Py::as_ptr).collect();
        if let Some(pair) = &inner.condition {
            objects.extend([pair.condition.as_ptr(), pair.waiters.as_ptr()]);
        }
        objects.extend(inner.canceller.as_ref().map(Py::as_ptr));
        objects
    }

    /// Drops what could be part of a cycle.
    pub fn clear(&self) {
        let taken = std::mem::take(&mut *self.inner.lock());
        drop(taken);
    }
}

impl Condition {
    fn clone_ref(&self, py: Python<'_>) -> Self {
        Condition {
            condition: self.condition.clone_ref(py),
            waiters: self.waiters.clone_ref(py),
        }
    }
}
