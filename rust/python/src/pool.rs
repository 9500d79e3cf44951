//! The pool's Python face: `_taskloom.Pool`, the native base of `taskloom.Executor`.

mod batch;
mod host;
mod overload;
mod reading;
mod submit;
mod window;

use crate::future;
use crate::options::TaskOptions;
use crate::ready::{lead_of, overdue_order};
use crate::{call, cells, errors, timer, tracing};
use host::{Handle, Interpreter, is_exiting};
use overload::{WhenFull, fail_queued};
use parking_lot::Mutex;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};
use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, SeqCst};
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64};
pub use submit::{add_fast_method, is_task, submit_in_python};
use taskloom_core::job::Job;
use taskloom_core::pool::{Pool as Core, Settings, Worker};
use taskloom_core::ready::{DEFAULT_BAND, Order};

const CLOSED: u32 = 1;
const BROKEN: u32 = 2;

/// What a pool is until a fork replaces it.
struct Shared {
    core: Arc<Core>,
    flags: AtomicU32,
    broken: Mutex<String>,
}

#[pyclass(subclass, frozen, module = "taskloom._taskloom")]
pub struct Pool {
    shared: AtomicPtr<Shared>,
    settings: Settings,
    when_full: WhenFull,
    inline: bool,
    /// Whether a task that is past its deadline is given up.
    hard_deadlines: bool,
    /// How many futures had been cancelled when those were last swept out of the queue.
    swept: AtomicU64,
    /// What a submit without options has, if that is more than nothing.
    defaults: PyOnceLock<Py<TaskOptions>>,
    /// What a submit is told that the queue has no room for, once it was needed.
    full_text: PyOnceLock<Py<PyString>>,
    start_thread: Py<PyAny>,
}

impl Pool {
    #[inline]
    fn shared(&self) -> &Shared {
        // SAFETY: never null; replaced only in a forked child, which has one thread, and what it
        // replaces there is leaked.
        unsafe { &*self.shared.load(Acquire) }
    }

    /// The engine's pool.
    pub fn core(&self) -> &Arc<Core> {
        &self.shared().core
    }

    fn defaults<'py>(&self, py: Python<'py>) -> Option<&TaskOptions> {
        self.defaults.get(py).map(|options| options.get())
    }

    fn identity(&self) -> *const () {
        Arc::as_ptr(self.core()).cast()
    }

    fn make(settings: Settings, start_thread: Py<PyAny>) -> *mut Shared {
        let interpreter = Arc::new(Interpreter {
            start_thread,
            core: std::sync::OnceLock::new(),
        });
        let core = Core::new(Box::new(Handle(Arc::clone(&interpreter))), settings);
        let _ = interpreter.core.set(Arc::downgrade(&core));
        Box::into_raw(Box::new(Shared {
            core,
            flags: AtomicU32::new(0),
            broken: Mutex::new(String::new()),
        }))
    }

    /// Why this pool takes no tasks.
    #[cold]
    fn refusal(&self, py: Python<'_>, flags: u32) -> PyErr {
        if flags & BROKEN != 0 {
            let message = self.shared().broken.lock().clone();
            return PyErr::from_value(errors::broken_executor(py, &message).into_bound(py));
        }
        let message = if is_exiting(py) {
            "cannot schedule new futures after interpreter shutdown"
        } else {
            "cannot schedule new futures after shutdown"
        };
        PyRuntimeError::new_err(message)
    }
}

