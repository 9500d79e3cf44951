//! Nodes that take values: the last reference moves from its slot into the call.

use pyo3::ffi;
use pyo3::prelude::*;

use super::execution::Execution;
use crate::plan::{DEFERRED, SLOT, Step};

impl Execution {
    /// Calls a step with one list that owns the arguments, the last one first: a callable that pops them
    /// from there while it calls on is left without a reference of its own, and so is everyone here.
    #[cold]
    pub(super) fn call_taking(
        &self,
        py: Python<'_>,
        step: &Step,
        taken: &[u32],
    ) -> *mut ffi::PyObject {
        let mut arguments = Vec::new();
        let moved = |slot: u32| {
            let value = self.values.get(slot);
            if taken.contains(&slot) {
                self.values.set(slot, std::ptr::null_mut());
                // SAFETY: attached; the slot owned the reference, which is the list's from here on.
                unsafe { Bound::from_owned_ptr(py, value) }
            } else {
                // SAFETY: attached; the value waits for this node.
                unsafe { Bound::from_borrowed_ptr(py, value) }
            }
        };
        if step.template == DEFERRED {
            for &operand in self.tables().operands_of(step) {
                arguments.push(moved(operand & SLOT));
            }
        } else {
            for template in &self.tables().templates[step.template as usize] {
                let argument = match template.slot() {
                    Some(slot) => Ok(moved(slot)),
                    // SAFETY: attached; the sources of this node have run, and their values wait for it.
                    None => unsafe { template.fill(py, &|slot| self.values.get(slot)) },
                };
                match argument {
                    Ok(argument) => arguments.push(argument),
                    Err(error) => {
                        error.restore(py);
                        return std::ptr::null_mut();
                    }
                }
            }
        }
        // SAFETY: a list of nulls is filled before anyone sees it, and takes over each reference.
        unsafe {
            let count = arguments.len();
            let list = ffi::PyList_New(count as isize);
            if list.is_null() {
                return list;
            }
            for (index, argument) in arguments.into_iter().enumerate() {
                ffi::PyList_SET_ITEM(list, (count - 1 - index) as isize, argument.into_ptr());
            }
            let value = ffi::PyObject_CallOneArg(step.callable, list);
            ffi::Py_DECREF(list);
            value
        }
    }
}
