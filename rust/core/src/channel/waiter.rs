//! One suspended operation on a channel, or on several at once.
//!
//! A waiter is claimed at most once, under its own lock: by the peer that serves it, by a channel
//! that closes, or by its owner who gives up. Whoever loses the race leaves everything as it was.
//! That single point of decision is what keeps items from being lost or given twice.

use crate::sync::{Arc, Mutex};

/// How a waiter's owner is told that its outcome is there.
///
/// A thread unparks, a coroutine is queued again. `wake` is called without any lock of the channel
/// held, at most once for each waiter that was served.
pub trait Wake: Send + Sync + 'static {
    fn wake(&self);

    /// Whether the owner still wants to be served. False once it was cancelled where it waits: then it
    /// will leave by itself, and what would be its goes to the next in line.
    fn is_wanted(&self) -> bool {
        true
    }
}

/// What became of a suspended operation.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome<T> {
    /// A receiver took the item, or there was room for it.
    Sent,
    /// The item received.
    Item(T),
    /// The channel is drained and its last sender has left.
    Ended,
    /// The last receiver has left; the item went nowhere.
    Broken,
    /// The end that it was begun at was closed.
    Closed,
}

/// Where a waiter is, and how it was served by which arm: in two words, as there may be millions.
#[derive(Debug)]
enum Slot<T> {
    Waiting,
    Left,
    Sent(u32),
    Item(u32, T),
    Ended(u32),
    Broken(u32),
    Closed(u32),
}

impl<T> Slot<T> {
    fn served(arm: usize, outcome: Outcome<T>) -> Self {
        // A select has a handful of arms.
        let arm = arm as u32;
        match outcome {
            Outcome::Sent => Slot::Sent(arm),
            Outcome::Item(item) => Slot::Item(arm, item),
            Outcome::Ended => Slot::Ended(arm),
            Outcome::Broken => Slot::Broken(arm),
            Outcome::Closed => Slot::Closed(arm),
        }
    }

    fn is_served(&self) -> bool {
        !matches!(self, Slot::Waiting | Slot::Left)
    }

    fn outcome(self) -> Option<(usize, Outcome<T>)> {
        let (arm, outcome) = match self {
            Slot::Waiting | Slot::Left => return None,
            Slot::Sent(arm) => (arm, Outcome::Sent),
            Slot::Item(arm, item) => (arm, Outcome::Item(item)),
            Slot::Ended(arm) => (arm, Outcome::Ended),
            Slot::Broken(arm) => (arm, Outcome::Broken),
            Slot::Closed(arm) => (arm, Outcome::Closed),
        };
        Some((arm as usize, outcome))
    }
}

/// The shared half of a suspended operation: the owner keeps one reference, each channel that it
/// waits on keeps another.
#[derive(Debug)]
pub struct Waiter<T, W> {
    slot: Mutex<Slot<T>>,
    wake: W,
}

impl<T, W: Wake> Waiter<T, W> {
    pub fn new(wake: W) -> Arc<Self> {
        Arc::new(Waiter {
            slot: Mutex::new(Slot::Waiting),
            wake,
        })
    }

    /// Serves the waiter with what `outcome` makes, unless somebody was first or its owner was
    /// cancelled; then `outcome` is not called.
    pub(super) fn claim_with(&self, arm: usize, outcome: impl FnOnce() -> Outcome<T>) -> bool {
        let mut slot = self.slot.lock();
        if !matches!(*slot, Slot::Waiting) || !self.wake.is_wanted() {
            return false;
        }
        *slot = Slot::served(arm, outcome());
        true
    }

    /// Serves the waiter with `item`, or gives it back.
    pub(super) fn give(&self, arm: usize, item: T) -> Result<(), T> {
        let mut slot = self.slot.lock();
        if !matches!(*slot, Slot::Waiting) || !self.wake.is_wanted() {
            return Err(item);
        }
        *slot = Slot::served(arm, Outcome::Item(item));
        Ok(())
    }

    /// Whether it may be served.
    pub(super) fn is_waiting(&self) -> bool {
        matches!(*self.slot.lock(), Slot::Waiting) && self.wake.is_wanted()
    }

    /// Whether an outcome is there to be taken.
    pub fn is_served(&self) -> bool {
        self.slot.lock().is_served()
    }

    /// The outcome and the arm that it came by, once; None while the waiter waits.
    pub fn take(&self) -> Option<(usize, Outcome<T>)> {
        let mut slot = self.slot.lock();
        if !slot.is_served() {
            return None;
        }
        std::mem::replace(&mut *slot, Slot::Left).outcome()
    }

    /// Gives up. Some if the waiter had been served before: the outcome is the owner's to handle.
    pub fn leave(&self) -> Option<(usize, Outcome<T>)> {
        let mut slot = self.slot.lock();
        std::mem::replace(&mut *slot, Slot::Left).outcome()
    }

    pub(super) fn wake(&self) {
        self.wake.wake();
    }

    /// What wakes the owner.
    pub fn waker(&self) -> &W {
        &self.wake
    }
}
