//! Context variables: captured at submit, entered at run, at the price of a pointer comparison.
//!
//! What a context holds is an immutable tree, which every change replaces. So a **snapshot** is that
//! tree alone: submits share it for as long as nothing changes, and one that changes something pays
//! for no context of its own. A worker stays in one private context: a task whose snapshot is what
//! that holds just runs, for another one the context is filled anew.
//!
//! None of this can be had from CPython's API. Where a context keeps its tree and a thread its context
//! is found out at import, by trying; if either is elsewhere in a future version, a snapshot is a
//! copied context, and every run enters a copy of that.

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use std::cell::Cell;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

type Object = *mut ffi::PyObject;

/// How many bytes into a thread's state its current context is; 0 if it or a context's tree is not
/// where we can tell.
static CURRENT: AtomicUsize = AtomicUsize::new(0);

/// How far into a thread's state to look for it. No version's is smaller: 288 bytes in 3.12, and more
/// in the others from 3.11 to 3.14.
const SEARCHED: usize = 256;

/// The head of CPython's `PyContext`, unchanged from 3.7 to 3.14.
#[repr(C)]
struct ContextHead {
    base: ffi::PyObject,
    previous: Object,
    variables: Object,
}

/// Whether snapshots are trees, and not contexts.
#[inline(always)]
fn knows_layout() -> bool {
    CURRENT.load(Relaxed) != 0
}

/// What a context holds, borrowed.
fn variables(context: Object) -> Object {
    // SAFETY: `context` is a live PyContext, and `self_test` found the field at this place.
    unsafe { (*context.cast::<ContextHead>()).variables }
}

/// Has a context that no thread is in hold a snapshot.
///
/// # Safety
/// Attached; `context` is a live PyContext that only the caller uses, `snapshot` a tree.
unsafe fn fill(context: Object, snapshot: Object) {
    // SAFETY: as the caller promises; the field holds a reference, which is dropped when it is out.
    unsafe {
        ffi::Py_INCREF(snapshot);
        let before = std::mem::replace(&mut (*context.cast::<ContextHead>()).variables, snapshot);
        ffi::Py_XDECREF(before);
    }
}

thread_local! {
    /// The private context that this worker is in, and the snapshot that it was filled with.
    static ENTERED: (Cell<Object>, Cell<Object>) =
        const { (Cell::new(null_mut()), Cell::new(null_mut())) };
}

/// Finds out whether snapshots can be trees. Called once, at import.
pub fn self_test(py: Python<'_>) -> PyResult<()> {
    let module = py.import("contextvars")?;
    let variable = module
        .getattr("ContextVar")?
        .call1(("taskloom self-test",))?;
    let context = module.getattr("Context")?.call0()?;
    context.call_method1("run", (variable.getattr("set")?, 1))?;
    let same = context.call_method0("copy")?;
    let changed = context.call_method0("copy")?;
    changed.call_method1("run", (variable.getattr("set")?, 2))?;
    let basic_size: usize = context.get_type().getattr("__basicsize__")?.extract()?;
    // SAFETY (of the reads below): a context is larger than the head in every version since 3.7, so
    // they are within it even if the field moved.
    let found = std::mem::size_of::<ContextHead>() <= basic_size
        && !variables(context.as_ptr()).is_null()
        && variables(context.as_ptr()) == variables(same.as_ptr())
        && variables(context.as_ptr()) != variables(changed.as_ptr());
    if !found {
        return Ok(());
    }
    let filled = module.getattr("Context")?.call0()?;
    // SAFETY: attached; a new context, and what other contexts hold at the same place.
    unsafe { fill(filled.as_ptr(), variables(changed.as_ptr())) };
    let value: i32 = filled.call_method1("get", (&variable,))?.extract()?;
    let mut places = places_of_current(&context)?;
    let others = places_of_current(&changed)?;
    places.retain(|place| others.contains(place));
    if let (2, [place]) = (value, &places[..]) {
        CURRENT.store(*place, Relaxed);
    }
    Ok(())
}

/// Where in this thread's state a context stands that it has just entered.
fn places_of_current(context: &Bound<'_, PyAny>) -> PyResult<Vec<usize>> {
    let context = context.as_ptr();
    // SAFETY: attached; the state of this thread is larger than what is looked at, holds no padding
    // there that is not initialised (it is zeroed when it is made), and is changed by nobody else.
    unsafe {
        if ffi::PyContext_Enter(context) != 0 {
            return Err(PyErr::fetch(Python::assume_attached()));
        }
        let state = ffi::PyThreadState_Get().cast::<Object>().cast_const();
        let places = (1..SEARCHED / size_of::<Object>())
            .filter(|index| std::ptr::read_volatile(state.add(*index)) == context)
            .map(|index| index * size_of::<Object>())
            .collect();
        if ffi::PyContext_Exit(context) != 0 {
            return Err(PyErr::fetch(Python::assume_attached()));
        }
        Ok(places)
    }
}

