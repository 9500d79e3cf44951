//! A four-ary heap: earliest deadline first, then order of submission.
//!
//! Four children instead of two halve the depth, and their keys lie side by side in an array of
//! their own. A pop walks the hole down along the least children, chosen without branches, and
//! lets the last entry rise from there (Wegener's bottom-up heapsort step): the last entry nearly
//! always belongs near the bottom, and mispredicted comparisons would be most of the cost.
//! `std`'s binary heap cannot remove from the middle, which dropping needs.

use super::Entry;

const CHILDREN: usize = 4;

/// Entries with a deadline, the most urgent at index 0.
pub(super) struct Heap<T> {
    /// The deadline in the upper half, the sequence number in the lower.
    keys: Vec<u128>,
    /// `items[i]` belongs to `keys[i]`.
    items: Vec<T>,
    /// No entry has a lower sequence number; exact after `oldest`.
    oldest_bound: u64,
}

#[inline]
fn deadline(key: u128) -> u64 {
    (key >> 64) as u64
}

#[inline]
fn sequence(key: u128) -> u64 {
    key as u64
}

impl<T: Copy> Heap<T> {
    pub(super) const fn new() -> Self {
        Self {
            keys: Vec::new(),
            items: Vec::new(),
            oldest_bound: u64::MAX,
        }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    #[inline]
    pub(super) fn push(&mut self, deadline: u64, entry: Entry<T>) {
        if self.keys.is_empty() {
            self.oldest_bound = entry.sequence;
        }
        let key = u128::from(deadline) << 64 | u128::from(entry.sequence);
        self.keys.push(key);
        self.items.push(entry.item);
        self.sift_up(self.keys.len() - 1, key, entry.item);
    }

    /// The earliest deadline and the sequence number of the entry that has it.
    #[inline]
    pub(super) fn first(&self) -> Option<(u64, u64)> {
        let key = *self.keys.first()?;
        Some((deadline(key), sequence(key)))
    }

    /// Takes the entry with the earliest deadline.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<(u64, T)> {
        if self.keys.is_empty() {
            return None;
        }
        Some(self.remove(0))
    }

    /// Index and sequence number of the entry that was submitted first, unless all are newer than
    /// `than`. Looks at every entry when some may be older.
    pub(super) fn oldest(&mut self, than: u64) -> Option<(usize, u64)> {
        if self.oldest_bound > than {
            return None;
        }
        let keys = self.keys.iter().map(|key| sequence(*key)).enumerate();
        let (index, sequence) = keys.min_by_key(|(_, sequence)| *sequence)?;
        self.oldest_bound = sequence;
        (sequence < than).then_some((index, sequence))
    }

    /// Index of the entry that would leave last. Looks at the leaves, three quarters of all.
    pub(super) fn last(&self) -> Option<usize> {
        let first_leaf = (self.keys.len() + CHILDREN - 2) / CHILDREN;
        let leaves = self.keys.iter().enumerate().skip(first_leaf);
        leaves.max_by_key(|(_, key)| **key).map(|(index, _)| index)
    }

    /// Deadline and sequence number of the entry at `index`.
    pub(super) fn key(&self, index: usize) -> Option<(u64, u64)> {
        self.keys
            .get(index)
            .map(|key| (deadline(*key), sequence(*key)))
    }

    /// Takes the entry at `index`, which `oldest` or `last` has just given.
    pub(super) fn remove(&mut self, index: usize) -> (u64, T) {
        let (key, item) = (self.keys.swap_remove(index), self.items.swap_remove(index));
        if index < self.keys.len() {
            let moved = (self.keys[index], self.items[index]);
            let hole = self.sink(index);
            self.sift_up(hole, moved.0, moved.1);
        }
        (deadline(key), item)
    }

    /// Moves the entries that `goes` names to `out`.
    pub(super) fn take_out(&mut self, goes: &mut impl FnMut(&T) -> bool, out: &mut Vec<T>) {
        let bound = self.oldest_bound;
        let keys = std::mem::take(&mut self.keys);
        let items = std::mem::take(&mut self.items);
        for (key, item) in keys.into_iter().zip(items) {
            if goes(&item) {
                out.push(item);
            } else {
                let sequence = sequence(key);
                self.push(deadline(key), Entry { sequence, item });
            }
        }
        // It was one for all of them.
        self.oldest_bound = bound;
    }

    /// Moves the hole at `index` to a leaf, along the least children; gives its new index.
    #[inline]
    fn sink(&mut self, mut index: usize) -> usize {
        let len = self.keys.len();
        loop {
            let first = index * CHILDREN + 1;
            let least = if let Some(&[a, b, c, d]) = self.keys.get(first..first + CHILDREN) {
                let left = (b < a) as usize;
                let right = 2 + (d < c) as usize;
                first + if c.min(d) < a.min(b) { right } else { left }
            } else if first < len {
                let rest = self.keys[first..len].iter().enumerate();
                let least = rest.min_by_key(|(_, key)| **key);
                first + least.map_or(0, |(offset, _)| offset)
            } else {
                return index;
            };
            self.keys[index] = self.keys[least];
            self.items[index] = self.items[least];
            index = least;
        }
    }

    /// Puts an entry into the hole at `index` or as far above it as it belongs.
    #[inline]
    fn sift_up(&mut self, mut index: usize, key: u128, item: T) {
        while index > 0 {
            let parent = (index - 1) / CHILDREN;
            if self.keys[parent] < key {
                break;
            }
            self.keys[index] = self.keys[parent];
            self.items[index] = self.items[parent];
            index = parent;
        }
        self.keys[index] = key;
        self.items[index] = item;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_deadlines_leave_in_the_order_of_submission() {
        let mut heap = Heap::new();
        for sequence in 0..100 {
            let item = sequence;
            heap.push(7, Entry { sequence, item });
        }
        for sequence in 0..100 {
            assert_eq!(heap.pop().map(|(_, item)| item), Some(sequence));
        }
        assert!(heap.is_empty());
    }

    #[test]
    fn removing_from_the_middle_keeps_the_order_of_the_rest() {
        let mut heap = Heap::new();
        for sequence in 0..200_u64 {
            let deadline = (sequence * 7919) % 211;
            heap.push(
                deadline,
                Entry {
                    sequence,
                    item: deadline,
                },
            );
        }
        for sequence in 0..50 {
            assert_eq!(heap.oldest(u64::MAX).map(|(_, s)| s), Some(sequence));
            let Some((index, _)) = heap.oldest(u64::MAX) else {
                continue;
            };
            heap.remove(index);
        }
        let mut before = 0;
        while let Some((deadline, _)) = heap.pop() {
            assert!(deadline >= before);
            before = deadline;
        }
    }

    #[test]
    fn the_last_entry_has_the_latest_deadline() {
        for count in 1..70_u64 {
            let mut heap = Heap::new();
            for sequence in 0..count {
                let deadline = (sequence * 31) % 17;
                heap.push(
                    deadline,
                    Entry {
                        sequence,
                        item: deadline,
                    },
                );
            }
            let latest = (0..count).map(|s| (s * 31) % 17).max();
            let last = heap.last().map(|index| heap.remove(index).0);
            assert_eq!(last, latest);
        }
    }
}
