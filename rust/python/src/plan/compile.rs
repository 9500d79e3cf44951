//! From a builder to a plan: finds the values among the arguments, lays the nodes out, decides who frees what.

use std::collections::HashSet;
use std::sync::Arc;

use pyo3::PyTraverseError;
use pyo3::PyVisit;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};
use taskloom_core::plan::{Cycle, Dependencies, Layout, MAX_NODES, ORDER_ONLY};

use super::builder::{GraphBuilder, check_same_graph};
use super::node::Node;
use super::table::{COUNTED, LAST, PLAIN, Policy, SLOT, SOLE, Step, Tables};
use super::template::Template;
use super::values::Spares;
use crate::errors;

/// Marks an operand that is a constant, before the number of nodes is known to be final.
const CONSTANT: u32 = 1 << 31;
/// How deep nodes may sit in containers.
const MAX_DEPTH: usize = 100;

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

    fn __repr__(&self) -> String {
        format!("<plan of {} nodes>", self.nodes.len())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.graph)?;
        for node in &self.nodes {
            visit.call(node)?;
        }
        for object in self.tables.constants.iter().chain(&self.tables.held) {
            visit.call(object)?;
        }
        Ok(())
    }
}

impl Plan {
    /// The node at a position.
    pub fn node_at(&self, position: u32) -> &Py<Node> {
        &self.nodes[self.order[position as usize] as usize]
    }
}

/// What a node calls in place of its function, and what happens when it fails.
type Adjustment<'py> = (Bound<'py, PyAny>, u8);

/// Compiles the nodes so far.
///
/// `policy` is the number of the graph's `on_error`; `adjusted` maps the index of a node with options to
/// its callable and policy; `keep` lists the indices of nodes whose values survive, or is None for all.
pub(super) fn compile<'py>(
    graph: &Bound<'py, GraphBuilder>,
    policy: u8,
    adjusted: &Bound<'py, PyDict>,
    keep: Option<Vec<u32>>,
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
    let order_edges = graph.get().order_list();
    let dependencies = reader.dependencies(&order_edges, nodes.len());
    let layout = taskloom_core::plan::Plan::lay_out(&dependencies)
        .map_err(|cycle| cycle_error(py, &nodes, &cycle))?;
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
    for (index, adjustment) in adjusted.iter() {
        let (callable, policy): Adjustment<'py> = adjustment.extract()?;
        let position = layout.position[index.extract::<usize>()?] as usize;
        callables[position] = callable.unbind();
        policies[position] = Policy::from_number(policy);
    }
    let tables = reader.tables(&layout, callables, policies, keep);
    let Layout {
        plan,
        order,
        position,
    } = layout;
    Ok(Plan {
        shape: Arc::new(plan),
        tables,
        graph: graph.clone().into_any().unbind(),
        nodes: nodes.into(),
        position: position.into(),
        order: order.into(),
        spares: Spares::default(),
    })
}

fn cycle_error(py: Python<'_>, nodes: &[Py<Node>], cycle: &Cycle) -> PyErr {
    let build = || -> PyResult<PyErr> {
        let members: Vec<&Py<Node>> = cycle.0.iter().map(|&node| &nodes[node as usize]).collect();
        let mut names = Vec::new();
        for node in members.iter().chain(members.first()) {
            names.push(node.get().name(py)?);
        }
        let error = errors::new(
            py,
            "CycleError",
            &format!("the graph has a cycle: {}", names.join(" -> ")),
        )?;
        error.setattr("nodes", PyTuple::new(py, members)?)?;
        Ok(PyErr::from_value(error))
    };
    build().unwrap_or_else(|error| error)
}

