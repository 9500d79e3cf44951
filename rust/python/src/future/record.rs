//! What a future carries that was asked for beyond a plain call: limits of time, retries, a name.

use super::{Object, limit};
use crate::flow::{Signal, signal_of};
use crate::options::TaskOptions;
use parking_lot::{Mutex, MutexGuard};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyType};
use std::os::raw::c_long;
use std::sync::OnceLock;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64};
use taskloom_core::clock;
use taskloom_core::pool::Worker;

/// Submitted, began, ended, in seconds; and the worker.
pub type Times = (f64, Option<f64>, Option<f64>, Option<u32>);

/// The side record of one future; it lies behind that, before the inputs. What only few tasks need is
/// beside it, made when it is asked for.
pub struct Record {
    pub name: Option<Py<PyString>>,
    /// In ticks; `NEVER` for none.
    deadline: u64,
    /// Nanoseconds per attempt; `NEVER` for none.
    timeout: u64,
    /// In ticks; 0 for what has not happened.
    submitted: u64,
    pub started: AtomicU64,
    pub finished: AtomicU64,
    /// How often the task was called.
    pub attempt: AtomicU32,
    /// One more than the worker's index; 0 for none.
    pub worker: AtomicU32,
    pub band: u8,
    /// Of the options: what may be asked of them at any time.
    kind: u8,
    /// Whether it still waits for something before it may start.
    pub held: AtomicBool,
    /// Whether it is part of a run, and so not dropped when the queue is full.
    pub kept: AtomicBool,
    /// Whether it waits for its next attempt.
    pub backing_off: AtomicBool,
    /// Whether the runner is still in the call; see `limit`.
    pub slot: AtomicU8,
    rare: OnceLock<Box<Rare>>,
}

const NEVER: u64 = u64::MAX;

/// A deadline that has passed ends the task.
const HARD: u8 = 1;
/// A failure lets those go on that come after this task.
const LETS_GO_ON: u8 = 2;
/// Its times are recorded.
const TIMING: u8 = 4;
/// It is cancelled by an exception in its thread.
const INTERRUPT: u8 = 8;

#[derive(Default)]
struct Rare {
    /// How many of the calls asked for another one, which is no failure.
    asked: AtomicU32,
    /// When it was queued, if it waited for something else before.
    queued: AtomicU64,
    /// The thread that is in the call.
    thread: Mutex<Option<c_long>>,
    /// What may be part of a cycle.
    linked: Mutex<Linked>,
}

#[derive(Default)]
struct Linked {
    retry: Option<Py<PyAny>>,
    /// Called when the task has left its slot.
    on_left: Option<Py<PyAny>>,
    last_error: Option<Py<PyAny>>,
}

impl Record {
    /// For a task that is submitted now; `hard` says whether a deadline that has passed ends it.
    #[inline]
    pub fn new(py: Python<'_>, options: &TaskOptions, hard: bool) -> Self {
        let now = if options.timing || options.deadline.is_some() {
            clock::ticks()
        } else {
            0
        };
        let flag = |is: bool, bit: u8| if is { bit } else { 0 };
        let record = Record {
            name: options.name.as_ref().map(|name| name.clone_ref(py)),
            deadline: options
                .deadline
                .map_or(NEVER, |span| now.saturating_add(span)),
            timeout: options.timeout.unwrap_or(NEVER),
            submitted: if options.timing { now } else { 0 },
            started: AtomicU64::new(0),
            finished: AtomicU64::new(0),
            attempt: AtomicU32::new(0),
            worker: AtomicU32::new(0),
            band: options.band as u8,
            kind: flag(hard, HARD)
                | flag(options.lets_go_on, LETS_GO_ON)
                | flag(options.timing, TIMING)
                | flag(options.interrupt, INTERRUPT),
            held: AtomicBool::new(false),
            kept: AtomicBool::new(false),
            backing_off: AtomicBool::new(false),
            slot: AtomicU8::new(limit::BUSY),
            rare: OnceLock::new(),
        };
        if let Some(retry) = &options.retry {
            record.rare_or_new().linked.lock().retry = Some(retry.clone_ref(py));
        }
        record
    }

