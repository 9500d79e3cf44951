//! A task placed in a graph: what to call, with what, and where it was registered.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use pyo3::PyTraverseError;
use pyo3::PyVisit;
use pyo3::exceptions::PyAttributeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyGenericAlias, PyString, PyTuple, PyType};

use super::callee::Callee;

/// What makes a node anew: a function, with the graph and the index that it takes.
type Reduced<'py> = (Bound<'py, PyAny>, (Py<PyAny>, u32));

/// A task placed in a graph; made by `Graph.add`, and an argument of later nodes.
///
/// As an argument, also inside lists, tuples and dictionaries, a node stands for the value it returns.
///
/// >>> import taskloom
/// >>> g = taskloom.Graph()
/// >>> two = g.add(int, "2")
/// >>> both = g.options(name="both").add(max, [two, 1])
/// >>> two, both.name
/// (<node int#0>, 'both')
#[pyclass(frozen, module = "taskloom")]
pub struct Node {
    pub(super) graph: Py<PyAny>,
    /// Set once, when the node is registered, before anyone else sees it.
    pub(super) index: AtomicU32,
    pub(super) callee: Py<Callee>,
    pub(super) args: Py<PyTuple>,
    pub(super) kwargs: Option<Py<PyDict>>,
    pub(super) options: Option<Py<PyAny>>,
}

#[pymethods]
impl Node {
    /// The graph it belongs to.
    #[getter]
    fn graph(&self, py: Python<'_>) -> Py<PyAny> {
        self.graph.clone_ref(py)
    }

    /// Its place in the order of registration, from 0.
    #[getter]
    pub fn index(&self) -> u32 {
        self.index.load(Relaxed)
    }

    /// What it calls.
    #[getter]
    fn function(&self, py: Python<'_>) -> Py<PyAny> {
        self.callee.get().function.clone_ref(py)
    }

    /// The positional arguments, nodes among them.
    #[getter]
    fn args(&self, py: Python<'_>) -> Py<PyTuple> {
        self.args.clone_ref(py)
    }

    /// The keyword arguments, nodes among them, as a new dictionary.
    #[getter]
    fn kwargs<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        match &self.kwargs {
            Some(kwargs) => kwargs.bind(py).copy(),
            None => Ok(PyDict::new(py)),
        }
    }

    /// The options it was given, its task's among them; None if there are none.
    #[getter]
    pub fn options(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        let options = self.options.as_ref().or(self.callee.get().options.as_ref());
        options.map(|options| options.clone_ref(py))
    }

    /// The name it was given, or that of its function and its place: `fetch#3`.
    #[getter]
    pub fn name(&self, py: Python<'_>) -> PyResult<String> {
        if let Some(options) = &self.options {
            let name = options.bind(py).call_method1("get", ("name",))?;
            if let Ok(name) = name.cast::<PyString>() {
                return Ok(name.to_string());
            }
        }
        Ok(format!("{}#{}", self.callee.get().label(), self.index()))
    }

    /// The nodes whose values it is given, in the order of its arguments; not those it only comes `after`.
    ///
    /// >>> import taskloom
    /// >>> g = taskloom.Graph()
    /// >>> two, three = g.add(int, "2"), g.add(int, "3")
    /// >>> g.add(pow, two, three).parents
    /// (<node int#0>, <node int#1>)
    #[getter]
    fn parents<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let graph = self.graph.bind(py);
        graph.call_method1("_parents_of", (self.index(),))
    }

    /// The nodes that are given its value, as they were added; not those that only come `after` it.
    ///
    /// >>> import taskloom
    /// >>> g = taskloom.Graph()
    /// >>> two = g.add(int, "2")
    /// >>> _ = g.add(abs, two), g.add(str, two)
    /// >>> two.children
    /// (<node abs#1>, <node str#2>)
    #[getter]
    fn children<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let graph = self.graph.bind(py);
        graph.call_method1("_children_of", (self.index(),))
    }

    /// Runs this node only when all of `nodes` have run, though it takes no value of theirs; returns itself.
    ///
    /// >>> import taskloom
    /// >>> g = taskloom.Graph()
    /// >>> first, second = g.add(print, "first"), g.add(print, "second")
    /// >>> _ = first.after(second)
    /// >>> _ = taskloom.run(g)
    /// second
    /// first
    #[pyo3(signature = (*nodes))]
    fn after<'py>(slf: Bound<'py, Self>, nodes: Bound<'py, PyTuple>) -> PyResult<Bound<'py, Self>> {
        let graph = slf.get().graph.bind(slf.py());
        for node in nodes.iter() {
            graph.call_method1("_order", (&node, &slf))?;
        }
        Ok(slf)
    }

    /// Runs all of `nodes` only when this node has run; returns itself.
    ///
    /// >>> import taskloom
    /// >>> g = taskloom.Graph()
    /// >>> first, second = g.add(print, "first"), g.add(print, "second")
    /// >>> _ = second.before(first)
    /// >>> _ = taskloom.run(g)
    /// second
    /// first
    #[pyo3(signature = (*nodes))]
    fn before<'py>(
        slf: Bound<'py, Self>,
        nodes: Bound<'py, PyTuple>,
    ) -> PyResult<Bound<'py, Self>> {
        let graph = slf.get().graph.bind(slf.py());
        for node in nodes.iter() {
            graph.call_method1("_order", (&slf, &node))?;
        }
        Ok(slf)
    }

    /// A node in a pickle is its graph and its index.
    fn __reduce__(slf: Bound<'_, Self>) -> PyResult<Reduced<'_>> {
        let py = slf.py();
        let node_at = py.import("taskloom.graph._pickling")?.getattr("node_at")?;
        Ok((node_at, (slf.get().graph.clone_ref(py), slf.get().index())))
    }

    /// Only asked for what there is not: says where to look for what its value has.
    fn __getattr__(&self, py: Python<'_>, name: &str) -> PyResult<Py<PyAny>> {
        let message = match name.starts_with('_') {
            true => format!("'Node' object has no attribute '{name}'"),
            false => format!(
                "node '{}' has no attribute '{name}', and no value before it has run: to get that of its value \
                 add a node, g.add(operator.attrgetter('{name}'), node), or to call a method of that name \
                 g.add(operator.methodcaller('{name}'), node); the value itself is run[node]",
                self.name(py)?
            ),
        };
        Err(PyAttributeError::new_err(message))
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("<node {}>", self.name(py)?))
    }

    #[classmethod]
    fn __class_getitem__<'py>(
        class: &Bound<'py, PyType>,
        item: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        Ok(PyGenericAlias::new(class.py(), class.as_any(), item)?.into_any())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.graph)?;
        visit.call(&self.callee)?;
        visit.call(&self.args)?;
        visit.call(&self.kwargs)?;
        visit.call(&self.options)
    }
}
