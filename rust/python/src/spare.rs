//! Awaitables that a thread keeps to be used again: one of each class, while it steps coroutines.
//!
//! A coroutine that gives way, or sends and receives, makes an object at each await and drops it at once;
//! to allocate and to free it was an eighth of what giving way costs.

use pyo3::ffi;
use std::cell::Cell;
use std::ptr::null_mut;

type Object = *mut ffi::PyObject;

/// How many classes there are; each knows its number.
const CLASSES: usize = 3;

struct Spares {
    /// Whether the thread keeps any.
    kept: Cell<bool>,
    objects: [Cell<Object>; CLASSES],
}

thread_local! {
    static SPARES: Spares = const {
        Spares { kept: Cell::new(false), objects: [const { Cell::new(null_mut()) }; CLASSES] }
    };
}

/// While this lives, its thread keeps spares. Attached where it is dropped.
pub struct Keeping {
    before: bool,
}

impl Keeping {
    pub fn begin() -> Self {
        let before = SPARES.with(|spares| spares.kept.replace(true));
        Keeping { before }
    }
}

impl Drop for Keeping {
    fn drop(&mut self) {
        SPARES.with(|spares| {
            spares.kept.set(self.before);
            if !self.before {
                for spare in &spares.objects {
                    // SAFETY: attached; the memory of an object that is gone, or null.
                    unsafe { ffi::PyObject_Free(spare.replace(null_mut()).cast()) };
                }
            }
        });
    }
}

/// The memory of an object of a class; null if there is none.
#[inline]
pub fn take(class: usize) -> Object {
    SPARES.with(|spares| spares.objects[class].replace(null_mut()))
}

/// Keeps the memory of an object that is gone; false if it is to be freed.
#[inline]
pub fn keep(class: usize, object: Object) -> bool {
    SPARES.with(|spares| {
        let spare = &spares.objects[class];
        let kept = spares.kept.get() && spare.get().is_null();
        if kept {
            spare.set(object);
        }
        kept
    })
}
