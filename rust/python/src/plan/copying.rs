//! Arguments of which a node gets copies of its own, and how those are made.

use pyo3::PyTraverseError;
use pyo3::PyVisit;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{
    PyByteArray, PyBytes, PyComplex, PyDict, PyFloat, PyInt, PyList, PySet, PyString, PyTuple,
};

/// What a node calls that gets copies of some of its arguments; made by `Graph.compile`.
///
/// The step itself has a callable that makes the copies, too: for attempts after the first.
#[pyclass(frozen, module = "taskloom._taskloom")]
pub struct Copies {
    pub function: Py<PyAny>,
    /// By the places of arguments what makes the copies; None for deep ones.
    pub copiers: Vec<(u32, Option<Py<PyAny>>)>,
}

#[pymethods]
impl Copies {
    #[new]
    fn new(function: Py<PyAny>, copiers: Vec<(u32, Option<Py<PyAny>>)>) -> Self {
        Copies { function, copiers }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.function)?;
        let copiers = self.copiers.iter().flat_map(|(_, copier)| copier);
        for copier in copiers {
            visit.call(copier)?;
        }
        Ok(())
    }
}

/// A copy of a value, deep if there is no copier.
pub fn copied<'py>(
    value: &Bound<'py, PyAny>,
    copier: Option<&Py<PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    match copier {
        Some(copier) => copier.bind(value.py()).call1((value,)),
        None => deep_copy(value),
    }
}

/// What `copy.deepcopy` gives. Values that hold nothing to be copied in turn, the bulk of what nodes hand
/// on, are seen to here; the rest, with its memo and its hooks, is the standard library's.
fn deep_copy<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    static DEEPCOPY: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = value.py();
    if is_atomic(value) {
        return Ok(value.clone());
    }
    if let Ok(list) = value.cast_exact::<PyList>() {
        if list.iter().all(|item| is_atomic(&item)) {
            return Ok(list.get_slice(0, list.len()).into_any());
        }
    } else if let Ok(tuple) = value.cast_exact::<PyTuple>() {
        if tuple.iter_borrowed().all(|item| is_atomic(&item)) {
            return Ok(value.clone());
        }
    } else if let Ok(dict) = value.cast_exact::<PyDict>() {
        if dict
            .iter()
            .all(|(key, item)| is_atomic(&key) && is_atomic(&item))
        {
            return Ok(dict.copy()?.into_any());
        }
    } else if let Ok(set) = value.cast_exact::<PySet>() {
        if set.iter().all(|item| is_atomic(&item)) {
            // SAFETY: attached, a live set; a new reference, or null with an exception.
            return unsafe { Bound::from_owned_ptr_or_err(py, ffi::PySet_New(set.as_ptr())) };
        }
    } else if value.is_exact_instance_of::<PyByteArray>() {
        return Ok(PyByteArray::from(value)?.into_any());
    }
    let deepcopy = DEEPCOPY.import(py, "copy", "deepcopy")?;
    deepcopy.call1((value,))
}

/// Whether a value is its own deep copy, and has no items to look at.
fn is_atomic(value: &Bound<'_, PyAny>) -> bool {
    value.is_none()
        || value.is_exact_instance_of::<PyString>()
        || value.is_exact_instance_of::<PyInt>()
        || value.is_exact_instance_of::<PyFloat>()
        || value.is_exact_instance_of::<pyo3::types::PyBool>()
        || value.is_exact_instance_of::<PyBytes>()
        || value.is_exact_instance_of::<PyComplex>()
}