/// What one pass over the nodes finds; nodes are numbered by registration here.
struct Reader<'a, 'py> {
    graph: &'a Bound<'py, GraphBuilder>,
    /// Per node where its operands and its sources start.
    operand_starts: Vec<u32>,
    source_starts: Vec<u32>,
    operands: Vec<u32>,
    sources: Vec<u32>,
    positional: Vec<u32>,
    constants: Vec<Py<PyAny>>,
    /// Keyword names and templates of the few nodes that have them.
    names: Vec<(u32, Bound<'py, PyTuple>)>,
    templates: Vec<(u32, Box<[Template]>)>,
    /// The last node that was found to read each value, plus one: tells repeated reads.
    seen: Vec<u32>,
}

impl<'a, 'py> Reader<'a, 'py> {
    fn new(graph: &'a Bound<'py, GraphBuilder>, count: usize) -> Self {
        let mut starts = Vec::with_capacity(count + 1);
        starts.push(0);
        Reader {
            graph,
            operand_starts: starts.clone(),
            source_starts: starts,
            operands: Vec::with_capacity(count),
            sources: Vec::with_capacity(count),
            positional: Vec::with_capacity(count),
            constants: Vec::new(),
            names: Vec::new(),
            templates: Vec::new(),
            seen: vec![0; count],
        }
    }

    fn read(&mut self, node: &Bound<'py, Node>) -> PyResult<()> {
        let this = node.get();
        let args = this.args.bind(node.py());
        self.positional.push(args.len() as u32);
        let keywords = this.kwargs.as_ref().map(|kwargs| kwargs.bind(node.py()));
        let templated = args.iter_borrowed().any(|arg| holds_nodes(&arg))
            || keywords.is_some_and(|kwargs| kwargs.values().iter().any(|arg| holds_nodes(&arg)));
        if templated {
            self.read_templates(node, args, keywords)?;
        } else {
            for arg in args.iter_borrowed() {
                let operand = self.operand(&arg, this.index());
                self.operands.push(operand);
            }
            for arg in keywords.iter().flat_map(|kwargs| kwargs.values()) {
                let operand = self.operand(&arg, this.index());
                self.operands.push(operand);
            }
        }
        if let Some(keywords) = keywords {
            self.names.push((this.index(), keywords.keys().to_tuple()));
        }
        self.operand_starts.push(self.operands.len() as u32);
        self.source_starts.push(self.sources.len() as u32);
        Ok(())
    }

    /// The operand for a plain argument, noting the dependency if it is a node.
    fn operand(&mut self, arg: &Bound<'py, PyAny>, reader: u32) -> u32 {
        if let Ok(source) = arg.cast_exact::<Node>() {
            let source = source.get().index();
            if self.seen[source as usize] != reader + 1 {
                self.seen[source as usize] = reader + 1;
                self.sources.push(source);
            }
            return source;
        }
        self.constants.push(arg.clone().unbind());
        (self.constants.len() - 1) as u32 | CONSTANT
    }

