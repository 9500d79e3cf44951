//! The ready nodes of one participant: it works at one end, others steal from the other.
//!
//! A Chase-Lev deque, for runs whose threads do not exclude each other; where they do, a `Frontier` for
//! all of them takes its place, and a lane is only the right to take part.

use crate::sync::atomic::{
    AtomicBool, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};
use crossbeam_deque::{Steal, Stealer, Worker};

pub struct Lane {
    /// For the participant that holds `taken` alone.
    own: Worker<u32>,
    stealer: Stealer<u32>,
    taken: AtomicBool,
    /// Nodes that its participant has ended and not yet counted with the run.
    ended: AtomicUsize,
}

// SAFETY: `own`, which is Send but not Sync, is used only through a `Claim`, of which there is one at a
// time; Acquire and Release on `taken` hand it from one thread to the next.
unsafe impl Sync for Lane {}

impl Lane {
    pub fn new() -> Self {
        let own = Worker::new_lifo();
        Lane {
            stealer: own.stealer(),
            own,
            taken: AtomicBool::new(false),
            ended: AtomicUsize::new(0),
        }
    }

    /// Makes this the caller's lane, if it is nobody's.
    pub fn claim(&self) -> Option<Claim<'_>> {
        if self.taken.load(Relaxed) || self.taken.swap(true, Acquire) {
            return None;
        }
        Some(Claim(self))
    }

    /// What its participant noted last; 0 if nobody works here.
    pub fn ended(&self) -> usize {
        self.ended.load(Relaxed)
    }

    /// Whether somebody works here.
    pub fn is_taken(&self) -> bool {
        self.taken.load(Relaxed)
    }

    pub fn is_empty(&self) -> bool {
        self.stealer.is_empty()
    }
}

/// The right to work at a lane's own end.
pub struct Claim<'a>(&'a Lane);

impl Claim<'_> {
    #[inline(always)]
    pub fn push(&self, node: u32) {
        self.0.own.push(node);
    }

    #[inline(always)]
    pub fn pop(&self) -> Option<u32> {
        self.0.own.pop()
    }

    /// Moves some of another lane's nodes here, the oldest, and takes one of them.
    pub fn steal_from(&self, victim: &Lane) -> Option<u32> {
        loop {
            match victim.stealer.steal_batch_and_pop(&self.0.own) {
                Steal::Success(node) => return Some(node),
                Steal::Empty => return None,
                Steal::Retry => crate::sync::hint::spin_loop(),
            }
        }
    }

    /// Notes, for those who watch, how many nodes were ended here that the run has not counted.
    #[inline(always)]
    pub fn note(&self, ended: usize) {
        self.0.ended.store(ended, Relaxed);
    }

    pub fn is(&self, lane: &Lane) -> bool {
        std::ptr::eq(self.0, lane)
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.0.taken.store(false, Release);
    }
}
