//! Nodes that forward: they stand for one of their arguments, whatever they return.

use pyo3::ffi;
use pyo3::prelude::*;

use super::execution::{Called, Execution};
use super::scratch::Scratch;
use super::spawned::is_spawn;
use crate::errors;
use crate::plan::Step;

/// Gives up one reference for one of another object.
///
/// # Safety
/// Attached; the caller owns a reference to the first, and keeps the other alive.
#[inline(always)]
pub(super) unsafe fn exchanged(
    owned: *mut ffi::PyObject,
    other: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    if owned != other {
        // SAFETY: as the caller promises.
        unsafe {
            ffi::Py_INCREF(other);
            ffi::Py_DECREF(owned);
        }
    }
    other
}

impl Execution {
    /// What a node has come to that returned this: the argument that it stands for, if it forwards.
    #[inline(always)]
    pub(super) fn handed_on(
        &self,
        node: u32,
        step: &Step,
        scratch: &Scratch,
        returned: *mut ffi::PyObject,
    ) -> Called {
        let place = step
            .forwards()
            .or_else(|| self.tables().forwards.get(&node).copied());
        match place {
            None => Called::Value(returned),
            Some(place) => self.stand_for(node, returned, scratch.argument(place)),
        }
    }

    fn stand_for(
        &self,
        node: u32,
        returned: *mut ffi::PyObject,
        argument: *mut ffi::PyObject,
    ) -> Called {
        // SAFETY: nodes are executed attached; a live object.
        if unsafe { !is_spawn(returned) } {
            // SAFETY: attached; the argument lives until the node's operands are released.
            return Called::Value(unsafe { exchanged(returned, argument) });
        }
        // SAFETY: as above; what was spawned is given up.
        let py = unsafe {
            ffi::Py_DECREF(returned);
            Python::assume_attached()
        };
        // It kept its place in its window for what it spawned.
        if !self.serial {
            self.leave_window(node);
        }
        let words = "a node that forwards stands for its argument, so what it spawns could not give its \
                     value: let another node return the Spawn";
        let error = errors::raise(py, "GraphError", words);
        Called::Error(self.failed_with(py, node, error.into_value(py).into_any()))
    }
}
