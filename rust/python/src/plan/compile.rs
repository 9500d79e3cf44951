//! From a builder to a plan, and what a plan is to Python.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use pyo3::PyTraverseError;
use pyo3::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use taskloom_core::plan::access;
use taskloom_core::plan::{
    Cycle, Layout, MAX_NODES, NO_VALUE, NODE, ORDER_ONLY, Preference, SAME_OBJECT, Urgency,
    WAIT_ONLY,
};

use super::assemble::assemble;
use super::builder::GraphBuilder;
use super::copying::Copies;
use super::infer::Inferred;
use super::node::Node;
use super::reader::Reader;
use super::table::{Kind, Policy, Tables};
use super::values::Spares;
use super::window::Windows;
use crate::errors;
use crate::sharing::share;

/// A compiled graph: immutable, and run as often as you like, also from several threads at once.
///
/// Made by `Graph.compile`; given to `Executor.run`, `Executor.start` or `taskloom.run`.
///
/// >>> import taskloom
/// >>> g = taskloom.Graph()
/// >>> node = g.add(int, "42")
/// >>> plan = g.compile()
/// >>> len(plan), taskloom.run(plan)[node]
/// (1, 42)
#[pyclass(frozen, weakref, module = "taskloom")]
pub struct Plan {
    pub shape: Arc<taskloom_core::plan::Plan>,
    pub tables: Tables,
    pub graph: Py<PyAny>,
    /// The graph's nodes at the time of compiling, by registration.
    pub nodes: Box<[Py<Node>]>,
    /// From registration to position, and back.
    pub position: Box<[u32]>,
    pub order: Box<[u32]>,
    /// The effective priorities by registration.
    pub effective: Box<[f64]>,
    pub preference: Preference,
    /// What Python's half of the compiler found out.
    pub facts: Py<PyAny>,
    /// The edges that follow from accesses.
    inferred: Py<Inferred>,
    /// What earlier runs left for the next one.
    pub spares: Spares,
}

#[pymethods]
impl Plan {
    fn __len__(&self) -> usize {
        self.nodes.len()
    }

