//! Nodes that take values: the last reference moves from its slot into the call.

use std::ptr::null_mut;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyList;

use super::execution::{Called, Execution};
use super::scratch::Scratch;
use crate::plan::{DEFERRED, Kind, SLOT, Step, TAKEN, give_up};

impl Execution {
    /// Sets the arguments of a step that takes some of them right from their slots: their references are
    /// given up here, and become those of the call.
    ///
    /// # Safety
    /// As for [`give_up`]; the operands are those of a step that is called next, and whose arguments are not
    /// looked at after that.
    #[inline]
    pub(super) unsafe fn give_up_taken(&self, operands: &[u32], scratch: &mut Scratch) {
        for (index, &operand) in operands.iter().enumerate() {
            let slot = operand & SLOT;
            let value = self.values.get(slot);
            scratch.set(index, value);
            if operand & TAKEN != 0 {
                self.values.set(slot, null_mut());
                // SAFETY: the contract above; the slot owned the reference.
                unsafe { give_up(value) };
            }
        }
    }

    /// Calls a step with one list that owns the arguments: a callable that pops them from there while it
    /// calls on is left without a reference of its own, and so is everyone here.
    #[cold]
    pub(super) fn call_taking(
        &self,
        py: Python<'_>,
        node: u32,
        step: &Step,
        taken: &[u32],
    ) -> PyResult<Called> {
        let arguments = self.box_arguments(py, step, taken)?;
        if self.tables().kind(node) == Kind::Deferred {
            // SAFETY: attached; the list holds all that the step is given.
            return unsafe { self.submit(py, node, step, &[arguments.as_ptr()], null_mut()) };
        }
        // SAFETY: attached, and live objects.
        let value = unsafe { ffi::PyObject_CallOneArg(step.callable, arguments.as_ptr()) };
        Ok(Called::Value(value))
    }

    /// The arguments of a step in a list, the last one first; those that are taken are gone from here.
    fn box_arguments<'py>(
        &self,
        py: Python<'py>,
        step: &Step,
        taken: &[u32],
    ) -> PyResult<Bound<'py, PyList>> {
        let mut arguments = Vec::new();
        let operands = self.wiring().operands_of(step);
        let moved = |place: u32| {
            let slot = operands[place as usize] & SLOT;
            let value = self.values.get(slot);
            if taken.contains(&place) {
                self.values.set(slot, std::ptr::null_mut());
                // SAFETY: attached; the slot owned the reference, which is the list's from here on.
                unsafe { Bound::from_owned_ptr(py, value) }
            } else {
                // SAFETY: attached; the value waits for this node.
                unsafe { Bound::from_borrowed_ptr(py, value) }
            }
        };
        if step.template == DEFERRED {
            arguments.extend((0..step.length).map(moved));
        } else {
            for template in &self.tables().templates[step.template as usize] {
                arguments.push(match template.operand() {
                    Some(place) => moved(place),
                    // SAFETY: attached; the sources of this node have run, and their values wait for it.
                    None => unsafe { template.fill(py, &|value| self.value_of(operands, value)) }?,
                });
            }
        }
        arguments.reverse();
        PyList::new(py, arguments)
    }
}
