//! The pool's host: the interpreter whose threads become workers.

use super::overload::fail_queued;
use crate::{call, context, errors, future, spare};
use pyo3::exceptions::{PyMemoryError, PyRuntimeError};
use pyo3::prelude::*;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{AcqRel, Acquire};
use taskloom_core::pool::{Host, Pool as Core};

/// The interpreter as the pool sees it.
pub(super) struct Interpreter {
    /// Called with an index and an entry; starts a thread that calls the entry.
    pub(super) start_thread: Py<PyAny>,
    pub(super) core: std::sync::OnceLock<std::sync::Weak<Core>>,
}

/// The pool owns one, and the making of the pool needs another.
pub(super) struct Handle(pub(super) Arc<Interpreter>);

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
    /// fails, rather than waiting for ever. While the interpreter exits, which starts no threads
    /// from 3.12 on, that is worth a word only if something failed.
    fn out_of_threads(&self, py: Python<'_>, error: PyErr) {
        let mut failed = false;
        if let Some(core) = self.0.core.get().and_then(std::sync::Weak::upgrade)
            && core.threads() <= 1
        {
            let queued = core.queued();
            let others = fail_queued(&core, error.value(py).as_any());
            failed = others.len() < queued;
            for job in others {
                core.requeue(job);
            }
        }
        if !failed && is_exiting(py) {
            return;
        }
        call::write_unraisable(py, error, Some(self.0.start_thread.bind(py)));
    }
}

/// Whether the interpreter has begun to exit.
pub(super) fn is_exiting(py: Python<'_>) -> bool {
    py.import("taskloom._workers")
        .and_then(|module| module.call_method0("is_exiting"))
        .and_then(|answer| answer.extract())
        .unwrap_or(false)
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
        let _keeping = spare::Keeping::begin();
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