    fn is(&self, kind: u8) -> bool {
        self.kind & kind != 0
    }

    /// In ticks.
    #[inline]
    pub fn deadline(&self) -> Option<u64> {
        (self.deadline != NEVER).then_some(self.deadline)
    }

    /// A deadline that ends the task, in ticks.
    #[inline]
    pub fn hard_deadline(&self) -> Option<u64> {
        self.deadline().filter(|_| self.is(HARD))
    }

    /// Nanoseconds per attempt.
    #[inline]
    pub fn timeout(&self) -> Option<u64> {
        (self.timeout != NEVER).then_some(self.timeout)
    }

    /// Whether a failure lets those go on that come after this task.
    pub fn lets_go_on(&self) -> bool {
        self.is(LETS_GO_ON)
    }

    /// Whether its times are recorded.
    #[inline]
    pub fn timing(&self) -> bool {
        self.is(TIMING)
    }

    /// Whether to cancel it by an exception in its thread.
    #[inline]
    pub fn interrupt(&self) -> bool {
        self.is(INTERRUPT)
    }

    /// Whether it refers to nothing but a name.
    #[cfg(Py_3_13)]
    #[inline]
    pub fn is_light(&self) -> bool {
        self.rare.get().is_none()
    }

    fn rare_or_new(&self) -> &Rare {
        self.rare.get_or_init(Box::default)
    }

    /// "task 'name'", or "the task" where it has no name.
    pub fn describe(&self, py: Python<'_>) -> String {
        match &self.name {
            Some(name) => format!("task {:?}", name.bind(py).to_string()),
            None => "the task".to_owned(),
        }
    }

    /// Seconds until the next attempt after `error`; None to let the error pass.
    pub fn again(&self, py: Python<'_>, error: &Py<PyAny>) -> PyResult<Option<f64>> {
        let retry = self.retry(py);
        let asked = matches!(signal_of(error.bind(py)), Some(Signal::Retry));
        if retry.is_none() && !asked {
            return Ok(None);
        }
        if asked {
            self.rare_or_new().asked.fetch_add(1, Relaxed);
        }
        let asked_before = self.rare.get().map_or(0, |rare| rare.asked.load(Relaxed));
        let failed = self.attempt.load(Relaxed) - asked_before;
        let left = self
            .hard_deadline()
            .map(|at| clock::nanos(at.saturating_sub(clock::ticks())) as f64 * 1e-9);
        let wait: Option<f64> = py
            .import("taskloom.retry")?
            .call_method1("next_attempt", (retry, error, failed, left))?
            .extract()?;
        if wait.is_some() && !asked {
            self.set_last_error(Some(error.clone_ref(py)));
        }
        Ok(wait)
    }

    /// The error of the attempt before, if the last one that failed was tried again.
    pub fn last_error(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        let linked = self.linked()?;
        linked.last_error.as_ref().map(|error| error.clone_ref(py))
    }

    pub fn set_last_error(&self, error: Option<Py<PyAny>>) {
        let rare = self.rare_or_new();
        let before = std::mem::replace(&mut rare.linked.lock().last_error, error);
        drop(before);
    }

    /// The task is over: nobody asks for that error any more.
    pub fn forget_error(&self) {
        let error = self.linked().and_then(|mut l| l.last_error.take());
        drop(error);
    }