/// Has snapshots be copies from now on, as on a version of unknown layout: for tests, before anything
/// was captured.
#[pyfunction]
fn _forget_layout() {
    CURRENT.store(0, Relaxed);
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    self_test(module.py())?;
    module.add_function(wrap_pyfunction!(_forget_layout, module)?)
}

/// A snapshot of the current context, as a new reference. Null with an exception set if it cannot be
/// had.
#[inline]
pub fn capture() -> Object {
    let place = CURRENT.load(Relaxed);
    if place != 0 {
        // SAFETY: attached; `self_test` found that a thread's state has its context there, or null
        // while it has none.
        unsafe {
            let state = ffi::PyThreadState_Get().cast::<u8>();
            let current = state.add(place).cast::<Object>().read();
            if !current.is_null() {
                let snapshot = variables(current);
                ffi::Py_INCREF(snapshot);
                return snapshot;
            }
        }
    }
    capture_copy()
}

#[cold]
fn capture_copy() -> Object {
    // SAFETY: the callers are attached; the copy is ours to turn into a snapshot.
    unsafe {
        let copy = ffi::PyContext_CopyCurrent();
        if copy.is_null() || !knows_layout() {
            return copy;
        }
        let snapshot = variables(copy);
        ffi::Py_INCREF(snapshot);
        ffi::Py_DECREF(copy);
        snapshot
    }
}

/// A snapshot of a context.
pub fn snapshot_of(context: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    let py = context.py();
    // SAFETY: live objects; a context's tree is live as well, and gets a reference more.
    unsafe {
        if ffi::PyContext_CheckExact(context.as_ptr()) == 0 {
            let given = context.get_type().name()?;
            return Err(PyTypeError::new_err(format!(
                "context must be a contextvars.Context, not {given}"
            )));
        }
        if knows_layout() {
            return Ok(Bound::from_borrowed_ptr(py, variables(context.as_ptr())).unbind());
        }
        Ok(Bound::from_owned_ptr_or_err(py, ffi::PyContext_Copy(context.as_ptr()))?.unbind())
    }
}

/// A new context that holds a snapshot, and which no thread is in. Null with an exception set if it
/// cannot be had.
///
/// # Safety
/// Attached; `snapshot` is one, and live.
pub unsafe fn context_of(snapshot: Object) -> Object {
    // SAFETY: as the caller promises; the new context is ours.
    unsafe {
        if !knows_layout() {
            return ffi::PyContext_Copy(snapshot);
        }
        let context = ffi::PyContext_New();
        if !context.is_null() {
            fill(context, snapshot);
        }
        context
    }
}

/// As `context_of`, and enters it.
///
/// # Safety
/// As `context_of`.
unsafe fn enter_new(snapshot: Object) -> Object {
    // SAFETY: as the caller promises.
    unsafe {
        let context = context_of(snapshot);
        if !context.is_null() && ffi::PyContext_Enter(context) != 0 {
            ffi::Py_DECREF(context);
            return null_mut();
        }
        context
    }
}

/// Brings this worker into a private context that holds `snapshot`; for the outermost task on its
/// stack. False with an exception set if that fails.
#[inline]
pub fn enter_outermost(snapshot: Object) -> bool {
    ENTERED.with(|(context, filled_with)| {
        let current = context.get();
        // What a live context holds is live, and so is the snapshot: the same address is the same tree.
        if knows_layout() && !current.is_null() && variables(current) == snapshot {
            return true;
        }
        enter_other(context, filled_with, snapshot)
    })
}

fn enter_other(context: &Cell<Object>, filled_with: &Cell<Object>, snapshot: Object) -> bool {
    let (current, before) = (context.get(), filled_with.get());
    // SAFETY: attached, and `snapshot` is that of the future that is about to run. The cells hold
    // references of ours, which are taken out before they are dropped.
    unsafe {
        // A context that a task has changed is not used again: the tokens of its changes name it.
        let unchanged = knows_layout() && !current.is_null() && variables(current) == before;
        if unchanged && ffi::PyContext_Exit(current) == 0 {
            context.set(null_mut());
            filled_with.set(null_mut());
            fill(current, snapshot);
            ffi::Py_DECREF(before);
            if ffi::PyContext_Enter(current) != 0 {
                ffi::Py_DECREF(current);
                return false;
            }
            ffi::Py_INCREF(snapshot);
            context.set(current);
            filled_with.set(snapshot);
            return true;
        }
        ffi::PyErr_Clear();
        leave();
        let fresh = enter_new(snapshot);
        if fresh.is_null() {
            return false;
        }
        ffi::Py_INCREF(snapshot);
        context.set(fresh);
        filled_with.set(snapshot);
        true
    }
}

/// Brings this worker into its context, filled with `snapshot`, for a step of a coroutine that is the
/// outermost on its stack. False: the coroutine needs a context of its own.
#[inline]
pub fn enter_for_step(snapshot: Object) -> bool {
    if knows_layout() {
        if enter_outermost(snapshot) {
            return true;
        }
        // SAFETY: attached; what went wrong here goes wrong again for who makes a context now.
        unsafe { ffi::PyErr_Clear() };
    }
    false
}

