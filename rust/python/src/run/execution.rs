//! What the nodes of a run do: call their callables with their operands, keep the values, note the errors.

use std::collections::HashMap;
use std::mem::ManuallyDrop;
use std::sync::Weak;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::*};
use std::time::Duration;

use parking_lot::Mutex;
use pyo3::ffi;
use pyo3::prelude::*;
use taskloom_core::latch::Event;
use taskloom_core::plan::Plan as Shape;
use taskloom_core::pool::Worker;
use taskloom_core::run::{NodeExec, OrderOnly, Outcome, Run, State};

use super::failure::{Failure, NO_NODE};
use super::flow::{self, again_if_asked};
use super::spawned::is_spawn;
use crate::call::{self, take_exception};
use crate::context::Stay;
use crate::plan::{DEFERRED, Kind, PLAIN, Plan, Policy, SLOT, Step, Tables, Use, Values, Window};

use super::watch::{Watch, Watcher};

pub struct Execution {
    plan: Py<Plan>,
    /// A snapshot of the context variables that nodes find.
    context: Py<PyAny>,
    /// Borrowed from `plan`, which is frozen: spares the hot loop two dependent loads.
    tables: *const Tables,
    pub values: ManuallyDrop<Values>,
    pub failures: Mutex<Vec<Failure>>,
    /// The nodes that asked for the end of their branch or of the run, with the signals that they raised.
    pub signals: Mutex<Vec<(u32, Py<PyAny>)>>,
    /// Deferred nodes are submitted to it.
    pub executor: Option<Py<PyAny>>,
    /// The run that this is the execution of.
    pub run: Weak<Run<Execution>>,
    /// The futures of deferred nodes that have not ended.
    pub pending: Mutex<HashMap<u32, Py<PyAny>>>,
    /// There if somebody wants to know when nodes ran, or while they do.
    pub watch: Option<Box<Watch>>,
    /// What to call when the run is over; None once that is so.
    callbacks: Mutex<Option<Vec<Py<PyAny>>>>,
    /// Of how many nodes at once may run, by the plan's windows.
    pub(super) windows: Box<[Window]>,
    polls: AtomicU32,
    /// The thread that started the run; nodes may be for it alone.
    pub(super) caller: AtomicU64,
    /// Called when there is such a node, for a thread that does not wait by blocking.
    pub(super) on_errand: Mutex<Option<Py<PyAny>>>,
    /// Whether somebody has been told about the failures.
    pub retrieved: AtomicBool,
}

/// What a call has come to.
pub enum Called {
    /// A new reference, or null with an exception set.
    Value(*mut ffi::PyObject),
    Future(Py<PyAny>),
    /// Not called yet: its window is full.
    Held,
}

/// How often a run is polled before it lets other threads have the interpreter: every millisecond or two.
const POLLS_EACH_YIELD: u32 = 64;

// SAFETY: the only member that is not Send and Sync by itself is the pointer into the frozen plan.
unsafe impl Send for Execution {}
// SAFETY: as above.
unsafe impl Sync for Execution {}

impl Execution {
    pub fn new(
        plan: &Bound<'_, Plan>,
        executor: Option<Py<PyAny>>,
        context: Py<PyAny>,
        values: Values,
        run: &Weak<Run<Execution>>,
        watch: Option<Box<Watch>>,
    ) -> Self {
        Execution {
            executor,
            run: Weak::clone(run),
            pending: Mutex::new(HashMap::new()),
            context,
            tables: &raw const plan.get().tables,
            plan: plan.clone().unbind(),
            values: ManuallyDrop::new(values),
            failures: Mutex::new(Vec::new()),
            watch,
            signals: Mutex::new(Vec::new()),
            callbacks: Mutex::new(Some(Vec::new())),
            windows: (plan.get().tables.windows.limits.iter())
                .map(|&limit| Window::new(limit))
                .collect(),
            polls: AtomicU32::new(1),
            caller: AtomicU64::new(0),
            on_errand: Mutex::new(None),
            retrieved: AtomicBool::new(false),
        }
    }

