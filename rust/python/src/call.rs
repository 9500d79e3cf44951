//! The only attach/detach, signal and exception boundary between the engine and the interpreter.

use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi;
use pyo3::prelude::*;
use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use taskloom_core::sync::Wait;

thread_local! {
    /// The thread state of a worker that has given the interpreter up.
    static DETACHED: Cell<*mut ffi::PyThreadState> = const { Cell::new(std::ptr::null_mut()) };
}

/// Gives the interpreter up until `attach`, on a thread that holds it.
pub fn detach() {
    // SAFETY: the caller holds the interpreter; the state is kept for `attach` on this thread.
    DETACHED.with(|state| state.set(unsafe { ffi::PyEval_SaveThread() }));
}

/// Takes the interpreter back on a thread that gave it up by `detach`.
pub fn attach() {
    let state = DETACHED.with(|state| state.replace(std::ptr::null_mut()));
    debug_assert!(!state.is_null());
    // SAFETY: `detach` left this thread's own state there, and it was taken exactly once.
    unsafe { ffi::PyEval_RestoreThread(state) };
}

/// How many threads have given the interpreter up in order to wait for a task.
static WAITING: AtomicU32 = AtomicU32::new(0);

/// How long a worker that has found work lets the submitter go on to wait for it.
const HAND_OVER: Duration = Duration::from_micros(5);

/// Takes the interpreter back as `attach` does, for a worker that has found work: whoever has just
/// submitted it is often about to give the interpreter up and wait, some hundred nanoseconds later.
/// To ask for it before that means to sleep, and to be woken at twenty times the price.
pub fn attach_when_handed_over() {
    if cfg!(not(Py_GIL_DISABLED)) {
        let started = Instant::now();
        while WAITING.load(Relaxed) == 0 && started.elapsed() < HAND_OVER {
            std::hint::spin_loop();
        }
    }
    attach();
}

/// The identifier of the thread that Python runs signal handlers on.
static MAIN_THREAD: AtomicU64 = AtomicU64::new(0);

/// Notes the thread that Python runs signal handlers on (at import, and after a fork).
pub fn note_main_thread(py: Python<'_>) -> PyResult<()> {
    let main = py.import("threading")?.call_method0("main_thread")?;
    if let Some(ident) = main.getattr("ident")?.extract::<Option<u64>>()? {
        MAIN_THREAD.store(ident, Relaxed);
    }
    Ok(())
}

fn is_main_thread() -> bool {
    // SAFETY: asks the C runtime for this thread's identifier; no precondition.
    MAIN_THREAD.load(Relaxed) == unsafe { ffi::PyThread_get_thread_ident() } as u64
}

/// How long the main thread waits at most before it looks for signals. A signal interrupts the wait
/// at once if the kernel delivers it to this thread, which Linux prefers but does not promise.
const SIGNAL_SLICE: Duration = Duration::from_millis(50);

/// Runs a wait (given how long it may take) detached, until it is over or `timeout` has passed.
/// Signals are handled meanwhile. Returns whether it was woken; an error comes from a handler.
pub fn wait_detached(
    py: Python<'_>,
    timeout: Option<Duration>,
    wait: impl Fn(Option<Duration>) -> Wait + Send + Sync,
) -> PyResult<bool> {
    let started = Instant::now();
    let main = is_main_thread();
    loop {
        let left = timeout.map(|t| t.saturating_sub(started.elapsed()));
        let slice = match left {
            Some(left) if main => Some(left.min(SIGNAL_SLICE)),
            None if main => Some(SIGNAL_SLICE),
            left => left,
        };
        let waited = py.detach(|| {
            WAITING.fetch_add(1, Relaxed);
            let waited = wait(slice);
            WAITING.fetch_sub(1, Relaxed);
            waited
        });
        match waited {
            Wait::Woken => return Ok(true),
            Wait::TimedOut if left == slice => return Ok(false),
            Wait::TimedOut | Wait::Interrupted => py.check_signals()?,
        }
    }
}

/// A timeout in seconds, as Python gives it: None waits for ever, a negative one not at all.
pub fn timeout_from(seconds: Option<f64>) -> Option<Duration> {
    // Too long for a Duration, or not a number: for ever.
    seconds.and_then(|s| Duration::try_from_secs_f64(s.max(0.0)).ok())
}

/// Raises an error in the main thread as soon as that runs Python code again: for one from a signal
/// handler that ran where the error could not be passed on.
pub fn raise_soon(py: Python<'_>, error: PyErr) {
    extern "C" fn raise(error: *mut c_void) -> c_int {
        // SAFETY: called once, attached, with the box made below.
        let error = unsafe { Box::from_raw(error.cast::<PyErr>()) };
        // SAFETY: as above.
        error.restore(unsafe { Python::assume_attached() });
        -1
    }
    if !is_main_thread() {
        return write_unraisable(py, error, None);
    }
    let error = Box::into_raw(Box::new(error));
    // SAFETY: `raise` takes the box over, unless this fails.
    if unsafe { ffi::Py_AddPendingCall(Some(raise), error.cast()) } != 0 {
        // SAFETY: not taken over.
        write_unraisable(py, *unsafe { Box::from_raw(error) }, None);
    }
}

/// Takes the exception that a failed call left behind, as an object with its traceback.
pub fn take_exception(py: Python<'_>) -> Py<PyAny> {
    match PyErr::take(py) {
        Some(error) => error.into_value(py).into_any(),
        None => PyRuntimeError::new_err("a call failed without an exception")
            .into_value(py)
            .into_any(),
    }
}

/// Reports an error that has no caller to go to, as Python does for destructors.
pub fn write_unraisable(py: Python<'_>, error: PyErr, about: Option<&Bound<'_, PyAny>>) {
    error.write_unraisable(py, about);
}
