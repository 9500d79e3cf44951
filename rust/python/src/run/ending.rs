//! The end of a run: waiting for it, telling those who asked, letting go of the values.

use std::time::Duration;

use pyo3::prelude::*;
use taskloom_core::latch::Event;
use taskloom_core::pool::Worker;

use super::execution::Execution;
use crate::call;

/// Waits for an event, detached, handling signals; a worker lets a spare take its place meanwhile.
pub fn wait_for(py: Python<'_>, timeout: Option<Duration>, event: &Event) -> PyResult<bool> {
    let wait = || call::wait_detached(py, timeout, |slice| event.wait(slice));
    Worker::with_current(|worker| match worker {
        Some(worker) => worker.blocked(wait),
        None => wait(),
    })
}

fn call_back(callback: &Bound<'_, PyAny>) {
    if let Err(error) = callback.call0() {
        error.write_unraisable(callback.py(), Some(callback));
    }
}

impl Execution {
    /// Lets go of the values. To be called attached, and when nobody runs nodes of this run any more.
    pub fn clear(&self) {
        let is_over = self.callbacks.lock().is_none();
        // SAFETY: attached, and alone. Only kept values are left at the end of a run; one that never came
        // to its end may have left any.
        unsafe {
            match is_over {
                true => self.values.clear(&self.wiring().kept),
                false => self.values.clear(&Vec::from_iter(0..self.wiring().slots)),
            }
        }
    }

    /// Tells those who asked for it that the run is over. To be called attached.
    pub(super) fn call_back_all(&self, py: Python<'_>) {
        let callbacks = self.callbacks.lock().take();
        for callback in callbacks.into_iter().flatten() {
            call_back(callback.bind(py));
        }
    }

    /// Calls back when the run is over: at once if it is.
    pub fn when_over(&self, callback: Bound<'_, PyAny>) {
        let mut callbacks = self.callbacks.lock();
        match &mut *callbacks {
            Some(callbacks) => callbacks.push(callback.unbind()),
            None => {
                drop(callbacks);
                call_back(&callback);
            }
        }
    }
}