    pub fn plan(&self) -> &Plan {
        self.plan.get()
    }

    pub fn plan_object(&self) -> &Py<Plan> {
        &self.plan
    }

    #[inline(always)]
    pub fn tables(&self) -> &Tables {
        // SAFETY: points into the plan that `self.plan` keeps alive and that never changes.
        unsafe { &*self.tables }
    }

    /// Calls a node and keeps what it returns.
    ///
    /// # Safety
    /// As for [`NodeExec::execute`].
    #[inline(always)]
    pub(super) unsafe fn call_node<const SERIAL: bool>(
        &self,
        node: u32,
        scratch: &mut Scratch,
    ) -> Outcome {
        let tables = self.tables();
        let step = tables.step(node);
        let operands = tables.operands_of(step);
        let called = if step.template == PLAIN {
            for (index, &operand) in operands.iter().enumerate() {
                scratch.set(index, self.values.get(operand & SLOT));
            }
            // SAFETY: attached, by the caller's promise; the sources' values wait for this node.
            Called::Value(unsafe { scratch.call(step) })
        } else {
            self.call_special(node, step, scratch, SERIAL)
        };
        let outcome = match called {
            Called::Value(value) if value.is_null() => self.failed(node, step, scratch),
            // SAFETY: attached; a new reference.
            Called::Value(value) if unsafe { is_spawn(value) } => {
                // SAFETY: as above; what was spawned owns it from here on.
                let spawn = unsafe { Bound::from_owned_ptr(Python::assume_attached(), value) };
                self.expand(spawn.py(), node, spawn.clone(), SERIAL, true)
            }
            Called::Value(value) => {
                self.values.set(node, value);
                Outcome::Done
            }
            Called::Held => return Outcome::Pending,
            Called::Future(future) if SERIAL => self.await_in_place(node, future),
            Called::Future(future) => self.follow(node, future),
        };
        // SAFETY: attached; this node has read its operands.
        unsafe { self.values.release::<SERIAL>(tables, operands) };
        if let Some(context) = &mut scratch.context {
            context.refresh();
        }
        outcome
    }

    /// Calls a node whose arguments hold containers with values, or that is deferred or in a window.
    #[cold]
    fn call_special(&self, node: u32, step: &Step, scratch: &mut Scratch, serial: bool) -> Called {
        if self.tables().kind(node) == Kind::Caller && !self.is_caller_here() {
            if let Some(run) = self.run.upgrade() {
                run.leave_to_caller(node);
                self.tell_caller();
            }
            return Called::Held;
        }
        if serial || self.windows.is_empty() {
            return self.call_anyway(node, step, scratch);
        }
        if !self.enter_window(node) {
            return Called::Held;
        }
        let called = self.call_anyway(node, step, scratch);
        // SAFETY: attached; a value is a live object, or null.
        let is_over = |value: *mut ffi::PyObject| value.is_null() || unsafe { !is_spawn(value) };
        if matches!(called, Called::Value(value) if is_over(value)) {
            self.leave_window(node);
        }
        called
    }

    fn call_anyway(&self, node: u32, step: &Step, scratch: &mut Scratch) -> Called {
        self.begin_watched(node, scratch);
        // SAFETY: nodes are executed attached.
        let py = unsafe { Python::assume_attached() };
        let tables = self.tables();
        if let Some(slots) = tables.takes.get(&node) {
            return self
                .call_taking(py, node, step, slots)
                .unwrap_or_else(|error| {
                    error.restore(py);
                    Called::Value(std::ptr::null_mut())
                });
        }
        let mut filled = Vec::new();
        if step.template == DEFERRED {
            for (index, &operand) in tables.operands_of(step).iter().enumerate() {
                let mut value = self.values.get(operand & SLOT);
                if value.is_null() {
                    // Only a join has sources that may be skipped.
                    value = py.get_type::<Use>().as_ptr();
                }
                scratch.set(index, value);
            }
        } else {
            for (index, template) in tables.templates[step.template as usize].iter().enumerate() {
                // SAFETY: attached; the sources of this node have run, and their values wait for it.
                match unsafe { template.fill(py, &|slot| self.values.get(slot)) } {
                    Ok(argument) => {
                        scratch.set(index, argument.as_ptr());
                        filled.push(argument);
                    }
                    Err(error) => {
                        error.restore(py);
                        return Called::Value(std::ptr::null_mut());
                    }
                }
            }
        }
        if tables.kind(node) != Kind::Deferred {
            // SAFETY: `filled` keeps the arguments alive over the calls.
            let value = unsafe { scratch.call(step) };
            return Called::Value(if value.is_null() {
                again_if_asked(py, step, scratch)
            } else {
                value
            });
        }
        match self.defer(py, node, step, scratch) {
            Ok(called) => called,
            Err(error) => {
                error.restore(py);
                Called::Value(std::ptr::null_mut())
            }
        }
    }

