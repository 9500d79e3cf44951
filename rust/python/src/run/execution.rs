//! What the nodes of a run do: call their callables with their operands, keep the values, note the errors.

use std::collections::HashMap;
use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::*};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use pyo3::ffi;
use pyo3::prelude::*;
use taskloom_core::latch::Event;
use taskloom_core::plan::Plan as Shape;
use taskloom_core::run::{NodeExec, OrderOnly, Outcome, Run, State};

use super::current::{self, Asked};
use super::ending::wait_for;
use super::failure::{Failure, NO_NODE};
use super::flow::again_if_asked;
use super::forwarding::exchanged;
use super::scratch::Scratch;
use super::spawned::is_spawn;
use crate::call::take_exception;
use crate::context::Stay;
use crate::plan::{
    CONSTANT, DEFERRED, Kind, PLAIN, Plan, Policy, SLOT, Step, TAKING, Tables, Use, Values, Window,
    Wiring,
};

use super::watch::{Watch, Watcher};

pub struct Execution {
    plan: Py<Plan>,
    /// A snapshot of the context variables that nodes find.
    context: Py<PyAny>,
    /// Borrowed from `plan`, which is frozen: spares the hot loop two dependent loads.
    tables: *const Tables,
    /// Whether the run takes the nodes in the static order; values lie otherwise then.
    pub serial: bool,
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
    pub watch: Option<Arc<Watch>>,
    /// What to call when the run is over; None once that is so.
    pub(super) callbacks: Mutex<Option<Vec<Py<PyAny>>>>,
    /// Of how many nodes at once may run, by the plan's windows.
    pub(super) windows: Box<[Window]>,
    polls: AtomicU32,
    /// The thread that started the run; nodes may be for it alone.
    pub(super) caller: AtomicU64,
    /// Called when there is such a node, for a thread that does not wait by blocking.
    pub(super) on_errand: Mutex<Option<Py<PyAny>>>,
    /// Whether somebody has been told about the failures.
    pub retrieved: AtomicBool,
    /// What nodes may ask.
    pub(super) asked: Asked,
}

