//! The ready nodes of one participant: it works at one end, others steal from the other.
//!
//! Where threads that run nodes exclude each other (`NodeExec::EXCLUSIVE`), a plain stack does, and
//! spares the fence that taking from a Chase-Lev deque costs: 10 ns a node. Elsewhere it is such a
//! deque. An execution uses one of the two throughout, and says which by `exclusive`, a constant that
//! is folded away.

use std::cell::UnsafeCell;

use crate::sync::atomic::{
    AtomicBool, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};
use crossbeam_deque::{Steal, Stealer, Worker};

pub struct Lane {
    /// For the participant that holds `taken` alone.
    own: Worker<u32>,
    stealer: Stealer<u32>,
    stack: UnsafeCell<Vec<u32>>,
    taken: AtomicBool,
    /// Nodes that its participant has ended and not yet counted with the run.
    ended: AtomicUsize,
}

// SAFETY: `own`, which is Send but not Sync, is used only through a `Claim`, of which there is one at a
// time; Acquire and Release on `taken` hand it from one thread to the next. `stack` is used only under
// the promise of the functions that take `exclusive`.
unsafe impl Sync for Lane {}

impl Lane {
    pub fn new() -> Self {
        let own = Worker::new_lifo();
        Lane {
            stealer: own.stealer(),
            own,
            stack: UnsafeCell::new(Vec::new()),
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

    /// # Safety
    /// If `exclusive`, no other thread is in a run's code while this one is.
    pub unsafe fn is_empty(&self, exclusive: bool) -> bool {
        if exclusive {
            // SAFETY: the contract above; the reference ends here.
            return unsafe { (*self.stack.get()).is_empty() };
        }
        self.stealer.is_empty()
    }
}

/// The right to work at a lane's own end.
pub struct Claim<'a>(&'a Lane);

impl Claim<'_> {
    /// # Safety
    /// As for [`Lane::is_empty`].
    #[inline(always)]
    pub unsafe fn push(&self, node: u32, exclusive: bool) {
        if exclusive {
            // SAFETY: the contract above; the reference ends here.
            unsafe { (*self.0.stack.get()).push(node) };
        } else {
            self.0.own.push(node);
        }
    }

    /// # Safety
    /// As for [`Lane::is_empty`].
    #[inline(always)]
    pub unsafe fn pop(&self, exclusive: bool) -> Option<u32> {
        if exclusive {
            // SAFETY: the contract above; the reference ends here.
            return unsafe { (*self.0.stack.get()).pop() };
        }
        self.0.own.pop()
    }

    /// Moves some of another lane's nodes here, the oldest, and takes one of them.
    ///
    /// # Safety
    /// As for [`Lane::is_empty`].
    pub unsafe fn steal_from(&self, victim: &Lane, exclusive: bool) -> Option<u32> {
        if exclusive {
            if std::ptr::eq(self.0, victim) {
                return None;
            }
            // SAFETY: the contract above; two lanes, so two stacks, and the references end here.
            let (theirs, own) = unsafe { (&mut *victim.stack.get(), &mut *self.0.stack.get()) };
            let half = theirs.len().div_ceil(2);
            own.extend(theirs.drain(..half).rev());
            return own.pop();
        }
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
