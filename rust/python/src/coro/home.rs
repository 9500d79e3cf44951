//! Where a coroutine is queued when it can go on.

use super::sleep::real_clock;
use super::task::{self, Apart, Task, TaskRef};
use super::token::Token;
use crate::{spare, tracing};
use parking_lot::Mutex;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use std::cell::UnsafeCell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use taskloom_core::job::Job;
use taskloom_core::latch::Event;
use taskloom_core::pool::{Pool, Worker};
use taskloom_core::ready::DEFAULT_BAND;
use taskloom_core::sleep::Seek;
use taskloom_core::sync::Wait;
use taskloom_core::timer::Clock;

/// A home: this thread's own loop, or a pool.
#[derive(Clone)]
pub enum Home {
    Local(Arc<Local>),
    Pool(OnPool),
}

/// A pool's workers: any of them takes the first step, which the others then belong to.
#[derive(Clone)]
pub struct OnPool {
    core: Arc<Pool>,
    /// Whether every step may be any worker's.
    migrate: bool,
}

impl OnPool {
    pub fn new(core: Arc<Pool>) -> Self {
        OnPool {
            core,
            migrate: false,
        }
    }

    fn queue(&self, task: TaskRef) {
        let worker = task.worker();
        if self.core.switch().is_on() {
            tracing::ready(&self.core, std::ptr::from_ref(&*task).cast());
        }
        let job = job_of(task);
        match worker {
            Some(worker) if !self.migrate => self.core.submit_to(worker, job),
            _ => self.core.submit(job, DEFAULT_BAND),
        }
    }

    /// Queues a task for its first step, with a priority and a deadline in ticks.
    pub fn queue_first(&self, task: TaskRef, band: usize, deadline: Option<u64>) {
        match deadline {
            None => self.core.submit(job_of(task), band),
            deadline => self.core.submit_until(job_of(task), band, deadline),
        }
    }
}

fn job_of(task: TaskRef) -> Job {
    // SAFETY: the job owns the share, and `execute` takes it back, once.
    unsafe { Job::new(task.into_raw(), execute) }
}

/// # Safety
/// `data` is a share in a task, given up to the job; the worker is attached.
unsafe fn execute(data: *const (), worker: &Worker) {
    // SAFETY: as the contract says.
    let (task, py) = unsafe { (TaskRef::from_raw(data), Python::assume_attached()) };
    task.set_worker(worker.index());
    worker.expect_job();
    if !worker.pool().switch().is_on() {
        return task.step(py, Some(worker));
    }
    if !task.take_up(py) {
        return;
    }
    let named_by = task.named_by(py);
    // SAFETY: attached; `named_by` is held until the call returns.
    unsafe { tracing::started(worker, std::ptr::from_ref(&*task).cast(), named_by.as_ptr()) };
    task.proceed(py, Some(worker), |after| {
        tracing::ended(worker, std::ptr::from_ref(&*task).cast(), after.event(py));
    });
}

impl Home {
    /// Queues a task that is counted as queued. Attached.
    pub fn queue(&self, task: TaskRef) {
        match self {
            Home::Local(local) => local.queue(task),
            Home::Pool(pool) => pool.queue(task),
        }
    }

    /// Whether its tasks are stepped by workers.
    #[inline]
    pub fn is_pool(&self) -> bool {
        matches!(self, Home::Pool(_))
    }

    /// Whether nothing else waits for this thread.
    #[inline]
    pub fn is_idle(&self) -> bool {
        match self {
            // One that gives way to nobody would keep virtual time, and signals, from moving.
            Home::Local(_) => false,
            Home::Pool(_) => Worker::with_current(|worker| {
                worker.is_some_and(|worker| !worker.has_more() && !worker.has_own())
            }),
        }
    }

    /// One task more lives here.
    pub fn begin(&self) {
        match self {
            Home::Local(local) => local.state.lock().live += 1,
            Home::Pool(pool) => pool.core.retain(),
        }
    }

