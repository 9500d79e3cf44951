//! An argument together with how its node uses it.

use pyo3::PyTraverseError;
use pyo3::PyVisit;
use pyo3::prelude::*;

/// Made by `taskloom.write` and its like; `Graph.add` takes it apart.
#[pyclass(frozen, module = "taskloom._taskloom")]
pub struct Use {
    mode: String,
    value: Py<PyAny>,
    copier: Option<Py<PyAny>>,
}

#[pymethods]
impl Use {
    #[new]
    #[pyo3(signature = (mode, value, copier=None))]
    fn new(mode: String, value: Py<PyAny>, copier: Option<Py<PyAny>>) -> Self {
        Use {
            mode,
            value,
            copier,
        }
    }

    #[getter]
    fn mode(&self) -> &str {
        &self.mode
    }

    #[getter]
    fn value(&self, py: Python<'_>) -> Py<PyAny> {
        self.value.clone_ref(py)
    }

    #[getter]
    fn copier(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.copier.as_ref().map(|copier| copier.clone_ref(py))
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("{}({})", self.mode, self.value.bind(py).repr()?))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.value)?;
        visit.call(&self.copier)
    }
}
