//! Cancelling a future: by itself, or through whoever can cancel what it stands for.

use super::execute::finish;
use super::{COROUTINE, FutureObject, PROMISE, family, managed};
use crate::call;
use pyo3::prelude::*;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use taskloom_core::completion::State;

/// How many futures were cancelled that had not begun.
static CANCELLED: AtomicU64 = AtomicU64::new(0);

/// How many futures of this process were cancelled that had not begun: queues may still hold them.
pub fn cancelled_so_far() -> u64 {
    CANCELLED.load(Relaxed)
}

/// Cancels a future that was not started. True if it is cancelled now.
pub fn cancel(future: &FutureObject, py: Python<'_>) -> bool {
    if let Some(canceller) = future.observers().and_then(|o| o.canceller(py))
        && !future.completion.state().is_over()
        && let Some(answer) = ask(&canceller, py)
    {
        return answer;
    }
    if cancel_here(future, py) {
        return true;
    }
    if future.completion.state() == State::Running && future.ask_coroutine() {
        return false;
    }
    if future.shape.has(PROMISE)
        && future.completion.state() == State::Running
        && let Some(canceller) = future.observers_or_new().canceller_or_ask(py)
    {
        return ask(&canceller, py).unwrap_or(false);
    }
    false
}

/// Whether a future's canceller says that it was cancelled; None if that raised.
fn ask(canceller: &Py<PyAny>, py: Python<'_>) -> Option<bool> {
    match canceller.call0(py) {
        Ok(answer) => Some(answer.is_truthy(py).unwrap_or(false)),
        Err(error) => {
            call::write_unraisable(py, error, Some(canceller.bind(py)));
            None
        }
    }
}

/// As `cancel`, without asking anybody.
pub fn cancel_here(future: &FutureObject, py: Python<'_>) -> bool {
    if future.completion.claim_to_settle() {
        CANCELLED.fetch_add(1, Relaxed);
        finish(future, State::Cancelled, None, py);
        return true;
    }
    if managed::cancel_waiting(future, py) {
        return true;
    }
    let elsewhere = future.shape.has(PROMISE | COROUTINE);
    if future.completion.state() == State::Running && !elsewhere {
        family::ask_to_stop(future);
        // It may have begun to wait for its next attempt since; if it does so from now on, it sees
        // the token.
        if managed::cancel_waiting(future, py) {
            return true;
        }
        managed::interrupt(future, py);
    }
    // Somebody else may be cancelling it at this moment: that is over without the interpreter's
    // help or needs it, so give it the chance.
    loop {
        match future.state(py) {
            State::Settling => py.detach(std::thread::yield_now),
            state => return state == State::Cancelled,
        }
    }
}
