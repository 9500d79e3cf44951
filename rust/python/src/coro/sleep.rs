//! Waiting for time: sleep, giving way, and the clock in force.

use super::awaitable::{self, Awaitable};
use super::blocking;
use super::lent;
use super::suspend::{self, Operation, Waker};
use super::task;
use crate::timer;
use parking_lot::Mutex;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use std::ffi::CStr;
use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::atomic::AtomicPtr;
use std::task::Poll;
use std::time::Duration;
use taskloom_core::channel::Wake;
use taskloom_core::timer::{Clock, Deadline, Expire};

/// Real time. Its thread starts with the first deadline.
pub fn real_clock() -> Arc<Clock> {
    Arc::clone(timer::real_clock())
}

/// The clock that the calling code sleeps by.
pub fn clock_here() -> Arc<Clock> {
    match task::current() {
        Some(task) => task.home().clock(),
        None => lent::clock().unwrap_or_else(real_clock),
    }
}

/// Seconds on the clock in force here: real time outside of tests.
#[pyfunction]
pub fn clock() -> f64 {
    clock_here().now() as f64 * 1e-9
}

/// Ends the timer's thread, before the interpreter does.
#[pyfunction]
pub fn stop_timer(py: Python<'_>) {
    timer::stop(py);
}

/// Wakes its owner at the time.
struct Alarm {
    waker: Mutex<Option<Waker>>,
}

impl Expire for Alarm {
    fn expire(&self) {
        // A task's home may have to start a thread, and a foreign loop's callable is Python.
        timer::attach(|_| {
            let waker = self.waker.lock().take();
            if let Some(waker) = waker {
                waker.wake();
            }
        });
    }
}

/// A wait until a time; `until` None is for ever.
pub struct Sleeping {
    seconds: f64,
    set: Option<(Arc<Clock>, u64, Deadline)>,
    /// There is no time to wait for, and others have had their turn.
    gave_way: bool,
}

impl Sleeping {
    fn new(seconds: f64) -> PyResult<Self> {
        if seconds.is_nan() {
            return Err(PyValueError::new_err("sleep(nan): seconds, not NaN"));
        }
        Ok(Sleeping {
            seconds,
            set: None,
            gave_way: false,
        })
    }
}

impl Operation for Sleeping {
    fn poll(&mut self, py: Python<'_>, wake: impl FnOnce() -> Waker) -> Poll<PyResult<Py<PyAny>>> {
        if self.only_gives_way() {
            self.gave_way = true;
            wake().wake();
            return Poll::Pending;
        }
        let clock = clock_here();
        let at = clock
            .now()
            .saturating_add(suspend::nanoseconds(self.seconds));
        let alarm = Arc::new(Alarm {
            waker: Mutex::new(Some(wake())),
        });
        match clock.set(at, alarm) {
            Some(deadline) => {
                self.set = Some((clock, at, deadline));
                self.poll_now(py)
            }
            None => Poll::Ready(Err(PyRuntimeError::new_err(
                "cannot sleep: the interpreter is shutting down",
            ))),
        }
    }

    fn poll_now(&mut self, py: Python<'_>) -> Poll<PyResult<Py<PyAny>>> {
        match &self.set {
            Some((clock, at, _)) if clock.now() >= *at => {
                self.leave(py);
                Poll::Ready(Ok(py.None()))
            }
            None if self.gave_way => Poll::Ready(Ok(py.None())),
            _ => Poll::Pending,
        }
    }

    fn only_gives_way(&self) -> bool {
        self.seconds <= 0.0
    }

    fn leave(&mut self, _py: Python<'_>) -> Option<PyResult<Py<PyAny>>> {
        if let Some((clock, _, deadline)) = self.set.take() {
            clock.forget(deadline);
        }
        None
    }
}

impl Awaitable for Sleeping {
    const NAME: &'static CStr = c"taskloom._taskloom.Sleep";

    fn class() -> &'static AtomicPtr<ffi::PyTypeObject> {
        static CLASS: AtomicPtr<ffi::PyTypeObject> = AtomicPtr::new(null_mut());
        &CLASS
    }
}

