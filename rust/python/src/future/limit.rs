//! The limits of time of a running task: at its timeout or deadline its future ends, at once.
//!
//! The thread cannot be taken away from the call, so the task keeps its slot until it leaves by
//! itself; meanwhile a spare worker stands in. Who counts the spare in and out: `slot` goes from
//! `BUSY` to `REPLACED` by the timer, which has counted it in before, and to `LEFT` by the runner,
//! which counts it out if it finds `REPLACED`. A timer that finds `LEFT` counts it out itself.

use super::execute::{as_object, end_with};
use super::family::ask_to_stop;
use super::managed::{interrupt, missed};
use super::record::Record;
use super::watch::{Noted, Watch};
use super::{FutureObject, native, record_of, waits};
use crate::timer;
use pyo3::exceptions::PyTimeoutError;
use pyo3::prelude::*;
use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire};
use taskloom_core::clock;
use taskloom_core::completion::State;
use taskloom_core::pool::{Pool, Worker};
use taskloom_core::timer::{Deadline, Expire};

pub const BUSY: u8 = 0;
const REPLACED: u8 = 1;
const LEFT: u8 = 2;

/// What is to happen to one attempt when its time is up.
pub(super) struct Limit {
    future: Py<PyAny>,
    /// Whose worker is busy with the task; None for a thread from outside.
    pool: Option<Arc<Pool>>,
    /// In ticks.
    due: u64,
    /// The thread that runs the task.
    thread: u64,
}

impl Expire for Limit {
    fn expire(&self) {
        // No thread may enter an interpreter that is going away; its tasks end with it.
        let _ = Python::try_attach(|py| self.end(py));
    }
}

impl Limit {
    pub(super) fn new(future: Py<PyAny>, pool: Option<Arc<Pool>>, due: u64, thread: u64) -> Self {
        Limit {
            future,
            pool,
            due,
            thread,
        }
    }

    /// The time is up.
    pub(super) fn end(&self, py: Python<'_>) {
        let future = self.future.bind(py);
        let Some((native, record)) = native(future).and_then(|n| Some((n, record_of(n)?))) else {
            return;
        };
        if !native.completion.settle_running() {
            return;
        }
        let task = record.describe(py);
        let timeout = record
            .timeout()
            .filter(|_| record.hard_deadline() != Some(self.due));
        let error = match timeout {
            Some(span) => {
                let seconds = span as f64 * 1e-9;
                let text = format!("{task} ran longer than its timeout of {seconds} s");
                PyTimeoutError::new_err(text).into_value(py).into_any()
            }
            None => missed(py, &format!("{task} was still running at its deadline")),
        };
        let mut goes_on = false;
        if let Some(pool) = &self.pool {
            let key = std::ptr::from_ref(record).addr();
            let identity = Arc::as_ptr(pool).addr();
            // Before the runner may find that it was replaced.
            waits::add_hung(key, future.clone().unbind(), self.thread, identity);
            pool.add_spare();
            let was = record
                .slot
                .compare_exchange(BUSY, REPLACED, AcqRel, Acquire);
            goes_on = was.is_ok();
            if !goes_on {
                waits::remove_hung(key);
                pool.remove_spare();
            }
        }
        ask_to_stop(native);
        end_with(native, State::Failed, Some(error), py);
        interrupt(native, py);
        if goes_on {
            waits::tell_late(py);
        }
    }
}

/// A limit that is set.
pub(super) enum Armed {
    Noted(Noted),
    Set(Deadline),
}

impl Armed {
    /// Takes it back. True if it may have struck.
    #[inline]
    #[must_use]
    pub(super) fn disarm(self) -> bool {
        match self {
            Armed::Noted(noted) => noted.wipe(),
            Armed::Set(deadline) => !timer::real_clock().forget(deadline),
        }
    }
}

/// Sets the limit of an attempt that starts now, in ticks. None if it has none, or at exit. Attached.
#[inline]
pub(super) fn arm(future: &FutureObject, record: &Record, now: u64) -> Option<Armed> {
    let timeout = record
        .timeout()
        .map(|span| now.saturating_add(clock::from_nanos(span)));
    let due = match (timeout, record.hard_deadline()) {
        (Some(timeout), Some(deadline)) => timeout.min(deadline),
        (timeout, deadline) => timeout.or(deadline)?,
    };
    match Watch::note(future, due) {
        Some(noted) => Some(Armed::Noted(noted)),
        None => arm_alone(future, due),
    }
}

/// Sets a timer, where what is around has the thread's note.
#[cold]
fn arm_alone(future: &FutureObject, due: u64) -> Option<Armed> {
    // SAFETY: the callers are attached.
    let py = unsafe { Python::assume_attached() };
    let limit = Limit {
        future: as_object(future, py).unbind(),
        pool: Worker::with_current(|worker| worker.map(|w| Arc::clone(w.pool()))),
        due,
        thread: waits::this_thread(),
    };
    let clock = timer::real_clock();
    let left = clock::nanos(due.saturating_sub(clock::ticks()));
    let at = clock.now().saturating_add(left);
    clock.set(at, Arc::new(limit)).map(Armed::Set)
}

/// The runner has left the call, of which a limit may have struck.
pub fn leave(record: &Record) {
    if record.slot.swap(LEFT, AcqRel) == REPLACED {
        waits::remove_hung(std::ptr::from_ref(record).addr());
        Worker::with_current(|worker| {
            if let Some(worker) = worker {
                worker.pool().remove_spare();
            }
        });
    }
}
