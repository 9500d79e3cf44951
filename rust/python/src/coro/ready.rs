//! An awaitable that is done: for what is asynchronous in name only.

use pyo3::prelude::*;

/// Awaited, it gives its value at once.
#[pyclass(module = "taskloom._taskloom")]
pub struct Ready(Option<Py<PyAny>>);

impl Ready {
    pub fn new(value: Py<PyAny>) -> Self {
        Ready(Some(value))
    }
}

#[pymethods]
impl Ready {
    fn __await__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__(&mut self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let value = self.0.take().unwrap_or_else(|| py.None());
        crate::coro::stop::stop_with(py, value)?;
        Ok(None)
    }
}
