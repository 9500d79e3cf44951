//! What the garbage collector and the last reference do with a future.

use super::{FutureObject, Object, clear, record_of};
use crate::sharing::leave_class;
use pyo3::ffi;
use std::ffi::c_void;
use std::os::raw::c_int;
use std::ptr::null_mut;
use std::sync::atomic::Ordering::AcqRel;

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

pub(super) unsafe extern "C" fn dealloc(this: Object) {
    let future = this.cast::<FutureObject>();
    // SAFETY: the last reference is gone. The subclass's dealloc, which calls this one, has
    // dropped attributes and weak references and untracked the object.
    unsafe {
        let class = ffi::Py_TYPE(this);
        if ffi::PyObject_GC_IsTracked(this) != 0 {
            ffi::PyObject_GC_UnTrack(this.cast());
        }
        FutureObject::clear_call(future);
        clear(&raw mut (*future).outcome);
        let observers = (*future).observers.swap(null_mut(), AcqRel);
        if !observers.is_null() {
            drop(Box::from_raw(observers));
        }
        FutureObject::drop_record(future);
        (*future).origin.release();
        #[cfg(not(Py_3_12))]
        ffi::PyMem_Free((*future).storage.cast());
        if let Some(free) = (*class).tp_free {
            free(this.cast());
        }
        // Over a base that is a heap type itself, the subclass's dealloc leaves this to the base's.
        leave_class(class);
    }
}
