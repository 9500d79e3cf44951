//! What a future calls: its runner's to drop, and anybody's to ask for, for a name.
//!
//! Without a GIL both may happen at the same time, and whoever asks must not take a reference to
//! what has just been freed. He makes the future's observers first and reads the callable after;
//! the runner takes the callable out first and looks for observers after. So either there is nothing
//! to be read any more, or the runner sees the observers and waits for their lock, in which the
//! reference is taken. With a GIL the two cannot meet.

use super::{FutureObject, Object, clear, record_of};
use crate::tracing;
use pyo3::ffi;
use pyo3::prelude::*;
use std::ptr::null_mut;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicPtr, fence};

impl FutureObject {
    /// What it calls, until it is over; for anybody, while its runner may drop it.
    pub fn callable(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        let observers = self.observers_or_new();
        fence(SeqCst);
        observers.locked(|| {
            let callable = self.callable_field().load(SeqCst);
            // SAFETY: attached; not dropped while the lock is held.
            unsafe { Bound::from_borrowed_ptr_or_opt(py, callable) }.map(Bound::unbind)
        })
    }

    fn callable_field(&self) -> &AtomicPtr<ffi::PyObject> {
        // SAFETY: aligned and live; who else writes it has the future for itself.
        unsafe { AtomicPtr::from_ptr((&raw const self.callable).cast_mut()) }
    }

    /// Drops what it calls, when nobody is about to take a reference to that.
    ///
    /// # Safety
    /// Attached, and the caller owns the call.
    #[inline]
    pub(super) unsafe fn clear_callable(this: *mut FutureObject) {
        // SAFETY: as the caller promises; with a GIL nobody takes a reference meanwhile.
        unsafe {
            if cfg!(not(Py_GIL_DISABLED)) {
                return clear(&raw mut (*this).callable);
            }
            let callable = (*this).callable_field().swap(null_mut(), SeqCst);
            if let Some(observers) = (*this).observers.load(SeqCst).as_ref() {
                observers.locked(|| ());
            }
            ffi::Py_XDECREF(callable);
        }
    }

    /// What names its task: a string, or what it calls. For whoever has claimed the call.
    #[inline]
    pub(super) fn named_by(&self) -> Object {
        let name = record_of(self).and_then(|record| record.name.as_ref());
        if let Some(name) = name {
            return name.as_ptr();
        }
        match tracing::named_by_argument(self.callable) {
            Some(place) if place < usize::from(self.shape.inputs) => {
                // SAFETY: as many inputs as the shape says, which are there until the call is over.
                unsafe { *FutureObject::inputs(std::ptr::from_ref(self).cast_mut()).add(place) }
            }
            _ => self.callable,
        }
    }
}
