//! What a channel's lock guards, and the moves on it. Nothing here wakes, drops an item or calls
//! out: what is to be done after the lock is released is collected in an [`After`].

use super::NotSent;
use super::waiter::{Outcome, Waiter, Wake};
use crate::sync::Arc;
use std::collections::VecDeque;

/// One item or many that a suspended sender brought along.
#[derive(Debug)]
pub(super) enum Load<T> {
    One(Option<T>),
    Many(VecDeque<T>),
}

#[derive(Debug)]
pub(super) struct Sending<T, W> {
    pub id: u64,
    /// The end that it was begun at.
    pub end: usize,
    pub arm: usize,
    pub load: Load<T>,
    pub waiter: Arc<Waiter<T, W>>,
}

#[derive(Debug)]
pub(super) struct Receiving<T, W> {
    pub id: u64,
    pub end: usize,
    pub arm: usize,
    pub waiter: Arc<Waiter<T, W>>,
}

/// What is left to do once the lock is released: owners to wake, items to drop.
#[must_use]
pub(super) struct After<T, W> {
    first: Option<Arc<Waiter<T, W>>>,
    more: Vec<Arc<Waiter<T, W>>>,
    pub dropped: Vec<Load<T>>,
    pub emptied: VecDeque<T>,
}

impl<T, W: Wake> After<T, W> {
    #[inline]
    pub fn new() -> Self {
        After {
            first: None,
            more: Vec::new(),
            dropped: Vec::new(),
            emptied: VecDeque::new(),
        }
    }

    #[inline]
    fn wake(&mut self, waiter: Arc<Waiter<T, W>>) {
        if self.first.is_none() {
            self.first = Some(waiter);
        } else {
            self.more.push(waiter);
        }
    }

    /// To be called with the lock released.
    #[inline]
    pub fn run(self) {
        if let Some(waiter) = self.first {
            waiter.wake();
            for waiter in self.more {
                waiter.wake();
            }
        }
    }
}

#[derive(Debug)]
pub(super) struct State<T, W> {
    pub buffer: VecDeque<T>,
    pub capacity: usize,
    pub senders: usize,
    pub receivers: usize,
    /// The last sender has left; it stays so.
    pub ended: bool,
    /// The last receiver has left; it stays so.
    pub broken: bool,
    pub sending: VecDeque<Sending<T, W>>,
    pub receiving: VecDeque<Receiving<T, W>>,
    pub next_id: u64,
    pub sent: u64,
    pub received: u64,
}

