//! The uses of values that share them with nobody, collected as nodes are added, and what follows from them.

use pyo3::prelude::*;
use taskloom_core::plan::access::{self, Cases, Conflict, Exclusive, Mode};

use super::builder::GraphBuilder;
use super::reader::Reader;

/// What follows from the uses of values; made by `Graph.compile`, which hands it on.
#[pyclass(frozen, module = "taskloom._taskloom")]
pub struct Inferred(pub(super) access::Inferred);

#[pymethods]
impl Inferred {
    /// `(node, source)` where a node takes the value of a source.
    #[getter]
    fn takes(&self) -> Vec<(u32, u32)> {
        self.0.takes.clone()
    }

    /// The nodes that stand for an object that is taken in the end.
    #[getter]
    fn gone(&self) -> Vec<u32> {
        self.0.gone.clone()
    }

    /// The nodes that made the objects somebody needs for himself.
    #[getter]
    fn contested(&self) -> Vec<u32> {
        self.0.contested.clone()
    }
}

/// What is wrong, and the nodes that it is about.
type Wrong = (&'static str, u32, u32, u32);

#[derive(IntoPyObject)]
pub enum Finding {
    Fine(Inferred),
    Wrong(Wrong),
}

pub fn mode_of(name: &str) -> Option<Mode> {
    match name {
        "write" => Some(Mode::Write),
        "forward" => Some(Mode::Forward),
        "take" => Some(Mode::Take),
        _ => None,
    }
}

pub fn name_of(mode: Mode) -> &'static str {
    match mode {
        Mode::Write => "write",
        Mode::Forward => "forward",
        Mode::Take => "take",
    }
}

/// Infers what follows from the uses noted so far; `lent` are the nodes whose values belong to a context.
pub fn infer(
    graph: &Bound<'_, GraphBuilder>,
    mut exclusive: Vec<Exclusive>,
    lent: &[u32],
    cases: &Cases,
) -> PyResult<Finding> {
    let py = graph.py();
    if exclusive.is_empty() {
        return Ok(Finding::Fine(Inferred(access::Inferred::default())));
    }
    let nodes = graph.get().node_list(py);
    let mut reader = Reader::new(graph, nodes.len());
    for node in &nodes {
        reader.read(node.bind(py))?;
    }
    // Threads that add nodes at the same time may note their uses late, or while this compiles.
    exclusive.retain(|used| (used.node as usize) < nodes.len());
    exclusive.sort_by_key(|used| used.node);
    let starts = &reader.source_starts;
    Ok(
        match access::infer(starts, &reader.sources, &exclusive, lent, cases) {
            Ok(found) => Finding::Fine(Inferred(found)),
            Err(conflict) => Finding::Wrong(match conflict {
                Conflict::AfterTake {
                    node,
                    source,
                    taker,
                } => ("after take", node, source, taker),
                Conflict::Twice {
                    node,
                    source,
                    other,
                } => ("twice", node, source, other),
                Conflict::Superseded { node, source, now } => ("superseded", node, source, now),
                Conflict::Borrowed { node, source } => ("borrowed", node, source, source),
            }),
        },
    )
}
