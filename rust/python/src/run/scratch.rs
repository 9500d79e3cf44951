//! What a participant of a run keeps to itself: the arguments of the call it is at, and where it stands.

use pyo3::ffi;

use super::current::{self, Place};
use super::watch::Watcher;
use crate::context::Stay;
use crate::plan::Step;

pub struct Scratch {
    /// The arguments of a call, with the free place in front that callees may use.
    buffer: Box<[*mut ffi::PyObject]>,
    /// The context that it is in; None if none could be made, which takes no memory at all.
    pub(super) context: Option<Stay>,
    /// There if the run is watched.
    pub(super) watcher: Option<Watcher>,
    /// Where it notes the node that it is at.
    pub(super) place: Place,
}

impl Drop for Scratch {
    fn drop(&mut self) {
        current::leave();
    }
}

impl Scratch {
    /// For steps of at most so many arguments.
    pub fn new(
        widest: usize,
        context: Option<Stay>,
        watcher: Option<Watcher>,
        place: Place,
    ) -> Self {
        Scratch {
            buffer: vec![std::ptr::null_mut(); widest + 1].into(),
            context,
            watcher,
            place,
        }
    }

    #[inline(always)]
    pub fn set(&mut self, index: usize, argument: *mut ffi::PyObject) {
        debug_assert!(index + 1 < self.buffer.len());
        // SAFETY: made one longer than the widest step of the plan.
        unsafe { *self.buffer.get_unchecked_mut(index + 1) = argument };
    }

    /// Calls a step with the arguments that were set.
    ///
    /// # Safety
    /// Attached; all of the step's arguments were set to objects that live until it returns.
    #[inline(always)]
    pub unsafe fn call(&mut self, step: &Step) -> *mut ffi::PyObject {
        // SAFETY: the contract above.
        unsafe { self.call_with(step, step.callable) }
    }

    /// As `call`, but another callable.
    ///
    /// # Safety
    /// As for `call`; a live object.
    #[inline(always)]
    pub unsafe fn call_with(
        &mut self,
        step: &Step,
        callable: *mut ffi::PyObject,
    ) -> *mut ffi::PyObject {
        // SAFETY: the contract above; the place in front is what the flag grants the callee.
        unsafe {
            ffi::PyObject_Vectorcall(
                callable,
                self.buffer.as_ptr().add(1),
                step.positional as usize | ffi::PY_VECTORCALL_ARGUMENTS_OFFSET,
                step.names,
            )
        }
    }

    /// One of the arguments that were set.
    pub fn argument(&self, place: u32) -> *mut ffi::PyObject {
        self.buffer[place as usize + 1]
    }

    /// The arguments that were set.
    pub fn arguments(&self, count: usize) -> &[*mut ffi::PyObject] {
        &self.buffer[1..=count]
    }

    /// The arguments that were set, `first` put before them.
    pub fn with_first(&self, first: *mut ffi::PyObject, count: usize) -> Vec<*mut ffi::PyObject> {
        let mut arguments = vec![first];
        arguments.extend_from_slice(self.arguments(count));
        arguments
    }
}
