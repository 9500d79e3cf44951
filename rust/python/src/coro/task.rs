//! One coroutine on its way from its first step to its end.
//!
//! Who may touch what. `state` belongs to everybody; its transitions decide who owns the rest.
//! `inner` belongs to whoever has brought the task to RUNNING, and before the first queueing to its
//! maker. A waker never touches `inner`: it only moves `state`, and queues the task if that was its
//! transition. So a task is in at most one queue, and stepped by one thread at a time.
//!
//! Every write of `state` is a read-modify-write, so that each sees what was done before those that
//! came before it: who cancels marks the task, touches `state`, and leaves it alone if it is queued;
//! whoever then takes it up sees the mark. But whoever has the only share in the task just writes: to
//! find that out he has seen all that others did who had one, and until he gives another away nobody
//! else can reach the task. Most tasks are so from their first step, which is their last, to their end.
//!
//! ```text
//! QUEUED --step--> RUNNING --suspends--> SUSPENDED --wake--> QUEUED
//!                     |  \--woken meanwhile--> NOTIFIED --suspends--> QUEUED
//!                     \--returns or raises--> DONE
//! ```

mod apart;
mod current;
mod ending;
mod send;
mod share;
mod waking;

pub use apart::Apart;
pub use current::{
    Current, current, current_handle, current_task_id, exceeded_elsewhere, in_coroutine,
    is_stepping, spend_elsewhere, stepped_here, with_last_value,
};
pub use ending::register_tasks;
pub use share::TaskRef;

use super::foreign;
use super::home::Home;
use super::nursery::{Shared, is_cancelled_error};
use super::suspend;
use crate::future::{self, FutureObject};
use apart::Own;
use current::Stepping;
use ending::{never_started, too_long};
use pyo3::ffi;
use pyo3::prelude::*;
use send::Sent;
use std::cell::UnsafeCell;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, Ordering};
use taskloom_core::cancel::{Registration, Token};
use taskloom_core::clock;
use taskloom_core::pool::Worker;
use taskloom_core::trace::EventKind;
use waking::ASKED;

const QUEUED: u8 = 0;
const RUNNING: u8 = 1;
const NOTIFIED: u8 = 2;
const SUSPENDED: u8 = 3;
const DONE: u8 = 4;

