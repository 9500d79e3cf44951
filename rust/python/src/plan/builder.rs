//! The mutable builder under `taskloom.Graph`: registers nodes fast, and leaves the rest to compile.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use parking_lot::Mutex;
use pyo3::PyTraverseError;
use pyo3::PyVisit;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use taskloom_core::plan::Preference;
use taskloom_core::plan::access::{Cases, Exclusive};

use super::access::Use;
use super::callee::Callee;
use super::compile::{Extra, Plan, compile};
use super::infer::{Finding, Inferred, infer, mode_of, name_of};
use super::node::Node;
use super::reader::Reader;
use super::window::Windows;
use crate::errors;

/// The native half of `taskloom.Graph`.
#[pyclass(frozen, subclass, module = "taskloom._taskloom")]
pub struct GraphBuilder {
    nodes: Mutex<Vec<Py<Node>>>,
    callees: Py<PyDict>,
    /// Pairs of indices: the second node runs after the first.
    order: Mutex<Vec<(u32, u32)>>,
    /// Called with each new node's function, arguments and name, if edges are checked.
    check: OnceLock<Py<PyAny>>,
    /// The uses of values that share them with nobody.
    exclusive: Mutex<Vec<Exclusive>>,
    windows: Mutex<Windows>,
}

#[pymethods]
impl GraphBuilder {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(
        py: Python<'_>,
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> Self {
        GraphBuilder {
            nodes: Mutex::new(Vec::new()),
            callees: PyDict::new(py).unbind(),
            order: Mutex::new(Vec::new()),
            check: OnceLock::new(),
            exclusive: Mutex::new(Vec::new()),
            windows: Mutex::default(),
        }
    }

    /// Adds a node that calls `function` with these arguments; nodes among them stand for their values.
    ///
    /// Keyword arguments belong to the function; options are given with `options(...)`.
    /// Raises `GraphError` if the arguments do not fit the function or a node is of another graph.
    ///
    /// >>> import taskloom
    /// >>> g = taskloom.Graph()
    /// >>> numbers = g.add(range, 5)
    /// >>> total = g.add(sum, numbers, start=32)
    /// >>> taskloom.run(g)[total]
    /// 42
    #[pyo3(signature = (function, /, *args, **kwargs), text_signature = "($self, function, /, *args, **kwargs)")]
    fn add<'py>(
        slf: &Bound<'py, Self>,
        function: &Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
        kwargs: Option<Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, Node>> {
        Self::place(slf, function, args, kwargs, None, false)
    }

    /// `add` with options, which have been laid over those of the task.
    #[pyo3(signature = (function, args, kwargs, options))]
    fn _add<'py>(
        slf: &Bound<'py, Self>,
        function: &Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
        kwargs: Option<Bound<'py, PyDict>>,
        options: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Node>> {
        Self::place(slf, function, args, kwargs, options, false)
    }

    /// `_add` with arguments whose access modes have been noted elsewhere.
    #[pyo3(signature = (function, args, kwargs, options))]
    fn _add_plain<'py>(
        slf: &Bound<'py, Self>,
        function: &Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
        kwargs: Option<Bound<'py, PyDict>>,
        options: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Node>> {
        Self::place(slf, function, args, kwargs, options, true)
    }

    /// Has `check(function, args, kwargs, name)` called before each node is added; once.
    fn _check_with(&self, check: Py<PyAny>) {
        // A second check is not expected, and the first one stays.
        drop(self.check.set(check));
    }

    /// The pairs of indices of which the second node runs after the first, as they were given.
    #[getter]
    fn _ordered(&self) -> Vec<(u32, u32)> {
        self.order_list()
    }

    /// The uses that were noted: `(node, source, mode)`.
    #[getter]
    fn _exclusive(&self) -> Vec<(u32, u32, &'static str)> {
        let exclusive = self.exclusive.lock();
        let named = exclusive.iter();
        named
            .map(|used| (used.node, used.source, name_of(used.mode)))
            .collect()
    }

    /// Notes that a node needs the value of a source for itself; other modes are passed over.
    fn _note_use(&self, node: u32, source: u32, mode: &str) {
        if let Some(mode) = mode_of(mode) {
            self.exclusive.lock().push(Exclusive { node, source, mode });
        }
    }

    /// What follows from the uses that were noted, or `(what, node, source, other)` if they do not fit.
    /// `cases` are the nodes that run in some cases of branches only, by index, with those.
    fn _infer(
        slf: &Bound<'_, Self>,
        lent: Vec<u32>,
        cases: HashMap<u32, Vec<(u32, u32)>>,
    ) -> PyResult<Finding> {
        let exclusive = slf.get().exclusive.lock().clone();
        infer(slf, exclusive, &lent, &Cases(cases))
    }

    /// Whose values each node reads: `sources[starts[i]:starts[i + 1]]`, each at most once.
    fn _sources(slf: &Bound<'_, Self>) -> PyResult<(Vec<u32>, Vec<u32>)> {
        let nodes = slf.get().node_list(slf.py());
        let mut reader = Reader::new(slf, nodes.len());
        for node in &nodes {
            reader.read(node.bind(slf.py()))?;
        }
        Ok((reader.source_starts, reader.sources))
    }

    /// Runs `after` after `before`.
    fn _order<'py>(
        slf: &Bound<'py, Self>,
        before: &Bound<'py, PyAny>,
        after: &Bound<'py, PyAny>,
    ) -> PyResult<()> {
        let index = |node: &Bound<'py, PyAny>| -> PyResult<u32> {
            let Ok(node) = node.cast::<Node>() else {
                let kind = node.get_type().name()?;
                return Err(PyTypeError::new_err(format!(
                    "only a node comes after or before a node, not {kind}"
                )));
            };
            check_same_graph(slf, node)?;
            Ok(node.get().index())
        };
        let pair = (index(before)?, index(after)?);
        slf.get().order.lock().push(pair);
        Ok(())
    }

    /// The pairs that `_order` was given, as indices.
    #[getter]
    fn _orders(&self) -> Vec<(u32, u32)> {
        self.order_list()
    }

    /// Makes a window: of the nodes that are put into it, at most `limit` run at once. Its number.
    fn _new_window(&self, limit: u32) -> u32 {
        let mut windows = self.windows.lock();
        windows.limits.push(limit.max(1));
        windows.limits.len() as u32 - 1
    }

    /// Puts a node into a window.
    fn _put_into_window(&self, node: &Bound<'_, Node>, window: u32) -> PyResult<()> {
        let mut windows = self.windows.lock();
        if window as usize >= windows.limits.len() {
            return Err(PyTypeError::new_err("a window of another graph"));
        }
        windows.members.insert(node.get().index(), window);
        Ok(())
    }

    /// The windows: how many nodes of each may run at once, and the window of each node in one.
    #[getter]
    fn _windows(&self) -> (Vec<u32>, HashMap<u32, u32>) {
        let windows = self.windows.lock();
        (windows.limits.clone(), windows.members.clone())
    }

    fn _callee<'py>(
        slf: &Bound<'py, Self>,
        function: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Callee>> {
        Self::callee_of(slf, function)
    }

    /// Compiles the nodes so far; see `compile::compile`.
    #[pyo3(signature = (policy, adjusted, keep, inferred, takes, facts, durations, preference, reuses_slots))]
    #[expect(
        clippy::too_many_arguments,
        reason = "called from one place, by Graph.compile"
    )]
    fn _compile<'py>(
        slf: &Bound<'py, Self>,
        policy: u8,
        adjusted: &Bound<'py, PyDict>,
        keep: Option<Vec<u32>>,
        inferred: Py<Inferred>,
        takes: Vec<(u32, u32, bool)>,
        facts: Py<PyAny>,
        durations: Vec<(u32, f32)>,
        preference: &str,
        reuses_slots: bool,
    ) -> PyResult<Plan> {
        let preference = match preference {
            "depth_first" => Some(Preference::DepthFirst),
            "critical_path" => Some(Preference::MostUrgent),
            "registration" => Some(Preference::FirstRegistered),
            _ => None,
        };
        let extra = Extra {
            inferred,
            takes,
            forwards: HashMap::new(),
            copies: HashMap::new(),
            windows: slf.get().windows(),
            facts,
            durations,
            reuses_slots,
            preference,
        };
        compile(slf, policy, adjusted, keep, extra)
    }

    /// The nodes in the order of registration.
    #[getter]
    fn nodes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.node_list(py))
    }

    /// How many nodes and how many ordering edges there are: a version, since neither is ever removed.
    #[getter]
    fn _version(&self) -> (usize, usize) {
        let nodes = self.nodes.lock().len();
        (nodes, self.order.lock().len())
    }

    fn __len__(&self) -> usize {
        self.nodes.lock().len()
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.callees)?;
        if let Some(check) = self.check.get() {
            visit.call(check)?;
        }
        // A collection may start only where Python code can run, and this lock is never held there.
        if let Some(nodes) = self.nodes.try_lock() {
            for node in nodes.iter() {
                visit.call(node)?;
            }
        }
        Ok(())
    }

    fn __clear__(&self) {
        let nodes = std::mem::take(&mut *self.nodes.lock());
        drop(nodes);
    }
}