    /// One task of this home has ended.
    pub fn over(&self) {
        match self {
            Home::Local(local) => local.state.lock().live -= 1,
            Home::Pool(pool) => pool.core.release(),
        }
    }

    /// The clock that this home's tasks sleep by.
    pub fn clock(&self) -> Arc<Clock> {
        match self {
            Home::Local(local) => Arc::clone(&local.clock),
            Home::Pool(_) => real_clock(),
        }
    }
}

struct State {
    ready: VecDeque<TaskRef>,
    /// The state of the random choice; None for first come, first served.
    random: Option<u64>,
    live: usize,
}

/// One thread's own queue.
pub struct Local {
    state: Mutex<State>,
    clock: Arc<Clock>,
    woken: Event,
}

impl Local {
    fn queue(&self, task: TaskRef) {
        self.state.lock().ready.push_back(task);
        self.woken.set();
    }

    /// Takes one of those that can go on, which others choose.
    fn take(&self, index: usize) -> Option<TaskRef> {
        self.state.lock().ready.remove(index)
    }

    fn next(&self) -> Option<TaskRef> {
        let mut state = self.state.lock();
        let count = state.ready.len() as u64;
        match state.random {
            Some(seed) if count > 1 => {
                let (seed, chosen) = splitmix(seed);
                state.random = Some(seed);
                state.ready.remove((chosen % count) as usize)
            }
            _ => state.ready.pop_front(),
        }
    }
}

/// The next number of a SplitMix64 sequence (Steele, Lea and Flood, 2014).
fn splitmix(seed: u64) -> (u64, u64) {
    let seed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = seed;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (seed, z ^ (z >> 31))
}

/// Runs coroutines on the calling thread alone: in order, or in an order that a seed decides; on
/// real time, or on virtual time that jumps to the next deadline whenever nothing can go on.
#[pyclass(frozen, module = "taskloom._taskloom")]
pub struct LocalLoop(Arc<Local>);

#[pymethods]
impl LocalLoop {
    #[new]
    #[pyo3(signature = (*, seed = None, virtual_time = false))]
    fn new(seed: Option<u64>, virtual_time: bool) -> PyResult<Self> {
        let clock = if virtual_time {
            Clock::still()
        } else {
            real_clock()
        };
        Ok(LocalLoop(Arc::new(Local {
            state: Mutex::new(State {
                ready: VecDeque::new(),
                random: seed,
                live: 0,
            }),
            clock,
            woken: Event::new(),
        })))
    }

    /// Where its coroutines are spawned.
    #[getter]
    fn home(&self) -> HomeObject {
        HomeObject(Home::Local(Arc::clone(&self.0)))
    }

    /// Steps what can go on until no task is left. RuntimeError if all wait and nothing can ever
    /// wake them (on virtual time, where no other thread is waited for).
    fn run(&self, py: Python<'_>) -> PyResult<()> {
        let _keeping = spare::Keeping::begin();
        let local = &self.0;
        loop {
            local.woken.reset();
            while let Some(task) = local.next() {
                task.step(py, None);
            }
            let live = local.state.lock().live;
            if live == 0 {
                return Ok(());
            }
            py.check_signals()?;
            if local.clock.is_virtual() {
                match local.clock.next() {
                    Some(next) => local.clock.advance(next),
                    None if local.state.lock().ready.is_empty() => {
                        return Err(PyRuntimeError::new_err(format!(
                            "deadlock: {live} coroutines wait and nothing can wake them"
                        )));
                    }
                    None => {}
                }
                continue;
            }
            if py.detach(|| local.woken.wait(Some(Duration::from_millis(50)))) != Wait::Woken {
                py.check_signals()?;
            }
        }
    }

    /// How many coroutines can go on, for a scheduler that has this loop step one at a time.
    fn ready(&self) -> usize {
        self.0.state.lock().ready.len()
    }

    /// Steps one of those that can go on, on this thread.
    fn step(&self, py: Python<'_>, index: usize) {
        if let Some(task) = self.0.take(index) {
            task.step(py, None);
        }
    }

