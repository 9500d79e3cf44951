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
//!
//! The garbage collector sees the object only when it can be part of a cycle: a queued future is
//! held by its queue, from outside, and a finished one refers only to its outcome. So it is tracked
//! when its outcome is, when it gets observers, or when it gets attributes.

mod execute;
mod family;
mod limit;
mod managed;
mod methods;
mod observers;
mod record;
mod standard;

pub use execute::{as_object, cancel_here, settle_elsewhere as settle};
pub use execute::{cancel, drop_garbage, execute, fail_with, has_garbage};
pub use managed::{manage, record_of};
pub use methods::register;
pub use record::Record;

pub use family::{Origin, current, current_on_worker, current_token, replace_current};
use observers::Observers;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use std::ffi::c_void;
use std::os::raw::c_int;
use std::ptr::{null, null_mut};
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::sync::atomic::{AtomicPtr, AtomicU8, AtomicU32};
use taskloom_core::completion::{Completion, State};

pub type Object = *mut ffi::PyObject;

/// Counts the forks that led to this process: a future of another generation will never be run.
pub static GENERATION: AtomicU32 = AtomicU32::new(0);

/// How many inputs there are, and what kind of future it is.
struct Shape {
    /// Positional arguments and values of keywords.
    inputs: u16,
    /// The fork generation, modulo 256.
    generation: u8,
    /// `INLINE`, `PROMISE`, `KEYWORDS` and `MANAGED` never change once the future is shared; the
    /// others are set later, and stay.
    flags: AtomicU8,
}

/// Runs on the thread that asks for the result, if it was not started yet.
const INLINE: u8 = 1;
/// Made by `Future()`: nobody runs it, its owner sets the outcome.
const PROMISE: u8 = 2;
/// The call has keywords; the tuple of their names stands before the inputs.
const KEYWORDS: u8 = 4;
/// Where the `State` it ended with is kept, in three bits.
const END: u8 = 8;
/// The garbage collector has been told of it.
const TRACKED: u8 = 64;
/// Has a record from the start: run by `managed`.
const MANAGED: u8 = 128;

impl Shape {
    #[inline]
    fn new(inputs: u16, flags: u8) -> Self {
        Shape {
            inputs,
            generation: GENERATION.load(Relaxed) as u8,
            flags: AtomicU8::new(flags),
        }
    }

    #[inline]
    fn has(&self, flag: u8) -> bool {
        self.flags.load(Relaxed) & flag != 0
    }

    /// The slots before the first input: scratch, and the names of keywords if there are any.
    #[inline]
    fn before_inputs(&self) -> usize {
        1 + usize::from(self.has(KEYWORDS))
    }

    /// Sets bits that were clear and returns what was set before. All callers are attached, so
    /// where one thread at a time is, no bus lock is needed.
    #[inline]
    fn set(&self, bits: u8) -> u8 {
        if cfg!(Py_GIL_DISABLED) {
            self.flags.fetch_or(bits, Relaxed)
        } else {
            let before = self.flags.load(Relaxed);
            self.flags.store(before | bits, Relaxed);
            before
        }
    }

    /// Notes how it ended; for whoever claimed the future.
    #[inline]
    fn set_end(&self, end: State) {
        self.set(end as u8 * END);
    }

    #[inline]
    fn end(&self) -> State {
        match (self.flags.load(Relaxed) / END) & 7 {
            end if end == State::Done as u8 => State::Done,
            end if end == State::Failed as u8 => State::Failed,
            _ => State::Cancelled,
        }
    }
}

#[repr(C)]
pub struct FutureObject {
    base: ffi::PyObject,
    completion: Completion,
    shape: Shape,
    outcome: Object,
    callable: Object,
    context: Object,
    /// Whose workers run it, and which task submitted it.
    origin: Origin,
    observers: AtomicPtr<Observers>,
    /// From CPython 3.12 on, the inputs lie behind the object, in the space it was made with.
    /// First the names of keywords if there are any, then a scratch slot (which a callee may use,
    /// by the vectorcall protocol), then the inputs.
    #[cfg(not(Py_3_12))]
    storage: *mut Object,
}

#[cfg(Py_3_12)]
unsafe extern "C" {
    fn PyUnstable_Object_GC_NewWithExtraData(
        class: *mut ffi::PyTypeObject,
        extra_size: usize,
    ) -> *mut ffi::PyObject;
}

/// The native object behind a Python object, if that is a future.
pub fn native<'a>(object: &'a Bound<'_, PyAny>) -> Option<&'a FutureObject> {
    let pointer = object.as_ptr();
    // SAFETY: live; the class is final, so an object of it has this layout.
    unsafe { (ffi::Py_TYPE(pointer) == CLASS_POINTER.load(Acquire)).then(|| &*pointer.cast()) }
}

