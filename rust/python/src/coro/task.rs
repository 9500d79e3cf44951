//! One coroutine on its way from its first step to its end.
//!
//! Who may touch what. `state` belongs to everybody; its transitions decide who owns the rest.
//! `inner` belongs to whoever has brought the task to RUNNING, and before the first queueing to its
//! maker. A waker never touches `inner`: it only moves `state`, and queues the task if that was its
//! transition. So a task is in at most one queue, and stepped by one thread at a time.
//!
//! ```text
//! QUEUED --step--> RUNNING --suspends--> SUSPENDED --wake--> QUEUED
//!                     |  \--woken meanwhile--> NOTIFIED --suspends--> QUEUED
//!                     \--returns or raises--> DONE
//! ```

mod current;
mod ending;
mod send;

pub use current::{current, current_handle, current_task_id, in_coroutine, is_stepping};

use super::foreign;
use super::home::Home;
use super::nursery::Shared;
use super::suspend;
use crate::context;
use crate::future::{self, FutureObject};
use current::Stepping;
use ending::{never_started, too_long};
use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use send::Sent;
use std::cell::UnsafeCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::time::Instant;
use taskloom_core::cancel::{OnCancel, Registration, Token};
use taskloom_core::clock;

const QUEUED: u8 = 0;
const RUNNING: u8 = 1;
const NOTIFIED: u8 = 2;
const SUSPENDED: u8 = 3;
const DONE: u8 = 4;

/// How many of our awaits may complete at once before a coroutine lets others go first.
const BUDGET: u32 = 1_000;

/// What there is to run: the call that makes the coroutine, until the first step, then that.
pub enum Body {
    Call(Py<PyAny>, Py<PyTuple>, Option<Py<PyDict>>),
    Coroutine(Py<PyAny>),
    Gone,
}

/// What the task's variables live in; entered around each step.
pub enum Context {
    /// The stepping thread's own.
    None,
    /// The task's own.
    Own(Py<PyAny>),
    /// A snapshot that others share; a context is made of it at the first step.
    Shared(Py<PyAny>),
}

/// Who is told how it ended.
pub enum Sink {
    /// `ended(value, None)` or `ended(None, error)`.
    Call(Py<PyAny>),
    /// The future of the task, and the scope that it is a child of.
    Future(Py<PyAny>, Option<Arc<Shared>>),
}

struct Inner {
    body: Body,
    context: Context,
    /// The innermost cancel scope.
    token: Token,
    /// Where the task is registered to be woken on cancellation.
    registered: Option<(Token, Registration)>,
    /// One of our awaitables has arranged to wake the task.
    arranged: bool,
    /// A foreign future that the task waits for, and how to give it up.
    foreign: Option<Py<PyAny>>,
    /// To be thrown into the coroutine at its next step.
    throw: Option<PyErr>,
    /// Its future's `cancel()` has been told whom to ask.
    listens: bool,
    budget: u32,
    slice: Option<Instant>,
}

/// A coroutine and everything needed to go on with it.
pub struct Task {
    state: AtomicU8,
    home: Home,
    /// The pool's worker that steps it, plus one; 0 before the first step.
    worker: AtomicUsize,
    sink: Sink,
    /// What `current_task()` gives inside.
    handle: Option<Py<PyAny>>,
    /// Cancelled by its handle before it had a token of its own.
    asked: AtomicBool,
    own: Mutex<Own>,
    inner: UnsafeCell<Inner>,
}

/// The task's own token, below its scope's: made when something is to be put below it.
#[derive(Default)]
struct Own {
    token: Option<Token>,
    reason: Option<Arc<str>>,
}

// SAFETY: `inner` is reached only by the owner that `state` names (see the module's head).
unsafe impl Send for Task {}
// SAFETY: as above.
unsafe impl Sync for Task {}

/// What is to become of a task after a step.
enum After {
    End(PyResult<Py<PyAny>>),
    /// It has arranged to be woken.
    Wait,
    Queue,
}

impl Task {
    /// A task that is counted as queued; the caller hands it to its home.
    pub fn new(
        home: Home,
        body: Body,
        context: Context,
        token: Token,
        sink: Sink,
        handle: Option<Py<PyAny>>,
    ) -> Arc<Self> {
        Arc::new(Task {
            state: AtomicU8::new(QUEUED),
            home,
            worker: AtomicUsize::new(0),
            sink,
            handle,
            asked: AtomicBool::new(false),
            own: Mutex::new(Own::default()),
            inner: UnsafeCell::new(Inner {
                body,
                context,
                token,
                registered: None,
                arranged: false,
                foreign: None,
                throw: None,
                listens: false,
                budget: BUDGET,
                slice: None,
            }),
        })
    }