    /// The nodes in the order of registration.
    #[getter]
    fn nodes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.nodes.iter())
    }

    /// The nodes in the order in which a serial run takes them.
    #[getter]
    fn order<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(
            py,
            self.order.iter().map(|&node| &self.nodes[node as usize]),
        )
    }

    /// The graph it was compiled from.
    #[getter]
    fn graph(&self, py: Python<'_>) -> Py<PyAny> {
        self.graph.clone_ref(py)
    }

    /// The plan as text: its nodes in the order of a serial run, their effective priorities, and what each
    /// of them waits for. A priority is the user's times 1000, plus the length of the longest path from there
    /// to an end in mean durations, plus a share below 1 for what depends on it. Nodes with the same slot never
    /// have their values alive at once; "slot 0/2" is 0 in a serial run and 2 in a parallel one.
    ///
    /// >>> import taskloom
    /// >>> g = taskloom.Graph()
    /// >>> _ = g.add(len, g.add(str, 42))
    /// >>> print(g.compile().dump())
    /// plan of 2 nodes and 1 edge, 1 of the nodes waiting for nothing, values in 1 slot
    ///   0  str#0  priority 2.50  slot 0  entry
    ///   1  len#1  priority 1  slot 0  kept  <- str#0 (read)
    fn dump<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let drawing = slf.py().import("taskloom.observe.drawing")?;
        drawing.call_method1("dump", (slf,))
    }

    /// The plan as a drawing: the text of a file in the format "svg", "mermaid" or "dot".
    ///
    /// Raises `OptionError` for any other format.
    ///
    /// >>> import taskloom
    /// >>> g = taskloom.Graph()
    /// >>> _ = g.add(len, g.add(str, 42))
    /// >>> print(g.compile().draw("mermaid"))
    /// flowchart TD
    ///     n0["str#0"]
    ///     n1["len#1"]
    ///     n0 --> n1
    #[pyo3(signature = (format="svg"))]
    fn draw<'py>(slf: &Bound<'py, Self>, format: &str) -> PyResult<Bound<'py, PyAny>> {
        let drawing = slf.py().import("taskloom.observe.drawing")?;
        drawing.call_method1("draw", (slf, format))
    }

    /// A new plan of the same graph, compiled as this one, that knows how long its nodes take.
    ///
    /// What is measured stands in for the `estimated_duration` of nodes that declare none: it decides, as
    /// that does, which of the ready nodes a parallel run prefers.
    ///
    /// Parameters
    /// ----------
    /// measured
    ///     Runs of this graph that were started with `trace=True` and are over, or mappings from nodes, or
    ///     their names, to seconds. Of a node that several of them tell of, the mean counts; of one that
    ///     none tells of, what this plan knows. Of a run only nodes that were done count.
    ///
    /// Raises `GraphError` for a node or run of another graph, and if the graph has grown since this plan was
    /// compiled; `OptionError` for a run that was not traced, `ValueError` for a negative duration.
    ///
    /// >>> import taskloom
    /// >>> g = taskloom.Graph()
    /// >>> nodes = [g.options(name=name).add(int) for name in ("short", "long")]
    /// >>> plan = g.compile()
    /// >>> plan = plan.calibrated(taskloom.run(plan, trace=True))
    /// >>> print(plan.calibrated({"short": 0.5, "long": 1.5}).dump())
    /// plan of 2 nodes and 0 edges, 2 of the nodes waiting for nothing, values in 2 slots, by critical path
    ///   0  short  priority 0.50  slot 0  kept  entry
    ///   1  long  priority 1.50  slot 1  kept  entry
    #[pyo3(signature = (*measured))]
    fn calibrated<'py>(
        slf: &Bound<'py, Self>,
        measured: &Bound<'py, PyTuple>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let calibration = slf.py().import("taskloom.graph._calibration")?;
        calibration.call_method1("calibrated", (slf, measured))
    }

    /// The registrations of the nodes whose values a run keeps to its end.
    #[getter]
    fn _kept(&self) -> Vec<u32> {
        let places = 0..self.order.len() as u32;
        let kept = places.filter(|&place| self.tables.place_of(true, place).1);
        kept.map(|place| self.order[place as usize]).collect()
    }

    /// By registration the slot of each node's value in a serial run, or in a parallel one, and how many
    /// slots there are.
    fn _slots(&self, serial: bool) -> (Vec<u32>, u32) {
        let slots = self.position.iter();
        let slots = slots.map(|&place| self.tables.place_of(serial, place).0);
        (slots.collect(), self.tables.wiring(serial).slots)
    }

    /// Whether some nodes are for the thread that starts the run.
    #[getter]
    fn _has_callers(&self) -> bool {
        self.tables.has_callers()
    }

    #[getter]
    fn _facts(&self, py: Python<'_>) -> Py<PyAny> {
        self.facts.clone_ref(py)
    }

    /// The effective priorities by registration.
    #[getter]
    fn _priorities(&self) -> Vec<f64> {
        self.effective.to_vec()
    }

    /// Which of the ready nodes a parallel run prefers: an `order` of `Graph.compile`.
    #[getter]
    fn _preference(&self) -> &'static str {
        match self.preference {
            Preference::DepthFirst => "depth_first",
            Preference::MostUrgent => "critical_path",
            Preference::FirstRegistered => "registration",
        }
    }

    /// The edges as pairs of registrations, with 0 for a dependency, 1 for an order, 2 for a mere wait.
    #[getter]
    fn _edges(&self) -> Vec<(u32, u32, u8)> {
        let mut edges = Vec::new();
        for (place, &before) in self.order.iter().enumerate() {
            for &edge in self.shape.successors(place as u32) {
                let kind = match edge & !NODE {
                    ORDER_ONLY => 1,
                    WAIT_ONLY => 2,
                    _ => 0,
                };
                edges.push((before, self.order[(edge & NODE) as usize], kind));
            }
        }
        edges
    }

    /// The pairs of registrations that accesses order.
    #[getter]
    fn _inferred(&self) -> HashSet<(u32, u32)> {
        let edges = self.inferred.get().0.edges.iter();
        edges
            .map(|&(after, before)| (before & NODE, after))
            .collect()
    }

    /// A plan in a pickle is its graph and how it was compiled.
    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let pickling = slf.py().import("taskloom.graph._pickling")?;
        pickling.call_method1("plan_dismantled", (slf,))
    }

    fn __repr__(&self) -> String {
        format!("<plan of {} nodes>", self.nodes.len())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.graph)?;
        visit.call(&self.facts)?;
        for node in &self.nodes {
            visit.call(node)?;
        }
        for object in self.tables.constants.iter().chain(&self.tables.held) {
            visit.call(object)?;
        }
        for copies in self.tables.copies.values() {
            visit.call(copies)?;
        }
        Ok(())
    }
}

