//! What a pool has counted, in terms that mean something outside: seconds, and counts by name.

use super::Pool;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};
use taskloom_core::histogram::Counts;

fn seconds(ticks: u64) -> f64 {
    taskloom_core::clock::nanos(ticks) as f64 * 1e-9
}

type Latency = (u64, f64, f64, f64, f64, f64, f64);

fn latency(counts: &Counts) -> Latency {
    let at = |share| seconds(counts.quantile(share));
    let least = if counts.count == 0 { 0 } else { counts.min };
    (
        counts.count,
        seconds(counts.sum),
        seconds(least),
        at(0.5),
        at(0.99),
        at(0.999),
        seconds(counts.max),
    )
}

/// Tasks that have ended and tasks that are queued; workers that may take tasks, that are there, that
/// are parked, that are stuck in a task.
pub(super) type Tally = (u64, usize, usize, usize, usize, usize);

impl Pool {
    pub(super) fn read_tally(&self) -> Tally {
        let core = self.core();
        (
            core.finished(),
            core.queued(),
            core.active(),
            core.threads(),
            core.parked(),
            core.blocked(),
        )
    }

    /// What was counted: arrivals and each worker by name, then latencies in queue and execution,
    /// as (count, total, minimum, p50, p99, p999, maximum) in seconds; and how many tasks of each band
    /// are queued now.
    pub(super) fn read_stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        taskloom_core::clock::refine();
        let reading = self.core().stats();
        let arrivals: std::collections::HashMap<_, _> = reading.arrivals.named().collect();
        let workers = PyList::empty(py);
        for worker in &reading.workers {
            // Ticks mean nothing outside; they go beside as seconds.
            let named = worker.named().filter(|(name, _)| *name != "busy_ticks");
            let counts: std::collections::HashMap<_, _> = named.collect();
            let busy = seconds(worker.busy_ticks);
            workers.append((counts, busy))?;
        }
        let latencies = (latency(&reading.queued), latency(&reading.ran));
        (arrivals, workers, latencies, self.core().depths()).into_pyobject(py)
    }
}
