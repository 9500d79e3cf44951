//! What was recorded in the last while: differences of readings, taken now and then.
//!
//! Recording stays as cheap as it is without a window, for the histograms only ever grow; who looks
//! pays, once in a step, for a copy of the buckets.

use super::Counts;
use std::collections::VecDeque;

/// A window of time that slides over histograms. Times are in whatever unit the caller chooses, the
/// same in every call.
#[derive(Debug)]
pub struct Window {
    span: u64,
    step: u64,
    /// Readings with their times, the oldest first: that one is what the window begins with.
    marks: VecDeque<(u64, Counts)>,
}

impl Window {
    /// A window of `span`, which begins anew in about `steps` places: it holds what was recorded in
    /// the last `span` to `span + span / steps`, or since the first reading.
    pub fn new(span: u64, steps: u64) -> Self {
        Window {
            span,
            step: (span / steps.max(1)).max(1),
            marks: VecDeque::new(),
        }
    }

    /// Takes a reading made at `now`; returns what the window holds then.
    pub fn slide(&mut self, now: u64, reading: Counts) -> Counts {
        let begin = now.saturating_sub(self.span);
        while self.marks.get(1).is_some_and(|(time, _)| *time <= begin) {
            self.marks.pop_front();
        }
        let recent = match self.marks.front() {
            Some((_, before)) => reading.since(before),
            None => reading.clone(),
        };
        let due = self
            .marks
            .back()
            .is_none_or(|(time, _)| now >= time + self.step);
        if due {
            self.marks.push_back((now, reading));
        }
        recent
    }
}

#[cfg(test)]
mod tests {
    use super::super::Histogram;
    use super::*;

    /// A histogram that is looked at every unit of time, after `record` had its turn.
    fn watch(until: u64, record: impl Fn(u64, &Histogram)) -> Vec<Counts> {
        let (histogram, mut window) = (Histogram::new(), Window::new(10, 10));
        (0..until)
            .map(|now| {
                record(now, &histogram);
                window.slide(now, histogram.snapshot())
            })
            .collect()
    }

    #[test]
    fn what_was_recorded_leaves_the_window_after_its_span() {
        let seen = watch(40, |now, histogram| {
            if now == 5 {
                histogram.record(1000);
            }
        });
        assert!(seen[5..15].iter().all(|counts| counts.count == 1));
        assert!(seen[16..].iter().all(|counts| counts.count == 0));
    }

    #[test]
    fn quantiles_are_those_of_the_window_alone() {
        let seen = watch(40, |now, histogram| {
            for _ in 0..100 {
                histogram.record(if now < 20 { 1000 } else { 10 });
            }
        });
        assert!(seen[19].quantile(0.99).abs_diff(1000) <= 10);
        assert!(seen[25].quantile(0.99).abs_diff(1000) <= 10);
        assert_eq!(seen[35].quantile(0.99), 10);
    }

    #[test]
    fn readings_are_kept_no_closer_than_a_step() {
        let (histogram, mut window) = (Histogram::new(), Window::new(1000, 10));
        for now in 0..5000 {
            window.slide(now, histogram.snapshot());
        }
        assert!(window.marks.len() <= 12);
    }
}
