//! The pool's Python face: `_taskloom.Pool`, the native base of `taskloom.Executor`.

use crate::future::{self, Call, FutureObject, Object, Origin, Record};
use crate::options::TaskOptions;
use crate::{call, context, errors, timer};
use parking_lot::Mutex;
use pyo3::exceptions::{PyMemoryError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList, PyTuple, PyType};
use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, SeqCst};
use std::sync::atomic::{AtomicPtr, AtomicU32};
use std::time::Duration;
use taskloom_core::histogram::Counts;
use taskloom_core::job::Job;
use taskloom_core::pool::{Host, Pool as Core, Settings, Worker};
use taskloom_core::ready::{DEFAULT_BAND, Order, OverdueOrder};

/// The interpreter as the pool sees it.
struct Interpreter {
    /// Called with an index and an entry; starts a thread that calls the entry.
    start_thread: Py<PyAny>,
    core: std::sync::OnceLock<std::sync::Weak<Core>>,
}

/// The pool owns one, and the making of the pool needs another.
struct Handle(Arc<Interpreter>);

impl Host for Handle {
    fn spawn(&self, index: usize) -> bool {
        let Some(core) = self.0.core.get().and_then(std::sync::Weak::upgrade) else {
            return false;
        };
        Python::attach(|py| {
            let mut interrupted = None;
            let started = loop {
                let (core, begun) = (Arc::clone(&core), AtomicU32::new(UNDECIDED));
                let entry = match Bound::new(py, WorkerEntry { core, index, begun }) {
                    Ok(entry) => entry,
                    Err(error) => {
                        call::write_unraisable(py, error, None);
                        break false;
                    }
                };
                let Err(error) = self.0.start_thread.call1(py, (index, &entry)) else {
                    break true;
                };
                let abandoned = entry.get().decide(ABANDONED);
                if abandoned && is_out_of_threads(py, &error) {
                    self.out_of_threads(py, error);
                    break false;
                }
                // A signal handler raised while this thread waited for the new one to come up.
                interrupted = Some(error);
                if !abandoned {
                    break true;
                }
            };
            if let Some(error) = interrupted {
                call::raise_soon(py, error);
            }
            started
        })
    }

    fn attach(&self) {
        call::attach_when_handed_over();
        future::drop_garbage();
    }

    fn detach(&self) {
        call::detach();
    }

    fn is_untidy(&self) -> bool {
        future::has_garbage() || context::is_entered()
    }

    fn tidy(&self) {
        future::drop_garbage();
        context::leave();
    }

    fn now(&self) -> u64 {
        taskloom_core::clock::ticks()
    }
}

impl Handle {
    /// No thread can be started. With other workers alive the work goes on; else what is queued
    /// fails, rather than waiting for ever.
    fn out_of_threads(&self, py: Python<'_>, error: PyErr) {
        if let Some(core) = self.0.core.get().and_then(std::sync::Weak::upgrade)
            && core.threads() <= 1
        {
            for job in fail_queued(&core, error.value(py).as_any()) {
                core.requeue(job);
            }
        }
        call::write_unraisable(py, error, Some(self.0.start_thread.bind(py)));
    }
}

/// Whether an error says that a thread cannot be started now, or any more.
fn is_out_of_threads(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<PyRuntimeError>(py) || error.is_instance_of::<PyMemoryError>(py)
}

/// What a worker's thread calls, once.
#[pyclass(frozen, module = "taskloom._taskloom")]
struct WorkerEntry {
    core: Arc<Core>,
    index: usize,
    /// Whether the thread has begun, or is not wanted any more.
    begun: AtomicU32,
}

const UNDECIDED: u32 = 0;
const BEGUN: u32 = 1;
const ABANDONED: u32 = 2;

impl WorkerEntry {
    /// Makes it so, unless the other side was first.
    fn decide(&self, what: u32) -> bool {
        self.begun
            .compare_exchange(UNDECIDED, what, AcqRel, Acquire)
            .is_ok()
    }
}

#[pymethods]
impl WorkerEntry {
    /// To be called first by the thread; if False, it is not wanted and leaves.
    fn begin(&self) -> bool {
        self.decide(BEGUN)
    }