    /// What becomes of a node whose call left an exception behind.
    #[cold]
    fn failed(&self, node: u32, step: &Step, scratch: &Scratch) -> Outcome {
        // SAFETY: nodes are executed attached.
        let py = unsafe { Python::assume_attached() };
        if step.template == PLAIN {
            // The others were seen to where their arguments were still at hand.
            let value = again_if_asked(py, step, scratch);
            if !value.is_null() {
                self.values.set(node, value);
                return Outcome::Done;
            }
        }
        self.failed_with(py, node, take_exception(py))
    }
}

/// What a participant keeps to itself.
pub struct Scratch {
    /// The arguments of a call, with the free place in front that callees may use.
    buffer: Box<[*mut ffi::PyObject]>,
    /// The context that it is in; None if none could be made, which takes no memory at all.
    context: Option<Stay>,
    /// There if the run is watched.
    pub watcher: Option<Watcher>,
}

impl Drop for Scratch {
    fn drop(&mut self) {
        flow::leave();
    }
}

impl Scratch {
    #[inline(always)]
    pub fn set(&mut self, index: usize, argument: *mut ffi::PyObject) {
        debug_assert!(index + 1 < self.buffer.len());
        // SAFETY: made one longer than the widest step of the plan.
        unsafe { *self.buffer.get_unchecked_mut(index + 1) = argument };
    }

    /// Calls a step with the arguments that were set.
    ///
    /// # Safety
    /// Attached; all of the step's arguments were set to objects that live until it returns.
    #[inline(always)]
    unsafe fn call(&mut self, step: &Step) -> *mut ffi::PyObject {
        // SAFETY: the contract above; the place in front is what the flag grants the callee.
        unsafe {
            ffi::PyObject_Vectorcall(
                step.callable,
                self.buffer.as_ptr().add(1),
                step.positional as usize | ffi::PY_VECTORCALL_ARGUMENTS_OFFSET,
                step.names,
            )
        }
    }
}

impl Scratch {
    /// The arguments that were set.
    pub fn arguments(&self, count: usize) -> &[*mut ffi::PyObject] {
        &self.buffer[1..=count]
    }

    /// The arguments that were set, `first` put before them.
    pub fn with_first(&self, first: *mut ffi::PyObject, count: usize) -> Vec<*mut ffi::PyObject> {
        let mut arguments = vec![first];
        arguments.extend_from_slice(self.arguments(count));
        arguments
    }
}

// SAFETY: with an interpreter lock, one thread at a time is attached, and all that is called between
// two functions of this trait lets nobody else in; without one, EXCLUSIVE is false.
unsafe impl NodeExec for Execution {
    const EXCLUSIVE: bool = cfg!(not(Py_GIL_DISABLED));
    type Scratch = Scratch;

    fn shape(&self) -> &Shape {
        &self.plan().shape
    }

    fn scratch(&self) -> Scratch {
        flow::enter(self);
        let context = Stay::enter(self.context.as_ptr());
        if context.is_none() {
            // SAFETY: participants are attached.
            unsafe { ffi::PyErr_Clear() };
        }
        Scratch {
            buffer: vec![std::ptr::null_mut(); self.tables().widest + 1].into(),
            context,
            watcher: self.watch.is_some().then(Watcher::new),
        }
    }

