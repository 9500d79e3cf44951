//! One attempt of a node of a state graph, in its plainest form: a function of the state that returns
//! an update of it. The rules are those of `taskloom.pregel.write`, which also has the other forms.

use pyo3::exceptions::PyIndexError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFrozenSet, PyList, PyTuple};

/// What is known of such a node when its graph is compiled.
#[pyclass(module = "taskloom._taskloom", frozen)]
pub struct _PlainNode {
    /// Without one, the node passes its input on.
    func: Option<Py<PyAny>>,
    keys: Py<PyFrozenSet>,
    /// What it writes whatever it returns.
    edges: Py<PyTuple>,
    /// Called with task and value after the update is written: the node's branches.
    then: Option<Py<PyAny>>,
    /// Called with task and value where the value is no dict: the update is for Python.
    otherwise: Py<PyAny>,
}

#[pymethods]
impl _PlainNode {
    #[new]
    fn new(
        func: Option<Py<PyAny>>,
        keys: Py<PyFrozenSet>,
        edges: Py<PyTuple>,
        then: Option<Py<PyAny>>,
        otherwise: Py<PyAny>,
    ) -> Self {
        Self {
            func,
            keys,
            edges,
            then,
            otherwise,
        }
    }

    /// Calls the node's function for a task, and appends what it returns to the task's writes.
    fn attempt<'py>(&self, task: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = task.py();
        let input = task.getattr(intern!(py, "input"))?;
        let value = match &self.func {
            None => input,
            Some(func) => func.bind(py).call1((input,))?,
        };
        let update = value.cast_exact::<PyDict>();
        if update.is_err() && !value.is_none() {
            return self.otherwise.bind(py).call1((task, value));
        }
        let writes = task.getattr(intern!(py, "writes"))?;
        let writes = writes.cast::<PyList>()?;
        if let Ok(update) = update {
            let keys = self.keys.bind(py);
            // A copy: the dict is the program's, and may change meanwhile.
            for pair in update.items() {
                let pair = pair.cast_into::<PyTuple>()?;
                if keys.contains(pair.get_borrowed_item(0)?)? {
                    writes.append(pair)?;
                }
            }
        }
        for edge in self.edges.bind(py).iter_borrowed() {
            writes.append(edge)?;
        }
        if let Some(then) = &self.then {
            then.bind(py).call1((task, &value))?;
        }
        Ok(value)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.func)?;
        visit.call(&self.keys)?;
        visit.call(&self.edges)?;
        visit.call(&self.then)?;
        visit.call(&self.otherwise)
    }
}

/// A number of tasks that ran, and one that did not run to its end, with its error if it was begun.
type Ran<'py> = (usize, Option<Bound<'py, PyAny>>, Option<Py<PyAny>>);

/// Runs tasks from the front of a queue, until there are no more, one fails, or one's node is not
/// plain. The lane says which task is on; other threads may take from the queue meanwhile.
#[pyfunction]
pub fn _run_plain<'py>(todo: &Bound<'py, PyAny>, lane: &Bound<'py, PyAny>) -> PyResult<Ran<'py>> {
    let py = todo.py();
    let mut ran = 0;
    loop {
        let task = match todo.call_method0(intern!(py, "popleft")) {
            Ok(task) => task,
            Err(error) if error.is_instance_of::<PyIndexError>(py) => return Ok((ran, None, None)),
            Err(error) => return Err(error),
        };
        let node = task.getattr(intern!(py, "node"))?;
        let plain = node.getattr(intern!(py, "plain_node"))?;
        let Ok(plain) = plain.cast::<_PlainNode>() else {
            return Ok((ran, Some(task), None));
        };
        lane.setattr(intern!(py, "task"), &task)?;
        if let Err(error) = plain.get().attempt(&task) {
            let error = error.into_value(py).into_any();
            return Ok((ran, Some(task), Some(error)));
        }
        ran += 1;
    }
}