    fn __call__(&self) {
        self.core.work(self.index);
        future::drop_garbage();
        context::leave();
    }

    /// Leaves without having worked, since the thread could not be prepared, and fails what is
    /// queued: there may be no executor any more that could be broken.
    fn give_up(&self, py: Python<'_>, message: &str) {
        for job in fail_queued(&self.core, errors::broken_executor(py, message).bind(py)) {
            self.core.requeue(job);
        }
        self.core.worker_failed(self.index);
    }
}

const CLOSED: u32 = 1;
const BROKEN: u32 = 2;

/// What a pool is until a fork replaces it.
struct Shared {
    core: Arc<Core>,
    flags: AtomicU32,
    broken: Mutex<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum WhenFull {
    Block,
    Reject,
    DropOldest,
    DropLowest,
}

#[pyclass(subclass, frozen, module = "taskloom._taskloom")]
pub struct Pool {
    shared: AtomicPtr<Shared>,
    max_workers: usize,
    bound: Option<usize>,
    when_full: WhenFull,
    inline: bool,
    order: Order,
    /// Whether a task that is past its deadline is given up.
    hard_deadlines: bool,
    timing: bool,
    /// What a submit without options has, if that is more than nothing.
    defaults: PyOnceLock<Py<TaskOptions>>,
    start_thread: Py<PyAny>,
}

/// `taskloom.Task`: a submit of one brings its options.
static TASK_CLASS: AtomicPtr<ffi::PyTypeObject> = AtomicPtr::new(null_mut());

/// Whether `callable` is a `taskloom.Task`.
///
/// # Safety
/// Attached; `callable` is a live object.
#[inline]
pub unsafe fn is_task(callable: Object) -> bool {
    // SAFETY: as the caller promises.
    unsafe { ffi::Py_TYPE(callable) == TASK_CLASS.load(Relaxed) }
}

/// Passes a submit on to a Python method of `this`: `name(fn, /, *args, **kwargs)`.
///
/// # Safety
/// Attached; `args` holds `count` positional arguments, then the values of `kwnames`.
#[cold]
pub unsafe fn submit_in_python(
    this: Object,
    name: &std::ffi::CStr,
    args: *const Object,
    count: usize,
    kwnames: Object,
) -> Object {
    // SAFETY: as the caller promises; the new vector holds borrowed references for the call.
    unsafe {
        let method = ffi::PyObject_GetAttrString(this, name.as_ptr());
        if method.is_null() {
            return null_mut();
        }
        let result = ffi::PyObject_Vectorcall(method, args, count, kwnames);
        ffi::Py_DECREF(method);
        result
    }
}

/// How many spares a pool may start while its workers block.
const MAX_SPARES: usize = 64;

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

    fn make(
        max_workers: usize,
        bound: Option<usize>,
        order: Order,
        timing: bool,
        start_thread: Py<PyAny>,
    ) -> *mut Shared {
        let gated = cfg!(not(Py_GIL_DISABLED));
        let interpreter = Arc::new(Interpreter {
            start_thread,
            core: std::sync::OnceLock::new(),
        });
        let settings = Settings {
            max_workers,
            max_spares: MAX_SPARES,
            gated,
            local_queues: !gated && max_workers > 1,
            bound,
            order,
            timing,
        };
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
        let exiting = py
            .import("taskloom._workers")
            .and_then(|module| module.call_method0("is_exiting"))
            .and_then(|answer| answer.extract::<bool>());
        let message = match exiting {
            Ok(true) => "cannot schedule new futures after interpreter shutdown",
            _ => "cannot schedule new futures after shutdown",
        };
        PyRuntimeError::new_err(message)
    }

    /// Who submits: the task that this thread runs, or somebody outside.
    #[inline(always)]
    fn origin(&self) -> Origin {
        match future::current_on_worker() {
            Some(parent) => Origin::of_child(parent, self.identity()),
            None => Origin::of_pool(self.identity()),
        }
    }

