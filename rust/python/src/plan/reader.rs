//! The first pass of compiling: what the arguments of each node are, and what it therefore waits for.

use std::collections::HashSet;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};
use taskloom_core::plan::{Dependencies, NODE, WAIT_ONLY};

use super::access::Use;
use super::builder::{GraphBuilder, check_same_graph};
use super::node::Node;
use super::pack::Pack;
use super::template::{CONSTANT, Template};
use crate::errors;

/// How deep nodes may sit in containers.
const MAX_DEPTH: usize = 100;

/// What one pass over the nodes finds; nodes are numbered by registration here.
pub(super) struct Reader<'a, 'py> {
    pub(super) graph: &'a Bound<'py, GraphBuilder>,
    /// Per node where its operands and its sources start.
    pub(super) operand_starts: Vec<u32>,
    pub(super) source_starts: Vec<u32>,
    pub(super) operands: Vec<u32>,
    pub(super) sources: Vec<u32>,
    pub(super) positional: Vec<u32>,
    pub(super) constants: Vec<Py<PyAny>>,
    /// Keyword names and templates of the few nodes that have them.
    pub(super) names: Vec<(u32, Bound<'py, PyTuple>)>,
    pub(super) templates: Vec<(u32, Box<[Template]>)>,
    /// The last node that was found to read each value, plus one: tells repeated reads.
    pub(super) seen: Vec<u32>,
}

impl<'a, 'py> Reader<'a, 'py> {
    pub(super) fn new(graph: &'a Bound<'py, GraphBuilder>, count: usize) -> Self {
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

    pub(super) fn operands_of(&self, node: usize) -> &[u32] {
        &self.operands[self.operand_starts[node] as usize..self.operand_starts[node + 1] as usize]
    }

    pub(super) fn sources_of(&self, node: usize) -> &[u32] {
        &self.sources[self.source_starts[node] as usize..self.source_starts[node + 1] as usize]
    }

    pub(super) fn read(&mut self, node: &Bound<'py, Node>) -> PyResult<()> {
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
        if arg.is_exact_instance_of::<Use>() {
            let message = format!(
                "node '{}': an access mode inside a container; give it to an argument of its own",
                node.get().name(node.py())?
            );
            return Err(errors::raise(node.py(), "GraphError", &message));
        }
        if let Ok(pack) = arg.cast::<Pack>() {
            return self.template(&pack.get().content(arg.py())?, node, depth + 1);
        }
        if !holds_nodes(arg) {
            return Ok(Template::Value(self.operand(arg, node.get().index())));
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

    /// The edges: those along which values flow, and where there is none the strongest of the others,
    /// which are `(after, before with flags)` and hold every pair's strongest first.
    ///
    /// Of the sources of `joins`, all may be skipped but the one that chooses, their first argument; in a
    /// subgraph that may be a constant.
    pub(super) fn dependencies(
        &mut self,
        others: &[(u32, u32)],
        joins: &[bool],
        count: usize,
    ) -> Dependencies {
        if others.is_empty() && joins.is_empty() {
            return Dependencies {
                starts: self.source_starts.clone(),
                sources: self.sources.clone(),
            };
        }
        let mut extra = others.iter().copied().peekable();
        let mut starts = Vec::with_capacity(count + 1);
        let mut sources: Vec<u32> = Vec::with_capacity(self.sources.len() + others.len());
        let mut marked = vec![u32::MAX; count];
        starts.push(0);
        for node in 0..count {
            let own = self.source_starts[node] as usize..self.source_starts[node + 1] as usize;
            let is_join = joins.get(node).copied().unwrap_or(false);
            let chosen = self.operands_of(node).first();
            let chosen_by_value = chosen.is_some_and(|&operand| operand & CONSTANT != 0);
            for (place, &source) in self.sources[own].iter().enumerate() {
                marked[source as usize] = node as u32;
                let does_without = is_join && (place > 0 || chosen_by_value);
                sources.push(source | if does_without { WAIT_ONLY } else { 0 });
            }
            while let Some((_, before)) = extra.next_if(|&(after, _)| after as usize == node) {
                let source = (before & NODE) as usize;
                if marked[source] != node as u32 {
                    marked[source] = node as u32;
                    sources.push(before);
                }
            }
            starts.push(sources.len() as u32);
        }
        Dependencies { starts, sources }
    }
}

/// Whether an argument is a pack, or a list, tuple or dictionary with a node somewhere inside.
fn holds_nodes(arg: &Bound<'_, PyAny>) -> bool {
    if is_container(arg) {
        return container_holds_nodes(arg, &mut HashSet::new());
    }
    arg.is_instance_of::<Pack>()
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
            || item.is_exact_instance_of::<Use>()
            || item.is_instance_of::<Pack>()
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
