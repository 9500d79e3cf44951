//! What a pool counts.
//!
//! Each worker counts into cache lines of its own, with plain loads and stores: it is the only
//! writer. What any thread may count (arrivals, refusals) is in [`ArrivalStats`], with atomic adds.
//! A reading adds the workers up; it is not a moment's cut through all of them, but each number is
//! one that its writer had reached.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crossbeam_utils::CachePadded;

use crate::histogram::{Counts, Histogram};

/// A count with one writer.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds to the count. For its one writer: of two that add at once, one may be lost.
    #[inline]
    pub fn add(&self, amount: u64) {
        self.0
            .store(self.0.load(Relaxed).wrapping_add(amount), Relaxed);
    }

    /// The count as its writer last left it.
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A count that any thread may add to.
#[derive(Debug, Default)]
pub struct SharedCount(AtomicU64);

impl SharedCount {
    /// Adds to the count.
    #[inline]
    pub fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Relaxed);
    }

    /// The count now.
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Gives numbers from 1 on, each once.
#[derive(Debug)]
pub struct Serial(AtomicU64);

impl Serial {
    pub const fn new() -> Self {
        Self(AtomicU64::new(1))
    }

    pub fn next(&self) -> u64 {
        self.0.fetch_add(1, Relaxed)
    }
}

impl Default for Serial {
    fn default() -> Self {
        Self::new()
    }
}