/// A promise: pending until its owner sets its outcome.
pub fn promise(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    // SAFETY: attached; no inputs to fill. A new reference, or null with an exception set.
    unsafe {
        let future = FutureObject::allocate(Shape::new(0, PROMISE), Origin::of_pool(null()));
        Bound::from_owned_ptr_or_err(py, future.cast())
    }
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
        let slots = shape.before_inputs() + usize::from(shape.inputs);
        // SAFETY: the class is ours and of this layout; all fields are written before use. A fresh
        // object is not tracked on 3.12+, and is untracked here before that.
        unsafe {
            #[cfg(Py_3_12)]
            let object = PyUnstable_Object_GC_NewWithExtraData(class, slots * size_of::<Object>());
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

    /// The inputs; the slot before the first is scratch.
    ///
    /// # Safety
    /// `this` is a live future whose storage is not null.
    #[inline]
    unsafe fn inputs(this: *mut FutureObject) -> *mut Object {
        // SAFETY: the storage was made with that many slots.
        unsafe { FutureObject::storage(this).add((*this).shape.before_inputs()) }
    }

    /// The names of the keywords, or null.
    ///
    /// # Safety
    /// As `inputs`.
    #[inline]
    unsafe fn keywords(this: *mut FutureObject) -> Object {
        // SAFETY: with keywords, their names stand in the first slot.
        unsafe {
            if (*this).shape.has(KEYWORDS) {
                *FutureObject::storage(this)
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
            clear(&raw mut (*this).callable);
            let storage = FutureObject::storage(this);
            if !storage.is_null() {
                let shape = &(*this).shape;
                for index in 0..usize::from(shape.inputs) {
                    clear(storage.add(shape.before_inputs() + index));
                }
                if shape.has(KEYWORDS) {
                    clear(storage);
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
            if self.shape.has(MANAGED) {
                // There from the start: what is added now may close a cycle.
                // SAFETY: a live future, attached.
                unsafe { FutureObject::track(std::ptr::from_ref(self).cast_mut()) };
            }
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
            execute::cancel(self, py);
            return self.completion.state();
        }
        state
    }

    /// Whether the process that would have run it is this one's parent.
    fn is_left_behind(&self) -> bool {
        let generation = GENERATION.load(Relaxed);
        !self.shape.has(PROMISE) && self.shape.generation != generation as u8
    }
}

/// Whether `self.observers` can be reached is up to the caller; the rest is `visit` on every field.
unsafe extern "C" fn traverse(this: Object, visit: ffi::visitproc, arg: *mut c_void) -> c_int {
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
        if let Some(observers) = (*future).observers() {
            for object in observers.referents() {
                visit!(object);
            }
        }
    }
    0
}

unsafe extern "C" fn tp_clear(this: Object) -> c_int {
    let future = this.cast::<FutureObject>();
    // SAFETY: the collector found the object unreachable, so nobody else uses its fields.
    unsafe {
        FutureObject::clear_call(future);
        clear(&raw mut (*future).outcome);
        if let Some(observers) = (*future).observers() {
            observers.clear();
        }
    }
    0
}

unsafe extern "C" fn dealloc(this: Object) {
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
        (*future).origin.release();
        #[cfg(not(Py_3_12))]
        ffi::PyMem_Free((*future).storage.cast());
        if let Some(free) = (*class).tp_free {
            free(this.cast());
        }
        // Over a base that is a heap type itself, the subclass's dealloc leaves this to the base's.
        ffi::Py_DECREF(class.cast());
    }
}

/// What a new future is made for.
pub struct Call {
    pub callable: Object,
    pub context: Object,
    pub origin: Origin,
    pub inline: bool,
}

/// Makes a pending future for `call.callable(*args, **kwargs)`, with `args` and `kwnames` as in a
/// vectorcall. Takes over the reference to the context; null with an exception set on failure.
///
/// # Safety
/// Attached; `args` points to live references, as many as `positional` and `kwnames` say.
#[inline]
pub unsafe fn new(
    call: &Call,
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
        let Ok(inputs) = u16::try_from(values) else {
            ffi::Py_DECREF(call.context);
            let message = c"a task takes at most 65,535 arguments: pass a list instead";
            ffi::PyErr_SetString(ffi::PyExc_TypeError, message.as_ptr());
            return null_mut();
        };
        let inline = if call.inline { INLINE } else { 0 };
        let named = if keywords > 0 { KEYWORDS } else { 0 };
        let shape = Shape::new(inputs, inline | named);
        let future = FutureObject::allocate(shape, call.origin);
        if future.is_null() {
            ffi::Py_DECREF(call.context);
            return null_mut();
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
            *FutureObject::storage(future) = kwnames;
        }
        future
    }
}
