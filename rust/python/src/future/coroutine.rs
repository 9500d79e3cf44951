//! The future of a coroutine: it holds the call until that has made the coroutine, and knows the
//! task that runs it for as long as somebody might ask it to stop.
//!
//! Whom to ask stands behind the object, before the inputs, under a lock of its own: the task
//! registers when it first waits, and takes itself out when it ends. Before, a wish to cancel is
//! noted there, and handed to the task when that registers.

use super::execute::{keep_outcome, settle_elsewhere, vectorcall};
use super::shape::{COROUTINE, KEYWORDS, MANAGED, Shape};
use super::{FutureObject, Management, Object, Origin, clear};
use parking_lot::Mutex;
use pyo3::ffi;
use pyo3::prelude::*;
use std::ptr::{null, null_mut};
use std::sync::OnceLock;
use std::sync::atomic::AtomicPtr;
use std::sync::atomic::Ordering::Relaxed;
use taskloom_core::completion::State;

/// What a future does with the task that runs its coroutine, of which it knows only the address:
/// tasks are built on futures.
pub struct Tasks {
    // SAFETY: each is called with the address of a task that the caller has a share in, or knows alive.
    /// Takes a share in a task that is alive.
    pub retain: unsafe fn(*const ()),
    /// Gives a share up. Attached.
    pub release: unsafe fn(*const ()),
    /// Asks it to stop. Attached.
    pub cancel: unsafe fn(*const ()),
}

static TASKS: OnceLock<Tasks> = OnceLock::new();

/// To be called once, before there is any coroutine.
pub fn register_tasks(tasks: Tasks) {
    // Set already: the module was made a second time, with the same functions.
    let _ = TASKS.set(tasks);
}

/// Stands for a wish to cancel while there is no task to ask.
const WANTED: *const () = std::ptr::without_provenance(1);

/// The task to ask: null before it has registered and after it has ended. Changed, and followed, by
/// whoever has the lock; anybody may look whether it is `WANTED`.
pub(super) struct Asked {
    lock: Mutex<()>,
    task: AtomicPtr<()>,
}

impl Asked {
    fn replace(&self, task: *const ()) -> *const () {
        let _locked = self.lock.lock();
        self.task.swap(task.cast_mut(), Relaxed)
    }
}

/// How many words of the space behind a future it takes.
pub(super) const WORDS: usize = size_of::<Asked>() / size_of::<Object>();
const _: () = assert!(size_of::<Asked>() == 2 * size_of::<Object>());

/// What a coroutine is made by.
pub struct Call<'a> {
    pub callable: Object,
    /// The positional arguments, then the values of the keywords.
    pub inputs: &'a [Object],
    /// The keywords' names, a tuple, or null.
    pub names: Object,
    pub managed: Option<Management<'a>>,
}

impl Call<'_> {
    /// One that makes nothing: it lends its future a name.
    pub fn named(callable: &Py<PyAny>) -> Self {
        Call {
            callable: callable.as_ptr(),
            inputs: &[],
            names: null_mut(),
            managed: None,
        }
    }
}

/// A pending future for a coroutine, with a snapshot of the context variables for its task.
///
/// # Safety
/// All that `call` refers to is live.
#[inline]
pub unsafe fn of_coroutine<'py>(
    py: Python<'py>,
    call: &Call<'_>,
    context: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let inputs = super::input_count(py, call.inputs.len())?;
    let keywords = if call.names.is_null() { 0 } else { KEYWORDS };
    // SAFETY: attached; every reference stored is a new one, and all slots are filled at once.
    unsafe {
        let managed = if call.managed.is_some() { MANAGED } else { 0 };
        let shape = Shape::new(inputs, COROUTINE | keywords | managed);
        let future = FutureObject::allocate(shape, Origin::of_pool(null()));
        if future.is_null() {
            return Err(PyErr::fetch(py));
        }
        if let Some(managed) = &call.managed {
            managed.write(future);
        }
        ffi::Py_INCREF(call.callable);
        (*future).callable = call.callable;
        (*future).context = context.map_or(null_mut(), Bound::into_ptr);
        asked(future).cast_mut().write(Asked {
            lock: Mutex::new(()),
            task: AtomicPtr::new(null_mut()),
        });
        let slots = FutureObject::inputs(future);
        for (index, &input) in call.inputs.iter().enumerate() {
            ffi::Py_INCREF(input);
            *slots.add(index) = input;
        }
        if !call.names.is_null() {
            ffi::Py_INCREF(call.names);
            *FutureObject::names(future) = call.names;
        }
        Ok(Bound::from_owned_ptr(py, future.cast()))
    }
}

/// # Safety
/// `this` is a live future of a coroutine.
unsafe fn asked(this: *mut FutureObject) -> *const Asked {
    // SAFETY: it stands right before the inputs; the space is aligned for pointers, as it is.
    unsafe { FutureObject::inputs(this).sub(WORDS).cast() }
}