/// To whom a task belongs.
pub enum Owner<'a> {
    /// The scope that it is a child of, which knows its home and the token it begins with. Its call
    /// and its context are in its future.
    Scope(&'a Shared),
    Nobody(&'a Apart),
}

struct Inner {
    /// Made at the first step.
    coroutine: Option<Py<PyAny>>,
    /// The innermost cancel scope; None for the owner's.
    token: Option<Token>,
    /// Registered there to be woken on cancellation.
    registration: Option<Registration>,
    /// A foreign future that the task waits for, and how to give it up.
    foreign: Option<Py<PyAny>>,
    /// The call that makes the coroutine was taken.
    begun: bool,
    /// Its context, entered around each step, is its own, and not a snapshot.
    owns_context: bool,
    /// One of our awaitables has arranged to wake the task.
    arranged: bool,
    /// Its future's `cancel()` has been told whom to ask.
    listens: bool,
}

/// A coroutine and everything needed to go on with it. There may be millions: what is rare is
/// behind a pointer, and what belongs to one step is its thread's (`current`).
pub struct Task {
    /// How many `TaskRef`s there are.
    shares: AtomicU32,
    /// The pool's worker that steps it, plus one; 0 before the first step.
    worker: AtomicU16,
    state: AtomicU8,
    marks: AtomicU8,
    /// The scope that it is a child of: alive until this child is over, as the scope sees to. One that
    /// others may go on with has a share in it, so that whoever queues it can use the scope's home
    /// even though it may be over at any moment (`KEEPS`).
    scope: Option<NonNull<Shared>>,
    /// Ended with the task.
    future: Option<Py<PyAny>>,
    own: Own,
    inner: UnsafeCell<Inner>,
}

// A line of the processor's cache.
const _: () = assert!(size_of::<Task>() <= 64);

// SAFETY: `inner` is reached only by the owner that `state` names (see the module's head).
unsafe impl Send for Task {}
// SAFETY: as above.
unsafe impl Sync for Task {}

/// What is to become of a task after a step.
pub enum After {
    End(PyResult<Py<PyAny>>),
    /// It has arranged to be woken.
    Wait,
    Queue,
}

impl After {
    /// Whether nobody's code runs when the task is disposed of, such as an outcome's destructor.
    fn takes_no_time(&self, py: Python<'_>) -> bool {
        match self {
            After::Wait | After::Queue => true,
            After::End(Ok(value)) => value.is_none(py),
            After::End(Err(_)) => false,
        }
    }

    /// What a recording calls it.
    #[cold]
    pub fn event(&self, py: Python<'_>) -> EventKind {
        match self {
            After::Wait | After::Queue => EventKind::Suspend,
            After::End(Ok(_)) => EventKind::Done,
            After::End(Err(error)) if is_cancelled_error(py, error) => EventKind::Cancel,
            After::End(Err(_)) => EventKind::Fail,
        }
    }
}

impl Task {
    /// A child of a scope that has counted it, as queued; the caller hands it to the scope's home.
    /// Attached.
    #[inline]
    pub fn of_scope(scope: &Arc<Shared>, future: Py<PyAny>) -> TaskRef {
        let scope = NonNull::new(Arc::as_ptr(scope).cast_mut());
        Task::make(scope, Own::default(), Some(future), false)
    }

    /// A task that is in no scope, counted as queued; the caller hands it to its home. Attached.
    pub fn apart(apart: Apart, future: Option<Py<PyAny>>, owns_context: bool) -> TaskRef {
        Task::make(None, Own::of(apart), future, owns_context)
    }

    #[inline]
    fn make(
        scope: Option<NonNull<Shared>>,
        own: Own,
        future: Option<Py<PyAny>>,
        owns_context: bool,
    ) -> TaskRef {
        TaskRef::new(Task {
            shares: AtomicU32::new(1),
            worker: AtomicU16::new(0),
            state: AtomicU8::new(QUEUED),
            marks: AtomicU8::new(0),
            scope,
            future,
            own,
            inner: UnsafeCell::new(Inner {
                coroutine: None,
                token: None,
                registration: None,
                foreign: None,
                begun: false,
                owns_context,
                arranged: false,
                listens: false,
            }),
        })
    }

    /// The worker that took the last step, on a pool.
    pub fn worker(&self) -> Option<usize> {
        let place = self.worker.load(Ordering::Relaxed).checked_sub(1)?;
        Some(place as usize)
    }

    /// Notes the worker that is about to step it.
    pub fn set_worker(&self, index: usize) {
        // One that is beyond counting is not known: then any worker goes on with the task.
        let place = u16::try_from(index + 1).unwrap_or(0);
        self.worker.store(place, Ordering::Relaxed);
    }

    /// To whom it belongs. Not for who comes after its end.
    #[inline]
    pub fn owner(&self) -> Owner<'_> {
        match self.scope {
            // SAFETY: alive until the end of this task, which is one of its children.
            Some(scope) => Owner::Scope(unsafe { scope.as_ref() }),
            None => match self.own.apart() {
                Some(apart) => Owner::Nobody(apart),
                None => unreachable!("a task was made in a scope or apart"),
            },
        }
    }

    #[inline]
    pub fn home(&self) -> &Home {
        match self.owner() {
            Owner::Scope(scope) => scope.home(),
            Owner::Nobody(apart) => &apart.home,
        }
    }

    /// The token that it began with.
    #[inline]
    fn first_token(&self) -> &Token {
        match self.owner() {
            Owner::Scope(scope) => scope.token(),
            Owner::Nobody(apart) => &apart.token,
        }
    }

    /// The innermost token. Only on the thread that steps the task.
    #[inline]
    fn innermost(&self) -> &Token {
        // SAFETY: as the caller promises; only `current()` replaces it, which is this thread.
        let inner = unsafe { &*self.inner.get() };
        inner.token.as_ref().unwrap_or_else(|| self.first_token())
    }

    /// The native object of its future.
    fn native<'py>(&'py self, py: Python<'py>) -> Option<&'py FutureObject> {
        future::native(self.future.as_ref()?.bind(py))
    }

    /// What its user has of it: its future, or what stands for that.
    fn handle<'py>(&'py self, py: Python<'py>) -> Option<&'py FutureObject> {
        match self.owner() {
            Owner::Scope(_) => self.native(py),
            Owner::Nobody(apart) => match &apart.handle {
                Some(handle) => future::native(handle.bind(py)),
                None => self.native(py),
            },
        }
    }

    /// # Safety
    /// Only on the thread that steps the task (it is `current()`), and not while another reference
    /// from here is alive.
    #[allow(clippy::mut_from_ref)]
    unsafe fn inner(&self) -> &mut Inner {
        // SAFETY: the caller's promise.
        unsafe { &mut *self.inner.get() }
    }

    /// Whether the task is to be cancelled at an await here; only on `current()`.
    #[inline]
    pub fn is_cancelled(&self) -> bool {
        self.innermost().is_cancelled() || self.is_marked(ASKED) || self.was_wanted()
    }

    /// What an await raises when `is_cancelled`.
    #[cold]
    pub fn cancelled(&self, py: Python<'_>) -> PyErr {
        let reason = if self.is_marked(ASKED) {
            self.own.lock().reason.clone()
        } else {
            self.innermost().reason()
        };
        suspend::cancelled(py, reason)
    }

    /// The innermost token, for something to be put below it: the task's own if it is in no scope
    /// of its own making. Only on `current()`.
    pub fn token(&self) -> Token {
        let mut own = self.own.lock();
        if own.token.is_none() {
            let token = self.innermost().child(false);
            if self.unmark(ASKED) {
                token.cancel(own.reason.clone());
            }
            own.token = Some(token.clone());
            drop(own);
            self.replace_token(token);
        } else {
            drop(own);
        }
        self.innermost().clone()
    }

    /// Makes another token the innermost one and returns the one before; only on `current()`.
    pub fn replace_token(&self, token: Token) -> Token {
        // SAFETY: on `current()`, so this thread steps it; nobody else has a reference meanwhile.
        let inner = unsafe { self.inner() };
        let before = inner.token.replace(token);
        let before = before.unwrap_or_else(|| self.first_token().clone());
        if let Some(registration) = inner.registration.take() {
            before.forget(registration);
        }
        before
    }

    /// An awaitable has arranged for a wake and is about to yield; only on `current()`.
    #[inline]
    pub fn arranged(&self) {
        // SAFETY: on `current()`, so this thread steps it; the reference is gone at once.
        unsafe { self.inner().arranged = true }
    }

    /// Goes on with the task until it suspends or ends. Called by its home, attached, with a task
    /// out of its queue; on a pool by a worker.
    pub fn step(&self, py: Python<'_>, worker: Option<&Worker>) {
        if self.take_up(py) {
            self.proceed(py, worker, |_| ());
        }
    }

    /// Takes the task out of its queue, to `proceed` with it; false if there is nothing to do.
    pub fn take_up(&self, py: Python<'_>) -> bool {
        if self.is_sole() {
            self.state.store(RUNNING, Ordering::Relaxed);
        } else {
            self.state.swap(RUNNING, Ordering::SeqCst);
        }
        if !self.is_due(py) {
            return false;
        }
        // SAFETY: the state is RUNNING by our hand; the reference is gone at once.
        let begins = !std::mem::replace(&mut unsafe { self.inner() }.begun, true);
        if begins && !self.handle(py).is_none_or(|future| future.begin_here(py)) {
            self.end(py, Err(never_started(py)));
            return false;
        }
        true
    }

    /// The rest of a step, after `take_up`. `tell` hears how it went before anybody else can know.
    pub fn proceed(&self, py: Python<'_>, worker: Option<&Worker>, tell: impl FnOnce(&After)) {
        let Some(entered) = self.enter_context(py) else {
            let outcome = After::End(Err(PyErr::fetch(py)));
            tell(&outcome);
            return self.dispose(py, outcome);
        };
        let stepping = Stepping::enter(self);
        let began = worker.map(Worker::began);
        let mut gave_way = false;
        let after = self.go_on(py, &stepping, &mut gave_way);
        if let (Some(worker), Some(began)) = (worker, began) {
            let held = worker.ends().saturating_sub(began);
            if held > too_long() && !gave_way {
                self.report(py, clock::nanos(held));
            }
            if !after.takes_no_time(py) {
                // That is no part of the next step.
                worker.interrupted();
            }
        }
        // Left before anybody else may step the task, and before it lets go of its context.
        drop(stepping);
        self.leave_context(py, entered);
        tell(&after);
        self.dispose(py, after);
    }

    #[inline]
    fn dispose(&self, py: Python<'_>, after: After) {
        match after {
            After::End(outcome) => self.end(py, outcome),
            After::Wait => self.park(py),
            After::Queue => {
                self.keep_scope();
                self.state.swap(QUEUED, Ordering::SeqCst);
                self.home().queue(self.share());
            }
        }
    }

    /// Sends into the coroutine until it waits, gives way to somebody, or ends. `gave_way` says whether it
    /// would have given way in between.
    fn go_on(&self, py: Python<'_>, stepping: &Stepping, gave_way: &mut bool) -> After {
        let mut throw = None;
        loop {
            stepping.begin_slice();
            let waited = {
                // SAFETY: the state is RUNNING by our hand; the reference ends with the block.
                let inner = unsafe { self.inner() };
                inner.arranged = false;
                inner.foreign.is_some()
            };
            if waited && throw.is_none() && self.is_cancelled() {
                throw = Some(self.cancelled(py));
            }
            let sent = self.send(py, throw.take());
            stepping.forget_last_value();
            let value = match sent {
                Sent::Yielded(value) => value,
                ended if self.is_inside_of_scopes() => match self.leave_scopes(py, ended) {
                    Ok(()) => continue,
                    Err(error) => return After::End(Err(error)),
                },
                Sent::Returned(value) => return After::End(Ok(value)),
                Sent::Raised(error) => return After::End(Err(error)),
            };
            // SAFETY: as above.
            let inner = unsafe { self.inner() };
            if inner.arranged {
                drop_attached(py, value);
                return After::Wait;
            }
            if value.is_none(py) {
                drop_attached(py, value);
                if self.home().is_idle() {
                    // Nobody else wants this turn.
                    *gave_way = true;
                    continue;
                }
                return After::Queue;
            }
            match foreign::bridge_foreign(value.bind(py), self) {
                Ok(()) => {
                    // SAFETY: as above; the one from before is not used any more.
                    unsafe { self.inner() }.foreign = Some(value);
                    return After::Wait;
                }
                Err(error) => throw = Some(error),
            }
        }
    }

    /// Whether there is something to go on with. A task that waits for a foreign future must not be
    /// resumed before that is done, whatever woke it; then it is suspended again.
    fn is_due(&self, py: Python<'_>) -> bool {
        loop {
            let waits = {
                // SAFETY: the state is RUNNING by our hand; the reference ends with the block.
                let inner = unsafe { self.inner() };
                match &inner.foreign {
                    Some(foreign) if !self.is_cancelled() => Some(foreign.clone_ref(py)),
                    _ => None,
                }
            };
            let Some(foreign) = waits else {
                return true;
            };
            // A future that cannot even say so is resumed, and the coroutine gets its error.
            if foreign::foreign_done(foreign.bind(py)).unwrap_or(true) {
                return true;
            }
            if self.is_doomed() {
                self.forget_taken_back();
                self.listen(py);
            }
            let suspended =
                self.state
                    .compare_exchange(RUNNING, SUSPENDED, Ordering::SeqCst, Ordering::SeqCst);
            if suspended.is_ok() {
                return false;
            }
            self.state.swap(RUNNING, Ordering::SeqCst);
        }
    }

    /// The coroutine waits: suspends the task, unless it was woken meanwhile.
    fn park(&self, py: Python<'_>) {
        self.keep_scope();
        self.listen(py);
        let suspended =
            self.state
                .compare_exchange(RUNNING, SUSPENDED, Ordering::SeqCst, Ordering::SeqCst);
        if suspended.is_err() {
            self.state.swap(QUEUED, Ordering::SeqCst);
            self.home().queue(self.share());
        }
    }
}

/// Drops what a coroutine yields, or itself. By hand: PyO3's looks whether the thread is attached, at every turn.
#[inline]
fn drop_attached(_py: Python<'_>, value: Py<PyAny>) {
    // SAFETY: attached; the reference is given up.
    unsafe { ffi::Py_DECREF(value.into_ptr()) }
}
