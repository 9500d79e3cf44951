//! Entries with deadlines: a run of those that came in order, and a heap of the others.
//!
//! Tasks with the same span until their deadline, the usual case, arrive in the order in which they
//! fall due. They are appended to the run and taken from its front, in constant time; only what
//! falls due before the end of the run pays for the heap. Within the run the order of submission
//! is the order of deadlines.

use super::Entry;
use super::heap::Heap;
use std::collections::VecDeque;

/// The entries of one band, the earliest deadline first, then the order of submission.
pub(super) struct Deadlines<T> {
    run: VecDeque<(u64, Entry<T>)>,
    heap: Heap<T>,
}

/// Where an entry is; valid until the next change.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Front,
    Back,
    Heap(usize),
}

impl<T: Copy> Deadlines<T> {
    pub(super) const fn new() -> Self {
        Self {
            run: VecDeque::new(),
            heap: Heap::new(),
        }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.run.is_empty() && self.heap.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.run.len() + self.heap.len()
    }

    #[inline]
    pub(super) fn push(&mut self, deadline: u64, entry: Entry<T>) {
        match self.run.back() {
            Some((latest, _)) if *latest > deadline => self.heap.push(deadline, entry),
            _ => self.run.push_back((deadline, entry)),
        }
    }

    /// The earliest deadline and the sequence number of the entry that has it.
    #[inline]
    pub(super) fn first(&self) -> Option<(u64, u64)> {
        let run = self.run.front();
        let run = run.map(|(deadline, entry)| (*deadline, entry.sequence));
        match (run, self.heap.first()) {
            (Some(run), Some(heap)) => Some(run.min(heap)),
            (run, heap) => run.or(heap),
        }
    }

    /// Takes the entry with the earliest deadline.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<(u64, T)> {
        if !self.heap.is_empty() && self.heap.first() == self.first() {
            return self.heap.pop();
        }
        let (deadline, entry) = self.run.pop_front()?;
        Some((deadline, entry.item))
    }

    /// Place and sequence number of the entry that was submitted first, unless all are newer than
    /// `than`. Looks at every entry of the heap when some may be older.
    pub(super) fn oldest(&mut self, than: u64) -> Option<(Place, u64)> {
        let run = self.run.front().map(|(_, entry)| entry.sequence);
        let run = run.filter(|sequence| *sequence < than);
        let heap = self.heap.oldest(run.unwrap_or(than));
        match heap {
            Some((index, sequence)) => Some((Place::Heap(index), sequence)),
            None => Some((Place::Front, run?)),
        }
    }

    /// Place of the entry that would leave last. Looks at the leaves of the heap.
    pub(super) fn last(&self) -> Option<Place> {
        let heap = self.heap.last();
        let run = self.run.back();
        let run = run.map(|(deadline, entry)| (*deadline, entry.sequence));
        match (run, heap) {
            (Some(run), Some(index)) if self.heap.key(index) < Some(run) => Some(Place::Back),
            (_, Some(index)) => Some(Place::Heap(index)),
            (Some(_), None) => Some(Place::Back),
            (None, None) => None,
        }
    }

    /// Takes the entry at a place that `oldest` or `last` has just given.
    pub(super) fn remove(&mut self, place: Place) -> Option<T> {
        match place {
            Place::Front => self.run.pop_front().map(|(_, entry)| entry.item),
            Place::Back => self.run.pop_back().map(|(_, entry)| entry.item),
            Place::Heap(index) => Some(self.heap.remove(index).1),
        }
    }

    /// Moves the entries that `goes` names to `out`.
    pub(super) fn take_out(&mut self, goes: &mut impl FnMut(&T) -> bool, out: &mut Vec<T>) {
        self.run.retain(|(_, entry)| {
            let leaves = goes(&entry.item);
            if leaves {
                out.push(entry.item);
            }
            !leaves
        });
        self.heap.take_out(goes, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(deadlines: &[u64]) -> Deadlines<u64> {
        let mut queue = Deadlines::new();
        for (sequence, &deadline) in deadlines.iter().enumerate() {
            let sequence = sequence as u64;
            let item = deadline;
            queue.push(deadline, Entry { sequence, item });
        }
        queue
    }

    const MIXED: [u64; 9] = [3, 5, 5, 1, 9, 4, 9, 2, 11];

    #[test]
    fn entries_leave_by_deadline_whether_they_came_in_order_or_not() {
        let mut queue = filled(&MIXED);
        let mut seen = Vec::new();
        while let Some((deadline, _)) = queue.pop() {
            seen.push(deadline);
        }
        assert_eq!(seen, [1, 2, 3, 4, 5, 5, 9, 9, 11]);
        assert!(queue.is_empty());
    }

    #[test]
    fn the_last_entry_is_found_in_run_and_heap() {
        let mut queue = filled(&MIXED);
        let mut seen = Vec::new();
        while let Some(place) = queue.last() {
            seen.extend(queue.remove(place));
        }
        assert_eq!(seen, [11, 9, 9, 5, 5, 4, 3, 2, 1]);
    }

    #[test]
    fn the_oldest_entry_is_found_in_run_and_heap() {
        let mut queue = filled(&MIXED);
        let mut seen = Vec::new();
        while let Some((place, _)) = queue.oldest(u64::MAX) {
            seen.extend(queue.remove(place));
        }
        assert_eq!(seen, MIXED);
    }
}