    /// Makes a future. Null with an exception set if that failed.
    ///
    /// # Safety
    /// As `submit_call`.
    #[inline(always)]
    unsafe fn new_future(
        &self,
        args: *const Object,
        count: usize,
        kwnames: Object,
    ) -> *mut FutureObject {
        // SAFETY: as the caller promises.
        unsafe {
            let context = context::capture();
            if context.is_null() {
                return null_mut();
            }
            let call = Call {
                callable: *args,
                context,
                origin: self.origin(),
                inline: self.inline,
            };
            future::new(&call, args.add(1), count - 1, kwnames)
        }
    }

    /// Gives a new future the record that its options need; returns its deadline in ticks.
    ///
    /// # Safety
    /// Attached; nobody else knows the future.
    #[cold]
    unsafe fn manage(&self, future: *mut FutureObject, options: &TaskOptions) -> Option<u64> {
        // SAFETY: as the caller promises.
        unsafe {
            let record = Record::new(Python::assume_attached(), options, self.hard_deadlines);
            let deadline = record.deadline;
            future::manage(future, record);
            deadline
        }
    }

    /// Makes a future and queues it. Null with an exception set if it was refused.
    ///
    /// # Safety
    /// Attached; `args` holds the callable and as many positional arguments as `count` says, then
    /// the values of the keywords in `kwnames`.
    #[inline]
    pub unsafe fn submit_call(
        &self,
        args: *const Object,
        count: usize,
        kwnames: Object,
        options: Option<&TaskOptions>,
    ) -> Object {
        let shared = self.shared();
        // SAFETY: as the caller promises.
        unsafe {
            let flags = shared.flags.load(Relaxed);
            if flags != 0 {
                let py = Python::assume_attached();
                self.refusal(py, flags).restore(py);
                return null_mut();
            }
            let future = self.new_future(args, count, kwnames);
            if future.is_null() {
                return null_mut();
            }
            let (mut band, mut deadline) = (DEFAULT_BAND, None);
            if let Some(options) = options {
                band = options.band;
                if !options.plain {
                    deadline = self.manage(future, options);
                }
            }
            // One reference for the queue, one for the caller.
            ffi::Py_INCREF(future.cast());
            let job = Job::new(future.cast(), future::execute);
            if shared.core.submit_bounded(job, band, deadline).is_err() {
                let py = Python::assume_attached();
                if let Err(error) = self.wait_and_submit(py, job, band, deadline) {
                    ffi::Py_DECREF(future.cast());
                    ffi::Py_DECREF(future.cast());
                    error.restore(py);
                    return null_mut();
                }
            }
            future.cast()
        }
    }

