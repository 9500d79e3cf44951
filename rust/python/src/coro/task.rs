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

use super::home::Home;
use super::nursery::{Shared, is_cancelled_error};
use super::suspend;
use crate::future::{self, FutureObject};
use parking_lot::Mutex;
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use std::cell::{Cell, UnsafeCell};
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;
use taskloom_core::cancel::{OnCancel, Registration, Token};
use taskloom_core::clock;
use taskloom_core::completion::State;

const QUEUED: u8 = 0;
const RUNNING: u8 = 1;
const NOTIFIED: u8 = 2;
const SUSPENDED: u8 = 3;
const DONE: u8 = 4;

/// How long a coroutine may go on without waiting before that is reported, in ticks: as long as
/// asyncio's debug mode allows a callback.
fn too_long() -> u64 {
    static TICKS: OnceLock<u64> = OnceLock::new();
    *TICKS.get_or_init(|| clock::from_nanos(100_000_000))
}

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
    /// A snapshot that others share; copied at the first step.
    Shared(Py<PyAny>),
}

/// Who is told how it ended.
pub enum Sink {
    /// `ended(value, None)` or `ended(None, error)`.
    Call(Py<PyAny>),
    /// A scope, and the future that it gave for the task.
    Child(Arc<Shared>, Py<PyAny>),
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
        Sink::Child(_, future) => Some(future.clone_ref(py)),
        Sink::Call(_) => task.handle.as_ref().map(|handle| handle.clone_ref(py)),
    }
}

/// Puts a task into `CURRENT` for as long as it lives.
struct Stepping(*const Task);

impl Stepping {
    fn enter(task: *const Task) -> Self {
        Stepping(CURRENT.with(|current| current.replace(task)))
    }
}

impl Drop for Stepping {
    fn drop(&mut self) {
        CURRENT.with(|current| current.set(self.0));
    }
}

/// A context that this thread is in.
struct Entered(Option<*mut ffi::PyObject>);

impl Drop for Entered {
    #[inline]
    fn drop(&mut self) {
        if let Some(context) = self.0 {
            // SAFETY: entered on this thread, attached; its task, which owns it, is still alive,
            // and no exception is pending: who sends takes it.
            unsafe {
                if ffi::PyContext_Exit(context) != 0 {
                    // The coroutine left a context of its own entered: it is lost, not ours.
                    ffi::PyErr_Clear();
                }
            }
        }
    }
}

/// What is to become of a task after a step.
enum After {
    End(PyResult<Py<PyAny>>),
    /// It has arranged to be woken.
    Wait,
    Queue,
}

enum Sent {
    Returned(Py<PyAny>),
    Raised(PyErr),
    Yielded(Py<PyAny>),
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
        unsafe { self.inner() }.token.is_cancelled() || self.asked.load(Ordering::Relaxed)
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

