//! The engine's ready queue as Python sees it: `taskloom.testing` drives the very policy that pools do.

use parking_lot::Mutex;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::time::Duration;
use taskloom_core::ready::{Order, OverdueOrder, ReadyQueue as Core};

/// What `overdue` means to the order.
pub fn overdue_order(overdue: &str) -> PyResult<OverdueOrder> {
    match overdue {
        "skip" | "first" => Ok(OverdueOrder::First),
        "report" => Ok(OverdueOrder::InBand),
        other => Err(PyValueError::new_err(format!(
            "overdue must be \"skip\", \"first\" or \"report\", not {other:?}"
        ))),
    }
}

/// Seconds before a deadline from which on it draws its task forward.
pub fn lead_of(deadline_lead: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(deadline_lead).map_err(|_| {
        PyValueError::new_err(format!(
            "deadline_lead={deadline_lead} must be seconds, 0 or more"
        ))
    })
}

/// Numbers that wait, in the order in which a pool with these settings starts tasks; times are nanoseconds.
#[pyclass(frozen, module = "taskloom._taskloom")]
pub struct ReadyQueue(Mutex<Core<u64>>);

#[pymethods]
impl ReadyQueue {
    #[new]
    #[pyo3(signature = (*, deadline_lead, aging, overdue))]
    fn new(deadline_lead: f64, aging: u32, overdue: &str) -> PyResult<Self> {
        let lead = lead_of(deadline_lead)?.as_nanos();
        Ok(ReadyQueue(Mutex::new(Core::new(Order {
            lead: u64::try_from(lead).unwrap_or(u64::MAX),
            aging,
            overdue: overdue_order(overdue)?,
        }))))
    }

    /// Queues a number in one of the eight bands, 0 the most urgent.
    #[pyo3(signature = (number, band, deadline=None))]
    fn push(&self, number: u64, band: usize, deadline: Option<u64>) {
        self.0.lock().push(number, band, deadline);
    }

    /// Takes the number that is to start next, and tells whether that is because it waits longest.
    fn pop(&self, now: u64) -> Option<(u64, bool)> {
        let mut queue = self.0.lock();
        let aged = queue.ages_next();
        let popped = queue.pop(|| now)?;
        Some((popped.item, aged))
    }

    /// Takes the number that was queued first.
    fn remove_oldest(&self) -> Option<u64> {
        self.0.lock().remove_oldest()
    }

    /// Takes the number that is needed least, unless all are more urgent than a band.
    fn remove_lowest(&self, than: usize) -> Option<u64> {
        self.0.lock().remove_lowest(than)
    }

    fn __len__(&self) -> usize {
        self.0.lock().len()
    }
}
