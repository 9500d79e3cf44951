//! An argument that stands for other arguments: a node, or a container of nodes.

use std::sync::OnceLock;

use pyo3::PyTraverseError;
use pyo3::PyVisit;
use pyo3::prelude::*;
use pyo3::types::PyType;

use crate::errors;

/// The native half of groups, joins, trees and subgraphs: wherever one is an argument of a node, what it
/// holds stands there.
#[pyclass(frozen, subclass, module = "taskloom._taskloom")]
pub struct Pack {
    content: OnceLock<Py<PyAny>>,
}

#[pymethods]
impl Pack {
    #[new]
    #[pyo3(signature = (content=None))]
    fn new(content: Option<Py<PyAny>>) -> Self {
        let pack = Pack {
            content: OnceLock::new(),
        };
        if let Some(content) = content {
            // Just made, so nothing is in it.
            drop(pack.content.set(content));
        }
        pack
    }

    /// Puts something into an empty pack; whether it was empty.
    fn _fill(&self, content: Py<PyAny>) -> bool {
        self.content.set(content).is_ok()
    }

    /// What it stands for; None if nothing was put in yet.
    #[getter]
    fn _content(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.content.get().map(|content| content.clone_ref(py))
    }

    /// A copy is a plain pack: what else a subclass knows belongs to the graph that it was made with.
    fn __reduce__<'py>(&self, py: Python<'py>) -> (Bound<'py, PyType>, (Option<Py<PyAny>>,)) {
        (PyType::new::<Pack>(py), (self._content(py),))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.content
            .get()
            .map_or(Ok(()), |content| visit.call(content))
    }
}

impl Pack {
    /// What it stands for; raises `GraphError` if that is nothing yet.
    pub(super) fn content<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self.content.get() {
            Some(content) => Ok(content.bind(py).clone()),
            None => Err(errors::raise(
                py,
                "GraphError",
                "an argument is a tree that has no root yet: give it one with tree.root(function, ...)",
            )),
        }
    }
}
