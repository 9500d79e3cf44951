//! What a node calls, with what is known about it for all nodes that call it.

use pyo3::PyTraverseError;
use pyo3::PyVisit;
use pyo3::prelude::*;
use pyo3::types::PySet;

/// What a node calls, and what `Graph.add` needs to know about it: made once per function and graph.
#[pyclass(frozen, module = "taskloom._taskloom")]
pub struct Callee {
    pub(super) function: Py<PyAny>,
    pub(super) options: Option<Py<PyAny>>,
    /// The numbers of positional arguments that fit when there are no keyword arguments.
    pub(super) low: usize,
    pub(super) high: usize,
    /// What its nodes are called, with their index.
    label: String,
    /// How it uses its parameters, if its annotations say so.
    pub(super) accesses: Option<Py<PyAny>>,
    /// The shapes with keyword arguments that were found to fit: `(positional, *names)`.
    pub(super) fitting: Py<PySet>,
}

#[pymethods]
impl Callee {
    #[new]
    #[pyo3(signature = (function, options, low, high, label, accesses=None))]
    fn new(
        py: Python<'_>,
        function: Py<PyAny>,
        options: Option<Py<PyAny>>,
        low: usize,
        high: usize,
        label: String,
        accesses: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        Ok(Callee {
            function,
            options,
            low,
            high,
            label,
            accesses,
            fitting: PySet::empty(py)?.unbind(),
        })
    }

    #[getter]
    fn function(&self, py: Python<'_>) -> Py<PyAny> {
        self.function.clone_ref(py)
    }

    #[getter]
    fn options(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.options.as_ref().map(|options| options.clone_ref(py))
    }

    /// The least and the most positional arguments that fit when there are no keyword arguments.
    #[getter]
    fn arity(&self) -> (usize, usize) {
        (self.low, self.high)
    }

    #[getter]
    fn accesses(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.accesses
            .as_ref()
            .map(|accesses| accesses.clone_ref(py))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.function)?;
        visit.call(&self.accesses)?;
        visit.call(&self.options)
    }
}

impl Callee {
    pub(super) fn label(&self) -> &str {
        &self.label
    }
}
