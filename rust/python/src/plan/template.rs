//! Arguments with nodes inside containers: the shape is kept at compile and filled at each run.

use pyo3::ffi;
use pyo3::prelude::*;

/// Marks a value that is a constant; the rest of it is its number among the constants.
pub const CONSTANT: u32 = 1 << 31;

/// One argument, or one element of one: a value to read, or a container to build around values.
pub enum Template {
    /// The number of one of the step's operands or, marked by [`CONSTANT`], of one of the plan's constants.
    Value(u32),
    List(Box<[Template]>),
    Tuple(Box<[Template]>),
    Dict(Box<[(Template, Template)]>),
}

impl Template {
    /// The number of the operand, if that is all there is.
    pub fn operand(&self) -> Option<u32> {
        match self {
            Template::Value(value) if value & CONSTANT == 0 => Some(*value),
            _ => None,
        }
    }

    /// The argument with the present values, or None with the exception set.
    ///
    /// # Safety
    /// Attached, and `values` gives an object for every value that is named, for the length of the call.
    pub unsafe fn fill<'py>(
        &self,
        py: Python<'py>,
        values: &impl Fn(u32) -> *mut ffi::PyObject,
    ) -> PyResult<Bound<'py, PyAny>> {
        match self {
            // SAFETY: the contract above.
            Template::Value(value) => Ok(unsafe { Bound::from_borrowed_ptr(py, values(*value)) }),
            Template::List(items) => {
                // SAFETY: a list of nulls is filled before anyone sees it; a failure drops it half full, which it allows.
                unsafe {
                    let list =
                        Bound::from_owned_ptr_or_err(py, ffi::PyList_New(items.len() as isize))?;
                    for (index, item) in items.iter().enumerate() {
                        let value = item.fill(py, values)?.into_ptr();
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
                        let value = item.fill(py, values)?.into_ptr();
                        ffi::PyTuple_SET_ITEM(tuple.as_ptr(), index as isize, value);
                    }
                    Ok(tuple)
                }
            }
            Template::Dict(items) => {
                let dict = pyo3::types::PyDict::new(py);
                for (key, value) in items {
                    // SAFETY: the contract above.
                    let (key, value) = unsafe { (key.fill(py, values)?, value.fill(py, values)?) };
                    dict.set_item(key, value)?;
                }
                Ok(dict.into_any())
            }
        }
    }
}