/// What such a step has left of the context variables.
pub enum Left {
    AsItWas,
    /// Others hold now.
    Changed(Py<PyAny>),
    /// The context itself, which must be there for setting variables back: their tokens name it.
    Named(Py<PyAny>),
}

/// To be called after such a step, with the same snapshot; whatever is given is the coroutine's.
#[inline]
pub fn leave_after_step(py: Python<'_>, snapshot: Object) -> Left {
    let (context, filled_with) = ENTERED.with(|(context, filled)| (context.get(), filled.get()));
    if context.is_null() {
        return Left::AsItWas;
    }
    let now = variables(context);
    // SAFETY: a reference of ours.
    let named = unsafe { ffi::Py_REFCNT(context) } != HELD;
    if now == snapshot && !named {
        return Left::AsItWas;
    }
    // SAFETY: attached; both are live, as the worker is in the context, and get a reference each.
    let (context, left) = unsafe {
        (
            Bound::from_borrowed_ptr(py, context).unbind(),
            Bound::from_borrowed_ptr(py, now).unbind(),
        )
    };
    if named {
        leave();
        return Left::Named(context);
    }
    // Nobody can set anything back in it: it can be filled with something else.
    ENTERED.with(|(_, filled)| filled.set(left.clone_ref(py).into_ptr()));
    // SAFETY: attached; the reference that was in the cell.
    unsafe { ffi::Py_DECREF(filled_with) };
    Left::Changed(left)
}

/// The references to a context that a worker is in: the worker's, and the interpreter's while it is.
const HELD: isize = 2;

/// Whether this worker is in a context that it keeps for the next task.
pub fn is_entered() -> bool {
    ENTERED.with(|(context, _)| !context.get().is_null())
}

/// Leaves the private context, if this worker is in one. Attached.
pub fn leave() {
    let (context, filled_with) = ENTERED.with(|(context, filled_with)| {
        (context.replace(null_mut()), filled_with.replace(null_mut()))
    });
    if context.is_null() {
        return;
    }
    // SAFETY: attached; both are references of ours, taken out of the cells before they are dropped.
    unsafe {
        if ffi::PyContext_Exit(context) != 0 {
            // A task left a context of its own entered: it is lost, not ours.
            ffi::PyErr_Clear();
        }
        ffi::Py_DECREF(context);
        ffi::Py_DECREF(filled_with);
    }
}

/// A private context that holds a snapshot, and that a thread is in for as long as this lives, on top
/// of whatever context it was in; made anew when what ran in it has changed it.
pub struct Stay {
    snapshot: Object,
    context: Object,
}

impl Stay {
    /// Enters a context that holds `snapshot`, which must outlive this. None, with an exception set, if
    /// that fails. Attached.
    pub fn enter(snapshot: Object) -> Option<Self> {
        // SAFETY: attached, and `snapshot` is live.
        let context = unsafe { enter_new(snapshot) };
        (!context.is_null()).then_some(Stay { snapshot, context })
    }

    /// To be called after a task: the next one finds what the snapshot held. Attached.
    #[inline(always)]
    pub fn refresh(&mut self) {
        if self.context.is_null() || !knows_layout() || variables(self.context) != self.snapshot {
            self.renew();
        }
    }

    #[cold]
    fn renew(&mut self) {
        // The old context is left before a new one is entered, as contexts nest.
        self.leave();
        // SAFETY: attached, and the snapshot is live.
        self.context = unsafe { enter_new(self.snapshot) };
        if self.context.is_null() {
            // Out of memory: the next task runs in the context around, the one after tries again.
            // SAFETY: attached.
            unsafe { ffi::PyErr_Clear() };
        }
    }

    fn leave(&mut self) {
        let context = std::mem::replace(&mut self.context, null_mut());
        if !context.is_null() {
            // SAFETY: attached; the context is ours, and was entered on this thread.
            unsafe {
                if ffi::PyContext_Exit(context) != 0 {
                    // A task left a context of its own entered: it is lost, not ours.
                    ffi::PyErr_Clear();
                }
                ffi::Py_DECREF(context);
            }
        }
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Runs `call` in a context that holds `snapshot`, on top of whatever context this thread is in. Null
/// with an exception set if that cannot be entered.
pub fn run_nested(py: Python<'_>, snapshot: Object, call: impl FnOnce() -> Object) -> Object {
    // SAFETY: attached, and `snapshot` is live.
    unsafe {
        let context = enter_new(snapshot);
        if context.is_null() {
            return null_mut();
        }
        let result = call();
        // With an exception pending, exiting must not disturb it.
        let pending = PyErr::take(py);
        if ffi::PyContext_Exit(context) != 0 {
            ffi::PyErr_Clear();
        }
        ffi::Py_DECREF(context);
        if let Some(pending) = pending {
            pending.restore(py);
        }
        result
    }
}
