//! Log-linear histograms with one writer.
//!
//! The layout is that of HdrHistogram (Gil Tene): each power of two is cut into equal buckets, so
//! that the relative error is the same everywhere: here 64 to a power of two, half a bucket or
//! 0.8 % at most. Recording is an index from the leading zeros and one plain load and store: the
//! writer is a single worker, so no locked instruction is needed, and readers may look at any time.
//! The `hdrhistogram` crate needs `&mut`, or a channel per writer to be read concurrently.

pub mod window;

// Counts are no protocol: nothing is published through them, so the model checker has no use for
// them and they are the standard library's atomics in every build.
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// log2 of the buckets in one power of two.
const FINE: u32 = 6;
/// Values from 2^LIMIT on count as the largest: 18 minutes in ticks of a 4 GHz counter.
const LIMIT: u32 = 42;
const BUCKETS: usize = ((LIMIT - FINE + 1) as usize) << FINE;

/// Counts of values, written by one thread, read by any.
pub struct Histogram {
    buckets: Box<[AtomicU64]>,
    sum: AtomicU64,
    /// `u64::MAX` while nothing was recorded.
    min: AtomicU64,
    max: AtomicU64,
}

/// The bucket of a value.
#[inline]
fn index(value: u64) -> usize {
    let value = value.min((1 << LIMIT) - 1);
    let power = (value | ((1 << FINE) - 1)).ilog2() + 1 - FINE;
    // The linear start has power 0; from there on each power holds 2^FINE buckets, and the value's
    // leading one, still in it after the shift, counts for one of them.
    ((power as usize) << FINE) + (value >> power.saturating_sub(1)) as usize
        - (usize::from(power > 0) << FINE)
}

/// The middle of what a bucket counts.
fn middle(index: usize) -> u64 {
    let power = (index >> FINE) as u32;
    if power == 0 {
        return index as u64;
    }
    let width = 1_u64 << (power - 1);
    let fine = (index & ((1 << FINE) - 1)) as u64 + (1 << FINE);
    fine * width + width / 2
}

impl Histogram {
    /// Nothing recorded yet.
    pub fn new() -> Self {
        Self {
            buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(),
            sum: AtomicU64::new(0),
            min: AtomicU64::new(u64::MAX),
            max: AtomicU64::new(0),
        }
    }

    /// Counts a value. For one thread at a time: of two that record at once, one may be lost.
    #[inline]
    pub fn record(&self, value: u64) {
        if let Some(bucket) = self.buckets.get(index(value)) {
            bucket.store(bucket.load(Relaxed) + 1, Relaxed);
        }
        self.sum
            .store(self.sum.load(Relaxed).wrapping_add(value), Relaxed);
        if value < self.min.load(Relaxed) {
            self.min.store(value, Relaxed);
        }
        if value > self.max.load(Relaxed) {
            self.max.store(value, Relaxed);
        }
    }

    /// What was recorded until about now.
    pub fn snapshot(&self) -> Counts {
        let mut counts = Counts::default();
        counts.add(self);
        counts
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

/// What a histogram held when it was read; several add up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts {
    buckets: Vec<u64>,
    /// How many values were recorded.
    pub count: u64,
    /// Their sum.
    pub sum: u64,
    /// The least of them; `u64::MAX` if there was none.
    pub min: u64,
    /// The greatest of them.
    pub max: u64,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            buckets: Vec::new(),
            count: 0,
            sum: 0,
            min: u64::MAX,
            max: 0,
        }
    }
}

impl Counts {
    /// Adds what another histogram holds.
    pub fn add(&mut self, histogram: &Histogram) {
        self.buckets.resize(BUCKETS, 0);
        // Most of a pool's workers may never have begun; their buckets are not worth a look. A value
        // that is recorded meanwhile is seen by the next reading.
        if histogram.min.load(Relaxed) == u64::MAX {
            return;
        }
        for (count, bucket) in self.buckets.iter_mut().zip(&histogram.buckets) {
            let recorded = bucket.load(Relaxed);
            *count += recorded;
            self.count += recorded;
        }
        self.sum = self.sum.wrapping_add(histogram.sum.load(Relaxed));
        self.min = self.min.min(histogram.min.load(Relaxed));
        self.max = self.max.max(histogram.max.load(Relaxed));
    }

