//! How a task ends, and who is told; how it is cancelled from outside, and watched.

use super::send::Sent;
use super::waking::{ASKED, DOOMED};
use super::{DONE, Owner, Task, TaskRef, drop_attached};
use crate::coro::nursery::{Shared, is_cancelled_error};
use crate::coro::suspend;
use crate::future::{self, FutureObject, Tasks};
use pyo3::prelude::*;
use std::sync::OnceLock;
use std::sync::atomic::Ordering;
use taskloom_core::cancel::{OnCancel, Token};
use taskloom_core::clock;
use taskloom_core::completion::State;

/// How long a coroutine may go on without waiting before that is reported, in ticks: as long as
/// asyncio's debug mode allows a callback.
pub(super) fn too_long() -> u64 {
    static TICKS: OnceLock<u64> = OnceLock::new();
    *TICKS.get_or_init(|| clock::from_nanos(100_000_000))
}

impl Task {
    /// What names it: its function, or the code of its coroutine. For who has taken it up.
    #[cold]
    pub fn named_by(&self, py: Python<'_>) -> Py<PyAny> {
        // SAFETY: RUNNING by the caller's hand; the reference ends here.
        if let Some(coroutine) = unsafe { &self.inner().coroutine } {
            return (coroutine.getattr(py, "cr_code")).unwrap_or_else(|_| coroutine.clone_ref(py));
        }
        if let Owner::Nobody(apart) = self.owner()
            && let Some((function, ..)) = &*apart.call.lock()
        {
            return function.clone_ref(py);
        }
        self.native(py)
            .and_then(|future| future.callable(py))
            .unwrap_or_else(|| py.None())
    }

