//! What becomes of tasks for which there is no room, or no pool any more.

use super::Pool;
use crate::future::{self, FutureObject, Record};
use crate::{call, errors};
use pyo3::prelude::*;
use pyo3::types::PyString;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use taskloom_core::completion::State;
use taskloom_core::job::Job;
use taskloom_core::pool::Pool as Core;
use taskloom_core::ready::DEFAULT_BAND;
use taskloom_core::stats::{ArrivalStats, SharedCount};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum WhenFull {
    Block,
    Reject,
    DropOldest,
    DropLowest,
}

/// Whether a queued job is a ticket of a run, or the task of one of its nodes.
fn is_part_of_run(job: Job) -> bool {
    !job.is_made_of(future::execute)
        || record_of_job(job).is_some_and(|record| record.kept.load(Relaxed))
}

/// The record of the task that a job is to run, if it is one and has one.
fn record_of_job<'a>(job: Job) -> Option<&'a Record> {
    if !job.is_made_of(future::execute) {
        return None;
    }
    // SAFETY: a job made of `execute` points to a future, which it keeps alive, and whose record stays.
    future::record_of(unsafe { &*job.data().cast::<FutureObject>() })
}

impl Pool {
    /// The queue is full: waits for room, or refuses.
    #[cold]
    pub(super) fn wait_and_submit(
        &self,
        py: Python<'_>,
        job: Job,
        band: usize,
        deadline: Option<u64>,
    ) -> PyResult<()> {
        loop {
            match self.when_full {
                WhenFull::DropOldest | WhenFull::DropLowest => {
                    if !self.drop_one(py, band) {
                        // The new one matters least, or there is nothing that may be dropped.
                        self.turn_away(py, job);
                        return Ok(());
                    }
                }
                WhenFull::Block | WhenFull::Reject => self.wait_for_room(py, 1)?,
            }
            if self.core().submit_bounded(job, band, deadline).is_ok() {
                return Ok(());
            }
        }
    }

