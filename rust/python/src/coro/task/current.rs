//! Which task this thread is stepping.

use super::{Owner, Task};
use crate::coro::suspend::Waker;
use pyo3::prelude::*;
use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// How many of our awaits may complete at once in a step before a coroutine lets others go first.
const BUDGET: u32 = 1_000;

/// What belongs to one step: its task, how many awaits it has left, and when its time slice began,
/// which is at the first asking.
struct Step {
    task: Cell<*const Task>,
    budget: Cell<u32>,
    slice: Cell<Option<Instant>>,
}

thread_local! {
    static CURRENT: Step = const {
        Step { task: Cell::new(std::ptr::null()), budget: Cell::new(BUDGET), slice: Cell::new(None) }
    };
}

/// A new time slice begins.
pub(super) fn begin_slice() {
    CURRENT.with(|step| step.slice.set(None));
}

/// The task that this thread is stepping.
#[inline]
pub fn current() -> Option<Current> {
    let task = CURRENT.with(|step| step.task.get());
    (!task.is_null()).then_some(Current(task, PhantomData))
}

/// The task that this thread is stepping, without counting a reference: it is alive for as long as
/// the step goes on, which no caller outlives, since it is called by the step.
pub struct Current(*const Task, PhantomData<*const ()>);

impl Current {
    /// A reference to keep.
    #[inline]
    pub fn arc(&self) -> Arc<Task> {
        // SAFETY: `step` holds an `Arc` of the task, whose pointer this is.
        unsafe {
            Arc::increment_strong_count(self.0);
            Arc::from_raw(self.0)
        }
    }

    /// Counts an await; true if the coroutine has had its share and should let others go first.
    #[inline]
    pub fn spend(&self) -> bool {
        CURRENT.with(|step| {
            let left = step.budget.get() - 1;
            step.budget.set(if left == 0 { BUDGET } else { left });
            left == 0
        })
    }

    /// When this step's time slice began.
    pub fn slice(&self) -> Instant {
        CURRENT.with(|step| {
            let began = step.slice.get().unwrap_or_else(Instant::now);
            step.slice.set(Some(began));
            began
        })
    }

    /// What wakes it from the wait that it is about to begin. A cancellation that comes at this
    /// moment is found when it parks.
    pub fn waker(&self) -> Waker {
        self.doomed.store(false, Ordering::Relaxed);
        Waker::Task(self.arc())
    }
}

impl std::ops::Deref for Current {
    type Target = Task;

    #[inline]
    fn deref(&self) -> &Task {
        // SAFETY: as in `arc`; the value cannot leave this thread.
        unsafe { &*self.0 }
    }
}

/// Whether this thread is inside a step of one of our coroutines.
#[inline]
pub fn is_stepping() -> bool {
    CURRENT.with(|step| !step.task.get().is_null())
}

/// Whether the caller is a coroutine that taskloom drives.
#[pyfunction]
pub fn in_coroutine() -> bool {
    is_stepping()
}

/// A number that no other coroutine has while the calling one is alive; None if taskloom does not
/// drive the caller.
#[pyfunction]
pub fn current_task_id() -> Option<(usize,)> {
    // A tuple, so that it is never equal to a thread's identifier.
    current().map(|task| (task.0 as usize,))
}

/// The handle of the coroutine that calls, or None.
#[pyfunction]
pub fn current_handle(py: Python<'_>) -> Option<Py<PyAny>> {
    let task = current()?;
    let handle = match (&task.future, &task.owner) {
        (Some(future), _) => Some(future),
        (None, Owner::Nobody(apart)) => apart.handle.as_ref(),
        (None, Owner::Scope(_)) => None,
    };
    handle.map(|handle| handle.clone_ref(py))
}

/// Makes a task this thread's current one for as long as it lives.
pub(super) struct Stepping(Step);

impl Stepping {
    #[inline]
    pub(super) fn enter(task: *const Task) -> Self {
        CURRENT.with(|step| {
            Stepping(Step {
                task: Cell::new(step.task.replace(task)),
                budget: Cell::new(step.budget.replace(BUDGET)),
                slice: Cell::new(step.slice.get()),
            })
        })
    }
}

impl Drop for Stepping {
    #[inline]
    fn drop(&mut self) {
        CURRENT.with(|step| {
            step.task.set(self.0.task.get());
            step.budget.set(self.0.budget.get());
            step.slice.set(self.0.slice.get());
        });
    }
}