    /// What was recorded since an earlier reading: a sliding window is the difference of two.
    /// The least and the greatest value are then known to a bucket only.
    #[must_use]
    pub fn since(&self, earlier: &Counts) -> Counts {
        let mut buckets = self.buckets.clone();
        for (count, before) in buckets.iter_mut().zip(&earlier.buckets) {
            *count = count.saturating_sub(*before);
        }
        let least = buckets.iter().position(|count| *count > 0);
        let greatest = buckets.iter().rposition(|count| *count > 0);
        Counts {
            count: buckets.iter().sum(),
            sum: self.sum.wrapping_sub(earlier.sum),
            min: least.map_or(u64::MAX, middle).max(self.min),
            max: greatest.map_or(0, middle).min(self.max),
            buckets,
        }
    }

    /// The value below which a share of the values lies: 0.5 for the median, 0.99 for p99; 0 if
    /// nothing was recorded. Off by 0.8 % at most.
    pub fn quantile(&self, share: f64) -> u64 {
        let wanted = ((self.count as f64 * share).ceil() as u64).clamp(1, self.count.max(1));
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return middle(index).clamp(self.min.min(self.max), self.max);
            }
        }
        0
    }

    /// The arithmetic mean; 0 if nothing was recorded.
    pub fn mean(&self) -> f64 {
        if self.count == 0 {
            return 0.0;
        }
        self.sum as f64 / self.count as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_falls_into_a_bucket_whose_middle_is_within_one_percent() {
        let mut value = 0_u64;
        let mut before = 0;
        while value < 1 << LIMIT {
            let at = index(value);
            assert!(at < BUCKETS && at >= before, "{value} fell into {at}");
            let error = middle(at).abs_diff(value) as f64 / value.max(1) as f64;
            assert!(error <= 0.008, "{value}: {} is {error} off", middle(at));
            before = at;
            value += 1 + value / 97;
        }
        assert_eq!(index(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn neighbouring_buckets_leave_no_gap() {
        for value in 1..100_000_u64 {
            assert!(index(value) - index(value - 1) <= 1);
        }
    }

    #[test]
    fn quantiles_of_one_to_ten_thousand_are_where_they_belong() {
        let histogram = Histogram::new();
        for value in (1..=10_000).rev() {
            histogram.record(value);
        }
        let counts = histogram.snapshot();
        for (share, exact) in [(0.5, 5000.0), (0.99, 9900.0), (0.999, 9990.0)] {
            let found = counts.quantile(share) as f64;
            assert!((found / exact - 1.0).abs() < 0.008, "{share}: {found}");
        }
        assert_eq!((counts.count, counts.min, counts.max), (10_000, 1, 10_000));
        assert_eq!((counts.quantile(0.0), counts.quantile(1.0)), (1, 10_000));
        assert_eq!(counts.mean(), 5000.5);
    }

    #[test]
    fn nothing_recorded_has_quantile_zero() {
        assert_eq!(Histogram::new().snapshot().quantile(0.99), 0);
        assert_eq!(Counts::default().quantile(0.5), 0);
    }

    #[test]
    fn a_window_is_the_difference_of_two_readings() {
        let histogram = Histogram::new();
        for _ in 0..1000 {
            histogram.record(1_000_000);
        }
        let before = histogram.snapshot();
        for _ in 0..10 {
            histogram.record(50);
        }
        let window = histogram.snapshot().since(&before);
        assert_eq!((window.count, window.sum), (10, 500));
        assert_eq!(
            (window.quantile(0.99), window.min, window.max),
            (50, 50, 50)
        );
    }

    #[test]
    fn workers_add_up() {
        let (one, two) = (Histogram::new(), Histogram::new());
        one.record(10);
        two.record(30);
        let mut both = one.snapshot();
        both.add(&two);
        assert_eq!((both.count, both.sum, both.min, both.max), (2, 40, 10, 30));
    }
}
