//! What the garbage collector and the last reference do with a future.

#[cfg(Py_3_12)]
use super::memory;
#[cfg(Py_3_13)]
use super::record::Record;
#[cfg(Py_3_13)]
use super::shape::TRACKED;
use super::{FutureObject, Object, clear, record_of};
use crate::sharing::leave_class;
use pyo3::ffi;
#[cfg(Py_3_13)]
use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::os::raw::c_int;

/// Whether `self.observers` can be reached is up to the caller; the rest is `visit` on every field.
pub(super) unsafe extern "C" fn traverse(
    this: Object,
    visit: ffi::visitproc,
    arg: *mut c_void,
) -> c_int {
    let future = this.cast::<FutureObject>();
    macro_rules! visit {
        ($object:expr) => {
            let object: Object = $object;
            if !object.is_null() {
                let stop = visit(object, arg);
                if stop != 0 {
                    return stop;
                }
            }
        };
    }
    // SAFETY: the collector calls this on live futures while nothing else runs, and `visit` is its
    // own callback on what we refer to.
    unsafe {
        visit!(ffi::Py_TYPE(this).cast());
        visit!((*future).outcome);
        visit!((*future).callable);
        visit!((*future).context);
        let storage = FutureObject::storage(future);
        if !storage.is_null() {
            visit!(FutureObject::keywords(future));
            let inputs = FutureObject::inputs(future);
            for index in 0..usize::from((*future).shape.inputs) {
                visit!(*inputs.add(index));
            }
        }
        if let Some(record) = record_of(&*future) {
            let mut linked = Vec::new();
            record.add_referents(&mut linked);
            for object in linked {
                visit!(object);
            }
        }
        if let Some(observers) = (*future).observers() {
            for object in observers.referents() {
                visit!(object);
            }
        }
    }
    0
}

pub(super) unsafe extern "C" fn tp_clear(this: Object) -> c_int {
    let future = this.cast::<FutureObject>();
    // SAFETY: the collector found the object unreachable, so nobody else uses its fields.
    unsafe {
        FutureObject::clear_call(future);
        clear(&raw mut (*future).outcome);
        if let Some(observers) = (*future).observers() {
            observers.clear();
        }
        if let Some(record) = record_of(&*future) {
            record.clear();
        }
    }
    0
}

/// The base's part, which the interpreter's own function for the class calls when it has done its own.
pub(super) unsafe extern "C" fn dealloc(this: Object) {
    // SAFETY: the last reference is gone. The subclass's dealloc, which calls this one, has
    // dropped attributes and weak references and untracked the object.
    unsafe {
        if ffi::PyObject_GC_IsTracked(this) != 0 {
            ffi::PyObject_GC_UnTrack(this.cast());
        }
        free(this);
    }
}

/// All of it, in the place of the interpreter's function, which is made for classes of any kind and
/// takes longer than a task's whole way through the queue.
#[cfg(Py_3_13)]
pub(super) unsafe extern "C" fn dealloc_whole(this: Object) {
    let future = this.cast::<FutureObject>();
    // SAFETY: called attached, with the last reference gone.
    unsafe {
        let class = ffi::Py_TYPE(this);
        if (*class).tp_finalize.is_some() && ffi::PyObject_CallFinalizerFromDealloc(this) < 0 {
            // Somebody gave the class a `__del__`, and that kept the object.
            return;
        }
        if (*future).shape.has(TRACKED) {
            ffi::PyObject_GC_UnTrack(this.cast());
        }
        if memory::is_marked(this) {
            ffi::PyObject_ClearWeakRefs(this);
            PyObject_ClearManagedDict(this);
        }
        if is_shallow(future) {
            free(this);
        } else {
            free_deep(this);
        }
    }
}

#[cfg(Py_3_13)]
unsafe extern "C" {
    fn PyObject_ClearManagedDict(object: *mut ffi::PyObject);
}

/// Whether nothing that it refers to can refer to anything else.
///
/// # Safety
/// Attached; nobody uses the future any more.
#[cfg(Py_3_13)]
#[inline(always)]
// SAFETY: the contract above.
unsafe fn is_shallow(future: *mut FutureObject) -> bool {
    // SAFETY: as the caller promises; an outcome is a live object.
    unsafe {
        let outcome = (*future).outcome;
        (*future).callable.is_null()
            && (outcome.is_null() || ffi::PyType_IS_GC(ffi::Py_TYPE(outcome)) == 0)
            && (*future).observers().is_none()
            && record_of(&*future).is_none_or(Record::is_light)
    }
}

/// How deep futures that hold each other are freed at once.
#[cfg(Py_3_13)]
const DEEPEST: u32 = 50;

#[cfg(Py_3_13)]
thread_local! {
    /// How many futures are being freed on this thread, each because of the one before.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    /// Those that are freed when the first of them is.
    static PUT_OFF: RefCell<Vec<Object>> = const { RefCell::new(Vec::new()) };
}

/// As `free`, for one that may hold the last reference to another, and that to a third, and so on: a
/// long chain must not exhaust the stack.
///
/// # Safety
/// As `free`.
#[cfg(Py_3_13)]
#[inline(never)]
// SAFETY: the contract above.
unsafe fn free_deep(this: Object) {
    let depth = DEPTH.get();
    // A thread that is ending has no list any more: there it goes as deep as it goes.
    let put_off = || PUT_OFF.try_with(|put_off| put_off.borrow_mut().push(this));
    if depth >= DEEPEST && put_off().is_ok() {
        return;
    }
    DEPTH.set(depth + 1);
    // SAFETY: as the caller promises, also of those that were put off: nobody else knows of them.
    unsafe {
        free(this);
        if depth == 0 {
            while let Ok(Some(next)) = PUT_OFF.try_with(|put_off| put_off.borrow_mut().pop()) {
                free(next);
            }
        }
    }
    DEPTH.set(depth);
}

/// Drops what a future refers to and frees it.
///
/// # Safety
/// Attached. The last reference is gone, it is not tracked, and has neither attributes nor weak references.
#[inline]
unsafe fn free(this: Object) {
    let future = this.cast::<FutureObject>();
    // SAFETY: as the caller promises.
    unsafe {
        let class = ffi::Py_TYPE(this);
        if !(*future).callable.is_null() || !(*future).context.is_null() {
            FutureObject::clear_call(future);
        }
        clear(&raw mut (*future).outcome);
        let observers = *(*future).observers.get_mut();
        if !observers.is_null() {
            drop(Box::from_raw(observers));
        }
        FutureObject::drop_record(future);
        (*future).origin.release();
        #[cfg(Py_3_12)]
        memory::free(this, (*future).shape.slots());
        #[cfg(not(Py_3_12))]
        {
            ffi::PyMem_Free((*future).storage.cast());
            ffi::PyObject_GC_Del(this.cast());
        }
        // An object of a class that is a heap type itself holds a reference to it.
        leave_class(class);
    }
}