    #[inline(always)]
    unsafe fn execute<const SERIAL: bool>(&self, node: u32, scratch: &mut Scratch) -> Outcome {
        // SAFETY: as the caller promises.
        unsafe {
            if scratch.watcher.is_some() {
                return self.call_watched::<SERIAL>(node, scratch);
            }
            self.call_node::<SERIAL>(node, scratch)
        }
    }

    unsafe fn skip<const SERIAL: bool>(&self, node: u32) {
        let tables = self.tables();
        if !SERIAL && !self.windows.is_empty() {
            self.give_window_up(node);
        }
        // SAFETY: attached, by the caller's promise; this node will never read its operands.
        unsafe {
            self.values
                .release::<SERIAL>(tables, tables.operands_of(tables.step(node)))
        };
        self.tell_left_out(node);
    }

    fn order_only(&self, node: u32) -> OrderOnly {
        match self.tables().policies[node as usize] {
            Policy::Continue => OrderOnly::GoOn,
            _ => OrderOnly::Skip,
        }
    }

    fn poll(&self, scratch: &mut Scratch) -> bool {
        // SAFETY: runs are polled attached.
        let py = unsafe { Python::assume_attached() };
        // Callables that are no Python functions never give the interpreter up by themselves.
        if Self::EXCLUSIVE
            && self
                .polls
                .fetch_add(1, Relaxed)
                .is_multiple_of(POLLS_EACH_YIELD)
        {
            py.detach(|| ());
        }
        let signals = py.check_signals();
        if let Some(watcher) = &mut scratch.watcher {
            watcher.go_on();
        }
        match signals {
            Ok(()) => true,
            Err(error) => {
                self.note(py, NO_NODE, error.into_value(py).into_any(), true);
                false
            }
        }
    }

    fn park(&self, event: &Event) -> bool {
        // SAFETY: participants are attached.
        let py = unsafe { Python::assume_attached() };
        if self.failures.lock().iter().any(|failure| failure.fatal) {
            // Who asked for a stop does not wait for what others are at.
            return false;
        }
        match wait_for(py, None, event) {
            Ok(_) => true,
            Err(error) => {
                self.note(py, NO_NODE, error.into_value(py).into_any(), true);
                false
            }
        }
    }

    fn finished(&self) {
        let callbacks = self.callbacks.lock().take();
        // SAFETY: the end of a run is announced attached.
        let py = unsafe { Python::assume_attached() };
        for callback in callbacks.into_iter().flatten() {
            call_back(callback.bind(py));
        }
    }

    fn recycle(&mut self, state: State) {
        // SAFETY: runs are dropped attached.
        self.report_unretrieved(unsafe { Python::assume_attached() });
        // SAFETY: attached; nobody else knows this run any more.
        unsafe { self.values.clear(&self.plan().tables.kept) };
        // SAFETY: called once, when the run is dropped; nothing uses the values afterwards.
        let values = unsafe { ManuallyDrop::take(&mut self.values) };
        self.plan().spares.give(state, values);
    }
}

/// Waits for an event, detached, handling signals; a worker lets a spare take its place meanwhile.
pub fn wait_for(py: Python<'_>, timeout: Option<Duration>, event: &Event) -> PyResult<bool> {
    let wait = || call::wait_detached(py, timeout, |slice| event.wait(slice));
    Worker::with_current(|worker| match worker {
        Some(worker) => worker.blocked(wait),
        None => wait(),
    })
}

fn call_back(callback: &Bound<'_, PyAny>) {
    if let Err(error) = callback.call0() {
        error.write_unraisable(callback.py(), Some(callback));
    }
}

impl Execution {
    /// Calls back when the run is over: at once if it is.
    pub fn when_over(&self, callback: Bound<'_, PyAny>) {
        let mut callbacks = self.callbacks.lock();
        match &mut *callbacks {
            Some(callbacks) => callbacks.push(callback.unbind()),
            None => {
                drop(callbacks);
                call_back(&callback);
            }
        }
    }
}
