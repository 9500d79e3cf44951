//! Where futures lie: in cells of our own while there is a GIL, else where the interpreter puts them.
//!
//! The interpreter's allocator serves all objects alike. It counts futures towards the collector's next
//! turn, though it hardly ever sees one, and a crowd of them takes its memory from the system in small
//! pages, each of which is a fault: see [`slab`](taskloom_core::slab). Without a GIL the collector
//! finds objects by looking through the interpreter's own memory, so they have to be there.
//!
//! In front of an object that it manages, the interpreter keeps a head: its weak references, its
//! attributes, the collector's links. `self_test` tries out at import whether that is as it is known;
//! where it is not, everything is left to the interpreter.

#[cfg(not(Py_GIL_DISABLED))]
use super::FutureObject;
use super::Object;
use pyo3::ffi;
use pyo3::prelude::*;
use std::ptr::null_mut;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

#[cfg(not(Py_GIL_DISABLED))]
use crate::cells::{give, take};

/// The words of the head. The first two are the weak references and the attributes.
const HEAD: usize = if cfg!(Py_GIL_DISABLED) { 2 } else { 4 };

/// Whether the head is as it is known.
static KNOWN: AtomicBool = AtomicBool::new(false);

unsafe extern "C" {
    fn PyUnstable_Object_GC_NewWithExtraData(
        class: *mut ffi::PyTypeObject,
        extra_size: usize,
    ) -> *mut ffi::PyObject;
}

/// The size of the cell for a future with so many slots behind it; None if that lies elsewhere.
#[cfg(not(Py_GIL_DISABLED))]
#[inline(always)]
fn cell_size(slots: usize) -> Option<usize> {
    let size = (HEAD + slots) * size_of::<Object>() + size_of::<FutureObject>();
    (size <= taskloom_core::slab::LARGEST && KNOWN.load(Relaxed)).then_some(size)
}

/// A new object of the class, not tracked, with room for so many slots behind it, of which nothing is
/// filled in. Null with an exception set if there is no memory.
///
/// # Safety
/// Attached; the class is that of futures.
#[inline(always)]
pub(super) unsafe fn allocate(class: *mut ffi::PyTypeObject, slots: usize) -> Object {
    // SAFETY: as the caller promises; a cell is as large as was asked for, and aligned for pointers.
    unsafe {
        #[cfg(not(Py_GIL_DISABLED))]
        if let Some(size) = cell_size(slots) {
            let Some(cell) = take(size) else {
                return ffi::PyErr_NoMemory();
            };
            let head = cell.cast::<[Object; HEAD]>();
            head.write([null_mut(); HEAD]);
            return ffi::PyObject_Init(head.add(1).cast().as_ptr(), class);
        }
        PyUnstable_Object_GC_NewWithExtraData(class, slots * size_of::<Object>())
    }
}

/// Frees an object that has so many slots behind it.
///
/// # Safety
/// Attached; `allocate` gave it, it is not tracked, and nobody uses it any more.
#[inline(always)]
pub(super) unsafe fn free(this: Object, slots: usize) {
    // SAFETY: as the caller promises.
    unsafe {
        #[cfg(not(Py_GIL_DISABLED))]
        if cell_size(slots).is_some() {
            let head = this.cast::<[Object; HEAD]>().sub(1);
            return give(std::ptr::NonNull::new_unchecked(head.cast()));
        }
        let _ = slots;
        ffi::PyObject_GC_Del(this.cast());
    }
}

/// Whether an object has weak references to it, or attributes. Only where the head is known.
///
/// # Safety
/// `this` is a live future.
#[cfg(Py_3_13)]
#[inline(always)]
pub(super) unsafe fn is_marked(this: Object) -> bool {
    // SAFETY: `self_test` found these two in the words that the head begins with; nobody changes them
    // while the callers look, who have the last reference.
    unsafe {
        let head = this.cast::<[Object; HEAD]>().sub(1);
        !(*head)[0].is_null() || !(*head)[1].is_null()
    }
}

/// Tries out whether the interpreter lays objects out as described, with a fresh future that it has
/// made, which has nothing behind it; then that is relied upon. To be called before there is any other.
pub(super) fn self_test(probe: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = probe.py();
    let whole: usize = (py.import("sys")?)
        .call_method1("getsizeof", (probe,))?
        .extract()?;
    let own: usize = probe.call_method0("__sizeof__")?.extract()?;
    if whole != own + HEAD * size_of::<Object>() {
        return Ok(false);
    }
    let head = || {
        let head = probe.as_ptr().cast::<[Object; HEAD]>();
        // SAFETY: the interpreter says that there is so much in front of the object, which is live.
        unsafe { head.sub(1).read_volatile() }
    };
    if head().iter().any(|word| !word.is_null()) {
        return Ok(false);
    }
    // SAFETY: attached; a new reference, or null with an exception.
    let _weak = unsafe {
        let weak = ffi::PyWeakref_NewRef(probe.as_ptr(), null_mut());
        Bound::from_owned_ptr_or_err(py, weak)?
    };
    let named = head();
    probe.setattr("probe", true)?;
    let marked = head();
    let found = !named[0].is_null() && named[1].is_null() && !marked[1].is_null();
    Ok(found)
}

/// From now on the head is relied upon.
pub(super) fn rely() {
    KNOWN.store(true, Relaxed);
}
