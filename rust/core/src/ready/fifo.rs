//! A first-in first-out queue of blocks.
//!
//! A `VecDeque` copies all it holds when it grows, which is a pause of milliseconds at a million
//! entries under the caller's lock, and it never gives memory back. Here a push never copies an
//! older entry, and blocks that ran empty are freed, but for one that is kept for the next push.

use std::collections::VecDeque;

use super::Entry;

/// Entries in one block: 8 KiB of 32-byte entries.
const BLOCK: usize = 256;

/// Entries leave at `head[taken]` and enter at the end of `tail`; full blocks wait in between.
pub(super) struct Fifo<T> {
    head: Vec<Entry<T>>,
    taken: usize,
    full: VecDeque<Vec<Entry<T>>>,
    tail: Vec<Entry<T>>,
}

impl<T: Copy> Fifo<T> {
    pub(super) const fn new() -> Self {
        Self {
            head: Vec::new(),
            taken: 0,
            full: VecDeque::new(),
            tail: Vec::new(),
        }
    }

    #[inline]
    pub(super) fn push(&mut self, entry: Entry<T>) {
        if self.tail.len() == self.tail.capacity() {
            self.retire_tail();
        }
        self.tail.push(entry);
    }

    #[cold]
    fn retire_tail(&mut self) {
        let block = std::mem::replace(&mut self.tail, Vec::with_capacity(BLOCK));
        if !block.is_empty() {
            self.full.push_back(block);
        }
    }

    pub(super) fn len(&self) -> usize {
        let between: usize = self.full.iter().map(Vec::len).sum();
        self.head.len() - self.taken + between + self.tail.len()
    }

    /// The entry that entered first.
    #[inline]
    pub(super) fn front(&self) -> Option<&Entry<T>> {
        self.head
            .get(self.taken)
            .or_else(|| self.full.front().unwrap_or(&self.tail).first())
    }

    /// Takes the entry that entered first.
    #[inline]
    pub(super) fn pop_front(&mut self) -> Option<Entry<T>> {
        if self.taken == self.head.len() {
            self.refill();
        }
        let entry = *self.head.get(self.taken)?;
        self.taken += 1;
        Some(entry)
    }

    #[inline(never)]
    fn refill(&mut self) {
        self.head.clear();
        self.taken = 0;
        if let Some(block) = self.full.pop_front() {
            self.head = block;
        } else {
            std::mem::swap(&mut self.head, &mut self.tail);
        }
    }

    /// Takes the entry that entered last.
    pub(super) fn pop_back(&mut self) -> Option<Entry<T>> {
        if self.tail.is_empty() {
            if let Some(block) = self.full.pop_back() {
                self.tail = block;
            } else {
                if self.taken == self.head.len() {
                    return None;
                }
                return self.head.pop();
            }
        }
        self.tail.pop()
    }

    /// Moves the entries that `goes` names to `out`.
    pub(super) fn take_out(&mut self, goes: &mut impl FnMut(&T) -> bool, out: &mut Vec<T>) {
        // All of them, once around.
        for _ in 0..self.len() {
            match self.pop_front() {
                Some(entry) if goes(&entry.item) => out.push(entry.item),
                Some(entry) => self.push(entry),
                None => return,
            }
        }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.taken == self.head.len() && self.tail.is_empty() && self.full.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(sequence: u64) -> Entry<u64> {
        Entry {
            sequence,
            item: sequence,
        }
    }

    #[test]
    fn many_blocks_leave_in_the_order_they_entered() {
        let mut fifo = Fifo::new();
        for i in 0..10 * BLOCK as u64 + 3 {
            fifo.push(entry(i));
        }
        for i in 0..10 * BLOCK as u64 + 3 {
            assert_eq!(fifo.front().map(|e| e.item), Some(i));
            assert_eq!(fifo.pop_front().map(|e| e.item), Some(i));
        }
        assert!(fifo.is_empty() && fifo.pop_front().is_none());
    }

    #[test]
    fn both_ends_can_be_taken_until_nothing_is_left() {
        let mut fifo = Fifo::new();
        let count = 3 * BLOCK as u64;
        for i in 0..count {
            fifo.push(entry(i));
        }
        for i in 0..count / 2 {
            assert_eq!(fifo.pop_front().map(|e| e.item), Some(i));
            assert_eq!(fifo.pop_back().map(|e| e.item), Some(count - 1 - i));
        }
        assert!(fifo.is_empty() && fifo.pop_back().is_none() && fifo.front().is_none());
    }
}
