//! Which task this thread is stepping.

use super::{Owner, Task};
use crate::coro::stop::LastValue;
use crate::coro::suspend::Waker;
use pyo3::prelude::*;
use std::cell::Cell;
use std::time::{Duration, Instant};

/// How many of our awaits may complete at once in a step before a coroutine lets others go first.
const BUDGET: u32 = 1_000;

/// What belongs to one step: its task, how many awaits it has left, and when its time slice began,
/// which is at the first asking.
struct Step {
    task: Cell<*const Task>,
    budget: Cell<u32>,
    slice: Cell<Option<Instant>>,
    /// The thread's own, whatever the step.
    last_value: LastValue,
}

thread_local! {
    static CURRENT: Step = const {
        Step {
            task: Cell::new(std::ptr::null()),
            budget: Cell::new(BUDGET),
            slice: Cell::new(None),
            last_value: LastValue::new(),
        }
    };
}

thread_local! {
    /// The same for what is awaited on this thread on loops that taskloom does not drive, all together: how
    /// many awaits are left, and when one of them last gave way.
    static ELSEWHERE: (Cell<u32>, Cell<Option<Instant>>) =
        const { (Cell::new(BUDGET), Cell::new(None)) };
}

/// Counts an await on a foreign loop; true if it should let others go first.
pub fn spend_elsewhere() -> bool {
    ELSEWHERE.with(|(budget, _)| {
        let left = budget.get() - 1;
        budget.set(if left == 0 { BUDGET } else { left });
        left == 0
    })
}

/// Whether nothing on this thread's foreign loop has asked this for so long; asked next, it is counted
/// from now.
pub fn exceeded_elsewhere(slice: Duration) -> bool {
    ELSEWHERE.with(|(_, asked)| {
        let now = Instant::now();
        let exceeded = (asked.get()).is_some_and(|began| now.duration_since(began) >= slice);
        if exceeded || asked.get().is_none() {
            asked.set(Some(now));
        }
        exceeded
    })
}

/// Calls `f` with what this thread's awaits end with.
#[inline]
pub fn with_last_value<R>(f: impl FnOnce(&LastValue) -> R) -> R {
    CURRENT.with(|step| f(&step.last_value))
}

/// The task that this thread is stepping.
#[inline]
pub fn current() -> Option<Current> {
    CURRENT.with(|step| (!step.task.get().is_null()).then_some(Current(step)))
}

/// The task that this thread is stepping, without counting a reference: it is alive for as long as
/// the step goes on, which no caller outlives, since it is called by the step.
pub struct Current(*const Step);

impl Current {
    /// What belongs to the step.
    #[inline]
    fn step(&self) -> &Step {
        // SAFETY: this thread's own, which is there as long as the thread; a pointer cannot leave it.
        unsafe { &*self.0 }
    }

    /// Counts an await; true if the coroutine has had its share and should let others go first.
    #[inline]
    pub fn spend(&self) -> bool {
        let budget = &self.step().budget;
        let left = budget.get() - 1;
        budget.set(if left == 0 { BUDGET } else { left });
        left == 0
    }

    /// When this step's time slice began.
    pub fn slice(&self) -> Instant {
        let slice = &self.step().slice;
        let began = slice.get().unwrap_or_else(Instant::now);
        slice.set(Some(began));
        began
    }

    /// What wakes it from the wait that it is about to begin. A cancellation that comes at this
    /// moment is found when it parks.
    pub fn waker(&self) -> Waker {
        self.forget_taken_back();
        Waker::Task(self.share())
    }
}

impl std::ops::Deref for Current {
    type Target = Task;

    #[inline]
    fn deref(&self) -> &Task {
        // SAFETY: who steps it holds a share.
        unsafe { &*self.step().task.get() }
    }
}

/// Whether this thread is inside a step of one of our coroutines.
#[inline]
pub fn is_stepping() -> bool {
    CURRENT.with(|step| !step.task.get().is_null())
}

/// The task that this thread is stepping, to be compared only; null for none.
pub fn stepped_here() -> *const () {
    CURRENT.with(|step| step.task.get().cast())
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
    current().map(|task| (task.step().task.get() as usize,))
}

/// The handle of the coroutine that calls, or None.
#[pyfunction]
pub fn current_handle(py: Python<'_>) -> Option<Py<PyAny>> {
    let task = current()?;
    let handle = match (&task.future, task.owner()) {
        (Some(future), _) => Some(future),
        (None, Owner::Nobody(apart)) => apart.handle.as_ref(),
        (None, Owner::Scope(_)) => None,
    };
    handle.map(|handle| handle.clone_ref(py))
}

/// Makes a task this thread's current one for as long as it lives.
pub(super) struct Stepping {
    before: (*const Task, u32, Option<Instant>),
    here: *const Step,
}

impl Stepping {
    #[inline]
    pub(super) fn enter(task: *const Task) -> Self {
        CURRENT.with(|step| Stepping {
            before: (
                step.task.replace(task),
                step.budget.replace(BUDGET),
                step.slice.get(),
            ),
            here: step,
        })
    }

    #[inline]
    fn here(&self) -> &Step {
        // SAFETY: this thread's own, which is there as long as the thread; a pointer cannot leave it.
        unsafe { &*self.here }
    }

    /// The coroutine has answered: lets go of the last value that an await ended with.
    #[inline]
    pub(super) fn forget_last_value(&self) {
        self.here().last_value.forget();
    }

    /// A new time slice begins.
    #[inline]
    pub(super) fn begin_slice(&self) {
        self.here().slice.set(None);
    }
}

impl Drop for Stepping {
    #[inline]
    fn drop(&mut self) {
        let here = self.here();
        let (task, budget, slice) = self.before;
        here.task.set(task);
        here.budget.set(budget);
        here.slice.set(slice);
    }
}
