//! The future: one native object that holds a call until it is run and its outcome after.
//!
//! `FutureBase` is laid out here; the public `Future` is a class over it and
//! `concurrent.futures.Future`, so that `isinstance` holds while none of that class's attributes
//! are ever created. What the standard library reaches for stands beside the object, in an
//! `Observers` record that is made on demand.
//!
//! Who may touch what:
//!
//! - `completion` decides. Whoever claims the future owns `callable`, `context`, the inputs and
//!   `outcome` until it is published; then `outcome` is immutable and everybody's to read.
//! - `pool` and `shape` are set before the object is shared and never change.
//! - `observers` is set once, by compare-exchange.
//! - `callable` may be asked for by anybody, for a name: see there.
//!
//! The garbage collector sees the object only when it can be part of a cycle: a queued future is
//! held by its queue, from outside, and a finished one refers only to its outcome. So it is tracked
//! when its outcome is, when it gets observers, or when it gets attributes.

mod callable;
mod cancel;
mod class;
mod collect;
mod coroutine;
mod execute;
mod family;
mod limit;
mod managed;
#[cfg(Py_3_12)]
mod memory;
mod methods;
mod observers;
mod publish;
mod record;
mod shape;
mod standard;
mod waits;
mod watch;

pub use cancel::{cancel, cancel_here, cancelled_so_far};
pub use class::register;
pub use coroutine::{Call as CoroutineCall, Tasks, of_coroutine, register_tasks};
pub use execute::is_cancellation;
pub use execute::{as_object, settle_elsewhere as settle};
pub use execute::{drop_garbage, execute, fail_with, has_garbage};
pub use record::Record;
pub use waits::{after_fork, count_report, hung, is_watched, register_waits};

use crate::options::TaskOptions;
pub use family::{Origin, current, current_on_worker, current_token, kinship, replace_current};
use observers::Observers;
use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use shape::{COROUTINE, INLINE, KEYWORDS, MANAGED, PROMISE, Shape, TRACKED};
use std::ptr::null_mut;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::sync::atomic::{AtomicPtr, AtomicU32};
use taskloom_core::completion::{Completion, State};

pub type Object = *mut ffi::PyObject;

/// Counts the forks that led to this process: a future of another generation will never be run.
pub static GENERATION: AtomicU32 = AtomicU32::new(0);

#[repr(C)]
pub struct FutureObject {
    base: ffi::PyObject,
    completion: Completion,
    shape: Shape,
    outcome: Object,
    callable: Object,
    /// A snapshot of the context variables of its submit.
    context: Object,
    /// Whose workers run it, and which task submitted it.
    origin: Origin,
    observers: AtomicPtr<Observers>,
    /// From CPython 3.12 on, the inputs lie behind the object, in the space it was made with.
    /// First the record if it is managed, then the names of keywords if there are any, then a
    /// scratch slot (which a callee may use, by the vectorcall protocol), then the inputs.
    #[cfg(not(Py_3_12))]
    storage: *mut Object,
}

/// The native object behind a Python object, if that is a future.
pub fn native<'a>(object: &'a Bound<'_, PyAny>) -> Option<&'a FutureObject> {
    let pointer = object.as_ptr();
    // SAFETY: live; the class is final, so an object of it has this layout.
    unsafe { (ffi::Py_TYPE(pointer) == CLASS_POINTER.load(Acquire)).then(|| &*pointer.cast()) }
}

/// The public class, kept alive for ever.
static CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
static CLASS_POINTER: AtomicPtr<ffi::PyTypeObject> = AtomicPtr::new(null_mut());

/// Replaces a reference field by null and drops what was there.
///
/// # Safety
/// Attached; the caller owns the field.
unsafe fn clear(field: *mut Object) {
    // SAFETY: the caller owns the field; it is empty before the drop runs arbitrary code.
    unsafe {
        let object = std::ptr::replace(field, null_mut());
        if !object.is_null() {
            ffi::Py_DECREF(object);
        }
    }
}

impl FutureObject {
    /// A new future for `callable` with room for inputs; null with an exception set on failure.
    ///
    /// # Safety
    /// Attached. The caller fills the inputs with owned references at once.
    #[inline]
    unsafe fn allocate(shape: Shape, origin: Origin) -> *mut FutureObject {
        let class = CLASS_POINTER.load(Acquire);
        let slots = shape.slots();
        // SAFETY: the class is ours and of this layout; all fields are written before use. A fresh
        // object is not tracked on 3.12+, and is untracked here before that.
        unsafe {
            #[cfg(Py_3_12)]
            let object = memory::allocate(class, slots);
            #[cfg(not(Py_3_12))]
            let object = ffi::PyType_GenericAlloc(class, 0);
            let future = object.cast::<FutureObject>();
            if future.is_null() {
                return future;
            }
            (&raw mut (*future).completion).write(Completion::new());
            (&raw mut (*future).shape).write(shape);
            (*future).outcome = null_mut();
            (*future).callable = null_mut();
            (*future).context = null_mut();
            (*future).origin = origin;
            (&raw mut (*future).observers).write(AtomicPtr::new(null_mut()));
            #[cfg(not(Py_3_12))]
            {
                ffi::PyObject_GC_UnTrack(object.cast());
                (*future).storage = ffi::PyMem_Calloc(slots, size_of::<Object>()).cast();
                if (*future).storage.is_null() {
                    (&raw mut (*future).shape).write(Shape::new(0, 0));
                    ffi::Py_DECREF(object);
                    ffi::PyErr_NoMemory();
                    return null_mut();
                }
            }
            future
        }
    }