    /// The queue is full: waits for room, or refuses.
    #[cold]
    fn wait_and_submit(
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
                        self.give_up(py, job);
                        return Ok(());
                    }
                }
                WhenFull::Block | WhenFull::Reject => self.wait_for_room(py)?,
            }
            if self.core().submit_bounded(job, band, deadline).is_ok() {
                return Ok(());
            }
        }
    }

    /// Makes room for a job of `band`; false if nothing may go for it.
    fn drop_one(&self, py: Python<'_>, band: usize) -> bool {
        let mut tickets = Vec::new();
        let dropped = loop {
            let job = match self.when_full {
                WhenFull::DropOldest => self.core().remove_oldest(),
                _ => self.core().remove_lowest(band),
            };
            match job {
                // A part of a run is never dropped.
                Some(job) if !job.is_made_of(future::execute) => tickets.push(job),
                job => break job,
            }
        };
        for ticket in tickets {
            self.core().submit(ticket, DEFAULT_BAND);
        }
        if let Some(job) = dropped {
            self.give_up(py, job);
        }
        dropped.is_some()
    }

    /// Ends a task for which there is no room.
    fn give_up(&self, py: Python<'_>, job: Job) {
        self.core().arrivals().dropped.add(1);
        let bound = self.bound.unwrap_or(usize::MAX);
        let error = errors::queue_full(
            py,
            &format!("given up to make room: {bound} tasks wait (max_queue_depth={bound})"),
        );
        refuse(job, &error.value(py).clone().into_any());
    }

    fn wait_for_room(&self, py: Python<'_>) -> PyResult<()> {
        let bound = self.bound.unwrap_or(usize::MAX);
        if self.when_full == WhenFull::Reject || has_running_loop(py) {
            self.core().arrivals().rejected.add(1);
        }
        if self.when_full == WhenFull::Reject {
            return Err(errors::queue_full(
                py,
                &format!("the queue is full: {bound} tasks wait (max_queue_depth={bound})"),
            ));
        }
        if has_running_loop(py) {
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

fn seconds(ticks: u64) -> f64 {
    taskloom_core::clock::nanos(ticks) as f64 * 1e-9
}

type Latency = (u64, f64, f64, f64, f64, f64, f64);

fn latency(counts: &Counts) -> Latency {
    let at = |share| seconds(counts.quantile(share));
    let least = if counts.count == 0 { 0 } else { counts.min };
    (
        counts.count,
        seconds(counts.sum),
        seconds(least),
        at(0.5),
        at(0.99),
        at(0.999),
        seconds(counts.max),
    )
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

#[pymethods]
impl Pool {
    #[new]
    #[pyo3(signature = (max_workers, bound, when_full, inline, start_thread, *,
                        deadline_lead = 0.1, aging = 64, overdue = "skip",
                        timing = false))]
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
        py: Python<'_>,
    ) -> PyResult<Self> {
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
        let late = match overdue {
            "skip" | "first" => OverdueOrder::First,
            "report" => OverdueOrder::InBand,
            other => {
                return Err(PyValueError::new_err(format!(
                    "overdue must be \"skip\", \"first\" or \"report\", not {other:?}"
                )));
            }
        };
        let lead = Duration::try_from_secs_f64(deadline_lead).map_err(|_| {
            PyValueError::new_err(format!(
                "deadline_lead={deadline_lead} must be seconds, 0 or more"
            ))
        })?;
        let order = Order {
            lead: taskloom_core::clock::from_duration(lead),
            aging,
            overdue: late,
        };
        let shared = Pool::make(
            max_workers,
            bound,
            order,
            timing,
            start_thread.clone_ref(py),
        );
        Ok(Pool {
            shared: AtomicPtr::new(shared),
            max_workers,
            bound,
            when_full,
            inline,
            order,
            hard_deadlines: overdue == "skip",
            timing,
            defaults: PyOnceLock::new(),
            start_thread,
        })
    }

    /// Makes a future that is not queued yet, for `_enqueue` to start: one that must first wait for
    /// something else. Workers stay until then.
    fn _prepare<'py>(
        &self,
        py: Python<'py>,
        options: &TaskOptions,
        function: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
        kwargs: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self._refuse_if_closed(py)?;
        let mut call = vec![function.clone()];
        call.extend(args.iter());
        let count = call.len();
        call.extend(kwargs.iter().map(|(_, value)| value));
        let names = PyTuple::new(py, kwargs.keys())?;
        let kwnames = if names.is_empty() {
            null_mut()
        } else {
            names.as_ptr()
        };
        let pointers: Vec<Object> = call.iter().map(Bound::as_ptr).collect();
        // SAFETY: live references, as many as said; the new future is nobody else's.
        unsafe {
            let future = self.new_future(pointers.as_ptr(), count, kwnames);
            if !future.is_null() {
                self.manage(future, options);
                if let Some(record) = future::record_of(&*future) {
                    record.held.store(true, Relaxed);
                }
                self.core().retain();
                self.core().ensure_worker();
            }
            Bound::from_owned_ptr_or_err(py, future.cast())
        }
    }

    /// Queues a future that `_prepare` made; one that is over by now only lets the workers go.
    fn _enqueue(&self, future: &Bound<'_, PyAny>) {
        let Some(native) = future::native(future) else {
            return;
        };
        if let Some(record) = future::record_of(native)
            && !native.is_over()
        {
            record.held.store(false, Relaxed);
            // SAFETY: the queue's own reference, which `execute` drops.
            unsafe { ffi::Py_INCREF(future.as_ptr()) };
            // SAFETY: a future, with the job's own reference.
            let job = unsafe { Job::new(future.as_ptr().cast(), future::execute) };
            self.core()
                .submit_accepted(job, record.band, record.deadline);
        }
        self.core().release();
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
            };
            // SAFETY: one live argument, no keywords.
            let future = unsafe { future::new(&call, &item.as_ptr(), 1, null_mut()) };
            // SAFETY: null with an exception, or a new reference.
            let future = unsafe { Bound::from_owned_ptr_or_err(py, future.cast())? };
            if let Some(options) = self.defaults(py) {
                // SAFETY: new, and nobody else's yet.
                unsafe { self.manage(future.as_ptr().cast(), options) };
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
                    self.give_up(py, rest[0]);
                    rest = &rest[1..];
                    if rest.is_empty() {
                        break Ok(());
                    }
                }
            } else if let Err(error) = self.wait_for_room(py) {
                break Err(error);
            }
        };
        if let Err(error) = outcome {
            let value = error.value(py).clone().into_any();
            for job in rest {
                refuse(*job, &value);
            }
            if rest.len() == jobs.len() {
                return Err(error);
            }
        }
        Ok(futures)
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
            let pointer = job.data().cast_mut().cast();
            // SAFETY: the drained job's own reference.
            let future = unsafe { Bound::from_owned_ptr(py, pointer) };
            // SAFETY: a job made of `execute` points to a future.
            let native = unsafe { &*future.as_ptr().cast::<FutureObject>() };
            cancelled += usize::from(future::cancel(native, py));
        }
        self.core().arrivals().cancelled.add(cancelled as u64);
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
        let fresh = Pool::make(
            self.max_workers,
            self.bound,
            self.order,
            self.timing,
            self.start_thread.clone_ref(py),
        );
        self.shared.swap(fresh, AcqRel);
        self.shared().flags.store(flags & CLOSED, Relaxed);
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
    /// as (count, total, minimum, p50, p99, p999, maximum) in seconds; and the workers now.
    fn _stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        taskloom_core::clock::refine();
        let reading = self.core().stats();
        let arrivals: std::collections::HashMap<_, _> = reading.arrivals.named().collect();
        let workers = PyList::empty(py);
        for worker in &reading.workers {
            // Ticks mean nothing outside; they go beside as seconds.
            let named = worker.named().filter(|(name, _)| *name != "busy_ticks");
            let counts: std::collections::HashMap<_, _> = named.collect();
            let busy = seconds(worker.busy_ticks);
            workers.append((counts, busy))?;
        }
        let latencies = (latency(&reading.queued), latency(&reading.ran));
        (arrivals, workers, latencies, self.core().threads()).into_pyobject(py)
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

