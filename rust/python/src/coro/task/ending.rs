//! How a task ends, and who is told; how it is cancelled from outside, and watched.

use super::{Body, Context, DONE, Sink, Task};
use crate::coro::nursery::{Shared, is_cancelled_error};
use crate::coro::suspend;
use crate::future::{self, FutureObject, Observers};
use pyo3::prelude::*;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use taskloom_core::cancel::OnCancel;
use taskloom_core::clock;
use taskloom_core::completion::State;

/// How long a coroutine may go on without waiting before that is reported, in ticks: as long as
/// asyncio's debug mode allows a callback.
pub(super) fn too_long() -> u64 {
    static TICKS: OnceLock<u64> = OnceLock::new();
    *TICKS.get_or_init(|| clock::from_nanos(100_000_000))
}

impl Task {
    /// Whether its last step was the end of it.
    pub fn is_over(&self) -> bool {
        self.state.load(Ordering::SeqCst) == DONE
    }

    /// What names it: its function, or the code of its coroutine. For who has just taken it out of
    /// its home's queue.
    #[cold]
    pub fn named_by(&self, py: Python<'_>) -> Py<PyAny> {
        // SAFETY: queued, so nobody steps it before the caller does; the reference ends here.
        match unsafe { &self.inner().body } {
            Body::Call(function, ..) => function.clone_ref(py),
            Body::Coroutine(coroutine) => coroutine
                .getattr(py, "cr_code")
                .unwrap_or_else(|_| coroutine.clone_ref(py)),
            Body::Gone => py.None(),
        }
    }

    /// Says that the coroutine has held its worker up: others that belong there could not go on.
    #[cold]
    pub(super) fn report(&self, py: Python<'_>, nanos: u64) {
        let Some(worker) = self.worker() else {
            return;
        };
        // SAFETY: as in `go_on`; the reference is cloned at once.
        let coroutine = match unsafe { &self.inner().body } {
            Body::Coroutine(coroutine) => Some(coroutine.clone_ref(py)),
            Body::Call(..) | Body::Gone => None,
        };
        let told = (|| {
            let name = match &coroutine {
                Some(coroutine) => coroutine.getattr(py, "__qualname__")?.extract(py)?,
                None => String::from("a coroutine"),
            };
            let seconds = nanos as f64 * 1e-9;
            let logging = py.import("logging")?;
            logging
                .call_method1("getLogger", ("taskloom",))?
                .call_method1(
                    "warning",
                    (
                        "%s held worker %d for %.3f s without waiting: call what blocks by \
                     `await scope.spawn(function)`, and what computes long gives way by \
                     `await maybe_yield()`",
                        name,
                        worker,
                        seconds,
                    ),
                )
        })();
        if let Err(error) = told {
            error.write_unraisable(py, None);
        }
    }

    /// Whether its future's user has cancelled it before it listened: one that has never waited does
    /// not. Only on `current()`.
    pub(super) fn was_asked(&self) -> bool {
        // SAFETY: whoever steps a task is attached.
        let py = unsafe { Python::assume_attached() };
        let Sink::Future(object, _) = &self.sink else {
            return false;
        };
        let asked = future::native(object.bind(py))
            .and_then(FutureObject::observers)
            .is_some_and(Observers::was_asked);
        if !asked {
            return false;
        }
        let own = self.own.lock().token.clone();
        match own {
            Some(token) => {
                token.cancel(None);
            }
            None => self.asked.store(true, Ordering::Relaxed),
        }
        // SAFETY: as in `is_cancelled`.
        unsafe { self.inner() }.token.is_cancelled() || self.asked.load(Ordering::Relaxed)
    }

    /// Sees to it that a cancellation wakes the task.
    pub(super) fn listen(self: &Arc<Self>, py: Python<'_>) {
        // SAFETY: as in `step`.
        let inner = unsafe { self.inner() };
        if !inner.listens
            && let Sink::Future(object, _) = &self.sink
            && let Some(future) = future::native(object.bind(py))
        {
            inner.listens = true;
            match Py::new(py, Canceller(Arc::clone(self))) {
                Ok(canceller) => {
                    let observers = future.observers_or_new();
                    if observers.set_canceller(canceller.into_any()) {
                        // Its future's user asked before there was anybody to be told.
                        self.cancel(None);
                    }
                }
                Err(error) => error.write_unraisable(py, Some(object.bind(py))),
            }
        }
        if let Some((token, registration)) = &inner.registered {
            if token.is_same(&inner.token) && !token.is_cancelled() {
                return;
            }
            token.forget(*registration);
            inner.registered = None;
        }
        // One that is cancelled already has been noticed: an await of ours raised before it came
        // this far, and a foreign one is woken below.
        match inner.token.on_cancel(Arc::clone(self) as Arc<dyn OnCancel>) {
            Some(registration) => inner.registered = Some((inner.token.clone(), registration)),
            None => self.wake(),
        }
    }

    pub(super) fn end(&self, py: Python<'_>, outcome: PyResult<Py<PyAny>>) {
        // SAFETY: as in `step`; what is dropped is taken out first.
        let (body, context, registered) = unsafe {
            let inner = self.inner();
            (
                std::mem::replace(&mut inner.body, Body::Gone),
                std::mem::replace(&mut inner.context, Context::None),
                inner.registered.take(),
            )
        };
        self.state.store(DONE, Ordering::SeqCst);
        if let Some((token, registration)) = registered {
            token.forget(registration);
        }
        drop((body, context));
        if let Err(error) = &outcome {
            suspend::explain(py, error);
        }
        match &self.sink {
            Sink::Call(ended) => {
                let told = match outcome {
                    Ok(value) => ended.call1(py, (value, py.None())),
                    Err(error) => ended.call1(py, (py.None(), error.into_value(py))),
                };
                if let Err(error) = told {
                    error.write_unraisable(py, Some(ended.bind(py)));
                }
            }
            Sink::Future(object, scope) => {
                self.settle(py, scope.as_deref(), object.bind(py), outcome);
                if let Some(scope) = scope {
                    scope.child_over();
                }
            }
        }
        self.home.over();
    }

    /// Ends the task's future.
    pub(super) fn settle(
        &self,
        py: Python<'_>,
        scope: Option<&Shared>,
        object: &Bound<'_, PyAny>,
        outcome: PyResult<Py<PyAny>>,
    ) {
        let (end, outcome) = match outcome {
            Ok(value) => (State::Done, Some(value)),
            Err(error) if is_cancelled_error(py, &error) => (State::Cancelled, None),
            Err(error) => {
                let error = error.into_value(py).into_any();
                if let Some(scope) = scope {
                    scope.child_failed(error.clone_ref(py));
                }
                (State::Failed, Some(error))
            }
        };
        if let Some(future) = future::native(object) {
            future::settle(future, end, outcome, py);
            // SAFETY: as in `step`.
            if unsafe { self.inner() }.listens {
                // It refers to the task, and the task to the future.
                future.observers_or_new().set_canceller(py.None());
            }
        }
    }
}

/// What the future of a coroutine asks when it is to be cancelled while it runs.
#[pyclass(frozen, module = "taskloom._taskloom")]
struct Canceller(Arc<Task>);

#[pymethods]
impl Canceller {
    /// Running: the coroutine is told, and the future ends when it does.
    fn __call__(&self) -> bool {
        self.0.cancel(None);
        false
    }
}

pub(super) fn never_started(py: Python<'_>) -> PyErr {
    suspend::raise(py, "Cancelled", "cancelled before it was started")
}