impl GraphBuilder {
    pub(super) fn node_list(&self, py: Python<'_>) -> Vec<Py<Node>> {
        self.nodes
            .lock()
            .iter()
            .map(|node| node.clone_ref(py))
            .collect()
    }

    pub(super) fn windows(&self) -> Windows {
        self.windows.lock().clone()
    }

    pub(super) fn order_list(&self) -> Vec<(u32, u32)> {
        self.order.lock().clone()
    }

    fn callee_of<'py>(
        slf: &Bound<'py, Self>,
        function: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Callee>> {
        let callees = slf.get().callees.bind(slf.py());
        match callees.get_item(function) {
            // SAFETY: only `callee_of` fills the dictionary, with callees alone.
            Ok(Some(callee)) => Ok(unsafe { callee.cast_into_unchecked() }),
            Ok(None) => {
                let callee = Self::describe(slf, function)?;
                callees.set_item(function, &callee)?;
                Ok(callee)
            }
            // Not hashable: described anew each time.
            Err(error) if error.is_instance_of::<PyTypeError>(slf.py()) => {
                Self::describe(slf, function)
            }
            Err(error) => Err(error),
        }
    }

    fn describe<'py>(
        slf: &Bound<'py, Self>,
        function: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Callee>> {
        Ok(slf.call_method1("_describe", (function,))?.cast_into()?)
    }