    /// Counts a task of `band` that will be queued later, when there is room for it; false if it is
    /// the one to be given up.
    pub(super) fn hold(&self, py: Python<'_>, band: usize, bounded: bool) -> PyResult<bool> {
        while self.core().hold(bounded).is_err() {
            let drops = matches!(self.when_full, WhenFull::DropOldest | WhenFull::DropLowest);
            if !drops {
                self.wait_for_room(py, 1)?;
            } else if !self.drop_one(py, band) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Takes cancelled tasks out of the queue, where they would stay until their turn; whether there were
    /// any. It looks at the whole queue, and so only after some cancels.
    pub(super) fn sweep(&self, py: Python<'_>) -> bool {
        let cancelled = future::cancelled_so_far();
        let worth = self.settings.bound.unwrap_or(usize::MAX) as u64 / 64 + 1;
        if cancelled.wrapping_sub(self.swept.load(Relaxed)) < worth {
            return false;
        }
        self.swept.store(cancelled, Relaxed);
        let gone = self.core().take_out(|job| {
            // SAFETY: a job made of `execute` points to a future, which it keeps alive.
            job.is_made_of(future::execute)
                && unsafe { &*job.data().cast::<FutureObject>() }.was_cancelled()
        });
        for job in &gone {
            cancel_queued(self.core().arrivals(), *job, py);
        }
        !gone.is_empty()
    }

    /// Makes room for a job of `band`; false if nothing may go for it.
    pub(super) fn drop_one(&self, py: Python<'_>, band: usize) -> bool {
        if self.sweep(py) {
            return true;
        }
        let mut tickets = Vec::new();
        let dropped = loop {
            let job = match self.when_full {
                WhenFull::DropOldest => self.core().remove_oldest(),
                _ => self.core().remove_lowest(band),
            };
            match job {
                // A part of a run is never dropped.
                Some(job) if is_part_of_run(job) => tickets.push(job),
                job => break job,
            }
        };
        for ticket in tickets {
            match record_of_job(ticket) {
                Some(record) => {
                    self.core()
                        .submit_until(ticket, usize::from(record.band), record.deadline())
                }
                None => self.core().submit(ticket, DEFAULT_BAND),
            }
        }
        if let Some(job) = dropped {
            let arrivals = self.core().arrivals();
            refuse(arrivals, job, self.no_room(py).bind(py), &arrivals.dropped);
        }
        dropped.is_some()
    }

    /// Ends a new task, which was not queued, since there is no room for it.
    pub(super) fn turn_away(&self, py: Python<'_>, job: Job) {
        let arrivals = self.core().arrivals();
        arrivals.submitted.add(1);
        refuse(arrivals, job, self.no_room(py).bind(py), &arrivals.dropped);
    }

    /// The error that a dropped task ends with.
    pub(super) fn no_room(&self, py: Python<'_>) -> Py<PyAny> {
        let bound = self.settings.bound.unwrap_or(usize::MAX);
        errors::queue_full(
            py,
            &format!("given up to make room: {bound} tasks wait (max_queue_depth={bound})"),
        )
        .into_value(py)
        .into_any()
    }

    /// Counts tasks as refused and makes the error of it: a new one each time, but its text.
    pub(super) fn reject(&self, py: Python<'_>, offered: usize) -> PyErr {
        self.core().arrivals().rejected.add(offered as u64);
        let text = self.full_text.get_or_init(py, || {
            let bound = self.settings.bound.unwrap_or(usize::MAX);
            let text = format!("the queue is full: {bound} tasks wait (max_queue_depth={bound})");
            PyString::new(py, &text).unbind()
        });
        errors::queue_full_with(py, text.bind(py))
    }

    /// Waits until there may be room, or refuses the tasks that are offered.
    pub(super) fn wait_for_room(&self, py: Python<'_>, offered: usize) -> PyResult<()> {
        if self.sweep(py) {
            return Ok(());
        }
        if self.when_full == WhenFull::Reject {
            return Err(self.reject(py, offered));
        }
        let bound = self.settings.bound.unwrap_or(usize::MAX);
        if has_running_loop(py) {
            self.core().arrivals().rejected.add(offered as u64);
            return Err(errors::queue_full(
                py,
                &format!(
                    "the queue is full: {bound} tasks wait (max_queue_depth={bound}), and waiting \
                     for room would block the event loop that runs on this thread; await some of \
                     the futures first, or raise max_queue_depth"
                ),
            ));
        }
        let core = Arc::clone(self.core());
        core.arrivals().blocked.add(1);
        // The slice lets a closing be noticed that came before the wait.
        call::wait_detached(py, Some(Duration::from_millis(100)), |slice| {
            core.wait_for_room(slice)
        })?;
        match self.shared().flags.load(Relaxed) {
            0 => Ok(()),
            flags => Err(self.refusal(py, flags)),
        }
    }
}

/// Whether an asyncio loop runs on this thread (false if asyncio was never imported).
fn has_running_loop(py: Python<'_>) -> bool {
    let running = (|| {
        let modules = py.import("sys")?.getattr("modules")?;
        let asyncio = modules.call_method1("get", ("asyncio",))?;
        if asyncio.is_none() {
            return Ok(false);
        }
        let running = asyncio.call_method0("_get_running_loop")?;
        PyResult::Ok(!running.is_none())
    })();
    running.unwrap_or(false)
}

/// Fails the queued futures and returns the other jobs, such as tickets of runs, which are not the
/// queue's to fail.
pub(super) fn fail_queued(core: &Core, error: &Bound<'_, PyAny>) -> Vec<Job> {
    let arrivals = core.arrivals();
    let mut others = core.drain();
    others.retain(|job| {
        let is_future = job.is_made_of(future::execute);
        if is_future {
            refuse(arrivals, *job, error, &arrivals.failed);
        }
        !is_future
    });
    others
}

/// Fails a future that will not be run, drops the queue's reference and counts it under `refused`, or
/// under what it had come to by itself.
fn refuse(arrivals: &ArrivalStats, job: Job, error: &Bound<'_, PyAny>, refused: &SharedCount) {
    take_out(arrivals, job, error.py(), refused, |native, py| {
        future::fail_with(native, error.clone().unbind(), py)
    });
}

/// As `refuse`, for a future that is cancelled; whether it was.
pub(super) fn cancel_queued(arrivals: &ArrivalStats, job: Job, py: Python<'_>) -> bool {
    let cancelled = &arrivals.cancelled;
    take_out(arrivals, job, py, cancelled, |native, py| {
        !native.is_over() && future::cancel(native, py)
    })
}

/// Drops a future that was not accepted after all.
pub(super) fn send_back(job: Job, error: &Bound<'_, PyAny>) {
    let future = future_of(job, error.py());
    if let Some(native) = future::native(&future) {
        future::fail_with(native, error.clone().unbind(), error.py());
    }
}

fn take_out(
    arrivals: &ArrivalStats,
    job: Job,
    py: Python<'_>,
    ended: &SharedCount,
    end: impl FnOnce(&FutureObject, Python<'_>) -> bool,
) -> bool {
    let future = future_of(job, py);
    let Some(native) = future::native(&future) else {
        return false;
    };
    let was_ended = end(native, py);
    let count = match native.state_now() {
        _ if was_ended => ended,
        State::Cancelled | State::Settling => &arrivals.cancelled,
        State::Failed => &arrivals.failed,
        _ => &arrivals.done,
    };
    count.add(1);
    was_ended
}

/// The future of a queued job, with the job's own reference.
fn future_of<'py>(job: Job, py: Python<'py>) -> Bound<'py, PyAny> {
    // SAFETY: the callers pass jobs made of `execute`, which point to futures and own a reference.
    unsafe { Bound::from_owned_ptr(py, job.data().cast_mut().cast()) }
}