impl Plan {
    /// The node at a position.
    pub fn node_at(&self, position: u32) -> &Py<Node> {
        &self.nodes[self.order[position as usize] as usize]
    }

    /// The position of the node that a node has as this positional argument, if it is one.
    pub fn argument_at(&self, py: Python<'_>, position: u32, place: usize) -> Option<u32> {
        let argument = self
            .node_at(position)
            .get()
            .args
            .bind(py)
            .get_item(place)
            .ok()?;
        let source = argument.cast_exact::<Node>().ok()?;
        self.position.get(source.get().index() as usize).copied()
    }
}

/// What a node calls in place of its function, what happens when it fails, the number of its [`Kind`],
/// its priority, the place of the argument that it stands for, if it does, and the copies that it is to have.
type Adjustment<'py> = (
    Bound<'py, PyAny>,
    u8,
    u8,
    i32,
    Option<u32>,
    Option<Py<Copies>>,
);

/// What Python's half of the compiler adds to a plan, by registration.
pub(super) struct Extra {
    /// The edges that follow from accesses.
    pub inferred: Py<Inferred>,
    /// `(node, source, boxed)` where a node takes a source's value: `boxed` if what it calls is to be given a
    /// list of its arguments.
    pub takes: Vec<(u32, u32, bool)>,
    /// By position, of which arguments a node gets copies.
    pub copies: HashMap<u32, Py<Copies>>,
    /// By position, which of its arguments a node stands for.
    pub forwards: HashMap<u32, u32>,
    pub windows: Windows,
    pub facts: Py<PyAny>,
    /// Seconds that nodes are expected to take.
    pub durations: Vec<(u32, f32)>,
    /// Whether values that never live at the same time share a slot.
    pub reuses_slots: bool,
    /// Which of the ready nodes a parallel run prefers; None leaves it to what is known of them.
    pub preference: Option<Preference>,
}

/// These edges and the graph's ordering ones as `Reader::dependencies` wants them: by node, and of the
/// edges of one pair the strongest.
fn edges_with(inferred: &access::Inferred, order: &[(u32, u32)], count: usize) -> Vec<(u32, u32)> {
    let ordered = order
        .iter()
        .map(|&(before, after)| (after, before | ORDER_ONLY));
    let mut edges: Vec<(u32, u32)> = inferred.edges.iter().copied().chain(ordered).collect();
    // Nodes that other threads are adding meanwhile are not part of this plan.
    edges.retain(|&(after, before)| (after.max(before & NODE) as usize) < count);
    let strength = |edge: u32| match edge & !NODE {
        SAME_OBJECT => 0u8,
        ORDER_ONLY => 1,
        _ => 2,
    };
    edges.sort_unstable_by_key(|&(after, before)| (after, before & NODE, strength(before)));
    edges.dedup_by(|weaker, stronger| {
        let same = (weaker.0, weaker.1 & NODE) == (stronger.0, stronger.1 & NODE);
        if same && (weaker.1 | stronger.1) & !NODE == SAME_OBJECT | ORDER_ONLY {
            stronger.1 &= NODE; // Who is to come after it is skipped with it.
        }
        same
    });
    edges
}