    fn read_templates(
        &mut self,
        node: &Bound<'py, Node>,
        args: &Bound<'py, PyTuple>,
        keywords: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<()> {
        let first_source = self.sources.len();
        let mut templates = Vec::with_capacity(args.len());
        for arg in args.iter() {
            templates.push(self.template(&arg, node, 0)?);
        }
        for arg in keywords.iter().flat_map(|kwargs| kwargs.values()) {
            templates.push(self.template(&arg, node, 0)?);
        }
        self.operands
            .extend_from_slice(&self.sources[first_source..]);
        self.templates.push((node.get().index(), templates.into()));
        Ok(())
    }

    fn template(
        &mut self,
        arg: &Bound<'py, PyAny>,
        node: &Bound<'py, Node>,
        depth: usize,
    ) -> PyResult<Template> {
        if let Ok(source) = arg.cast_exact::<Node>() {
            check_same_graph(self.graph, source)?;
        }
        if depth > MAX_DEPTH {
            let message = format!(
                "node '{}': containers with nodes are nested more than {MAX_DEPTH} deep; pass the inner ones through a node",
                node.get().name(node.py())?
            );
            return Err(errors::raise(node.py(), "GraphError", &message));
        }
        if !holds_nodes(arg) {
            return Ok(Template::Slot(self.operand(arg, node.get().index())));
        }
        if let Ok(list) = arg.cast_exact::<PyList>() {
            let items = list
                .iter()
                .map(|item| self.template(&item, node, depth + 1));
            return Ok(Template::List(items.collect::<PyResult<_>>()?));
        }
        if let Ok(tuple) = arg.cast_exact::<PyTuple>() {
            let items = tuple
                .iter()
                .map(|item| self.template(&item, node, depth + 1));
            return Ok(Template::Tuple(items.collect::<PyResult<_>>()?));
        }
        let dict = arg.cast_exact::<PyDict>()?;
        let mut items = Vec::with_capacity(dict.len());
        for (key, value) in dict.iter() {
            items.push((
                self.template(&key, node, depth + 1)?,
                self.template(&value, node, depth + 1)?,
            ));
        }
        Ok(Template::Dict(items.into()))
    }

    /// The edges, the ordering ones added where no value flows already.
    fn dependencies(&mut self, order_edges: &[(u32, u32)], count: usize) -> Dependencies {
        if order_edges.is_empty() {
            return Dependencies {
                starts: self.source_starts.clone(),
                sources: self.sources.clone(),
            };
        }
        let mut by_reader: Vec<(u32, u32)> = order_edges
            .iter()
            .map(|&(before, after)| (after, before))
            .collect();
        by_reader.sort_unstable();
        by_reader.dedup();
        let mut extra = by_reader.into_iter().peekable();
        let mut starts = Vec::with_capacity(count + 1);
        let mut sources: Vec<u32> = Vec::with_capacity(self.sources.len() + order_edges.len());
        let mut marked = vec![u32::MAX; count];
        starts.push(0);
        for node in 0..count {
            let own = self.source_starts[node] as usize..self.source_starts[node + 1] as usize;
            for &source in &self.sources[own] {
                marked[source as usize] = node as u32;
                sources.push(source);
            }
            while let Some((_, before)) = extra.next_if(|&(after, _)| after as usize == node) {
                if marked[before as usize] != node as u32 {
                    sources.push(before | ORDER_ONLY);
                }
            }
            starts.push(sources.len() as u32);
        }
        Dependencies { starts, sources }
    }

    fn tables(
        self,
        layout: &Layout,
        callables: Vec<Py<PyAny>>,
        policies: Vec<Policy>,
        keep: Option<Vec<u32>>,
    ) -> Tables {
        let count = layout.order.len();
        // By position: how many nodes read the value, and which of them is last in the order.
        let mut readers = vec![0u32; count];
        let mut last = vec![u32::MAX; count];
        for (place, &node) in layout.order.iter().enumerate() {
            let own = self.source_starts[node as usize] as usize
                ..self.source_starts[node as usize + 1] as usize;
            for &source in &self.sources[own] {
                let source = layout.position[source as usize] as usize;
                readers[source] += 1;
                last[source] = place as u32;
            }
        }
        match &keep {
            None => last.fill(u32::MAX),
            Some(nodes) => nodes
                .iter()
                .for_each(|&node| last[layout.position[node as usize] as usize] = u32::MAX),
        }
        let kept = (0..count as u32)
            .filter(|&place| last[place as usize] == u32::MAX)
            .collect();

        let mut held = callables;
        let mut names: Vec<*mut ffi::PyObject> =
            vec![std::ptr::null_mut(); if self.names.is_empty() { 0 } else { count }];
        for (node, tuple) in self.names {
            names[node as usize] = tuple.as_ptr();
            held.push(tuple.into_any().unbind());
        }
        let mut template_of = vec![PLAIN; if self.templates.is_empty() { 0 } else { count }];
        let mut templates: Vec<Box<[Template]>> = Vec::with_capacity(self.templates.len());
        let slot_of = |operand: u32| match operand & CONSTANT {
            0 => layout.position[operand as usize],
            _ => count as u32 + (operand & !CONSTANT),
        };
        for (node, mut list) in self.templates {
            template_of[node as usize] = templates.len() as u32;
            list.iter_mut()
                .for_each(|template| relocate(template, &slot_of));
            templates.push(list);
        }

        let mut steps = Vec::with_capacity(count);
        let mut operands = Vec::with_capacity(self.operands.len());
        let mut freed = vec![u32::MAX; count];
        let mut widest = 0;
        for (place, &node) in layout.order.iter().enumerate() {
            let node = node as usize;
            let start = operands.len();
            let own = self.operand_starts[node] as usize..self.operand_starts[node + 1] as usize;
            for &operand in &self.operands[own] {
                let slot = slot_of(operand);
                let flags = match operand & CONSTANT {
                    0 if last[slot as usize] != u32::MAX
                        && freed[slot as usize] != place as u32 =>
                    {
                        freed[slot as usize] = place as u32;
                        let in_parallel = if readers[slot as usize] == 1 {
                            SOLE
                        } else {
                            COUNTED
                        };
                        in_parallel
                            | if last[slot as usize] == place as u32 {
                                LAST
                            } else {
                                0
                            }
                    }
                    _ => 0,
                };
                operands.push((slot & SLOT) | flags);
            }
            let template = template_of.get(node).copied().unwrap_or(PLAIN);
            let length = operands.len() - start;
            widest = widest.max(
                templates
                    .get(template as usize)
                    .map_or(length, |list| list.len()),
            );
            steps.push(Step {
                callable: held[place].as_ptr(),
                names: names.get(node).copied().unwrap_or(std::ptr::null_mut()),
                operands: start as u32,
                length: length as u32,
                positional: self.positional[node],
                template,
            });
        }
        for (place, count) in readers.iter_mut().enumerate() {
            if last[place] == u32::MAX || *count == 1 {
                *count = 0;
            }
        }
        Tables {
            steps: steps.into(),
            operands: operands.into(),
            templates: templates.into(),
            policies: policies.into(),
            readers: readers.into(),
            kept,
            constants: self.constants.into(),
            held: held.into(),
            widest,
        }
    }
}

/// Whether an argument is a list, tuple or dictionary with a node somewhere inside.
fn holds_nodes(arg: &Bound<'_, PyAny>) -> bool {
    is_container(arg) && container_holds_nodes(arg, &mut HashSet::new())
}

fn is_container(arg: &Bound<'_, PyAny>) -> bool {
    arg.is_exact_instance_of::<PyList>()
        || arg.is_exact_instance_of::<PyTuple>()
        || arg.is_exact_instance_of::<PyDict>()
}

fn container_holds_nodes(container: &Bound<'_, PyAny>, seen: &mut HashSet<usize>) -> bool {
    if !seen.insert(container.as_ptr() as usize) {
        return false;
    }
    let mut inside = |item: &Bound<'_, PyAny>| {
        item.is_exact_instance_of::<Node>()
            || (is_container(item) && container_holds_nodes(item, seen))
    };
    if let Ok(list) = container.cast_exact::<PyList>() {
        return list.iter().any(|item| inside(&item));
    }
    if let Ok(tuple) = container.cast_exact::<PyTuple>() {
        return tuple.iter_borrowed().any(|item| inside(&item));
    }
    container.cast_exact::<PyDict>().is_ok_and(|dict| {
        dict.iter()
            .any(|(key, value)| inside(&key) || inside(&value))
    })
}

/// From numbers of registration to slots.
fn relocate(template: &mut Template, slot_of: &impl Fn(u32) -> u32) {
    match template {
        Template::Slot(slot) => *slot = slot_of(*slot),
        Template::List(items) | Template::Tuple(items) => {
            items.iter_mut().for_each(|item| relocate(item, slot_of))
        }
        Template::Dict(items) => items.iter_mut().for_each(|(key, value)| {
            relocate(key, slot_of);
            relocate(value, slot_of);
        }),
    }
}