/// What a call has come to.
pub enum Called {
    /// A new reference, or null with an exception set.
    Value(*mut ffi::PyObject),
    Future(Py<PyAny>),
    /// An error, which has been seen to.
    Error(Outcome),
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
        serial: bool,
        values: Values,
        run: &Weak<Run<Execution>>,
        watch: Option<Arc<Watch>>,
    ) -> Self {
        Execution {
            executor,
            run: Weak::clone(run),
            pending: Mutex::new(HashMap::new()),
            context,
            tables: &raw const plan.get().tables,
            plan: plan.clone().unbind(),
            serial,
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
            asked: Asked::default(),
        }
    }

    pub fn plan(&self) -> &Plan {
        self.plan.get()
    }

    /// The context variables that nodes find.
    pub(super) fn snapshot(&self) -> *mut ffi::PyObject {
        self.context.as_ptr()
    }

    pub fn plan_object(&self) -> &Py<Plan> {
        &self.plan
    }

    #[inline(always)]
    pub fn tables(&self) -> &Tables {
        // SAFETY: points into the plan that `self.plan` keeps alive and that never changes.
        unsafe { &*self.tables }
    }

    /// Where values lie in this run.
    pub fn wiring(&self) -> &Wiring {
        self.tables().wiring(self.serial)
    }

    /// As `wiring`, in the hot loop.
    #[inline(always)]
    fn wiring_of<const SERIAL: bool>(&self) -> &Wiring {
        match SERIAL {
            true => &self.tables().serial,
            false => &self.tables().parallel,
        }
    }

    /// Keeps the value of a node, which has let go of its operands.
    pub(super) fn keep_value(&self, node: u32, value: *mut ffi::PyObject) {
        let (slot, _) = self.tables().place_of(self.serial, node);
        self.values.set(slot, value);
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
        let step = self.tables().step(node);
        let wiring = self.wiring_of::<SERIAL>();
        let (operands, result) = wiring.of(step);
        let forwards = step.forwards();
        let is_direct = step.template == PLAIN || forwards.is_some();
        let outcome = if is_direct || step.template == TAKING {
            if is_direct {
                for (index, &operand) in operands.iter().enumerate() {
                    scratch.set(index, self.values.get(operand & SLOT));
                }
            } else {
                // SAFETY: attached; the node is called next.
                unsafe { self.give_up_taken(operands, scratch) };
            }
            // SAFETY: attached, by the caller's promise; the sources' values wait for this node.
            let mut value = unsafe { scratch.call(step) };
            // SAFETY: attached; a live object, if it is not null.
            if value.is_null() || unsafe { is_spawn(value) } {
                // SAFETY: as the caller promises.
                unsafe { self.end_node::<SERIAL>(node, step, Called::Value(value), scratch) }
            } else {
                if let Some(place) = forwards {
                    // SAFETY: attached; a new reference, given up for one of an argument, which lives.
                    value = unsafe { exchanged(value, scratch.argument(place)) };
                }
                // SAFETY: attached; this node has read its operands.
                unsafe { self.values.release::<SERIAL>(wiring, operands) };
                self.values.set(result & SLOT, value);
                Outcome::Done
            }
        } else {
            let called = self.call_special(node, step, scratch, SERIAL);
            // SAFETY: as the caller promises.
            unsafe { self.end_node::<SERIAL>(node, step, called, scratch) }
        };
        if let Some(context) = &mut scratch.context {
            context.refresh();
        }
        outcome
    }

    /// What a node that was called has come to.
    ///
    /// # Safety
    /// As for [`NodeExec::execute`].
    #[inline(never)]
    unsafe fn end_node<const SERIAL: bool>(
        &self,
        node: u32,
        step: &Step,
        mut called: Called,
        scratch: &Scratch,
    ) -> Outcome {
        if matches!(called, Called::Held) {
            return Outcome::Pending;
        }
        if matches!(called, Called::Value(value) if value.is_null()) {
            called = self.failed(node, step, scratch);
        }
        if let Called::Value(value) = called {
            called = self.handed_on(node, step, scratch, value);
        }
        let wiring = self.wiring_of::<SERIAL>();
        let (operands, result) = wiring.of(step);
        // SAFETY: attached; this node has read its operands, and its value is not stored yet: it may have
        // the slot of one of them, and so may what runs as soon as a future is followed.
        unsafe { self.values.release::<SERIAL>(wiring, operands) };
        match called {
            // SAFETY: attached; a new reference.
            Called::Value(value) if unsafe { is_spawn(value) } => {
                // SAFETY: as above; what was spawned owns it from here on.
                let spawn = unsafe { Bound::from_owned_ptr(Python::assume_attached(), value) };
                self.expand(spawn.py(), node, spawn.clone(), SERIAL, true)
            }
            Called::Value(value) => {
                self.values.set(result & SLOT, value);
                Outcome::Done
            }
            Called::Error(outcome) => outcome,
            Called::Held => Outcome::Pending,
            Called::Future(future) if SERIAL => self.await_in_place(node, future),
            Called::Future(future) => self.follow(node, future),
        }
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
        if let Some(taken) = tables.takes.get(&node) {
            return self
                .call_taking(py, node, step, taken)
                .unwrap_or_else(|error| {
                    error.restore(py);
                    Called::Value(std::ptr::null_mut())
                });
        }
        let operands = self.wiring().operands_of(step);
        let mut filled = Vec::new();
        if step.template == DEFERRED {
            for (index, &operand) in operands.iter().enumerate() {
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
                match unsafe { template.fill(py, &|value| self.value_of(operands, value)) } {
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
        if let Some(copies) = tables.copies.get(&node) {
            return self.call_with_copies(py, step, scratch, copies.get());
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

    /// What a template names.
    pub(super) fn value_of(&self, operands: &[u32], value: u32) -> *mut ffi::PyObject {
        match value & CONSTANT {
            0 => self.values.get(operands[value as usize] & SLOT),
            _ => self.tables().constants[(value & !CONSTANT) as usize].as_ptr(),
        }
    }

    /// What becomes of a node whose call left an exception behind.
    #[cold]
    fn failed(&self, node: u32, step: &Step, scratch: &Scratch) -> Called {
        // SAFETY: nodes are executed attached.
        let py = unsafe { Python::assume_attached() };
        if step.is_direct() {
            // The others were seen to where their arguments were still at hand.
            let value = again_if_asked(py, step, scratch);
            if !value.is_null() {
                return Called::Value(value);
            }
        }
        Called::Error(self.failed_with(py, node, take_exception(py)))
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
        let place = current::enter(self);
        let context = Stay::enter(self.context.as_ptr());
        if context.is_none() {
            // SAFETY: participants are attached.
            unsafe { ffi::PyErr_Clear() };
        }
        let watcher = self.watch.is_some().then(Watcher::new);
        Scratch::new(self.tables().widest, context, watcher, place)
    }

    #[inline(always)]
    unsafe fn execute<const SERIAL: bool>(&self, node: u32, scratch: &mut Scratch) -> Outcome {
        scratch.place.note(node);
        // SAFETY: as the caller promises.
        unsafe {
            if scratch.watcher.is_some() {
                return self.call_watched::<SERIAL>(node, scratch);
            }
            self.call_node::<SERIAL>(node, scratch)
        }
    }

    unsafe fn skip<const SERIAL: bool>(&self, node: u32) {
        let wiring = self.wiring_of::<SERIAL>();
        if !SERIAL && !self.windows.is_empty() {
            self.give_window_up(node);
        }
        // SAFETY: attached, by the caller's promise; this node will never read its operands.
        unsafe {
            self.values
                .release::<SERIAL>(wiring, wiring.operands_of(self.tables().step(node)))
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
                if let Some(run) = self.run.upgrade() {
                    run.stop();
                }
                self.cancel_token();
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
        // SAFETY: the end of a run is announced attached.
        self.call_back_all(unsafe { Python::assume_attached() });
    }

    fn recycle(&mut self, state: State) {
        // SAFETY: runs are dropped attached.
        self.report_unretrieved(unsafe { Python::assume_attached() });
        self.clear();
        // SAFETY: called once, when the run is dropped; nothing uses the values afterwards.
        let values = unsafe { ManuallyDrop::take(&mut self.values) };
        self.plan().spares.give(self.serial, state, values);
    }
}