    /// Says that the coroutine has held its worker up: others that belong there could not go on.
    #[cold]
    pub(super) fn report(&self, py: Python<'_>, nanos: u64) {
        let Some(worker) = self.worker() else {
            return;
        };
        // SAFETY: as in `go_on`; the reference is cloned at once.
        let coroutine = unsafe { &self.inner().coroutine };
        let coroutine = coroutine.as_ref().map(|coroutine| coroutine.clone_ref(py));
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

    /// Whether its future's user wants it cancelled and could not tell: one that has never waited
    /// does not listen. Only on `current()`.
    #[inline]
    pub(super) fn was_wanted(&self) -> bool {
        // SAFETY: as in `step`.
        if unsafe { self.inner() }.listens {
            return false;
        }
        // SAFETY: whoever steps a task is attached.
        let native = self.native(unsafe { Python::assume_attached() });
        if !native.is_some_and(FutureObject::wants_cancelling) {
            return false;
        }
        let own = self.own.lock().token.clone();
        match own {
            Some(token) => {
                token.cancel(None);
            }
            None => self.mark(ASKED),
        }
        self.innermost().is_cancelled() || self.is_marked(ASKED)
    }

    /// Begins to wait anew: a cancellation that it was told of may have been taken back by a shield,
    /// and it is told of none more until it listens again.
    #[inline]
    pub(super) fn forget_taken_back(&self) {
        if self.is_marked(DOOMED) {
            self.forget_told();
        }
    }

    #[cold]
    fn forget_told(&self) {
        self.unmark(DOOMED);
        let token = self.innermost();
        // SAFETY: as in `step`; the reference is gone at once.
        let registered = unsafe { &mut self.inner().registration };
        if registered.is_some_and(|registration| !token.awaits(registration)) {
            *registered = None;
        }
    }

    /// Sees to it that a cancellation wakes the task.
    pub(super) fn listen(&self, py: Python<'_>) {
        // SAFETY: as in `step`; the reference is gone at once.
        let listens = std::mem::replace(&mut unsafe { self.inner() }.listens, true);
        if !listens
            && let Some(future) = self.native(py)
            // SAFETY: this task is alive, and the future is that of a coroutine.
            && unsafe { future.listen(std::ptr::from_ref(self).cast()) }
        {
            // Its future's user asked before there was anybody to be told.
            self.cancel(None);
        }
        let token = self.innermost();
        // SAFETY: as above.
        let registered = unsafe { self.inner() }.registration;
        if let Some(registration) = registered {
            if !token.is_cancelled() {
                return;
            }
            token.forget(registration);
        }
        // One that is cancelled already has been noticed: an await of ours raised before it came
        // this far, and a foreign one is woken below.
        let registered = token.on_cancel(self.share());
        // SAFETY: as above.
        unsafe { self.inner() }.registration = registered;
        if registered.is_none() {
            OnCancel::cancelled(self);
        }
    }

    /// Whether it is inside of scopes that it has entered; for who steps it.
    #[inline]
    pub(super) fn is_inside_of_scopes(&self) -> bool {
        // SAFETY: as in `go_on`; the reference ends here.
        let Some(innermost) = (unsafe { &self.inner().token }) else {
            return false;
        };
        let is_own = |own: &Token| own.is_same(innermost);
        !is_own(self.first_token()) && !self.own.lock().token.as_ref().is_some_and(is_own)
    }

    /// Its coroutine has ended inside of scopes, which must not outlive it: another one takes its place,
    /// which leaves them and then ends as that did, or says that this was wrong.
    #[cold]
    pub(super) fn leave_scopes(&self, py: Python<'_>, ended: Sent) -> PyResult<()> {
        let base = (self.own.lock().token.clone()).unwrap_or_else(|| self.first_token().clone());
        let (error, value) = match ended {
            Sent::Raised(error) => (Some(error.into_value(py)), None),
            Sent::Returned(value) | Sent::Yielded(value) => (None, Some(value)),
        };
        let left = py.import("taskloom.scope._left").and_then(|left| {
            let base = Bound::new(py, crate::coro::token::Token(base.clone()))?;
            left.call_method1("leave_all", (base, error, value))
        });
        let left = match left {
            Ok(left) => left.unbind(),
            Err(error) => {
                self.replace_token(base);
                return Err(error);
            }
        };
        // SAFETY: as in `go_on`; what was there is dropped when the reference has ended.
        let before = unsafe { self.inner() }.coroutine.replace(left);
        drop(before);
        Ok(())
    }

    pub(super) fn end(&self, py: Python<'_>, outcome: PyResult<Py<PyAny>>) {
        // SAFETY: as in `step`; what is dropped is taken out first.
        let (coroutine, registered) = unsafe {
            let inner = self.inner();
            (inner.coroutine.take(), inner.registration.take())
        };
        if let Some(registration) = registered {
            self.innermost().forget(registration);
        }
        // Nothing comes after it: who would wake the task either sees this, or is too late anyhow.
        self.state.store(DONE, Ordering::Release);
        if let Some(coroutine) = coroutine {
            drop_attached(py, coroutine);
        }
        if let Err(error) = &outcome {
            suspend::explain(py, error);
        }
        match self.owner() {
            Owner::Scope(scope) => {
                self.settle(py, Some(scope), outcome);
                if !scope.home().is_pool() {
                    scope.home().over();
                }
                // Last: then the scope may be left, and nothing keeps it for this task any more.
                scope.child_over();
            }
            Owner::Nobody(apart) => {
                match &apart.ended {
                    None => self.settle(py, None, outcome),
                    Some(ended) => {
                        let told = match outcome {
                            Ok(value) => ended.call1(py, (value, py.None())),
                            Err(error) => ended.call1(py, (py.None(), error.into_value(py))),
                        };
                        if let Err(error) = told {
                            error.write_unraisable(py, Some(ended.bind(py)));
                        }
                    }
                }
                apart.home.over();
            }
        }
    }

    /// Ends the task's future.
    pub(super) fn settle(
        &self,
        py: Python<'_>,
        scope: Option<&Shared>,
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
        if let Some(future) = self.native(py) {
            future.settle_here(end, outcome, py);
            // SAFETY: as in `step`.
            if unsafe { self.inner() }.listens {
                // It refers to the task, and the task to the future.
                future.stop_listening();
            }
        }
    }
}

/// Lets futures ask tasks to stop. To be called once, before there are any.
pub fn register_tasks() {
    future::register_tasks(Tasks {
        // SAFETY: an address that `listen` was given, of a task that is alive.
        retain: |task| std::mem::forget(unsafe { &*task.cast::<Task>() }.share()),
        // SAFETY: as above; a share that `retain` took.
        release: |task| drop(unsafe { TaskRef::from_raw(task) }),
        // SAFETY: as above; the share is the caller's, and stays so.
        cancel: |task| unsafe { &*task.cast::<Task>() }.cancel(None),
    });
}

pub(super) fn never_started(py: Python<'_>) -> PyErr {
    suspend::raise(py, "Cancelled", "cancelled before it was started")
}
