//! Which task this thread is stepping.

use super::{Sink, Task};
use pyo3::prelude::*;
use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::Arc;

thread_local! {
    static CURRENT: Cell<*const Task> = const { Cell::new(std::ptr::null()) };
}

/// The task that this thread is stepping.
#[inline]
pub fn current() -> Option<Current> {
    let task = CURRENT.with(Cell::get);
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
    !CURRENT.with(Cell::get).is_null()
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
    match &task.sink {
        Sink::Future(future, _) => Some(future.clone_ref(py)),
        Sink::Call(_) => task.handle.as_ref().map(|handle| handle.clone_ref(py)),
    }
}

/// Puts a task into `CURRENT` for as long as it lives.
pub(super) struct Stepping(*const Task);

impl Stepping {
    pub(super) fn enter(task: *const Task) -> Self {
        Stepping(CURRENT.with(|current| current.replace(task)))
    }
}

impl Drop for Stepping {
    fn drop(&mut self) {
        CURRENT.with(|current| current.set(self.0));
    }
}