/// Declares a struct of counts and the plain record that a reading of it gives.
macro_rules! counts {
    (
        $(#[$about:meta])* $live:ident of $count:ident, $(#[$about_read:meta])* $read:ident;
        $($(#[$about_field:meta])* $field:ident,)*
    ) => {
        $(#[$about])*
        #[derive(Debug, Default)]
        pub struct $live { $($(#[$about_field])* pub $field: $count,)* }

        $(#[$about_read])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $read { $($(#[$about_field])* pub $field: u64,)* }

        impl $live {
            /// The counts as they are now.
            pub fn read(&self) -> $read {
                $read { $($field: self.$field.get(),)* }
            }
        }

        impl $read {
            /// Every count with its name, for those who pass them on.
            pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($field), self.$field),)*].into_iter()
            }

            /// The sum of two readings, field by field.
            #[must_use]
            pub fn plus(&self, other: &Self) -> Self {
                Self { $($field: self.$field.wrapping_add(other.$field),)* }
            }
        }
    };
}

counts! {
    /// What one worker counts, and only that worker.
    WorkerCounts of Count,
    /// A reading of [`WorkerCounts`].
    WorkerReading;
    /// Tasks submitted by tasks that ran here.
    submitted,
    /// Tasks that ended with a value.
    done,
    /// Tasks that raised.
    failed,
    /// Tasks that ended cancelled, before or after they began.
    cancelled,
    /// Tasks whose time was up.
    timed_out,
    /// Tasks that were past their deadline when their turn came.
    overdue,
    /// Looks into other workers' queues.
    steal_attempts,
    /// Tasks taken from other workers' queues.
    stolen,
    /// Ticks spent in tasks.
    busy_ticks,
}

counts! {
    /// What any thread counts.
    ArrivalStats of SharedCount,
    /// A reading of [`ArrivalStats`].
    ArrivalReading;
    /// Tasks accepted; those that got into a queue are counted there.
    submitted,
    /// Tasks refused because the queue was full.
    rejected,
    /// Queued tasks dropped to make room for others.
    dropped,
    /// Times that a submit waited because the queue was full.
    blocked,
    /// Tasks taken out of the queue that were done by then: who waited for them had run them.
    done,
    /// Queued tasks that failed without a turn.
    failed,
    /// Queued tasks that were cancelled without a turn.
    cancelled,
}

impl WorkerCounts {
    /// Tasks that came to an end here, however they did.
    pub fn finished(&self) -> u64 {
        self.done.get() + self.failed.get() + self.cancelled.get() + self.timed_out.get()
    }
}

/// One worker's counts and, with timing on, its latency histograms, in ticks.
#[derive(Default)]
pub struct WorkerStats {
    /// The counts.
    pub counts: CachePadded<WorkerCounts>,
    timing: Option<Box<Timing>>,
}

#[derive(Default)]
struct Timing {
    queued: Histogram,
    ran: Histogram,
}

impl WorkerStats {
    /// Nothing counted yet; `timing` says whether latencies will be recorded.
    pub fn new(timing: bool) -> Self {
        Self {
            counts: CachePadded::default(),
            timing: timing.then(Box::default),
        }
    }

    /// Whether latencies are recorded, that is whether reading the clock for them is worth it.
    #[inline]
    pub fn is_timing(&self) -> bool {
        self.timing.is_some()
    }

    /// Adds how long tasks waited before they began here.
    pub fn add_queued_to(&self, counts: &mut Counts) {
        if let Some(timing) = &self.timing {
            counts.add(&timing.queued);
        }
    }

    /// Records a task that was submitted, started and finished at these ticks.
    #[inline]
    pub fn record(&self, submitted: u64, started: u64, finished: u64) {
        if let Some(timing) = &self.timing {
            let ran = finished.saturating_sub(started);
            timing.queued.record(started.saturating_sub(submitted));
            timing.ran.record(ran);
            self.counts.busy_ticks.add(ran);
        }
    }
}

/// A reading of a whole pool.
#[derive(Clone, Debug, Default)]
pub struct PoolReading {
    /// What any thread counted.
    pub arrivals: ArrivalReading,
    /// What each worker counted, by its index.
    pub workers: Vec<WorkerReading>,
    /// Ticks between submission and start.
    pub queued: Counts,
    /// Ticks between start and end.
    pub ran: Counts,
}

impl PoolReading {
    /// Reads all the counts of a pool.
    pub fn new<'a>(
        arrivals: &ArrivalStats,
        workers: impl IntoIterator<Item = &'a WorkerStats>,
    ) -> Self {
        let mut reading = Self {
            arrivals: arrivals.read(),
            ..Self::default()
        };
        for worker in workers {
            reading.workers.push(worker.counts.read());
            if let Some(timing) = &worker.timing {
                reading.queued.add(&timing.queued);
                reading.ran.add(&timing.ran);
            }
        }
        reading
    }

    /// The sum over the workers.
    pub fn total(&self) -> WorkerReading {
        let zero = WorkerReading::default();
        self.workers
            .iter()
            .fold(zero, |sum, worker| sum.plus(worker))
    }

    /// How unevenly the work fell: by how much the busiest worker was above the mean, as a share of
    /// the mean; 0 if nothing ran. By time where timing is on, else by tasks.
    pub fn imbalance(&self) -> f64 {
        let total = self.total();
        let load = |worker: &WorkerReading| match total.busy_ticks {
            0 => worker.done + worker.failed + worker.cancelled + worker.timed_out,
            _ => worker.busy_ticks,
        };
        let busiest = self.workers.iter().map(load).max().unwrap_or(0);
        match load(&total) {
            0 => 0.0,
            sum => busiest as f64 * self.workers.len() as f64 / sum as f64 - 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_adds_the_workers_up() {
        let arrivals = ArrivalStats::default();
        arrivals.submitted.add(3);
        let workers = [WorkerStats::new(true), WorkerStats::new(true)];
        workers[0].counts.done.add(2);
        workers[1].counts.failed.add(1);
        workers[0].record(100, 150, 450);
        workers[1].record(100, 110, 210);
        let reading = PoolReading::new(&arrivals, &workers);
        let total = reading.total();
        assert_eq!(reading.arrivals.submitted, 3);
        assert_eq!((total.done, total.failed, total.busy_ticks), (2, 1, 400));
        assert_eq!((reading.queued.count, reading.queued.min), (2, 10));
        assert_eq!((reading.ran.sum, reading.ran.max), (400, 300));
    }

    #[test]
    fn imbalance_is_what_the_busiest_has_above_the_mean() {
        let workers = [WorkerStats::new(true), WorkerStats::new(true)];
        assert_eq!(imbalance(&workers), 0.0);
        workers[0].record(0, 0, 300);
        workers[1].record(0, 0, 100);
        assert_eq!(imbalance(&workers), 0.5);
    }

    #[test]
    fn imbalance_goes_by_tasks_where_nothing_was_timed() {
        let workers = [WorkerStats::new(false), WorkerStats::new(false)];
        workers[0].record(0, 0, 300);
        workers[0].counts.done.add(1);
        workers[1].counts.done.add(1);
        assert_eq!(imbalance(&workers), 0.0);
        workers[1].counts.failed.add(2);
        assert_eq!(imbalance(&workers), 0.5);
    }

    fn imbalance(workers: &[WorkerStats]) -> f64 {
        PoolReading::new(&ArrivalStats::default(), workers).imbalance()
    }

    #[test]
    fn counts_are_read_under_their_own_names() {
        let counts = WorkerCounts::default();
        counts.stolen.add(7);
        let stolen = counts.read().named().find(|(name, _)| *name == "stolen");
        assert_eq!(stolen, Some(("stolen", 7)));
    }
}