/// Suspends the calling coroutine for `seconds`, the time of other coroutines: await it.
///
/// With nothing to wait for (0 or less) it gives way, as `yield_now` does.
///
/// >>> import taskloom
/// >>> async def main():
/// ...     await taskloom.sleep(0.001)
/// >>> taskloom.run_coroutine(main)
#[pyfunction]
pub fn sleep(py: Python<'_>, seconds: f64) -> PyResult<Bound<'_, PyAny>> {
    awaitable::make(py, Sleeping::new(seconds)?)
}

/// Blocks the calling thread for `seconds`, or until its scope is cancelled.
#[pyfunction]
pub fn sleep_blocking(py: Python<'_>, seconds: f64) -> PyResult<()> {
    let mut operation = Sleeping::new(seconds)?;
    blocking::block(py, &mut operation, None)?;
    Ok(())
}

/// Gives way once.
pub struct Yielding {
    gave_way: bool,
}

impl Operation for Yielding {
    const WAITS: bool = false;

    fn poll(&mut self, py: Python<'_>, wake: impl FnOnce() -> Waker) -> Poll<PyResult<Py<PyAny>>> {
        if self.gave_way {
            return Poll::Ready(Ok(py.None()));
        }
        self.gave_way = true;
        if !task::is_stepping() {
            wake().wake();
        }
        Poll::Pending
    }

    #[inline]
    fn gives_way(&mut self) -> bool {
        !std::mem::replace(&mut self.gave_way, true)
    }

    fn only_gives_way(&self) -> bool {
        true
    }

    fn poll_now(&mut self, py: Python<'_>) -> Poll<PyResult<Py<PyAny>>> {
        if self.gave_way {
            Poll::Ready(Ok(py.None()))
        } else {
            Poll::Pending
        }
    }

    fn leave(&mut self, _py: Python<'_>) -> Option<PyResult<Py<PyAny>>> {
        None
    }
}

impl Awaitable for Yielding {
    const NAME: &'static CStr = c"taskloom._taskloom.Yield";
    const SPARE: Option<usize> = Some(0);

    fn class() -> &'static AtomicPtr<ffi::PyTypeObject> {
        static CLASS: AtomicPtr<ffi::PyTypeObject> = AtomicPtr::new(null_mut());
        &CLASS
    }
}

const YIELD_NOW: &CStr = c"yield_now()\n--\n\nLets every coroutine that could go on have its turn first: await it.\n\n>>> import taskloom\n>>> async def main():\n...     await taskloom.yield_now()\n>>> taskloom.run_coroutine(main)";

unsafe extern "C" fn yield_now(_: *mut ffi::PyObject, _: *mut ffi::PyObject) -> *mut ffi::PyObject {
    awaitable::new(Yielding { gave_way: false })
}

/// Adds the awaitables of this part and the functions that make them.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    awaitable::register::<Sleeping>(module.py())?;
    awaitable::register::<Yielding>(module.py())?;
    let meth = ffi::PyMethodDefPointer {
        PyCFunction: yield_now,
    };
    awaitable::add_function(module, c"yield_now", meth, ffi::METH_NOARGS, YIELD_NOW)
}

/// As `yield_now`, but only if the coroutine has gone on for `slice` seconds without giving way.
///
/// The time is counted from the first call after the coroutine was resumed; on an event loop that is
/// not taskloom's, from when one of the loop's coroutines last gave way here.
///
/// >>> import taskloom
/// >>> async def main():
/// ...     for _ in range(1_000):
/// ...         await taskloom.maybe_yield()
/// >>> taskloom.run_coroutine(main)
#[pyfunction]
#[pyo3(signature = (*, slice = 0.01))]
pub fn maybe_yield(py: Python<'_>, slice: f64) -> PyResult<Bound<'_, PyAny>> {
    let slice = Duration::try_from_secs_f64(slice).unwrap_or(Duration::ZERO);
    let exceeded = match task::current() {
        Some(task) => task.slice().elapsed() >= slice,
        None => task::exceeded_elsewhere(slice),
    };
    let gave_way = !exceeded;
    awaitable::make(py, Yielding { gave_way })
}