    /// Where the names of keywords, the scratch slot and the inputs are; null if there are none.
    ///
    /// # Safety
    /// `this` is a live future.
    #[inline]
    unsafe fn storage(this: *mut FutureObject) -> *mut Object {
        // SAFETY: the extra space starts right behind the object.
        unsafe {
            #[cfg(Py_3_12)]
            return this.add(1).cast::<Object>();
            #[cfg(not(Py_3_12))]
            return (*this).storage;
        }
    }

    /// Whether the pool of this identity runs it.
    pub fn is_of(&self, pool: *const ()) -> bool {
        self.origin.pool() == pool
    }

    /// The inputs; the slot before the first is scratch.
    ///
    /// # Safety
    /// `this` is a live future whose storage is not null.
    #[inline]
    unsafe fn inputs(this: *mut FutureObject) -> *mut Object {
        // SAFETY: the storage was made with that many slots.
        unsafe { FutureObject::storage(this).add((*this).shape.before_inputs()) }
    }

    /// Where the names of the keywords stand, if there are any.
    ///
    /// # Safety
    /// As `inputs`.
    #[inline]
    unsafe fn names(this: *mut FutureObject) -> *mut Object {
        // SAFETY: the storage was made with that many slots.
        unsafe { FutureObject::storage(this).add((*this).shape.record()) }
    }

    /// Drops the record, if there is one.
    ///
    /// # Safety
    /// Attached; `this` is live, and nobody uses it any more.
    unsafe fn drop_record(this: *mut FutureObject) {
        // SAFETY: as the caller promises; a managed future has a record, which was written as it was made.
        unsafe {
            if (*this).shape.has(MANAGED) {
                std::ptr::drop_in_place(FutureObject::storage(this).cast::<Record>());
            }
        }
    }

    /// The names of the keywords, or null.
    ///
    /// # Safety
    /// As `inputs`.
    #[inline]
    unsafe fn keywords(this: *mut FutureObject) -> Object {
        // SAFETY: with keywords, their names are there.
        unsafe {
            if (*this).shape.has(KEYWORDS) {
                *FutureObject::names(this)
            } else {
                null_mut()
            }
        }
    }

    /// Drops the call: callable, inputs and context. For whoever claimed the future.
    ///
    /// # Safety
    /// Attached, and the caller owns these fields.
    unsafe fn clear_call(this: *mut FutureObject) {
        // SAFETY: as the caller promises.
        unsafe {
            FutureObject::clear_callable(this);
            let storage = FutureObject::storage(this);
            if !storage.is_null() {
                let shape = &(*this).shape;
                for index in 0..usize::from(shape.inputs) {
                    clear(storage.add(shape.before_inputs() + index));
                }
                if shape.has(KEYWORDS) {
                    clear(FutureObject::names(this));
                }
            }
            clear(&raw mut (*this).context);
        }
    }

    /// Makes the object visible to the garbage collector.
    ///
    /// # Safety
    /// Attached; `this` is a live future.
    unsafe fn track(this: *mut FutureObject) {
        // SAFETY: a live object with a collector's header, tracked by whoever sets the bit.
        unsafe {
            if (*this).shape.set(TRACKED) & TRACKED == 0 {
                ffi::PyObject_GC_Track(this.cast());
            }
        }
    }

    fn observers(&self) -> Option<&Observers> {
        // SAFETY: null or a box that lives as long as the object.
        unsafe { self.observers.load(Acquire).as_ref() }
    }

    /// The observers, made now if there were none.
    pub fn observers_or_new(&self) -> &Observers {
        if let Some(observers) = self.observers() {
            return observers;
        }
        let fresh = Box::into_raw(Box::new(Observers::default()));
        let made = self
            .observers
            .compare_exchange(null_mut(), fresh, AcqRel, Acquire);
        // SAFETY: the future is live and attached; the box that lost was never shared.
        unsafe {
            FutureObject::track(std::ptr::from_ref(self).cast_mut());
            match made {
                Ok(_) => &*fresh,
                Err(other) => {
                    drop(Box::from_raw(fresh));
                    &*other
                }
            }
        }
    }

    /// Takes the right to run it, for one that runs elsewhere than on a worker.
    pub fn begin(&self) -> bool {
        self.completion.claim()
    }

    /// What it is at.
    pub fn state_now(&self) -> State {
        self.completion.state()
    }

