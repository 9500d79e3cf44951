//! The native half of `taskloom.Run`: starts a run, waits for it, and answers for its nodes.

use std::sync::Arc;
use std::sync::atomic::Ordering::*;

use pyo3::PyTraverseError;
use pyo3::PyVisit;
use pyo3::exceptions::{PyKeyError, PyRuntimeError};
use pyo3::prelude::*;
use taskloom_core::ready::BANDS;
use taskloom_core::run::{Mark, Run, State};

use super::caller::attend;
use super::ending::wait_for;
use super::execution::Execution;
use super::failure::{Failure, NO_NODE};
use super::fork::left_behind;
use super::spans::RunSpans;
use super::watch::Watch;
use crate::call;
use crate::context;
use crate::future::GENERATION;
use crate::plan::{Node, Plan, Values};
use crate::pool::Pool;

/// The native half of `taskloom.Run`.
#[pyclass(frozen, subclass, weakref, module = "taskloom._taskloom")]
pub struct RunCore {
    run: Arc<Run<Execution>>,
    /// Of the process that started it: in a forked child, nobody ends it.
    generation: u32,
}

#[pymethods]
impl RunCore {
    /// `executor` takes deferred nodes and, if `shared`, runs all others too, which queue in `band` there.
    #[new]
    /// `watched` keeps a record of when nodes ran; `on_event` is told while they do. `submitter` stands
    /// in for `executor` where deferred nodes are submitted. `serial` has a shared run take the nodes in the
    /// plan's order, as one that is not shared always does.
    #[pyo3(signature = (plan, executor, shared, band=4, context=None, *, serial=false, watched=false,
                        on_event=None, submitter=None))]
    #[expect(clippy::too_many_arguments, reason = "one per setting")]
    fn new(
        py: Python<'_>,
        plan: &Bound<'_, Plan>,
        executor: &Bound<'_, Pool>,
        shared: bool,
        band: usize,
        context: Option<Py<PyAny>>,
        serial: bool,
        watched: bool,
        on_event: Option<Py<PyAny>>,
        submitter: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        let context = match context {
            Some(context) => context::snapshot_of(context.bind(py))?,
            // SAFETY: attached; null comes with an exception.
            None => unsafe { Bound::from_owned_ptr_or_err(py, context::capture())? }.unbind(),
        };
        let this = plan.get();
        let serial = serial || !shared;
        let made = || (State::new(&this.shape), Values::new(&this.tables, serial));
        let (state, values) = this.spares.take(serial).unwrap_or_else(made);
        let pool = executor.get().core();
        let watch = (watched || on_event.is_some())
            .then(|| Arc::new(Watch::new(this.nodes.len(), on_event)));
        let run = Arc::new_cyclic(|run| {
            let submitter = submitter.unwrap_or_else(|| executor.clone().into_any().unbind());
            let execution =
                Execution::new(plan, Some(submitter), context, serial, values, run, watch);
            if shared {
                Run::shared(execution, state, pool, band.min(BANDS - 1))
            } else {
                Run::new(execution, state)
            }
        });
        let generation = GENERATION.load(Relaxed);
        Ok(RunCore { run, generation })
    }

    /// The plan that runs.
    #[getter]
    fn plan(&self, py: Python<'_>) -> Py<Plan> {
        self.run.exec().plan_object().clone_ref(py)
    }

    /// Runs everything on this thread. Raises only what a signal handler raised.
    fn _run_serial(&self, py: Python<'_>) -> PyResult<()> {
        self.run.exec().note_caller();
        // SAFETY: attached, and called once, by the functions that make runs.
        unsafe { self.run.run_serial() };
        self.run.exec().raise_interrupt(py)
    }

    /// Runs everything on this thread and the workers that join. Raises only what a signal handler
    /// raised and, if others still run nodes of it, what asks for a stop, such as `KeyboardInterrupt`.
    fn _run_shared(&self, py: Python<'_>) -> PyResult<()> {
        self.run.exec().note_caller();
        // SAFETY: attached, and called once, by the functions that make runs.
        unsafe { self.run.run_shared() };
        self.run.exec().raise_interrupt(py)?;
        if self.run.is_over() {
            return Ok(());
        }
        match self._failures(py).1 {
            Some(error) => Err(PyErr::from_value(error.into_bound(py))),
            None => self._wait(py, None).map(drop),
        }
    }

    /// Has the workers run everything; in the plan's order, on one of them, if it was made `serial`.
    fn _start(&self) {
        self.run.exec().note_caller();
        // SAFETY: attached, and called once, by the functions that make runs.
        unsafe {
            if self.run.exec().serial {
                self.run.start_serial();
            } else {
                self.run.start();
            }
        }
    }

    /// Runs everything on the workers and, as long as there is work for it, on this thread.
    fn _start_here(&self) {
        // SAFETY: attached, and called once, by the functions that make runs.
        unsafe { self.run.start_here() };
    }

    /// Takes part until nothing is left to take: for a thread that lends itself to a run.
    fn _take_part(&self) {
        // SAFETY: attached.
        unsafe { self.run.assist() };
    }

    /// Waits for the end; False if `timeout` seconds pass before. A worker of the run's pool takes
    /// part meanwhile, unless one runs everything in order.
    #[pyo3(signature = (timeout=None))]
    fn _wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        if self.run.is_over() {
            return Ok(true);
        }
        if self.generation != GENERATION.load(Relaxed) {
            return Err(PyErr::from_value(left_behind(py).into_bound(py)));
        }
        if self.run.runs_here() {
            return Err(PyRuntimeError::new_err(
                "a node waits for the run that it is part of, which cannot end before the node does: \
                 pass it the values it needs as arguments",
            ));
        }
        if self.run.exec().is_needed_here() {
            return attend(py, &self.run, call::timeout_from(timeout));
        }
        let is_here = || self.run.pool().is_some_and(|pool| pool.is_current());
        if timeout.is_none() && !self.run.exec().serial && is_here() {
            // SAFETY: attached.
            unsafe { self.run.assist() };
            if self.run.is_over() {
                return Ok(true);
            }
        }
        wait_for(py, call::timeout_from(timeout), self.run.over())
    }

    /// Whether this thread started the run, and it has nodes for this thread alone.
    #[getter]
    fn _needs_caller(&self) -> bool {
        self.run.exec().is_needed_here()
    }

    /// The identifier of the thread that started the run.
    #[getter]
    fn _caller(&self) -> u64 {
        self.run.exec().caller()
    }

    /// Runs the nodes that wait for this thread, if it is the one that started the run.
    fn _run_errands(&self) {
        if self.run.exec().is_caller_here() && !self.run.runs_here() {
            // SAFETY: attached.
            unsafe { self.run.run_errands() };
        }
    }

    /// Has `callback()` called, on any thread, whenever there is a node for the thread that started the run.
    fn _set_on_errand(&self, callback: Py<PyAny>) {
        *self.run.exec().on_errand.lock() = Some(callback);
    }

    /// Whether the run is over: every node has run, failed, or been skipped or cancelled.
    ///
    /// >>> import taskloom
    /// >>> taskloom.run(taskloom.Graph()).done()
    /// True
    fn done(&self) -> bool {
        self.run.is_over()
    }

    /// Whether the run is over and all went well: no node failed, was cancelled or aborted the run.
    ///
    /// >>> import taskloom
    /// >>> taskloom.run(taskloom.Graph()).ok
    /// True
    #[getter]
    fn ok(&self) -> bool {
        self.run.is_over() && self.run.marks().sound()
    }

    /// Logs the errors that nobody has asked for, if the run is over.
    fn _report(&self, py: Python<'_>) {
        if self.run.is_over() {
            self.run.exec().report_unretrieved(py);
        }
    }

    /// Starts nothing more of this run; False if it is over already.
    fn _stop(&self, py: Python<'_>) -> bool {
        if self.run.is_over() {
            return false;
        }
        if let Some(watch) = &self.run.exec().watch {
            watch.note_stop();
        }
        self.run.exec().cancel_pending(py);
        true
    }

    /// Notes until when the run should be over, in seconds of the monotonic clock.
    fn _set_deadline(&self, at: f64) {
        self.run.exec().asked.set_deadline(at);
    }

    /// Calls `callback()` when the run is over: at once if it is, else on the thread that ends it.
    fn _when_over(&self, callback: Bound<'_, PyAny>) {
        self.run.exec().when_over(callback);
    }

    /// Whether `_stop` was called, by anybody or by a failure.
    fn _stopped(&self) -> bool {
        self.run.marks().stopped()
    }

    /// The value of a node, once the run is over.
    fn __getitem__<'py>(
        slf: &Bound<'py, Self>,
        node: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let run = &slf.get().run;
        if let Ok(node) = node.cast_exact::<Node>()
            && run.is_over()
        {
            let position = slf.get().position(node)?;
            let exec = run.exec();
            let (slot, kept) = exec.tables().place_of(exec.serial, position);
            let value = exec.values.get(slot);
            if kept && !value.is_null() {
                // SAFETY: attached; the run is over, so the slot keeps its value as long as the run lives.
                return Ok(unsafe { Bound::from_borrowed_ptr(slf.py(), value) });
            }
        }
        slf.call_method1("_missing_value", (node,))
    }

    /// What became of a node: 'done', 'failed', 'skipped', 'cancelled', 'ended' or 'aborted', and which
    /// node made it skip.
    fn _mark(
        &self,
        py: Python<'_>,
        node: &Bound<'_, Node>,
    ) -> PyResult<(&'static str, Option<Py<Node>>)> {
        let position = self.position(node)?;
        Ok(match self.run.marks().get(position) {
            Mark::Done => ("done", None),
            Mark::Failed => ("failed", None),
            Mark::Cancelled => ("cancelled", None),
            Mark::Ended => ("ended", None),
            Mark::Aborted => ("aborted", None),
            Mark::Skipped(cause) => (
                "skipped",
                Some(self.run.exec().plan().node_at(cause).clone_ref(py)),
            ),
        })
    }

    /// How many nodes failed, were skipped and were cancelled.
    fn _counts(&self) -> (usize, usize, usize) {
        let marks = self.run.marks();
        let mut counts = (0, 0, 0);
        if marks.clean() {
            return counts;
        }
        for position in 0..self.run.exec().plan().nodes.len() as u32 {
            match marks.get(position) {
                Mark::Done | Mark::Ended | Mark::Aborted => {}
                Mark::Failed => counts.0 += 1,
                Mark::Skipped(_) => counts.1 += 1,
                Mark::Cancelled => counts.2 += 1,
            }
        }
        counts
    }

    /// The failed nodes with their errors, in the plan's order, and the error that stopped the run from outside.
    #[expect(clippy::type_complexity, reason = "a pair of a list of pairs")]
    fn _failures(&self, py: Python<'_>) -> (Vec<(Py<Node>, Py<PyAny>)>, Option<Py<PyAny>>) {
        let exec = self.run.exec();
        exec.retrieved.store(true, Release);
        let copies: Vec<Failure> = exec
            .failures
            .lock()
            .iter()
            .map(|failure| failure.clone_ref(py))
            .collect();
        let mut fatal = None;
        let mut found = Vec::with_capacity(copies.len());
        for failure in copies {
            // A traceback cannot refuse its own type.
            drop(
                failure
                    .error
                    .bind(py)
                    .setattr("__traceback__", failure.traceback),
            );
            if failure.fatal && fatal.is_none() {
                fatal = Some(failure.error.clone_ref(py));
            }
            if failure.node != NO_NODE {
                found.push((failure.node, failure.error));
            }
        }
        found.sort_by_key(|(node, _)| *node);
        let plan = exec.plan();
        (
            found
                .into_iter()
                .map(|(node, error)| (plan.node_at(node).clone_ref(py), error))
                .collect(),
            fatal,
        )
    }

    /// What is known of every node that has begun, if the run is watched; None if it is not.
    fn _spans(&self, py: Python<'_>) -> Option<RunSpans> {
        let exec = self.run.exec();
        let watch = Arc::clone(exec.watch.as_ref()?);
        Some(RunSpans::new(exec.plan_object().clone_ref(py), watch))
    }

    /// The tasks as which nodes of this run go on that were submitted, by their numbers.
    fn _submitted(&self) -> Vec<usize> {
        let pending = self.run.exec().pending.lock();
        pending
            .values()
            .map(|future| future.as_ptr().addr())
            .collect()
    }

    /// When the run was cancelled, in seconds of the monotonic clock, if it is watched and was.
    fn _stopped_at(&self) -> Option<f64> {
        self.run.exec().watch.as_ref()?.stopped()
    }

    /// About how many nodes have ended, and how many threads and tasks are at others.
    fn _progress(&self) -> (usize, usize) {
        let at = self.run.participants() + self.run.exec().pending.lock().len();
        match (self.run.is_over(), self.run.pool()) {
            (true, _) => (self.run.exec().plan().nodes.len(), 0),
            (false, Some(_)) => (self.run.ended(), at),
            (false, None) => (self.run.ended(), 1),
        }
    }

    /// What tells it apart from other runs while it lives.
    #[getter]
    fn _id(&self) -> usize {
        Arc::as_ptr(&self.run).addr()
    }

    /// Whether the run is not over and has nothing for the thread that called it to do.
    fn _caller_sleeps(&self) -> bool {
        self.run.caller_sleeps()
    }

    /// The nodes that asked for the end of their branch or of the run, in the plan's order, with the
    /// signals that they raised.
    fn _signals(&self, py: Python<'_>) -> Vec<(Py<Node>, Py<PyAny>)> {
        let exec = self.run.exec();
        let mut found: Vec<(u32, Py<PyAny>)> = exec
            .signals
            .lock()
            .iter()
            .map(|(node, signal)| (*node, signal.clone_ref(py)))
            .collect();
        found.sort_by_key(|(node, _)| *node);
        found
            .into_iter()
            .map(|(node, signal)| (exec.plan().node_at(node).clone_ref(py), signal))
            .collect()
    }

    fn __contains__(&self, node: &Bound<'_, PyAny>) -> bool {
        node.cast_exact::<Node>()
            .is_ok_and(|node| self.position(node).is_ok())
    }

    fn __len__(&self) -> usize {
        self.run.exec().plan().nodes.len()
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let exec = self.run.exec();
        // While nodes run, everything counts as held from outside; and so it does if a participant that
        // has yet to leave shares the run.
        if self.run.is_over() && Arc::strong_count(&self.run) == 1 {
            visit.call(exec.plan_object())?;
            visit.call(&exec.executor)?;
            if let Some(on_event) = exec.watch.as_ref().and_then(|watch| watch.on_event()) {
                visit.call(on_event)?;
            }
            for &slot in &exec.wiring().kept {
                let value = exec.values.get(slot);
                if !value.is_null() {
                    // SAFETY: the slot owns a reference, which this class alone reports; the wrapper does not drop it.
                    let value = std::mem::ManuallyDrop::new(unsafe {
                        Bound::from_owned_ptr(Python::assume_attached(), value).unbind()
                    });
                    visit.call(&*value)?;
                }
            }
            if let Some(failures) = exec.failures.try_lock() {
                for failure in failures.iter() {
                    visit.call(&failure.error)?;
                    visit.call(&failure.traceback)?;
                }
            }
            if let Some(signals) = exec.signals.try_lock() {
                for (_, signal) in signals.iter() {
                    visit.call(signal)?;
                }
            }
        }
        Ok(())
    }

    fn __clear__(&self) {
        if self.run.is_over() && Arc::strong_count(&self.run) == 1 {
            self.clear();
        }
    }
}

impl RunCore {
    fn position(&self, node: &Bound<'_, Node>) -> PyResult<u32> {
        let plan = self.run.exec().plan();
        let index = node.get().index() as usize;
        match plan.nodes.get(index) {
            Some(own) if own.is(node) => Ok(plan.position[index]),
            _ => {
                let name = node.get().name(node.py())?;
                Err(PyKeyError::new_err(format!(
                    "node '{name}' is not in this run's plan: it belongs to another graph, or was added after compile()"
                )))
            }
        }
    }

    fn clear(&self) {
        let exec = self.run.exec();
        exec.clear();
        let failures = std::mem::take(&mut *exec.failures.lock());
        drop(failures);
        let signals = std::mem::take(&mut *exec.signals.lock());
        drop(signals);
    }
}
