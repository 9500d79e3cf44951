//! Many calls of one function, handed to the pool in one go.

use super::Pool;
use super::overload::{WhenFull, send_back};
use crate::future::{self, Call};
use crate::{context, tracing};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyList;
use std::ptr::null_mut;
use std::sync::atomic::Ordering::Relaxed;
use taskloom_core::job::Job;
use taskloom_core::ready::DEFAULT_BAND;

impl Pool {
    /// Calls `fn(item)` for each item, handed over in one go; returns the futures.
    pub(super) fn submit_batch<'py>(
        &self,
        py: Python<'py>,
        function: &Bound<'py, PyAny>,
        items: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyList>> {
        let flags = self.shared().flags.load(Relaxed);
        if flags != 0 {
            return Err(self.refusal(py, flags));
        }
        let futures = PyList::empty(py);
        let mut jobs: Vec<Job> = Vec::new();
        for item in items.try_iter()? {
            let item = item?;
            let context = context::capture();
            if context.is_null() {
                return Err(PyErr::fetch(py));
            }
            let call = Call {
                callable: function.as_ptr(),
                context,
                origin: self.origin(),
                inline: self.inline,
                managed: self.defaults(py).map(|options| self.management(options)),
            };
            // SAFETY: one live argument, no keywords.
            let future = unsafe { future::new(&call, &item.as_ptr(), 1, null_mut()) };
            // SAFETY: null with an exception, or a new reference.
            let future = unsafe { Bound::from_owned_ptr_or_err(py, future.cast())? };
            if self.core().switch().is_on() {
                tracing::submitted(self.core(), future.as_ptr().cast_const().cast());
            }
            futures.append(&future)?;
            // SAFETY: the job owns the reference taken here, and `execute` drops it.
            jobs.push(unsafe { Job::new(future.as_ptr().cast(), future::execute) });
        }
        for job in &jobs {
            // SAFETY: live, since the list holds it: this is the queue's reference.
            unsafe { ffi::Py_INCREF(job.data().cast_mut().cast()) };
        }
        let mut rest = &jobs[..];
        let outcome = loop {
            let taken = self.core().submit_many(rest, DEFAULT_BAND);
            rest = &rest[taken..];
            if rest.is_empty() {
                break Ok(());
            }
            if matches!(self.when_full, WhenFull::DropOldest | WhenFull::DropLowest) {
                if !self.drop_one(py, DEFAULT_BAND) {
                    self.turn_away(py, rest[0]);
                    rest = &rest[1..];
                    if rest.is_empty() {
                        break Ok(());
                    }
                }
            } else if let Err(error) = self.wait_for_room(py, rest.len()) {
                break Err(error);
            }
        };
        if let Err(error) = outcome {
            let value = error.value(py).clone().into_any();
            for job in rest {
                send_back(*job, &value);
            }
            if rest.len() == jobs.len() {
                return Err(error);
            }
        }
        Ok(futures)
    }
}
