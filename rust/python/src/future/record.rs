//! What a future carries that was asked for beyond a plain call: limits of time, retries, a name.

use super::{Object, limit};
use crate::flow::{Signal, signal_of};
use crate::options::TaskOptions;
use parking_lot::{Mutex, MutexGuard};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyType};
use std::os::raw::c_long;
use std::sync::atomic::Ordering::{Acquire, Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64};
use taskloom_core::clock;
use taskloom_core::pool::Worker;

/// Submitted, began, ended, in seconds; and the worker.
pub type Times = (f64, Option<f64>, Option<f64>, Option<u32>);

/// The side record of one future.
pub struct Record {
    pub name: Option<Py<PyString>>,
    pub band: usize,
    /// In ticks.
    pub deadline: Option<u64>,
    /// Whether a deadline that has passed ends the task.
    pub hard: bool,
    /// Nanoseconds per attempt.
    pub timeout: Option<u64>,
    /// Whether a failure lets those go on that come after this task.
    pub lets_go_on: bool,
    /// How often the task was called.
    pub attempt: AtomicU32,
    /// How many of these calls asked for another one, which is no failure.
    asked: AtomicU32,
    /// Whether it still waits for something before it may start.
    pub held: AtomicBool,
    /// Whether it is part of a run, and so not dropped when the queue is full.
    pub kept: AtomicBool,
    /// Whether it waits for its next attempt.
    pub backing_off: AtomicBool,
    /// Whether its times are recorded.
    pub timing: bool,
    /// In ticks; 0 for what has not happened.
    pub submitted: u64,
    /// When it was queued, if it waited for something else before.
    pub queued: AtomicU64,
    pub started: AtomicU64,
    pub finished: AtomicU64,
    /// One more than the worker's index; 0 for none.
    pub worker: AtomicU32,
    /// Whether to cancel it by an exception in its thread.
    pub interrupt: bool,
    /// The thread that is in the call.
    thread: Mutex<Option<c_long>>,
    /// Whether the runner is still in the call; see `limit`.
    pub slot: AtomicU8,
    /// Whether `linked` may hold anything: most records never lock it.
    is_linked: AtomicBool,
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
    /// For a task that is submitted now.
    pub fn new(py: Python<'_>, options: &TaskOptions, hard: bool) -> Self {
        Record {
            name: options.name.as_ref().map(|name| name.clone_ref(py)),
            band: options.band,
            deadline: options
                .deadline
                .map(|span| clock::ticks().saturating_add(span)),
            hard,
            timeout: options.timeout,
            lets_go_on: options.lets_go_on,
            attempt: AtomicU32::new(0),
            asked: AtomicU32::new(0),
            held: AtomicBool::new(false),
            kept: AtomicBool::new(false),
            backing_off: AtomicBool::new(false),
            timing: options.timing,
            submitted: if options.timing { clock::ticks() } else { 0 },
            queued: AtomicU64::new(0),
            started: AtomicU64::new(0),
            finished: AtomicU64::new(0),
            worker: AtomicU32::new(0),
            interrupt: options.interrupt,
            thread: Mutex::new(None),
            slot: AtomicU8::new(limit::BUSY),
            is_linked: AtomicBool::new(options.retry.is_some()),
            linked: Mutex::new(Linked {
                retry: options.retry.as_ref().map(|retry| retry.clone_ref(py)),
                on_left: None,
                last_error: None,
            }),
        }
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
        let retry = self.linked.lock().retry.as_ref().map(|r| r.clone_ref(py));
        let asked = matches!(signal_of(error.bind(py)), Some(Signal::Retry));
        if retry.is_none() && !asked {
            return Ok(None);
        }
        if asked {
            self.asked.fetch_add(1, Relaxed);
        }
        let failed = self.attempt.load(Relaxed) - self.asked.load(Relaxed);
        let left = self
            .deadline
            .filter(|_| self.hard)
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
        self.is_linked.store(true, SeqCst);
        let before = std::mem::replace(&mut self.linked.lock().last_error, error);
        drop(before);
    }

    /// The task is over: nobody asks for that error any more.
    pub fn forget_error(&self) {
        let error = self.linked().and_then(|mut l| l.last_error.take());
        drop(error);
    }

    /// What is linked, if anything ever was. What links something stores the flag first, and hands
    /// the record on, or takes it over, by stronger orders than this load.
    fn linked(&self) -> Option<MutexGuard<'_, Linked>> {
        self.is_linked.load(Acquire).then(|| self.linked.lock())
    }

    /// The keyword by which the task wants the error of the attempt before, and that error.
    pub fn error_to_pass(&self, py: Python<'_>) -> Option<(Py<PyAny>, Py<PyAny>)> {
        let error = self.last_error(py)?;
        let retry = self.linked.lock().retry.as_ref().map(|r| r.clone_ref(py))?;
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
        if self.timing {
            self.queued.store(clock::ticks(), Relaxed);
        }
    }

    /// It begins elsewhere than on a worker.
    pub fn note_begin(&self) {
        if self.timing && self.started.load(Relaxed) == 0 {
            self.started.store(clock::ticks(), Relaxed);
        }
    }

    /// It ends elsewhere than on a worker.
    pub fn note_end_elsewhere(&self) {
        if self.timing && self.started.load(Relaxed) > 0 {
            self.finished.store(clock::ticks(), Relaxed);
        }
    }

    /// Its task has left, on the worker that this thread is.
    pub fn note_end(&self) {
        let now = clock::ticks();
        self.finished.store(now, Relaxed);
        Worker::with_current(|worker| {
            if let Some(worker) = worker {
                let queued = self.submitted.max(self.queued.load(Relaxed));
                worker
                    .stats()
                    .record(queued, self.started.load(Relaxed), now);
            }
        });
    }

    /// This thread enters the call. Attached.
    pub fn enter(&self) {
        if self.interrupt {
            // SAFETY: asks the C runtime for this thread's identifier; no precondition.
            let ident = unsafe { ffi::PyThread_get_thread_ident() };
            *self.thread.lock() = Some(ident as c_long);
        }
    }

    /// It has left the call: an exception that was sent and not yet raised is taken back.
    pub fn exit(&self) {
        if !self.interrupt {
            return;
        }
        let ident = self.thread.lock().take();
        if let Some(ident) = ident {
            // SAFETY: attached; null takes back.
            unsafe { ffi::PyThreadState_SetAsyncExc(ident as _, std::ptr::null_mut()) };
        }
    }

    /// Raises `exception` in the thread that is in the call, at its next Python instruction.
    pub fn raise_inside(&self, exception: &Bound<'_, PyType>) {
        let thread = self.thread.lock();
        if let Some(ident) = *thread {
            // SAFETY: attached; the lock keeps the thread from leaving the call meanwhile.
            unsafe { ffi::PyThreadState_SetAsyncExc(ident as _, exception.as_ptr()) };
        }
    }

    /// Has `callable` called when the task leaves its slot.
    pub fn set_on_left(&self, callable: Py<PyAny>) {
        self.is_linked.store(true, SeqCst);
        self.linked.lock().on_left = Some(callable);
    }

    pub fn take_on_left(&self) -> Option<Py<PyAny>> {
        self.linked()?.on_left.take()
    }

    pub fn add_referents(&self, objects: &mut Vec<Object>) {
        if let Some(linked) = self.linked.try_lock() {
            let own = linked.retry.iter().chain(&linked.on_left);
            objects.extend(own.chain(&linked.last_error).map(Py::as_ptr));
        }
    }

    pub fn clear(&self) {
        let taken = std::mem::take(&mut *self.linked.lock());
        drop(taken);
    }
}
