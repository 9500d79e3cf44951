//! Nodes that get copies of some of their arguments.

use pyo3::prelude::*;

use super::execution::{Called, Execution};
use super::flow::again_if_asked;
use super::scratch::Scratch;
use crate::plan::{Copies, Step, copied};

impl Execution {
    /// Calls a step whose arguments are set with copies in place of some of them.
    pub(super) fn call_with_copies(
        &self,
        py: Python<'_>,
        step: &Step,
        scratch: &mut Scratch,
        copies: &Copies,
    ) -> Called {
        let mut made = Vec::with_capacity(copies.copiers.len());
        for (place, copier) in &copies.copiers {
            let original = scratch.argument(*place);
            // SAFETY: attached; an argument is a live object, which waits for this node.
            let value = unsafe { Bound::from_borrowed_ptr(py, original) };
            match copied(&value, copier.as_ref()) {
                Ok(copy) => made.push((*place, original, copy)),
                Err(error) => {
                    error.restore(py);
                    return Called::Value(again_if_asked(py, step, scratch));
                }
            }
        }
        for (place, _, copy) in &made {
            scratch.set(*place as usize, copy.as_ptr());
        }
        // SAFETY: attached; `made` keeps the copies alive over the call.
        let mut value = unsafe { scratch.call_with(step, copies.function.as_ptr()) };
        for (place, original, _) in &made {
            scratch.set(*place as usize, *original);
        }
        if value.is_null() {
            // What the step itself has for a callable makes copies for each attempt.
            value = again_if_asked(py, step, scratch);
        }
        Called::Value(value)
    }
}