    /// The worker that took the last step, on a pool.
    pub fn worker(&self) -> Option<usize> {
        self.worker.load(Ordering::Relaxed).checked_sub(1)
    }

    /// Notes the worker that is about to step it.
    pub fn set_worker(&self, index: usize) {
        self.worker.store(index + 1, Ordering::Relaxed);
    }

    pub fn home(&self) -> &Home {
        &self.home
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
        // SAFETY: `current()` gave the task, so this thread steps it; the reference is gone at once.
        let inner = unsafe { self.inner() };
        let listens = inner.listens;
        inner.token.is_cancelled()
            || self.asked.load(Ordering::Relaxed)
            || (!listens && self.was_asked())
    }

    /// What an await raises when `is_cancelled`.
    #[cold]
    pub fn cancelled(&self, py: Python<'_>) -> PyErr {
        let reason = if self.asked.load(Ordering::Relaxed) {
            self.own.lock().reason.clone()
        } else {
            // SAFETY: as in `is_cancelled`.
            unsafe { self.inner() }.token.reason()
        };
        suspend::cancelled(py, reason)
    }

    /// The innermost token, for something to be put below it: the task's own if it is in no scope
    /// of its own making. Only on `current()`.
    pub fn token(&self) -> Token {
        let mut own = self.own.lock();
        if own.token.is_none() {
            // SAFETY: as in `is_cancelled`.
            let inner = unsafe { self.inner() };
            let token = inner.token.child(false);
            if self.asked.swap(false, Ordering::Relaxed) {
                token.cancel(own.reason.clone());
            }
            own.token = Some(token.clone());
            inner.token = token;
        }
        drop(own);
        // SAFETY: as in `is_cancelled`.
        unsafe { self.inner() }.token.clone()
    }

    /// Cancels this task alone, from any thread. Attached.
    pub fn cancel(self: &Arc<Self>, reason: Option<Arc<str>>) {
        let mut own = self.own.lock();
        if let Some(token) = own.token.clone() {
            drop(own);
            token.cancel(reason);
            return;
        }
        own.reason = reason;
        self.asked.store(true, Ordering::Relaxed);
        drop(own);
        self.wake();
    }

    /// Makes another token the innermost one and returns the one before; only on `current()`.
    pub fn replace_token(&self, token: Token) -> Token {
        // SAFETY: as in `is_cancelled`.
        std::mem::replace(unsafe { &mut self.inner().token }, token)
    }

    /// An awaitable has arranged for a wake and is about to yield; only on `current()`.
    #[inline]
    pub fn arranged(&self) {
        // SAFETY: as in `is_cancelled`.
        unsafe { self.inner().arranged = true }
    }

    /// Counts an await; true if the coroutine has had its share and should let others go first.
    #[inline]
    pub fn spend(&self) -> bool {
        // SAFETY: as in `is_cancelled`.
        let inner = unsafe { self.inner() };
        inner.budget -= 1;
        if inner.budget == 0 {
            inner.budget = BUDGET;
            return true;
        }
        false
    }

    /// When this step's time slice began: at the first asking.
    pub fn slice(&self) -> Instant {
        // SAFETY: as in `is_cancelled`.
        *unsafe { self.inner() }
            .slice
            .get_or_insert_with(Instant::now)
    }

    /// Lets the task go on, from any thread. Attached, because its home may need that.
    pub fn wake(self: &Arc<Self>) {
        let mut state = self.state.load(Ordering::SeqCst);
        loop {
            let next = match state {
                SUSPENDED => QUEUED,
                RUNNING => NOTIFIED,
                // Queued or notified already, or over: nothing is lost, since whoever steps it
                // looks at everything again.
                _ => return,
            };
            match self
                .state
                .compare_exchange(state, next, Ordering::SeqCst, Ordering::SeqCst)
            {
                Ok(_) => break,
                Err(other) => state = other,
            }
        }
        if state == SUSPENDED {
            self.home.queue(Arc::clone(self));
        }
    }

