//! Waiting on a plain thread for what a coroutine would await.

use super::lent;
use super::suspend::{self, Operation, Waker, cancelled, hosts};
use super::task;
use super::token::{self, WakeOnCancel};
use crate::call;
use crate::timer;
use pyo3::exceptions::{PyRuntimeError, PyTimeoutError};
use pyo3::prelude::*;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use taskloom_core::cancel::Token;
use taskloom_core::latch::Event;
use taskloom_core::pool::Worker;

/// Waits for the operation on this thread, at most `timeout`.
pub fn block<O: Operation>(
    py: Python<'_>,
    operation: &mut O,
    timeout: Option<Duration>,
) -> PyResult<Py<PyAny>> {
    let token = token::here(py)?;
    if let Some(token) = token.as_ref().filter(|token| token.is_cancelled()) {
        return Err(cancelled(py, token.reason()));
    }
    if let Poll::Ready(result) = operation.poll_now(py) {
        return result;
    }
    refuse_to_block(py)?;
    let event = Arc::new(Event::new());
    let clock = lent::clock().unwrap_or_else(|| Arc::clone(timer::real_clock()));
    let started = clock.now();
    let elapsed = || Duration::from_nanos(clock.now().saturating_sub(started));
    let waker = || Waker::thread(Arc::clone(&event), token.clone());
    if let Poll::Ready(result) = operation.poll(py, waker) {
        return result;
    }
    let _noted = suspend::note::<O>(py);
    let registered = token.as_ref().map(|token| {
        let waker = Waker::thread(Arc::clone(&event), None);
        let registration = token.on_cancel(Arc::new(WakeOnCancel(waker)));
        if registration.is_none() {
            event.set(); // cancelled meanwhile
        }
        registration
    });
    let result = loop {
        let left = timeout.map(|timeout| timeout.saturating_sub(elapsed()));
        let woken = wait_blocked(py, left, &event);
        event.reset();
        if let Poll::Ready(result) = operation.poll_now(py) {
            break result;
        }
        let stop = match woken {
            Err(error) => Some(error),
            Ok(_) if token.as_ref().is_some_and(Token::is_cancelled) => {
                token.as_ref().map(|token| cancelled(py, token.reason()))
            }
            Ok(false) => Some(PyTimeoutError::new_err(format!(
                "waited {:.3} s",
                elapsed().as_secs_f64()
            ))),
            Ok(true) => None,
        };
        if let Some(error) = stop {
            break operation.leave(py).unwrap_or(Err(error));
        }
    };
    if let (Some(token), Some(Some(registration))) = (&token, registered) {
        token.forget(registration);
    }
    result
}

/// Sleeps until the event is set; a worker lets a spare take its place meanwhile.
fn wait_blocked(py: Python<'_>, timeout: Option<Duration>, event: &Arc<Event>) -> PyResult<bool> {
    if let Some(waited) = lent::wait(py, timeout, event) {
        return waited;
    }
    let wait = || call::wait_detached(py, timeout, |slice| event.wait(slice));
    Worker::with_current(|worker| match worker {
        Some(worker) => worker.blocked(wait),
        None => wait(),
    })
}

/// Blocking would hold up others: other coroutines of this worker, or an event loop.
fn refuse_to_block(py: Python<'_>) -> PyResult<()> {
    if task::is_stepping() {
        return Err(PyRuntimeError::new_err(
            "this would block the worker that runs other coroutines: use the method to await",
        ));
    }
    hosts(py)?.call_method0("refuse_to_block")?;
    Ok(())
}
