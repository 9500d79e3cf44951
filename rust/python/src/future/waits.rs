//! Who waits for which future, noted while somebody watches; and whose time is up and who goes on.

use super::execute::as_object;
use super::{FutureObject, family};
use parking_lot::Mutex;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use taskloom_core::clock;

/// How many watch.
static WATCHERS: AtomicUsize = AtomicUsize::new(0);
/// How often a task has said how far it is.
static REPORTS: AtomicU64 = AtomicU64::new(0);

struct Waiting {
    number: u64,
    /// The identifier of the thread that waits.
    thread: u64,
    /// The task that waits; None outside of one.
    waiter: Option<Py<PyAny>>,
    target: Py<PyAny>,
    since: u64,
}

static WAITS: Mutex<Vec<Waiting>> = Mutex::new(Vec::new());

/// A wait that is noted until this is dropped. Attached.
pub struct Noted(u64);

impl Drop for Noted {
    fn drop(&mut self) {
        let mut waits = WAITS.lock();
        let place = waits.iter().position(|wait| wait.number == self.0);
        let wait = place.map(|place| waits.swap_remove(place));
        drop(waits);
        drop(wait);
    }
}

/// This thread, as Python names it.
pub fn this_thread() -> u64 {
    // SAFETY: asks the C runtime for this thread's identifier; no precondition.
    unsafe { ffi::PyThread_get_thread_ident() as u64 }
}

/// Notes that this thread begins to wait for a future, if anybody watches.
#[inline]
pub fn note(future: &FutureObject, py: Python<'_>) -> Option<Noted> {
    (WATCHERS.load(Relaxed) > 0).then(|| note_wait(future, py))
}

/// Whether anybody watches who waits for what.
#[inline]
pub fn is_watched() -> bool {
    WATCHERS.load(Relaxed) > 0
}

#[cold]
fn note_wait(future: &FutureObject, py: Python<'_>) -> Noted {
    static NUMBERS: AtomicU64 = AtomicU64::new(0);
    let number = NUMBERS.fetch_add(1, Relaxed);
    let waiting = Waiting {
        number,
        thread: this_thread(),
        waiter: family::current().map(|waiter| as_object(waiter, py).unbind()),
        target: as_object(future, py).unbind(),
        since: clock::ticks(),
    };
    WAITS.lock().push(waiting);
    Noted(number)
}

struct Hung {
    /// The address of its record, by which its runner knows it.
    record: usize,
    future: Py<PyAny>,
    thread: u64,
    pool: usize,
    since: u64,
}

static HUNG: Mutex<Vec<Hung>> = Mutex::new(Vec::new());

/// Called when a task goes on though its time is up.
static WHEN_LATE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// Has `callback` called, on the timer's thread, whenever a task goes on though its time is up.
#[pyfunction]
fn _know_late(py: Python<'_>, callback: Py<PyAny>) {
    let _ = WHEN_LATE.set(py, callback);
}

/// Tells that a task goes on though its time is up.
pub fn tell_late(py: Python<'_>) {
    if let Some(callback) = WHEN_LATE.get(py)
        && let Err(error) = callback.call0(py)
    {
        error.write_unraisable(py, None);
    }
}

/// The time of a task is up, and a thread is still in it.
pub fn add_hung(record: usize, future: Py<PyAny>, thread: u64, pool: usize) {
    HUNG.lock().push(Hung {
        record,
        future,
        thread,
        pool,
        since: clock::ticks(),
    });
}

/// The thread has left it. Attached.
pub fn remove_hung(record: usize) {
    let mut hung = HUNG.lock();
    let place = hung.iter().position(|task| task.record == record);
    let task = place.map(|place| hung.swap_remove(place));
    drop(hung);
    drop(task);
}

/// A future, the thread that is in its task, and for how many seconds since its time was up.
type HungTask = (Py<PyAny>, u64, f64);

fn seconds_since(ticks: u64) -> f64 {
    clock::nanos(clock::ticks().saturating_sub(ticks)) as f64 * 1e-9
}

/// The tasks of a pool whose time is up while a thread is still in them.
pub fn hung(py: Python<'_>, pool: usize) -> Vec<HungTask> {
    (HUNG.lock().iter())
        .filter(|task| task.pool == pool)
        .map(|task| {
            (
                task.future.clone_ref(py),
                task.thread,
                seconds_since(task.since),
            )
        })
        .collect()
}

/// A task or None, the thread that waits, the future that it waits for, and for how many seconds.
type Wait = (Option<Py<PyAny>>, u64, Py<PyAny>, f64);

/// Who waits for which future now, of those that began while somebody watched.
#[pyfunction]
fn _waits(py: Python<'_>) -> Vec<Wait> {
    (WAITS.lock().iter())
        .map(|wait| {
            let waiter = wait.waiter.as_ref().map(|waiter| waiter.clone_ref(py));
            (
                waiter,
                wait.thread,
                wait.target.clone_ref(py),
                seconds_since(wait.since),
            )
        })
        .collect()
}

/// Begins to watch who waits for whom, or ends it.
#[pyfunction]
fn _watch(on: bool) {
    match on {
        true => WATCHERS.fetch_add(1, Relaxed),
        false => WATCHERS.fetch_sub(1, Relaxed),
    };
}

/// How often any task has said how far it is.
#[pyfunction]
fn _reports() -> u64 {
    REPORTS.load(Relaxed)
}

/// A task has said how far it is.
pub fn count_report() {
    REPORTS.fetch_add(1, Relaxed);
}

/// In a forked child: the threads that waited are gone.
pub fn after_fork() {
    if let Some(mut waits) = WAITS.try_lock() {
        waits.drain(..).for_each(std::mem::forget);
    }
    if let Some(mut hung) = HUNG.try_lock() {
        hung.drain(..).for_each(std::mem::forget);
    }
}

pub fn register_waits(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(_waits, module)?)?;
    module.add_function(wrap_pyfunction!(_watch, module)?)?;
    module.add_function(wrap_pyfunction!(_know_late, module)?)?;
    module.add_function(wrap_pyfunction!(_reports, module)?)
}
