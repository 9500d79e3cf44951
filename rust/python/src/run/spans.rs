//! When and where the nodes of a watched run ran, without the run: it holds none of the values.

use std::sync::Arc;

use pyo3::PyTraverseError;
use pyo3::PyVisit;
use pyo3::prelude::*;
use taskloom_core::clock;

use super::watch::{Entry, Watch};
use crate::plan::{Kind, Node, Plan};

/// The record of one watched run; it grows while that goes on.
#[pyclass(frozen, module = "taskloom._taskloom")]
pub struct RunSpans {
    plan: Py<Plan>,
    watch: Arc<Watch>,
}

impl RunSpans {
    pub fn new(plan: Py<Plan>, watch: Arc<Watch>) -> Self {
        RunSpans { plan, watch }
    }
}

#[pymethods]
impl RunSpans {
    /// The plan that the run is one of.
    #[getter]
    fn plan(&self, py: Python<'_>) -> Py<Plan> {
        self.plan.clone_ref(py)
    }

    /// Every node that has begun, with its start and end in seconds, its worker (-1 for a thread from
    /// outside, None for elsewhere), its status, and whether it was submitted as a task of its own.
    fn entries(&self, py: Python<'_>) -> Vec<(Py<Node>, Entry, bool)> {
        clock::refine();
        let plan = self.plan.get();
        let entry = |position| {
            let entry = self.watch.entry(position)?;
            let deferred = plan.tables.kind(position) == Kind::Deferred;
            Some((plan.node_at(position).clone_ref(py), entry, deferred))
        };
        (0..plan.nodes.len() as u32).filter_map(entry).collect()
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // What the record shares with its run, that shows to the collector.
        visit.call(&self.plan)
    }
}
