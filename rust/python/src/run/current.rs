//! Which run this thread takes part in, at which of its nodes, and what that node may ask: its token.
//!
//! The loop of a run stores the number of each node that it calls in a place of its thread's own, and
//! that is all; everything else is found out when somebody asks.

use std::cell::{Cell, RefCell};
use std::ptr::null;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;
use pyo3::ffi;
use pyo3::prelude::*;
use taskloom_core::cancel::Token;

use super::execution::Execution;
use crate::context::context_of;
use crate::future;
use crate::plan::Node;

/// In place of a node's number: this thread is at none.
const NOWHERE: u32 = u32::MAX;

/// An execution that this thread takes part in.
struct Part {
    execution: *const Execution,
    /// The node that the thread was at when it began to take part, of the execution around.
    node_before: u32,
    /// What it was in at that time: a submitted task, and the step of a coroutine.
    task: *const (),
    step: *const (),
}

thread_local! {
    /// The executions that this thread takes part in, innermost last.
    static HERE: RefCell<Vec<Part>> = const { RefCell::new(Vec::new()) };
    /// The node of the innermost one that it has begun last.
    static NODE: Cell<u32> = const { Cell::new(NOWHERE) };
}

/// Says which coroutine this thread is stepping; null for none. Coroutines stand above runs.
static STEPPED: OnceLock<fn() -> *const ()> = OnceLock::new();

/// Has runs know the coroutine that a thread is stepping.
pub fn know_stepped(stepped: fn() -> *const ()) {
    let _ = STEPPED.set(stepped);
}

fn stepped_here() -> *const () {
    STEPPED.get().map_or(null(), |stepped| stepped())
}

fn task_here() -> *const () {
    future::current().map_or(null(), |future| std::ptr::from_ref(future).cast())
}

/// Where the loop of a run notes the node that it calls: this thread's own place.
pub(super) struct Place(*const Cell<u32>);

impl Place {
    #[inline(always)]
    pub(super) fn note(&self, node: u32) {
        // SAFETY: this thread's own, which is there as long as the thread; who holds the place does not
        // leave the thread.
        unsafe { (*self.0).set(node) };
    }
}

/// This thread takes part in an execution, until it calls `leave`.
pub(super) fn enter(execution: &Execution) -> Place {
    let part = Part {
        execution,
        node_before: NODE.replace(NOWHERE),
        task: task_here(),
        step: stepped_here(),
    };
    HERE.with_borrow_mut(|here| here.push(part));
    NODE.with(|node| Place(node))
}

pub(super) fn leave() {
    let part = HERE.with_borrow_mut(Vec::pop);
    NODE.set(part.map_or(NOWHERE, |part| part.node_before));
}

/// The executions that this thread takes part in, innermost last.
///
/// # Safety
/// They live as long as this thread takes part in them, so a reference must not outlive the call that it
/// is made in.
pub(super) unsafe fn here<'a>() -> Vec<&'a Execution> {
    HERE.with_borrow(|here| {
        here.iter()
            // SAFETY: a participant leaves before the execution that it is of is dropped.
            .map(|part| unsafe { &*part.execution })
            .collect()
    })
}

/// The node that this thread is at, with its execution, unless it is in a task or a coroutine that was
/// begun inside of that.
///
/// # Safety
/// As for `here`.
unsafe fn node_here<'a>() -> Option<(&'a Execution, u32)> {
    let node = NODE.get();
    if node == NOWHERE {
        return None;
    }
    HERE.with_borrow(|here| {
        let part = here.last()?;
        (part.task == task_here() && part.step == stepped_here())
            // SAFETY: a participant leaves before the execution that it is of is dropped.
            .then(|| (unsafe { &*part.execution }, node))
    })
}

/// Whether this thread is at a node, and in no task or coroutine that was begun inside of it.
#[inline]
pub fn is_at_node() -> bool {
    // SAFETY: not kept.
    NODE.get() != NOWHERE && unsafe { node_here() }.is_some()
}

/// What the nodes of a run may ask beside their arguments.
#[derive(Default)]
pub struct Asked {
    /// Made when a node asks for it first.
    token: Mutex<Option<Token>>,
    /// Until when the run should be over, in seconds of the monotonic clock, as bits; 0 for no limit.
    deadline: AtomicU64,
}

impl Asked {
    pub fn set_deadline(&self, seconds: f64) {
        self.deadline.store(seconds.to_bits(), Relaxed);
    }

    fn deadline(&self) -> Option<f64> {
        let bits = self.deadline.load(Relaxed);
        (bits != 0).then(|| f64::from_bits(bits))
    }
}

impl Execution {
    /// Cancels the token that nodes have asked for; to be called after the run was told to stop.
    pub(super) fn cancel_token(&self) {
        let token = self.asked.token.lock().clone();
        if let Some(token) = token {
            token.cancel(None);
        }
    }

    /// The token of a run's nodes, below that of the scope that the run was started in.
    fn token(&self, around: Option<Token>) -> Token {
        // Whoever stops the run comes by the lock after it has done so: one of the two sees the other.
        let mut place = self.asked.token.lock();
        let token = place
            .get_or_insert_with(|| around.map_or_else(Token::new, |around| around.child(false)))
            .clone();
        drop(place);
        if self.run.upgrade().is_some_and(|run| run.marks().stopped()) {
            token.cancel(None);
        }
        token
    }
}

/// The token of the node that this thread is at, if it is at one and has entered no scope in it.
/// `variable`, which scopes set, holds `innermost` here; `token_of` knows the token in such a value.
pub fn token_here(
    py: Python<'_>,
    variable: &Py<PyAny>,
    innermost: *mut ffi::PyObject,
    token_of: impl FnOnce(&Bound<'_, PyAny>) -> Option<Token>,
) -> PyResult<Option<Token>> {
    // SAFETY: used in this call alone.
    let Some((execution, _)) = (unsafe { node_here() }) else {
        return Ok(None);
    };
    // SAFETY: attached; the run's own snapshot.
    let context = unsafe { Bound::from_owned_ptr_or_err(py, context_of(execution.snapshot()))? };
    let before = context.call_method1("get", (variable,))?;
    // SAFETY: attached.
    let none = unsafe { ffi::Py_None() };
    let innermost = if innermost.is_null() { none } else { innermost };
    if before.as_ptr() != innermost {
        return Ok(None);
    }
    let around = if before.is_none() {
        None
    } else {
        token_of(&before)
    };
    Ok(Some(execution.token(around)))
}

/// What tells apart the run that this thread takes part in, innermost; None if it does not.
#[pyfunction]
pub fn _run_id_here() -> Option<usize> {
    // SAFETY: used in this call alone.
    let execution = unsafe { here() }.pop()?;
    Some(execution.run.as_ptr().addr())
}

/// The node that the caller is, what tells its run apart, its place there, and until when the run should
/// be over, by the monotonic clock; None if the caller is no node, or was submitted as a task of its own.
#[pyfunction]
pub fn _node_here(py: Python<'_>) -> Option<(Py<Node>, usize, u32, Option<f64>)> {
    // SAFETY: used in this call alone.
    let (execution, node) = unsafe { node_here() }?;
    Some((
        execution.plan().node_at(node).clone_ref(py),
        execution.run.as_ptr().addr(),
        node,
        execution.asked.deadline(),
    ))
}