    /// When somebody next waits for the clock to be, in nanoseconds.
    fn next_moment(&self) -> Option<u64> {
        self.0.clock.next()
    }

    /// Moves virtual time to so many nanoseconds and wakes who waited for that; never back.
    fn advance(&self, to: u64) {
        self.0.clock.advance(to);
    }

    /// Has the waits of this thread for taskloom's locks, channels and the like, and its sleeps, go
    /// by this loop's clock and by `wait(is_set, seconds)`, which says whether it came to be set;
    /// None ends that.
    #[pyo3(signature = (wait))]
    fn lend_thread(&self, wait: Option<Py<PyAny>>) {
        super::lent::lend(wait.map(|wait| (wait, Arc::clone(&self.0.clock))));
    }

    /// Seconds on this loop's clock.
    fn time(&self) -> f64 {
        self.0.clock.now() as f64 * 1e-9
    }

    /// How many coroutines have not ended.
    fn live(&self) -> usize {
        self.0.state.lock().live
    }
}

/// Where coroutines are spawned: what a scope keeps of the place where it was entered.
#[pyclass(frozen, name = "Home", module = "taskloom._taskloom")]
pub struct HomeObject(pub Home);

#[pymethods]
impl HomeObject {
    /// Queues `function(*arguments, **keywords)`, a call that makes a coroutine.
    #[pyo3(signature = (function, arguments, keywords, token, context, ended, handle))]
    #[allow(clippy::too_many_arguments)]
    fn spawn(
        &self,
        function: Py<PyAny>,
        arguments: Py<PyTuple>,
        keywords: Option<Py<PyDict>>,
        token: &Token,
        context: Option<Py<PyAny>>,
        ended: Py<PyAny>,
        handle: Option<Py<PyAny>>,
    ) -> TaskHandle {
        let apart = Apart {
            home: self.0.clone(),
            token: token.0.clone(),
            context: UnsafeCell::new(context),
            call: Mutex::new(Some((function, arguments, keywords))),
            ended: Some(ended),
            handle,
        };
        let task = Task::apart(apart, None, true);
        self.0.begin();
        self.0.queue(task.share());
        TaskHandle(task)
    }

    /// The same place for coroutines that any worker may step.
    fn migrating(&self) -> HomeObject {
        HomeObject(match &self.0 {
            Home::Local(local) => Home::Local(Arc::clone(local)),
            Home::Pool(pool) => Home::Pool(OnPool {
                core: Arc::clone(&pool.core),
                migrate: true,
            }),
        })
    }

    /// Whether it is one thread's own loop on virtual time, where nothing may block.
    #[getter]
    fn is_seeded(&self) -> bool {
        match &self.0 {
            Home::Local(local) => local.clock.is_virtual(),
            Home::Pool(_) => false,
        }
    }
}

/// Where the coroutines of an executor live: its workers. With `migrate`, each step of a coroutine
/// may be another worker's; otherwise it stays on the worker of its first step.
#[pyfunction]
#[pyo3(signature = (pool, *, migrate = false))]
pub fn pool_home(pool: &crate::pool::Pool, migrate: bool) -> HomeObject {
    let core = Arc::clone(pool.core());
    HomeObject(Home::Pool(OnPool { core, migrate }))
}

/// A coroutine on its way, to be cancelled.
#[pyclass(frozen, module = "taskloom._taskloom")]
pub struct TaskHandle(TaskRef);

#[pymethods]
impl TaskHandle {
    /// Cancels this coroutine alone, from any thread.
    #[pyo3(signature = (reason = None))]
    fn cancel(&self, reason: Option<&str>) {
        self.0.cancel(reason.map(Into::into));
    }
}

/// Where the coroutine that calls lives; None if taskloom does not drive the caller.
#[pyfunction]
pub fn current_home() -> Option<HomeObject> {
    Some(HomeObject(task::current()?.home().clone()))
}
