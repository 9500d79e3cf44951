//! Raises the package's own exceptions, which are written in Python.

use pyo3::prelude::*;
use pyo3::types::PyType;

/// An instance of `taskloom.errors.NAME` with this message, or the error of not getting one.
pub fn new<'py>(py: Python<'py>, name: &str, message: &str) -> PyResult<Bound<'py, PyAny>> {
    let class = py
        .import("taskloom.errors")?
        .getattr(name)?
        .cast_into::<PyType>()?;
    class.call1((message,))
}

/// The same as an error to return.
pub fn raise(py: Python<'_>, name: &str, message: &str) -> PyErr {
    match new(py, name, message) {
        Ok(value) => PyErr::from_value(value),
        Err(error) => error,
    }
}