impl<T, W: Wake> State<T, W> {
    pub fn ticket(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// Gives the item to the first receiver that still waits for one.
    #[inline]
    pub fn hand_over(&mut self, mut item: T, after: &mut After<T, W>) -> Result<(), T> {
        while let Some(Receiving { arm, waiter, .. }) = self.receiving.pop_front() {
            match waiter.give(arm, item) {
                Ok(()) => {
                    self.received += 1;
                    after.wake(waiter);
                    return Ok(());
                }
                Err(back) => item = back,
            }
        }
        Err(item)
    }

    /// Accepts the item if a receiver waits or there is room.
    #[inline]
    pub fn accept(&mut self, item: T, after: &mut After<T, W>) -> Result<(), T> {
        match self.hand_over(item, after) {
            Ok(()) => {}
            Err(item) if self.has_room() => self.buffer.push_back(item),
            Err(item) => return Err(item),
        }
        self.sent += 1;
        Ok(())
    }

    /// Why nothing can be sent any more, if it cannot. A send that began before its end was closed on
    /// another thread may come after it: whoever was told of the end must not miss an item.
    #[inline]
    pub fn refuses(&self) -> Option<NotSent> {
        if self.broken {
            Some(NotSent::Broken)
        } else if self.ended {
            Some(NotSent::Closed)
        } else {
            None
        }
    }

    #[inline]
    pub fn has_room(&self) -> bool {
        self.buffer.len() < self.capacity
    }

    /// The next item of the suspended senders, oldest first.
    fn take_from_sender(&mut self, after: &mut After<T, W>) -> Option<T> {
        while let Some(front) = self.sending.front_mut() {
            let item = match &mut front.load {
                Load::Many(items) if items.len() > 1 && front.waiter.is_waiting() => {
                    self.sent += 1;
                    return items.pop_front();
                }
                load => {
                    if front.waiter.claim_with(front.arm, || Outcome::Sent) {
                        match load {
                            Load::One(item) => item.take(),
                            Load::Many(items) => items.pop_front(),
                        }
                    } else {
                        None
                    }
                }
            };
            if let Some(done) = self.sending.pop_front() {
                if item.is_some() {
                    self.sent += 1;
                    after.wake(done.waiter);
                    return item;
                }
                // Its owner gave up, or another channel served it: the item is not ours to give.
                after.dropped.push(done.load);
            }
        }
        None
    }

    fn refill(&mut self, after: &mut After<T, W>) {
        while self.has_room() {
            match self.take_from_sender(after) {
                Some(item) => self.buffer.push_back(item),
                None => break,
            }
        }
    }

    /// The oldest item there is.
    #[inline]
    pub fn next_item(&mut self, after: &mut After<T, W>) -> Option<T> {
        let item = match self.buffer.pop_front() {
            Some(item) => {
                if !self.sending.is_empty() {
                    self.refill(after);
                }
                item
            }
            None => self.take_from_sender(after)?,
        };
        self.received += 1;
        Some(item)
    }

    /// An item that was taken but could not be given: it is the next to go.
    pub fn give_back(&mut self, item: T, after: &mut After<T, W>) {
        self.received -= 1;
        if self.broken {
            after.emptied.push_back(item);
        } else if let Err(item) = self.hand_over(item, after) {
            self.buffer.push_front(item);
        }
    }

    /// Whether somebody waits for an item. Such ones as have given up are cleared away.
    pub fn has_receiver(&mut self) -> bool {
        while let Some(front) = self.receiving.front() {
            if front.waiter.is_waiting() {
                return true;
            }
            self.receiving.pop_front();
        }
        false
    }

    /// Accepts an item whose sender has been told so: even beyond the capacity.
    pub fn force(&mut self, item: T, after: &mut After<T, W>) {
        self.sent += 1;
        if let Err(item) = self.hand_over(item, after) {
            self.buffer.push_back(item);
        }
    }

    /// A sending end is closed: what waits there will not be sent.
    pub fn interrupt_sending(&mut self, end: usize, after: &mut After<T, W>) {
        for k in (0..self.sending.len()).rev() {
            if self.sending[k].end == end
                && let Some(entry) = self.sending.remove(k)
            {
                if entry.waiter.claim_with(entry.arm, || Outcome::Closed) {
                    after.wake(entry.waiter);
                }
                after.dropped.push(entry.load);
            }
        }
    }

    /// A receiving end is closed: who waits there gets nothing.
    pub fn interrupt_receiving(&mut self, end: usize, after: &mut After<T, W>) {
        for k in (0..self.receiving.len()).rev() {
            if self.receiving[k].end == end
                && let Some(entry) = self.receiving.remove(k)
                && entry.waiter.claim_with(entry.arm, || Outcome::Closed)
            {
                after.wake(entry.waiter);
            }
        }
    }

    /// The last sender has left: nobody that waits for an item will get one.
    pub fn end(&mut self, after: &mut After<T, W>) {
        self.ended = true;
        for Receiving { arm, waiter, .. } in self.receiving.drain(..) {
            if waiter.claim_with(arm, || Outcome::Ended) {
                after.wake(waiter);
            }
        }
    }

    /// The last receiver has left: nobody will ever take what is here.
    pub fn abandon(&mut self, after: &mut After<T, W>) {
        self.broken = true;
        after.emptied = std::mem::take(&mut self.buffer);
        for Sending {
            arm, waiter, load, ..
        } in self.sending.drain(..)
        {
            if waiter.claim_with(arm, || Outcome::Broken) {
                after.wake(waiter);
            }
            after.dropped.push(load);
        }
    }
}