    /// Whether nothing about it will change any more.
    pub fn is_over(&self) -> bool {
        self.completion.state().is_over()
    }

    /// Who asks to note how far its task is.
    pub fn set_progress(&self, done: f64, total: Option<f64>) {
        self.observers_or_new().set_progress(done, total);
    }

    /// Where the future is, after having failed it if a fork left it behind.
    fn state(&self, py: Python<'_>) -> State {
        let state = self.completion.state();
        if !state.is_over() && self.is_left_behind() {
            execute::abandon(self, py);
            return self.completion.state();
        }
        if state == State::Pending && self.origin.is_cancelled() {
            cancel(self, py);
            return self.completion.state();
        }
        state
    }

    /// Whether the process that would have run it is this one's parent.
    fn is_left_behind(&self) -> bool {
        let generation = GENERATION.load(Relaxed);
        !self.shape.has(PROMISE | COROUTINE) && self.shape.generation != generation as u8
    }
}

/// That many inputs as a future counts them. TypeError if there are too many.
#[inline]
fn input_count(_py: Python<'_>, values: usize) -> PyResult<u16> {
    u16::try_from(values).map_err(|_| {
        PyTypeError::new_err("a task takes at most 65,535 arguments: pass a list instead")
    })
}

/// The record of a future, if it has one.
#[inline]
pub fn record_of(future: &FutureObject) -> Option<&Record> {
    if !future.shape.has(MANAGED) {
        return None;
    }
    let this = std::ptr::from_ref(future).cast_mut();
    // SAFETY: a managed future has a record before all else, written before anybody knew the future.
    Some(unsafe { &*FutureObject::storage(this).cast::<Record>() })
}

/// What was asked for beyond a plain call.
#[derive(Clone, Copy)]
pub struct Management<'a> {
    pub options: &'a TaskOptions,
    /// Whether a deadline that has passed ends the task.
    pub hard: bool,
}

impl Management<'_> {
    /// # Safety
    /// Attached; `future` was made as managed, and nobody knows it yet.
    #[inline]
    unsafe fn write(&self, future: *mut FutureObject) {
        // SAFETY: the storage of a managed future has room for the record, aligned as every pointer is.
        unsafe {
            let record = Record::new(Python::assume_attached(), self.options, self.hard);
            FutureObject::storage(future).cast::<Record>().write(record);
        }
    }
}

/// What a new future is made for.
pub struct Call<'a> {
    pub callable: Object,
    /// A snapshot, as a reference to give away.
    pub context: Object,
    pub origin: Origin,
    pub inline: bool,
    pub managed: Option<Management<'a>>,
}

/// Makes a pending future for `call.callable(*args, **kwargs)`, with `args` and `kwnames` as in a
/// vectorcall. Takes over the reference to the context; null with an exception set on failure.
///
/// # Safety
/// Attached; `args` points to live references, as many as `positional` and `kwnames` say.
#[inline]
pub unsafe fn new(
    call: &Call<'_>,
    args: *const Object,
    positional: usize,
    kwnames: Object,
) -> *mut FutureObject {
    // SAFETY: as the caller promises.
    unsafe {
        // Compiled once for each: most calls ask for nothing more.
        match call.managed {
            None => make(call, None, args, positional, kwnames),
            managed => make(call, managed, args, positional, kwnames),
        }
    }
}

/// # Safety
/// As `new`.
#[inline(always)]
unsafe fn make(
    call: &Call<'_>,
    managed: Option<Management<'_>>,
    args: *const Object,
    positional: usize,
    kwnames: Object,
) -> *mut FutureObject {
    // SAFETY: as the caller promises; every reference stored is a new one, but for the context's.
    unsafe {
        let keywords = if kwnames.is_null() {
            0
        } else {
            ffi::PyTuple_GET_SIZE(kwnames) as usize
        };
        let values = positional + keywords;
        let inputs = match input_count(Python::assume_attached(), values) {
            Ok(inputs) => inputs,
            Err(error) => {
                ffi::Py_DECREF(call.context);
                error.restore(Python::assume_attached());
                return null_mut();
            }
        };
        let inline = if call.inline { INLINE } else { 0 };
        let named = if keywords > 0 { KEYWORDS } else { 0 };
        let kind = if managed.is_some() { MANAGED } else { 0 };
        let shape = Shape::new(inputs, inline | named | kind);
        let future = FutureObject::allocate(shape, call.origin);
        if future.is_null() {
            ffi::Py_DECREF(call.context);
            return null_mut();
        }
        if let Some(managed) = managed {
            managed.write(future);
        }
        ffi::Py_INCREF(call.callable);
        (*future).callable = call.callable;
        (*future).context = call.context;
        let inputs = FutureObject::inputs(future);
        *inputs.sub(1) = null_mut();
        for index in 0..values {
            let value = *args.add(index);
            ffi::Py_INCREF(value);
            *inputs.add(index) = value;
        }
        if keywords > 0 {
            ffi::Py_INCREF(kwnames);
            *FutureObject::names(future) = kwnames;
        }
        future
    }
}