/// Compiles the nodes so far.
///
/// `policy` is the number of the graph's `on_error`; `adjusted` maps the index of a node with options to
/// its [`Adjustment`]; `keep` lists the indices of nodes whose values survive, or is None for all.
pub(super) fn compile<'py>(
    graph: &Bound<'py, GraphBuilder>,
    policy: u8,
    adjusted: &Bound<'py, PyDict>,
    keep: Option<Vec<u32>>,
    mut extra: Extra,
) -> PyResult<Plan> {
    let py = graph.py();
    let nodes = graph.get().node_list(py);
    if nodes.len() >= MAX_NODES {
        let message = format!(
            "a graph holds fewer than {MAX_NODES} nodes; this one has {}",
            nodes.len()
        );
        return Err(errors::raise(py, "GraphError", &message));
    }
    let mut reader = Reader::new(graph, nodes.len());
    for node in &nodes {
        reader.read(node.bind(py))?;
    }
    let order = graph.get().order_list();
    extra
        .takes
        .retain(|&(node, source, _)| (node.max(source) as usize) < nodes.len());
    let mut joins = Vec::new();
    let mut adjustments: Vec<(usize, Adjustment<'py>)> = Vec::with_capacity(adjusted.len());
    let mut priorities = Vec::new();
    for (index, adjustment) in adjusted.iter() {
        let index: usize = index.extract()?;
        let adjustment: Adjustment<'py> = adjustment.extract()?;
        if adjustment.3 != 0 {
            priorities.resize(nodes.len(), 0);
            priorities[index] = adjustment.3;
        }
        if Kind::from_number(adjustment.2) == Kind::Join {
            joins.resize(nodes.len(), false);
            joins[index] = true;
        }
        adjustments.push((index, adjustment));
    }
    let mut edges = edges_with(&extra.inferred.get().0, &order, nodes.len());
    for (after, before) in &mut edges {
        // A join waits for a writer that may be skipped, as it does for the cases themselves.
        if joins.get(*after as usize).is_some_and(|is_join| *is_join)
            && matches!(*before & !NODE, 0 | SAME_OBJECT)
        {
            *before = *before & NODE | WAIT_ONLY;
        }
        *before |= NO_VALUE;
    }
    let dependencies = reader.dependencies(&edges, &joins, nodes.len());
    let mut durations = Vec::new();
    for &(node, seconds) in &extra.durations {
        durations.resize(nodes.len(), 0.0);
        if let Some(duration) = durations.get_mut(node as usize) {
            *duration = seconds;
        }
    }
    let preference =
        extra
            .preference
            .unwrap_or(match priorities.is_empty() && durations.is_empty() {
                true => Preference::DepthFirst,
                false => Preference::MostUrgent,
            });
    let urgency = Urgency {
        priorities: &priorities,
        durations: &durations,
        preference,
    };
    let layout = taskloom_core::plan::Plan::lay_out(&dependencies, &urgency)
        .map_err(|cycle| cycle_error(py, &nodes, &cycle, &extra.inferred.get().0))?;
    let mut policies = vec![Policy::from_number(policy); nodes.len()];
    let mut callables: Vec<Py<PyAny>> = Vec::with_capacity(nodes.len());
    for &node in &layout.order {
        callables.push(
            nodes[node as usize]
                .get()
                .callee
                .get()
                .function
                .clone_ref(py),
        );
    }
    let mut kinds = Vec::new();
    for (index, (callable, policy, kind, _, forwarded, copies)) in adjustments {
        let position = layout.position[index] as usize;
        extra
            .forwards
            .extend(forwarded.map(|argument| (position as u32, argument)));
        if let Some(copies) = copies {
            extra.copies.insert(position as u32, copies);
        }
        callables[position] = callable.unbind();
        policies[position] = Policy::from_number(policy);
        let kind = Kind::from_number(kind);
        if kind != Kind::Ordinary {
            kinds.resize(nodes.len(), Kind::Ordinary);
            kinds[position] = kind;
        }
    }
    callables
        .iter()
        .for_each(|callable| share(callable.bind(py)));
    let tables = assemble(
        reader, &layout, callables, policies, kinds, &mut extra, keep,
    );
    let Layout {
        plan,
        order,
        position,
        effective,
    } = layout;
    Ok(Plan {
        shape: Arc::new(plan),
        tables,
        graph: graph.clone().into_any().unbind(),
        facts: extra.facts,
        inferred: extra.inferred,
        nodes: nodes.into(),
        position: position.into(),
        order: order.into(),
        effective: effective.into(),
        preference,
        spares: Spares::default(),
    })
}

fn cycle_error(
    py: Python<'_>,
    nodes: &[Py<Node>],
    cycle: &Cycle,
    inferred: &access::Inferred,
) -> PyErr {
    let build = || -> PyResult<PyErr> {
        let members: Vec<&Py<Node>> = cycle.0.iter().map(|&node| &nodes[node as usize]).collect();
        let mut names = Vec::new();
        for node in members.iter().chain(members.first()) {
            names.push(node.get().name(py)?);
        }
        let mut message = format!("the graph has a cycle: {}", names.join(" -> "));
        for (place, &before) in cycle.0.iter().enumerate() {
            let after = cycle.0[(place + 1) % cycle.0.len()];
            let follows = |&(later, edge): &(u32, u32)| later == after && edge & NODE == before;
            if inferred.edges.iter().any(follows) {
                message += &format!(
                    "; '{}' comes after '{}' because of how they use one value, in the order they were added",
                    names[place + 1],
                    names[place]
                );
            }
        }
        let error = errors::new(py, "CycleError", &message)?;
        error.setattr("nodes", PyTuple::new(py, members)?)?;
        Ok(PyErr::from_value(error))
    };
    build().unwrap_or_else(|error| error)
}