#[pymethods]
impl Pool {
    #[new]
    #[pyo3(signature = (max_workers, bound, when_full, inline, start_thread, *,
                        deadline_lead = 0.1, aging = 64, overdue = "skip",
                        timing = false, max_spares = 64, local_queues = true,
                        local_bound = None, nearest = Vec::new()))]
    #[expect(clippy::too_many_arguments, reason = "one per setting")]
    fn new(
        max_workers: usize,
        bound: Option<usize>,
        when_full: &str,
        inline: bool,
        start_thread: Py<PyAny>,
        deadline_lead: f64,
        aging: u32,
        overdue: &str,
        timing: bool,
        max_spares: usize,
        local_queues: bool,
        local_bound: Option<usize>,
        nearest: Vec<Vec<usize>>,
        py: Python<'_>,
    ) -> PyResult<Self> {
        let strange = nearest.iter().flatten().any(|other| *other >= max_workers);
        if strange || nearest.len() > max_workers {
            return Err(PyValueError::new_err(
                "nearest must name workers by their numbers, from 0 to below max_workers",
            ));
        }
        if max_workers == 0 || max_workers > 10_000 {
            return Err(PyValueError::new_err(
                "max_workers must be from 1 to 10,000",
            ));
        }
        let when_full = match when_full {
            "block" => WhenFull::Block,
            "reject" => WhenFull::Reject,
            "drop_oldest" => WhenFull::DropOldest,
            "drop_lowest" => WhenFull::DropLowest,
            other => {
                return Err(PyValueError::new_err(format!(
                    "when_full must be \"block\", \"reject\", \"drop_oldest\" or \"drop_lowest\", not \
                     {other:?}"
                )));
            }
        };
        let order = Order {
            lead: taskloom_core::clock::from_duration(lead_of(deadline_lead)?),
            aging,
            overdue: overdue_order(overdue)?,
        };
        let gated = cfg!(not(Py_GIL_DISABLED));
        let settings = Settings {
            max_workers,
            max_spares,
            gated,
            local_queues: local_queues && !gated && max_workers > 1,
            local_bound,
            nearest: nearest.into_iter().map(Vec::into_boxed_slice).collect(),
            bound,
            order,
            timing,
        };
        let shared = Pool::make(settings.clone(), start_thread.clone_ref(py));
        Ok(Pool {
            shared: AtomicPtr::new(shared),
            settings,
            when_full,
            inline,
            hard_deadlines: overdue == "skip",
            swept: AtomicU64::new(0),
            defaults: PyOnceLock::new(),
            full_text: PyOnceLock::new(),
            start_thread,
        })
    }

    /// Makes a future that is not queued yet, for `_enqueue` to start: one that must first wait for
    /// something else. Workers stay until then, and the bound counts it as queued; unless `bounded`
    /// it is never refused.
    #[pyo3(signature = (options, function, args, kwargs, *, bounded = true))]
    fn _prepare<'py>(
        &self,
        py: Python<'py>,
        options: &TaskOptions,
        function: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
        kwargs: &Bound<'py, PyDict>,
        bounded: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        // Before the closing is looked at: one that comes now finds workers that stay.
        let core = Arc::clone(self.core());
        core.retain();
        let future = self.accept(py, options, function, args, kwargs, bounded);
        match &future {
            Ok(_) => core.ensure_worker(),
            Err(_) => core.release(),
        }
        future
    }

    /// Queues a future that `_prepare` made; one that is over by now only lets the workers go.
    /// Says whether it was queued.
    fn _enqueue(&self, future: &Bound<'_, PyAny>) -> bool {
        let Some(native) = future::native(future) else {
            return false;
        };
        let mut queued = false;
        if let Some(record) = future::record_of(native)
            && !native.is_over()
        {
            queued = true;
            record.note_queued();
            if self.core().switch().is_on() {
                tracing::ready(self.core(), future.as_ptr().cast_const().cast());
            }
            // SAFETY: the queue's own reference, which `execute` drops.
            unsafe { ffi::Py_INCREF(future.as_ptr()) };
            // SAFETY: a future, with the job's own reference.
            let job = unsafe { Job::new(future.as_ptr().cast(), future::execute) };
            let (band, deadline) = (usize::from(record.band), record.deadline());
            if record.held.swap(false, SeqCst) {
                self.core().submit_held(job, band, deadline);
            } else {
                self.core().submit_accepted(job, band, deadline);
            }
        } else {
            self._let_go(future);
        }
        self.core().release();
        queued
    }

    /// A future that `_prepare` made waits no longer: it is queued, begins elsewhere, or is over.
    fn _let_go(&self, future: &Bound<'_, PyAny>) {
        if let Some(record) = future::native(future).and_then(future::record_of)
            && record.held.swap(false, SeqCst)
        {
            self.core().let_go();
        }
    }

    /// The tasks whose time is up while a thread is still in them: future, thread, seconds since.
    fn _hung(&self, py: Python<'_>) -> Vec<(Py<PyAny>, u64, f64)> {
        future::hung(py, self.identity().addr())
    }

    /// How many workers have nothing to do and sleep or look for work.
    fn _idle(&self) -> u64 {
        self.core().idle()
    }

    /// Whether a future is this pool's to run.
    fn _owns(&self, future: &Bound<'_, PyAny>) -> bool {
        future::native(future).is_some_and(|native| native.is_of(self.identity()))
    }

    /// Records what tasks do, with room for so many events of each thread; False if that is on.
    fn _record(&self, py: Python<'_>, capacity: usize) -> PyResult<bool> {
        tracing::start(self.core(), py, capacity)
    }

    /// Records that what this thread submitted last comes after the task of a future.
    fn _comes_after(&self, future: &Bound<'_, PyAny>) {
        if self.core().switch().is_on() {
            tracing::comes_after(self.core(), future.as_ptr().cast_const().cast());
        }
    }

    /// What was recorded: see `tracing::read`.
    fn _recorded<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<(Bound<'py, PyList>, Bound<'py, PyDict>)> {
        tracing::read(self.core(), py)
    }

    /// Records no longer.
    fn _stop_recording(&self) {
        tracing::stop(self.core());
    }

    /// Ends a future that was prepared and will not be queued with an error.
    fn _refuse(&self, future: &Bound<'_, PyAny>, error: Py<PyAny>) {
        if let Some(native) = future::native(future) {
            future::fail_with(native, error, future.py());
        }
    }

    /// Calls `fn(item)` for each item, handed over in one go; returns the futures.
    fn submit_many<'py>(
        &self,
        py: Python<'py>,
        function: &Bound<'py, PyAny>,
        items: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyList>> {
        self.submit_batch(py, function, items)
    }

    /// Runs a coroutine, given as such or as `fn(*args, **kwargs)`, on this executor's workers and
    /// returns its result.
    #[pyo3(signature = (r#fn, /, *args, **kwargs))]
    fn run_coroutine<'py>(
        slf: &Bound<'py, Self>,
        r#fn: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let kwargs = kwargs.map_or_else(|| PyDict::new(py), Clone::clone);
        py.import("taskloom.scope.coroutines")?
            .call_method1("run_on", (slf, r#fn, args, kwargs))
    }

    /// Takes no more tasks; workers leave when nothing is queued.
    fn close(&self) {
        self.shared().flags.fetch_or(CLOSED, SeqCst);
        self.core().close();
    }

    /// Cancels what is queued and returns how many tasks that were.
    fn cancel_queued(&self, py: Python<'_>) -> usize {
        let mut cancelled = 0;
        for job in self.core().drain() {
            if !job.is_made_of(future::execute) {
                // A run's ticket: the run is not the queue's to cancel.
                self.core().submit(job, DEFAULT_BAND);
                continue;
            }
            let arrivals = self.core().arrivals();
            cancelled += usize::from(overload::cancel_queued(arrivals, job, py));
        }
        cancelled
    }

    /// Fails what is queued, and everything submitted from now on.
    fn break_(&self, py: Python<'_>, message: String) {
        let error = errors::broken_executor(py, &message);
        *self.shared().broken.lock() = message;
        self.shared().flags.fetch_or(BROKEN, SeqCst);
        self.core().close();
        for job in fail_queued(self.core(), error.bind(py)) {
            self.core().submit(job, DEFAULT_BAND);
        }
    }

    /// After a fork, in the child: a fresh pool without threads. The old one is leaked, since its
    /// threads, which may have held its locks, are gone.
    fn renew_after_fork(&self, py: Python<'_>) {
        let flags = self.shared().flags.load(Relaxed);
        let fresh = Pool::make(self.settings.clone(), self.start_thread.clone_ref(py));
        self.shared.swap(fresh, AcqRel);
        self.shared().flags.store(flags & CLOSED, Relaxed);
    }

    /// Keeps the workers until `_release`, or raises what a submit would raise now.
    fn _retain(&self, py: Python<'_>) -> PyResult<()> {
        let core = self.core();
        // Before the closing is looked at: one that comes now finds workers that stay.
        core.retain();
        match self.shared().flags.load(SeqCst) {
            0 => Ok(()),
            flags => {
                core.release();
                Err(self.refusal(py, flags))
            }
        }
    }

    /// See `_retain`.
    fn _release(&self) {
        self.core().release();
    }

    /// Raises what a submit would raise now.
    fn _refuse_if_closed(&self, py: Python<'_>) -> PyResult<()> {
        match self.shared().flags.load(Relaxed) {
            0 => Ok(()),
            flags => Err(self.refusal(py, flags)),
        }
    }

    #[getter]
    fn is_closed(&self) -> bool {
        self.shared().flags.load(Relaxed) != 0
    }

    /// Gives submits without options these.
    fn _set_defaults(&self, py: Python<'_>, options: Py<TaskOptions>) {
        let _ = self.defaults.set(py, options);
    }

    /// What was counted: arrivals and each worker by name, then latencies in queue and execution,
    /// as (count, total, minimum, p50, p99, p999, maximum) in seconds; and how many tasks of each band
    /// are queued now.
    fn _stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        self.read_stats(py)
    }

    /// Says how many workers may take jobs, between 1 and `max_workers`, spares for blocked ones aside.
    fn _set_active(&self, count: usize) {
        self.core().set_active(count);
    }

    /// What changes from one moment to the next: see `Tally`.
    fn _tally(&self) -> reading::Tally {
        self.read_tally()
    }

    /// Why the pool is broken; empty if it is not.
    #[getter]
    fn broken(&self) -> String {
        self.shared().broken.lock().clone()
    }

    /// How many tasks wait to be taken.
    #[getter]
    fn queue_depth(&self) -> usize {
        self.core().queued()
    }

    /// Whether this thread is one of the pool's workers.
    #[getter]
    fn is_current(&self) -> bool {
        self.core().is_current()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let shared = self.shared.swap(null_mut(), AcqRel);
        // SAFETY: made by `make`, and nobody can reach it through this object any more.
        let shared = unsafe { Box::from_raw(shared) };
        // Workers finish what is queued and leave.
        shared.core.close();
    }
}