    /// Says that the coroutine has held its worker up: others that belong there could not go on.
    #[cold]
    fn report(&self, py: Python<'_>, nanos: u64) {
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
            match suspend::bridge_foreign(value.bind(py), self) {
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
            // SAFETY: a live context; the copy is a new reference, or null with an exception set.
            let copy =
                unsafe { Bound::from_owned_ptr_or_opt(py, ffi::PyContext_Copy(snapshot.as_ptr())) };
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
            Sink::Child(_, object) => {
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
            if suspend::foreign_done(foreign.bind(py)).unwrap_or(true) {
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

    /// Brings this thread into the task's context until the guard goes.
    #[inline]
    fn enter_context(&self, _py: Python<'_>) -> Option<Entered> {
        // SAFETY: as in `step`.
        let context = match &unsafe { self.inner() }.context {
            Context::Own(context) => Some(context.as_ptr()),
            Context::Shared(_) | Context::None => None,
        };
        if let Some(context) = context {
            // SAFETY: a live PyContext that the task owns; it is entered by one step at a time.
            if unsafe { ffi::PyContext_Enter(context) } != 0 {
                return None;
            }
        }
        Some(Entered(context))
    }

    fn send(&self, py: Python<'_>, throw: Option<PyErr>) -> Sent {
        let sent = self.send_inside(py, throw);
        suspend::forget_last_value();
        sent
    }

    fn send_inside(&self, py: Python<'_>, throw: Option<PyErr>) -> Sent {
        if let Some(foreign) = take_foreign(self)
            && throw.is_some()
            && let Err(error) = suspend::give_up_foreign(foreign.bind(py))
        {
            error.write_unraisable(py, Some(foreign.bind(py)));
        }
        let coroutine = match self.coroutine(py) {
            Ok(coroutine) => coroutine,
            Err(error) => return Sent::Raised(error),
        };
        if let Some(error) = throw {
            return match coroutine.bind(py).call_method1("throw", (error,)) {
                Ok(value) => Sent::Yielded(value.unbind()),
                Err(error) => ended_by(py, error),
            };
        }
        let mut result = std::ptr::null_mut();
        // SAFETY: a live coroutine, attached; the result is a new reference unless it is an error.
        let how = unsafe { ffi::PyIter_Send(coroutine.as_ptr(), ffi::Py_None(), &mut result) };
        if how == ffi::PySendResult::PYGEN_ERROR {
            return Sent::Raised(PyErr::fetch(py));
        }
        // SAFETY: the new reference that PyIter_Send gave.
        let value = unsafe { Bound::from_owned_ptr(py, result) }.unbind();
        if how == ffi::PySendResult::PYGEN_RETURN {
            Sent::Returned(value)
        } else {
            Sent::Yielded(value)
        }
    }

    /// The coroutine, made by the call at the first step.
    fn coroutine(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        // SAFETY: as in `step`; the body is taken out before the call, so no reference stays.
        let body = std::mem::replace(&mut unsafe { self.inner() }.body, Body::Gone);
        let coroutine = match body {
            Body::Coroutine(coroutine) => coroutine,
            Body::Gone => return Err(PyRuntimeError::new_err("the coroutine is over")),
            Body::Call(function, arguments, keywords) => {
                let keywords = keywords.as_ref().map(|k| k.bind(py));
                let made = function.bind(py).call(arguments.bind(py), keywords)?;
                // SAFETY: asks for a slot of a live type.
                if unsafe { ffi::PyCoro_CheckExact(made.as_ptr()) } == 0
                    && !made.hasattr("send").unwrap_or(false)
                {
                    return Err(PyTypeError::new_err(format!(
                        "{} returned {}, not a coroutine: spawn a plain function as such, or \
                         write `async def`",
                        function.bind(py).repr()?,
                        made.get_type().name()?,
                    )));
                }
                made.unbind()
            }
        };
        let same = coroutine.clone_ref(py);
        // SAFETY: as above.
        unsafe { self.inner() }.body = Body::Coroutine(coroutine);
        Ok(same)
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

    /// Sees to it that a cancellation wakes the task.
    fn listen(self: &Arc<Self>, py: Python<'_>) {
        // SAFETY: as in `step`.
        let inner = unsafe { self.inner() };
        if !inner.listens
            && let Sink::Child(_, object) = &self.sink
            && let Some(future) = future::native(object.bind(py))
        {
            inner.listens = true;
            match Py::new(py, Canceller(Arc::clone(self))) {
                Ok(canceller) => future
                    .observers_or_new()
                    .set_canceller(canceller.into_any()),
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

    fn end(&self, py: Python<'_>, outcome: PyResult<Py<PyAny>>) {
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
            Sink::Child(scope, object) => {
                self.settle(py, scope, object.bind(py), outcome);
                scope.child_over();
            }
        }
        self.home.over();
    }

    /// Ends the future of a scope's child.
    fn settle(
        &self,
        py: Python<'_>,
        scope: &Shared,
        object: &Bound<'_, PyAny>,
        outcome: PyResult<Py<PyAny>>,
    ) {
        let (end, outcome) = match outcome {
            Ok(value) => (State::Done, Some(value)),
            Err(error) if is_cancelled_error(py, &error) => (State::Cancelled, None),
            Err(error) => {
                let error = error.into_value(py).into_any();
                scope.child_failed(error.clone_ref(py));
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

fn never_started(py: Python<'_>) -> PyErr {
    suspend::raise(py, "Cancelled", "cancelled before it was started")
}

/// The foreign future that the task waited for, if it did.
fn take_foreign(task: &Task) -> Option<Py<PyAny>> {
    // SAFETY: called by `send_inside` only, on the thread that steps the task.
    unsafe { task.inner() }.foreign.take()
}

/// What `throw` left the coroutine with: a return comes as StopIteration.
fn ended_by(py: Python<'_>, error: PyErr) -> Sent {
    if error.is_instance_of::<pyo3::exceptions::PyStopIteration>(py) {
        return match error.value(py).getattr("value") {
            Ok(value) => Sent::Returned(value.unbind()),
            Err(error) => Sent::Raised(error),
        };
    }
    Sent::Raised(error)
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