/// Fails the queued futures and returns the other jobs, such as tickets of runs, which are not the
/// queue's to fail.
fn fail_queued(core: &Core, error: &Bound<'_, PyAny>) -> Vec<Job> {
    let mut others = core.drain();
    others.retain(|job| {
        let is_future = job.is_made_of(future::execute);
        if is_future {
            refuse(*job, error);
        }
        !is_future
    });
    others
}

/// Fails a queued future that will not be run, and drops the queue's reference.
fn refuse(job: Job, error: &Bound<'_, PyAny>) {
    let py = error.py();
    // SAFETY: the job's own reference.
    let future = unsafe { Bound::from_owned_ptr(py, job.data().cast_mut().cast()) };
    // SAFETY: the callers pass jobs made of `execute`, which point to futures.
    let native = unsafe { &*future.as_ptr().cast::<FutureObject>() };
    future::fail_with(native, error.clone().unbind(), py);
}

/// `Pool.submit(fn, /, *args, **kwargs)`.
unsafe extern "C" fn submit(
    this: Object,
    args: *const Object,
    count: isize,
    kwnames: Object,
) -> Object {
    // SAFETY: a method of `Pool` or of a subclass, called attached by the interpreter.
    unsafe {
        let py = Python::assume_attached();
        if count < 1 {
            PyTypeError::new_err("submit() needs a function to run: submit(fn, *args, **kwargs)")
                .restore(py);
            return null_mut();
        }
        if is_task(*args) {
            return submit_in_python(this, c"_submit_task", args, count as usize, kwnames);
        }
        let pool = Bound::from_borrowed_ptr(py, this).cast_into_unchecked::<Pool>();
        let pool = pool.get();
        pool.submit_call(args, count as usize, kwnames, pool.defaults(py))
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

/// Tells the class `taskloom.Task`, which lives for ever.
#[pyfunction]
fn _know_task(task_class: &Bound<'_, PyType>) {
    TASK_CLASS.store(task_class.clone().into_ptr().cast(), Relaxed);
}

/// To be called in a forked child: futures of the parent are from another generation.
#[pyfunction]
fn after_fork_in_child(py: Python<'_>) -> PyResult<()> {
    future::GENERATION.fetch_add(1, Relaxed);
    timer::after_fork();
    Worker::orphan_current();
    call::note_main_thread(py)
}

/// `Pool._submit(options, fn, /, *args, **kwargs)`.
unsafe extern "C" fn submit_chosen(
    this: Object,
    args: *const Object,
    count: isize,
    kwnames: Object,
) -> Object {
    // SAFETY: as `submit`.
    unsafe {
        let py = Python::assume_attached();
        let chosen = if count < 2 {
            Err(PyTypeError::new_err(
                "_submit() needs options and a function",
            ))
        } else {
            Bound::from_borrowed_ptr(py, *args)
                .cast_into::<TaskOptions>()
                .map_err(PyErr::from)
        };
        match chosen {
            Ok(chosen) => {
                let pool = Bound::from_borrowed_ptr(py, this).cast_into_unchecked::<Pool>();
                let count = count as usize - 1;
                pool.get()
                    .submit_call(args.add(1), count, kwnames, Some(chosen.get()))
            }
            Err(error) => {
                error.restore(py);
                null_mut()
            }
        }
    }
}

/// As `submit`, but not as a child of the task that submits: cancelling that does not reach it.
unsafe extern "C" fn submit_unlinked(
    this: Object,
    args: *const Object,
    count: isize,
    kwnames: Object,
) -> Object {
    let before = future::replace_current(std::ptr::null());
    // SAFETY: as the caller promises.
    let submitted = unsafe { submit(this, args, count, kwnames) };
    future::replace_current(before);
    submitted
}

pub type FastMethod = unsafe extern "C" fn(Object, *const Object, isize, Object) -> Object;

/// Adds a method with the vectorcall convention, which PyO3 does not offer: no tuple, no dict.
pub fn add_fast_method<T: pyo3::PyTypeInfo>(
    py: Python<'_>,
    name: &'static std::ffi::CStr,
    method: FastMethod,
) -> PyResult<()> {
    let class = py.get_type::<T>();
    let def = Box::leak(Box::new(ffi::PyMethodDef {
        ml_name: name.as_ptr(),
        ml_meth: ffi::PyMethodDefPointer {
            PyCFunctionFastWithKeywords: method,
        },
        ml_flags: ffi::METH_FASTCALL | ffi::METH_KEYWORDS,
        ml_doc: c"submit($self, fn, /, *args, **kwargs)\n--\n\nQueues fn(*args, **kwargs) and returns its Future."
            .as_ptr(),
    }));
    // SAFETY: the definition is leaked, as the descriptor needs; the class is a heap type.
    let descriptor = unsafe {
        Bound::from_owned_ptr_or_err(py, ffi::PyDescr_NewMethod(class.as_type_ptr(), def))?
    };
    class.setattr(name.to_string_lossy(), descriptor)
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add_class::<Pool>()?;
    add_fast_method::<Pool>(py, c"submit", submit)?;
    add_fast_method::<Pool>(py, c"_submit", submit_chosen)?;
    add_fast_method::<Pool>(py, c"_submit_unlinked", submit_unlinked)?;
    module.add_function(wrap_pyfunction!(worker_index, module)?)?;
    module.add_function(wrap_pyfunction!(worker_count, module)?)?;
    module.add_function(wrap_pyfunction!(_know_task, module)?)?;
    module.add_function(wrap_pyfunction!(after_fork_in_child, module)?)?;
    Ok(())
}
