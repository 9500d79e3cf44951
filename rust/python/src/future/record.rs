//! What a future carries that was asked for beyond a plain call: limits of time, retries, a name.

use super::{Object, limit};
use crate::options::TaskOptions;
use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyString;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32};
use taskloom_core::clock;

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
    /// Whether it still waits for something before it may start.
    pub held: AtomicBool,
    /// Whether it waits for its next attempt.
    pub backing_off: AtomicBool,
    /// Whether the runner is still in the call; see `limit`.
    pub slot: AtomicU8,
    /// What may be part of a cycle.
    linked: Mutex<Linked>,
}

#[derive(Default)]
struct Linked {
    retry: Option<Py<PyAny>>,
    /// Called when the task has left its slot.
    on_left: Option<Py<PyAny>>,
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
            held: AtomicBool::new(false),
            backing_off: AtomicBool::new(false),
            slot: AtomicU8::new(limit::BUSY),
            linked: Mutex::new(Linked {
                retry: options.retry.as_ref().map(|retry| retry.clone_ref(py)),
                on_left: None,
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

    /// Whether the deadline has passed.
    pub fn is_overdue(&self) -> bool {
        self.deadline
            .is_some_and(|deadline| clock::ticks() > deadline)
    }

    /// Seconds until the next attempt after `error`; None to let the error pass.
    pub fn again(&self, py: Python<'_>, error: &Py<PyAny>) -> PyResult<Option<f64>> {
        let retry = self.linked.lock().retry.as_ref().map(|r| r.clone_ref(py));
        let Some(retry) = retry else {
            return Ok(None);
        };
        let attempt = self.attempt.load(Relaxed);
        let wait: Option<f64> = retry
            .call_method1(py, "again", (error, attempt))?
            .extract(py)?;
        if wait.is_none() && attempt > 1 {
            let attempts: u64 = retry.getattr(py, "attempts")?.extract(py)?;
            error.call_method1(
                py,
                "add_note",
                (format!("attempt {attempt} of {attempts}"),),
            )?;
        }
        Ok(wait)
    }

    /// Has `callable` called when the task leaves its slot.
    pub fn set_on_left(&self, callable: Py<PyAny>) {
        self.linked.lock().on_left = Some(callable);
    }

    pub fn take_on_left(&self) -> Option<Py<PyAny>> {
        self.linked.lock().on_left.take()
    }

    pub fn add_referents(&self, objects: &mut Vec<Object>) {
        if let Some(linked) = self.linked.try_lock() {
            objects.extend(linked.retry.iter().chain(&linked.on_left).map(Py::as_ptr));
        }
    }

    pub fn clear(&self) {
        let taken = std::mem::take(&mut *self.linked.lock());
        drop(taken);
    }
}
