//! Context variables: captured at submit, entered at run, at the price of a pointer comparison.
//!
//! Copying a context is cheap, keeping a copy for each of a million futures is not. So consecutive
//! submits share one snapshot while the current context has not changed, and a worker that runs
//! them stays in one private copy of it until a task changes it or another snapshot comes.
//!
//! Both comparisons look at the context's map of variables, an immutable tree that every change
//! replaces. Where CPython keeps the pointer to it is tested at import; if it is elsewhere
//! (a future version), every submit copies and every run enters its own copy.

use pyo3::ffi;
use pyo3::prelude::*;
use std::cell::Cell;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

type Object = *mut ffi::PyObject;

/// Whether the map of variables is where we think it is.
static SHARED: AtomicBool = AtomicBool::new(false);

/// The head of CPython's `PyContext`, unchanged from 3.7 to 3.14.
#[repr(C)]
struct ContextHead {
    base: ffi::PyObject,
    previous: Object,
    variables: Object,
}

/// The identity of what a context holds.
fn variables(context: Object) -> Object {
    // SAFETY: `context` is a live PyContext, and `self_test` found the field at this place.
    unsafe { (*context.cast::<ContextHead>()).variables }
}

/// A reference that is given back when its thread ends.
struct Owned(Cell<Object>);

impl Drop for Owned {
    fn drop(&mut self) {
        let object = self.0.replace(null_mut());
        if !object.is_null() {
            Python::try_attach(|_| {
                // SAFETY: the reference was ours, and the thread is attached.
                unsafe { ffi::Py_DECREF(object) }
            });
        }
    }
}

thread_local! {
    /// The snapshot that this thread's last submit used.
    static SNAPSHOT: Owned = const { Owned(Cell::new(null_mut())) };
    /// The snapshot whose private copy this worker is in, and that copy.
    static ENTERED: (Cell<Object>, Cell<Object>) =
        const { (Cell::new(null_mut()), Cell::new(null_mut())) };
}

/// Finds out whether snapshots can be shared. Called once, at import.
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
    // SAFETY: a context object is larger than the head in every version since 3.7, so the read is
    // within it even if the field moved.
    let ok = std::mem::size_of::<ContextHead>() <= size_of_context(&context)?
        && !variables(context.as_ptr()).is_null()
        && variables(context.as_ptr()) == variables(same.as_ptr())
        && variables(context.as_ptr()) != variables(changed.as_ptr());
    SHARED.store(ok, Relaxed);
    Ok(())
}

fn size_of_context(context: &Bound<'_, PyAny>) -> PyResult<usize> {
    context.get_type().getattr("__basicsize__")?.extract()
}

/// The current context, as a new reference that must not be entered itself. Null with an exception
/// set if it cannot be had.
#[inline]
pub fn capture() -> Object {
    // SAFETY: the callers are attached.
    let current = unsafe { ffi::PyContext_CopyCurrent() };
    if current.is_null() || !SHARED.load(Relaxed) {
        return current;
    }
    SNAPSHOT.with(|snapshot| {
        let last = snapshot.0.get();
        // SAFETY: attached; `last` is null or a reference of ours, `current` is a new one. The
        // slot is updated before any reference is dropped, since that may run arbitrary code.
        unsafe {
            if !last.is_null() && variables(last) == variables(current) {
                ffi::Py_INCREF(last);
                ffi::Py_DECREF(current);
                return last;
            }
            ffi::Py_INCREF(current);
            snapshot.0.set(current);
            ffi::Py_XDECREF(last);
        }
        current
    })
}

/// Brings this worker into a private copy of `snapshot`; for the outermost task on its stack.
/// False with an exception set if that fails.
#[inline]
pub fn enter_outermost(snapshot: Object) -> bool {
    let current = ENTERED.with(|(of, copy)| (of.get(), copy.get()));
    if current.0 == snapshot && SHARED.load(Relaxed) && variables(current.1) == variables(snapshot)
    {
        return true;
    }
    leave();
    // SAFETY: attached, and `snapshot` is a live context of the future that is about to run.
    unsafe {
        let copy = ffi::PyContext_Copy(snapshot);
        if copy.is_null() {
            return false;
        }
        if ffi::PyContext_Enter(copy) != 0 {
            ffi::Py_DECREF(copy);
            return false;
        }
        ffi::Py_INCREF(snapshot);
        ENTERED.with(|(of, entered)| {
            of.set(snapshot);
            entered.set(copy);
        });
    }
    true
}