    /// What is linked, if anything ever was.
    #[inline]
    fn linked(&self) -> Option<MutexGuard<'_, Linked>> {
        self.rare.get().map(|rare| rare.linked.lock())
    }

    fn retry(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        let linked = self.linked()?;
        linked.retry.as_ref().map(|retry| retry.clone_ref(py))
    }

    /// The keyword by which the task wants the error of the attempt before, and that error.
    pub fn error_to_pass(&self, py: Python<'_>) -> Option<(Py<PyAny>, Py<PyAny>)> {
        let error = self.last_error(py)?;
        let retry = self.retry(py)?;
        let name = retry.getattr(py, "pass_error").ok()?;
        (!name.is_none(py)).then_some((name, error))
    }

    /// When it was submitted, began and ended, in seconds of the system's monotonic clock, and the
    /// worker.
    pub fn times(&self) -> Option<Times> {
        let seconds = |ticks: u64| (ticks > 0).then(|| clock::monotonic_nanos(ticks) as f64 * 1e-9);
        let started = seconds(self.started.load(Relaxed));
        let finished = seconds(self.finished.load(Relaxed));
        let worker = self.worker.load(Relaxed).checked_sub(1);
        Some((seconds(self.submitted)?, started, finished, worker))
    }

    /// It waits for nothing but a worker from now on.
    pub fn note_queued(&self) {
        if self.timing() {
            self.rare_or_new().queued.store(clock::ticks(), Relaxed);
        }
    }

    /// It begins elsewhere than on a worker.
    pub fn note_begin(&self) {
        if self.timing() && self.started.load(Relaxed) == 0 {
            self.started.store(clock::ticks(), Relaxed);
        }
    }

    /// It ends elsewhere than on a worker.
    pub fn note_end_elsewhere(&self) {
        if self.timing() && self.started.load(Relaxed) > 0 {
            self.finished.store(clock::ticks(), Relaxed);
        }
    }

    /// When it was submitted, or queued if it waited for something else before; in ticks.
    fn queued(&self) -> u64 {
        let rare = self.rare.get();
        let queued = rare.map_or(0, |rare| rare.queued.load(Relaxed));
        self.submitted.max(queued)
    }

    /// It begins on this worker, or inside of another task, about at `now`.
    #[inline]
    pub fn note_start(&self, worker: Option<&Worker>, now: u64) {
        if self.timing() {
            // The job before it may have ended before it was submitted.
            self.started.store(now.max(self.queued()), Relaxed);
        }
        if let Some(worker) = worker {
            self.worker.store(worker.index() as u32 + 1, Relaxed);
            if self.deadline().is_some_and(|deadline| now > deadline) {
                worker.stats().counts.overdue.add(1);
            }
        }
    }

    /// Its task has left, `now`.
    #[inline]
    pub fn note_end(&self, worker: Option<&Worker>, now: u64) {
        self.finished.store(now, Relaxed);
        if let Some(worker) = worker {
            let started = self.started.load(Relaxed);
            worker.stats().record(self.queued(), started, now);
        }
    }

    /// This thread enters the call. Attached.
    pub fn enter(&self) {
        if self.interrupt() {
            // SAFETY: asks the C runtime for this thread's identifier; no precondition.
            let ident = unsafe { ffi::PyThread_get_thread_ident() };
            *self.rare_or_new().thread.lock() = Some(ident as c_long);
        }
    }

    /// It has left the call: an exception that was sent and not yet raised is taken back.
    pub fn exit(&self) {
        if !self.interrupt() {
            return;
        }
        let ident = self.rare_or_new().thread.lock().take();
        if let Some(ident) = ident {
            // SAFETY: attached; null takes back.
            unsafe { ffi::PyThreadState_SetAsyncExc(ident as _, std::ptr::null_mut()) };
        }
    }

    /// Raises `exception` in the thread that is in the call, at its next Python instruction.
    pub fn raise_inside(&self, exception: &Bound<'_, PyType>) {
        let thread = self.rare_or_new().thread.lock();
        if let Some(ident) = *thread {
            // SAFETY: attached; the lock keeps the thread from leaving the call meanwhile.
            unsafe { ffi::PyThreadState_SetAsyncExc(ident as _, exception.as_ptr()) };
        }
    }

    /// Has `callable` called when the task leaves its slot.
    pub fn set_on_left(&self, callable: Py<PyAny>) {
        self.rare_or_new().linked.lock().on_left = Some(callable);
    }

    pub fn take_on_left(&self) -> Option<Py<PyAny>> {
        self.linked()?.on_left.take()
    }

    pub fn add_referents(&self, objects: &mut Vec<Object>) {
        if let Some(linked) = self.rare.get().and_then(|rare| rare.linked.try_lock()) {
            let own = linked.retry.iter().chain(&linked.on_left);
            objects.extend(own.chain(&linked.last_error).map(Py::as_ptr));
        }
    }

    pub fn clear(&self) {
        let taken = self.linked().map(|mut linked| std::mem::take(&mut *linked));
        drop(taken);
    }
}