    fn place<'py>(
        slf: &Bound<'py, Self>,
        function: &Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
        kwargs: Option<Bound<'py, PyDict>>,
        options: Option<Bound<'py, PyAny>>,
        plain: bool,
    ) -> PyResult<Bound<'py, Node>> {
        let py = slf.py();
        let callee = Self::callee_of(slf, function)?;
        if options.is_none() && callee.get().options.is_some() {
            // A task with options of its own: as through a view with none, which registers them.
            return Ok(slf
                .call_method1("_add_task", (function, args, kwargs))?
                .cast_into()?);
        }
        let kwargs = kwargs.filter(|kwargs| !kwargs.is_empty());
        Self::check_fit(slf, callee.get(), &args, kwargs.as_ref())?;
        let mut uses = !plain && callee.get().accesses.is_some();
        for arg in args.iter_borrowed() {
            if let Ok(node) = arg.cast_exact::<Node>() {
                check_same_graph(slf, &node)?;
            } else {
                uses |= arg.is_exact_instance_of::<Use>();
            }
        }
        for arg in kwargs.iter().flat_map(|kwargs| kwargs.values()) {
            if let Ok(node) = arg.cast_exact::<Node>() {
                check_same_graph(slf, node)?;
            } else {
                uses |= arg.is_exact_instance_of::<Use>();
            }
        }
        if uses {
            // Takes the modes off the arguments, and comes back with `plain` set.
            return Ok(slf
                .call_method1("_add_uses", (function, args, kwargs, options))?
                .cast_into()?);
        }
        if let Some(check) = slf.get().check.get() {
            let given = options
                .as_ref()
                .map(|options| options.call_method1("get", ("name",)))
                .transpose()?;
            let name = match given.filter(|name| !name.is_none()) {
                Some(name) => name.str()?.to_string(),
                None => format!("{}#{}", callee.get().label(), slf.get().__len__()),
            };
            check.call1(py, (&callee.get().function, &args, kwargs.as_ref(), name))?;
        }
        let node = Node {
            graph: slf.clone().into_any().unbind(),
            index: AtomicU32::new(0),
            callee: callee.unbind(),
            args: args.unbind(),
            kwargs: kwargs.map(Bound::unbind),
            options: options.map(Bound::unbind),
        };
        // The object is made outside the lock, since making one may start a garbage collection.
        let node = Bound::new(py, node)?;
        let mut nodes = slf.get().nodes.lock();
        node.get().index.store(nodes.len() as u32, Relaxed);
        nodes.push(node.clone().unbind());
        drop(nodes);
        Ok(node)
    }

    fn check_fit<'py>(
        slf: &Bound<'py, Self>,
        callee: &Callee,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<()> {
        let count = args.len();
        let Some(kwargs) = kwargs else {
            if (callee.low..=callee.high).contains(&count) {
                return Ok(());
            }
            slf.call_method1("_check", (&callee.function, args, PyDict::new(slf.py())))?;
            return Ok(());
        };
        let mut shape = Vec::with_capacity(kwargs.len() + 1);
        shape.push(count.into_pyobject(slf.py())?.into_any());
        shape.extend(kwargs.keys());
        let shape = PyTuple::new(slf.py(), shape)?;
        let fitting = callee.fitting.bind(slf.py());
        if !fitting.contains(&shape)? {
            slf.call_method1("_check", (&callee.function, args, kwargs))?;
            fitting.add(shape)?;
        }
        Ok(())
    }
}

pub(super) fn check_same_graph(
    graph: &Bound<'_, GraphBuilder>,
    node: &Bound<'_, Node>,
) -> PyResult<()> {
    if node.get().graph.as_ptr() == graph.as_ptr() {
        return Ok(());
    }
    let message = format!(
        "node '{}' belongs to another graph; add it to this one, or run the other and pass its value",
        node.get().name(node.py())?
    );
    Err(errors::raise(node.py(), "GraphError", &message))
}