/// The number of the worker that this thread is, or None outside of a pool.
///
/// Regular workers have numbers below `worker_count()`. A spare, which stands in for a worker that
/// blocks, has one from there on.
///
/// >>> import taskloom
/// >>> with taskloom.Executor(1) as executor:
/// ...     executor.submit(taskloom.worker_index).result()
/// 0
#[pyfunction]
fn worker_index() -> Option<usize> {
    Worker::with_current(|worker| worker.map(Worker::index))
}

/// How many regular workers the pool has that this thread works for, or None outside of a pool.
///
/// >>> import taskloom
/// >>> with taskloom.Executor(3) as executor:
/// ...     executor.submit(taskloom.worker_count).result()
/// 3
#[pyfunction]
fn worker_count() -> Option<usize> {
    Worker::with_current(|worker| worker.map(|w| w.pool().max_workers()))
}

/// To be called in a forked child: futures of the parent are from another generation.
#[pyfunction]
fn after_fork_in_child(py: Python<'_>) -> PyResult<()> {
    future::GENERATION.fetch_add(1, Relaxed);
    future::after_fork();
    timer::after_fork();
    cells::after_fork();
    Worker::orphan_current();
    call::note_main_thread(py)
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add_class::<Pool>()?;
    module.add_class::<window::LatencyWindow>()?;
    add_fast_method::<Pool>(py, c"submit", submit::submit)?;
    add_fast_method::<Pool>(py, c"_submit", submit::submit_chosen)?;
    add_fast_method::<Pool>(py, c"_submit_unlinked", submit::submit_unlinked)?;
    module.add_function(wrap_pyfunction!(worker_index, module)?)?;
    module.add_function(wrap_pyfunction!(worker_count, module)?)?;
    module.add_function(wrap_pyfunction!(submit::_know_task, module)?)?;
    module.add_function(wrap_pyfunction!(after_fork_in_child, module)?)?;
    Ok(())
}