impl FutureObject {
    fn asked(&self) -> Option<&Asked> {
        // SAFETY: of a coroutine, and written before the object was shared.
        (self.shape.has(COROUTINE)).then(|| unsafe { &*asked(std::ptr::from_ref(self).cast_mut()) })
    }

    /// Takes the right to run it, for the task that runs it, which has a reference to it.
    #[inline]
    pub fn begin_here(&self, py: Python<'_>) -> bool {
        if self.is_sole(py) {
            self.completion.claim_alone()
        } else {
            self.completion.claim()
        }
    }

    /// Whether the caller has the only reference, and nobody can come by another one while the caller
    /// stays attached: with a GIL, unless a timer knows the future.
    #[inline]
    fn is_sole(&self, _py: Python<'_>) -> bool {
        let this = std::ptr::from_ref(self).cast_mut();
        // SAFETY: a live object.
        let is_last = || unsafe { ffi::Py_REFCNT(this.cast()) == 1 };
        cfg!(not(Py_GIL_DISABLED)) && !self.shape.has(MANAGED) && is_last()
    }

    /// Ends it, for the task that runs it, which has a reference to it; false if it is over.
    #[inline]
    pub fn settle_here(&self, end: State, outcome: Option<Py<PyAny>>, py: Python<'_>) -> bool {
        if !(self.is_sole(py) && self.completion.end_alone(end)) {
            return settle_elsewhere(self, end, outcome, py);
        }
        let this = std::ptr::from_ref(self).cast_mut();
        // SAFETY: attached; it was running, so who runs it has the call and the outcome, and nobody else
        // can come by the future before this thread lets another one attach. What is dropped may do that:
        // then the future is over, and the outcome stored.
        unsafe {
            if let Some(outcome) = outcome {
                keep_outcome(this, outcome.into_ptr());
            }
            self.shape.set_end(end);
            FutureObject::clear_call(this);
        }
        true
    }

    /// Calls what makes the coroutine, and lets go of its inputs. For who has begun it.
    ///
    /// # Safety
    /// Attached; the caller has claimed the call.
    pub unsafe fn make_coroutine(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let this = std::ptr::from_ref(self).cast_mut();
        // SAFETY: as the caller promises; the result is a new reference, or null with an exception.
        unsafe {
            let made = vectorcall(this);
            let made = Bound::from_owned_ptr_or_err(py, made);
            let inputs = FutureObject::inputs(this);
            for index in 0..usize::from(self.shape.inputs) {
                clear(inputs.add(index));
            }
            made.map(Bound::unbind)
        }
    }

    /// Where its task keeps its context.
    pub fn context_of_coroutine(&self) -> *mut Option<Py<PyAny>> {
        // An owned reference or null, which is what the type stands for.
        (&raw const self.context).cast_mut().cast()
    }

    /// Registers the task that runs it, taking a share in it. True if it is to be cancelled.
    ///
    /// # Safety
    /// `task` is one, and alive; the future is a coroutine's.
    pub unsafe fn listen(&self, task: *const ()) -> bool {
        let (Some(asked), Some(tasks)) = (self.asked(), TASKS.get()) else {
            return false;
        };
        // SAFETY: as the caller promises.
        unsafe { (tasks.retain)(task) };
        std::ptr::eq(asked.replace(task), WANTED)
    }

    /// Whether somebody wants it cancelled, and there was no task yet to be told.
    #[inline]
    pub fn wants_cancelling(&self) -> bool {
        (self.asked()).is_some_and(|asked| std::ptr::eq(asked.task.load(Relaxed), WANTED))
    }

    /// Takes the task out that has registered. Attached.
    pub fn stop_listening(&self) {
        let (Some(asked), Some(tasks)) = (self.asked(), TASKS.get()) else {
            return;
        };
        let task = asked.replace(null());
        if !task.is_null() && !std::ptr::eq(task, WANTED) {
            // SAFETY: the share that `listen` took.
            unsafe { (tasks.release)(task) };
        }
    }

    /// Asks the task of a running coroutine to stop, now or when it has registered. False if it is
    /// no coroutine's future. Attached.
    pub(super) fn ask_coroutine(&self) -> bool {
        let (Some(asked), Some(tasks)) = (self.asked(), TASKS.get()) else {
            return false;
        };
        let locked = asked.lock.lock();
        let task = asked.task.load(Relaxed).cast_const();
        if task.is_null() {
            asked.task.store(WANTED.cast_mut(), Relaxed);
        } else if !std::ptr::eq(task, WANTED) {
            // SAFETY: registered, so alive; the share is given back below.
            unsafe { (tasks.retain)(task) };
            drop(locked);
            // SAFETY: as above.
            unsafe {
                (tasks.cancel)(task);
                (tasks.release)(task);
            }
        }
        true
    }
}