/// Whether this worker is in a context that it keeps for the next task.
pub fn is_entered() -> bool {
    ENTERED.with(|(of, _)| !of.get().is_null())
}

/// Leaves the private copy, if this worker is in one. Attached.
pub fn leave() {
    let (of, copy) = ENTERED.with(|(of, copy)| (of.replace(null_mut()), copy.replace(null_mut())));
    if of.is_null() {
        return;
    }
    // SAFETY: attached; both are references of ours, taken out of the slot before they are dropped.
    unsafe {
        if ffi::PyContext_Exit(copy) != 0 {
            // A task left a context of its own entered: it is lost, not ours.
            ffi::PyErr_Clear();
        }
        ffi::Py_DECREF(copy);
        ffi::Py_DECREF(of);
    }
}

/// A private copy of a snapshot that a thread is in for as long as this lives, on top of whatever
/// context it was in; made anew when what ran in it has changed it.
pub struct Stay {
    snapshot: Object,
    copy: Object,
    /// What an unchanged copy holds; null where that cannot be told.
    unchanged: Object,
}

impl Stay {
    /// Enters a copy of `snapshot`, which must outlive this. None, with an exception set, if that
    /// fails. Attached.
    pub fn enter(snapshot: Object) -> Option<Self> {
        // SAFETY: attached, and `snapshot` is a live context.
        let copy = unsafe { ffi::PyContext_Copy(snapshot) };
        if copy.is_null() {
            return None;
        }
        // SAFETY: as above; a new copy is entered by nobody else.
        if unsafe { ffi::PyContext_Enter(copy) } != 0 {
            // SAFETY: the copy is ours.
            unsafe { ffi::Py_DECREF(copy) };
            return None;
        }
        let unchanged = if SHARED.load(Relaxed) {
            variables(snapshot)
        } else {
            null_mut()
        };
        Some(Stay {
            snapshot,
            copy,
            unchanged,
        })
    }

    /// To be called after a task: the next one finds what the snapshot held. Attached.
    #[inline(always)]
    pub fn refresh(&mut self) {
        if self.unchanged.is_null() || variables(self.copy) != self.unchanged {
            self.renew();
        }
    }

    #[cold]
    fn renew(&mut self) {
        // The old copy is left before a new one is entered, as contexts nest.
        self.leave();
        match Stay::enter(self.snapshot) {
            Some(fresh) => *self = fresh,
            None => {
                // Out of memory: the next task runs in the context around, the one after tries again.
                // SAFETY: attached.
                unsafe { ffi::PyErr_Clear() };
                self.unchanged = null_mut();
            }
        }
    }

    fn leave(&mut self) {
        let copy = std::mem::replace(&mut self.copy, null_mut());
        if !copy.is_null() {
            // SAFETY: attached; the copy is ours, and was entered on this thread.
            unsafe {
                if ffi::PyContext_Exit(copy) != 0 {
                    // A task left a context of its own entered: it is lost, not ours.
                    ffi::PyErr_Clear();
                }
                ffi::Py_DECREF(copy);
            }
        }
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Runs `call` in a copy of `snapshot`, on top of whatever context this thread is in. Null with an
/// exception set if the context cannot be entered.
pub fn run_nested(py: Python<'_>, snapshot: Object, call: impl FnOnce() -> Object) -> Object {
    // SAFETY: attached, and `snapshot` is a live context.
    unsafe {
        let copy = ffi::PyContext_Copy(snapshot);
        if copy.is_null() {
            return null_mut();
        }
        if ffi::PyContext_Enter(copy) != 0 {
            ffi::Py_DECREF(copy);
            return null_mut();
        }
        let result = call();
        // With an exception pending, exiting must not disturb it.
        let pending = PyErr::take(py);
        if ffi::PyContext_Exit(copy) != 0 {
            ffi::PyErr_Clear();
        }
        ffi::Py_DECREF(copy);
        if let Some(pending) = pending {
            pending.restore(py);
        }
        result
    }
}
