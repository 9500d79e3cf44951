//! How long tasks waited in the queue lately: `_taskloom.LatencyWindow`.

use super::Pool;
use parking_lot::Mutex;
use pyo3::prelude::*;
use taskloom_core::clock;
use taskloom_core::histogram::window::Window;

/// A sliding window over the queue latencies of a pool.
#[pyclass(frozen, module = "taskloom._taskloom")]
pub(super) struct LatencyWindow(Mutex<Window>);

#[pymethods]
impl LatencyWindow {
    /// Of `span` seconds, which begins anew in `steps` places.
    #[new]
    fn new(span: f64, steps: u64) -> Self {
        LatencyWindow(Mutex::new(Window::new(micros(span), steps)))
    }

    /// Moves the window on to `now`, in seconds of any clock; returns how many tasks of the pool began
    /// in it, and the seconds that a share of them waited at most.
    fn slide(&self, pool: &Pool, now: f64, share: f64) -> (u64, f64) {
        clock::refine();
        let reading = pool.core().queue_latencies();
        let recent = self.0.lock().slide(micros(now), reading);
        let nanos = clock::nanos(recent.quantile(share));
        (recent.count, nanos as f64 * 1e-9)
    }
}

fn micros(seconds: f64) -> u64 {
    (seconds.max(0.0) * 1e6) as u64
}