    /// Goes on with the task until it suspends or ends. Called by its home, attached, with a task
    /// out of its queue.
    pub fn step(self: Arc<Self>, py: Python<'_>) {
        self.state.store(RUNNING, Ordering::SeqCst);
        if !self.is_due(py) {
            return;
        }
        if !self.may_begin(py) {
            return self.end(py, Err(never_started(py)));
        }
        let (how, after) = match self.enter_context(py) {
            Some(entered) => {
                let stepping = Stepping::enter(Arc::as_ptr(&self));
                let started = clock::ticks();
                let after = self.go_on(py);
                if clock::ticks().wrapping_sub(started) > too_long() {
                    self.report(py, clock::nanos(clock::ticks().wrapping_sub(started)));
                }
                // Left before anybody else may step the task, and before it lets go of its context.
                drop(stepping);
                drop(entered);
                (None, after)
            }
            None => (Some(PyErr::fetch(py)), After::Queue),
        };
        match (how, after) {
            (Some(error), _) => self.end(py, Err(error)),
            (None, After::End(outcome)) => self.end(py, outcome),
            (None, After::Wait) => self.park(py),
            (None, After::Queue) => {
                self.state.store(QUEUED, Ordering::SeqCst);
                self.home.queue(Arc::clone(&self));
            }
        }
    }

    /// Sends into the coroutine until it waits, gives way, or ends.
    fn go_on(self: &Arc<Self>, py: Python<'_>) -> After {
        loop {
            let throw = {
                // SAFETY: the state is RUNNING by our hand; the reference ends with the block.
                let inner = unsafe { self.inner() };
                inner.slice = None;
                inner.arranged = false;
                let waited = inner.foreign.is_some() && inner.throw.is_none();
                inner
                    .throw
                    .take()
                    .or_else(|| (waited && self.is_cancelled()).then(|| self.cancelled(py)))
            };
            let value = match self.send(py, throw) {
                Sent::Returned(value) => return After::End(Ok(value)),
                Sent::Raised(error) => return After::End(Err(error)),
                Sent::Yielded(value) => value,
            };
            // SAFETY: as above.
            let inner = unsafe { self.inner() };
            if inner.arranged {
                return After::Wait;
            }
            if value.is_none(py) {
                if self.home.is_idle() {
                    // Nobody else wants this turn.
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
                // SAFETY: as above.
                Err(error) => unsafe { self.inner() }.throw = Some(error),
            }
        }
    }

    /// At the first step: takes the right to run the future's call, and a context of its own.
    fn may_begin(&self, py: Python<'_>) -> bool {
        // SAFETY: the state is RUNNING by our caller's hand; the reference ends with the block.
        let inner = unsafe { self.inner() };
        if !matches!(inner.body, Body::Call(..)) {
            return true;
        }
        if let Context::Shared(snapshot) = &inner.context {
            // SAFETY: a live snapshot; a new reference, or null with an exception set.
            let copy =
                unsafe { Bound::from_owned_ptr_or_opt(py, context::context_of(snapshot.as_ptr())) };
            let before = match copy {
                Some(copy) => std::mem::replace(&mut inner.context, Context::Own(copy.unbind())),
                // Out of memory: the thread's own context will do.
                None => {
                    drop(PyErr::take(py));
                    std::mem::replace(&mut inner.context, Context::None)
                }
            };
            drop(before);
        }
        match &self.sink {
            Sink::Call(_) => true,
            Sink::Future(object, _) => {
                future::native(object.bind(py)).is_none_or(FutureObject::begin)
            }
        }
    }

    /// Whether there is something to go on with. A task that waits for a foreign future must not be
    /// resumed before that is done, whatever woke it; then it is suspended again.
    fn is_due(self: &Arc<Self>, py: Python<'_>) -> bool {
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
            let suspended =
                self.state
                    .compare_exchange(RUNNING, SUSPENDED, Ordering::SeqCst, Ordering::SeqCst);
            if suspended.is_ok() {
                return false;
            }
            self.state.store(RUNNING, Ordering::SeqCst);
        }
    }

    /// The coroutine waits: suspends the task, unless it was woken meanwhile.
    fn park(self: &Arc<Self>, py: Python<'_>) {
        self.listen(py);
        let suspended =
            self.state
                .compare_exchange(RUNNING, SUSPENDED, Ordering::SeqCst, Ordering::SeqCst);
        if suspended.is_err() {
            self.state.store(QUEUED, Ordering::SeqCst);
            self.home.queue(Arc::clone(self));
        }
    }
}

impl OnCancel for Task {
    fn cancelled(&self) {
        // SAFETY: the callback is held by its token as an `Arc<Task>`, so the count is at least one
        // and the pointer came from an `Arc`.
        let task = unsafe {
            Arc::increment_strong_count(self);
            Arc::from_raw(self)
        };
        task.wake();
    }
}
