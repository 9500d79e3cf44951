//! Arguments with nodes inside containers: the shape is kept at compile and filled at each run.

use pyo3::ffi;
use pyo3::prelude::*;

/// One argument, or one element of one: a slot to read, or a container to build around slots.
pub enum Template {
    Slot(u32),
    List(Box<[Template]>),
    Tuple(Box<[Template]>),
    Dict(Box<[(Template, Template)]>),
}

impl Template {
    /// The slot, if that is all there is.
    pub fn slot(&self) -> Option<u32> {
        match self {
            Template::Slot(slot) => Some(*slot),
            _ => None,
        }
    }

    /// The argument with the slots' present values, or None with the exception set.
    ///
    /// # Safety
    /// Attached, and every slot that is named holds an object for the length of the call.
    pub unsafe fn fill<'py>(
        &self,
        py: Python<'py>,
        slots: &impl Fn(u32) -> *mut ffi::PyObject,
    ) -> PyResult<Bound<'py, PyAny>> {
        match self {
            // SAFETY: the contract above.
            Template::Slot(slot) => Ok(unsafe { Bound::from_borrowed_ptr(py, slots(*slot)) }),
            Template::List(items) => {
                // SAFETY: a list of nulls is filled before anyone sees it; a failure drops it half full, which it allows.
                unsafe {
                    let list =
                        Bound::from_owned_ptr_or_err(py, ffi::PyList_New(items.len() as isize))?;
                    for (index, item) in items.iter().enumerate() {
                        let value = item.fill(py, slots)?.into_ptr();
                        ffi::PyList_SET_ITEM(list.as_ptr(), index as isize, value);
                    }
                    Ok(list)
                }
            }
            Template::Tuple(items) => {
                // SAFETY: as for a list.
                unsafe {
                    let tuple =
                        Bound::from_owned_ptr_or_err(py, ffi::PyTuple_New(items.len() as isize))?;
                    for (index, item) in items.iter().enumerate() {
                        let value = item.fill(py, slots)?.into_ptr();
                        ffi::PyTuple_SET_ITEM(tuple.as_ptr(), index as isize, value);
                    }
                    Ok(tuple)
                }
            }
            Template::Dict(items) => {
                let dict = pyo3::types::PyDict::new(py);
                for (key, value) in items {
                    // SAFETY: the contract above.
                    let (key, value) = unsafe { (key.fill(py, slots)?, value.fill(py, slots)?) };
                    dict.set_item(key, value)?;
                }
                Ok(dict.into_any())
            }
        }
    }
}
