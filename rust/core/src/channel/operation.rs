//! Operations that may have to wait: each is polled until it is ready, and may be left at any time.
//!
//! An operation does not own its channel (the embedder does, its own way), so the channel is passed
//! to each call and must always be the same one. Who drops an operation that has waited calls
//! `leave` first; an operation that was never polled, or that was ready, needs nothing.

use super::state::{self, After, Load};
use super::waiter::{Outcome, Waiter, Wake};
use super::{Channel, NotSent, ReceiveError, SendError, accept_many};
use crate::sync::Arc;
use std::collections::VecDeque;
use std::task::Poll;

type Ticket<T, W> = (u64, Arc<Waiter<T, W>>);

/// A receive that waits for an item.
#[derive(Debug)]
pub struct Receiving<T, W> {
    ticket: Option<Ticket<T, W>>,
    end: usize,
}

impl<T, W> Receiving<T, W> {
    /// A receive at a receiving end, told from the others by a number.
    pub fn at(end: usize) -> Self {
        Receiving { ticket: None, end }
    }

    /// The number of its end.
    pub fn end(&self) -> usize {
        self.end
    }
}

impl<T, W: Wake> Receiving<T, W> {
    /// The item, or that the channel has ended; pending until the waker that `wake` made is woken.
    pub fn poll(
        &mut self,
        channel: &Channel<T, W>,
        wake: impl FnOnce() -> W,
    ) -> Poll<Result<T, ReceiveError>> {
        if let Some((_, waiter)) = &self.ticket {
            let Some((_, outcome)) = waiter.take() else {
                return Poll::Pending;
            };
            self.ticket = None;
            return Poll::Ready(match outcome {
                Outcome::Item(item) => Ok(item),
                Outcome::Closed => Err(ReceiveError::Closed),
                Outcome::Ended | Outcome::Sent | Outcome::Broken => Err(ReceiveError::Ended),
            });
        }
        match channel.try_receive() {
            Err(ReceiveError::Empty) => {}
            ready => return Poll::Ready(ready),
        }
        let waiter = Waiter::new(wake());
        let mut after = After::new();
        let mut state = channel.state.lock();
        // Looked at again under one lock with queueing: an item may have come in between.
        let ready = match state.next_item(&mut after) {
            Some(item) => Some(Ok(item)),
            None if state.ended => Some(Err(ReceiveError::Ended)),
            None => None,
        };
        if ready.is_none() {
            let id = state.ticket();
            state.receiving.push_back(state::Receiving {
                id,
                end: self.end,
                arm: 0,
                waiter: Arc::clone(&waiter),
            });
            self.ticket = Some((id, waiter));
        }
        drop(state);
        after.run();
        ready.map_or(Poll::Pending, Poll::Ready)
    }

    /// Whether it is queued, or was served and not polled since.
    pub fn has_waited(&self) -> bool {
        self.ticket.is_some()
    }

    /// Whether it waits for something that is not there yet.
    pub fn is_pending(&self) -> bool {
        matches!(&self.ticket, Some((_, waiter)) if !waiter.is_served())
    }

    /// Gives up waiting. An item that had been handed over goes back to the front of the channel.
    pub fn leave(&mut self, channel: &Channel<T, W>) {
        let Some((id, waiter)) = self.ticket.take() else {
            return;
        };
        match waiter.leave() {
            Some((_, Outcome::Item(item))) => channel.put_back(item),
            Some(_) => {}
            None => channel.forget_receiving(id),
        }
    }
}

/// A send of one item or of many that waits for room.
#[derive(Debug)]
pub struct Sending<T, W> {
    load: Option<Load<T>>,
    ticket: Option<Ticket<T, W>>,
    end: usize,
}

impl<T, W: Wake> Sending<T, W> {
    pub fn one(item: T, end: usize) -> Self {
        Sending {
            load: Some(Load::One(Some(item))),
            ticket: None,
            end,
        }
    }

    /// Items that go one after the other, with nobody's in between once it has to wait.
    pub fn many(items: VecDeque<T>, end: usize) -> Self {
        Sending {
            load: Some(Load::Many(items)),
            ticket: None,
            end,
        }
    }

    /// Done when all is sent; pending until the waker that `wake` made is woken.
    pub fn poll(
        &mut self,
        channel: &Channel<T, W>,
        wake: impl FnOnce() -> W,
    ) -> Poll<Result<(), NotSent>> {
        if let Some((_, waiter)) = &self.ticket {
            let Some((_, outcome)) = waiter.take() else {
                return Poll::Pending;
            };
            self.ticket = None;
            return Poll::Ready(match outcome {
                Outcome::Sent => Ok(()),
                Outcome::Closed => Err(NotSent::Closed),
                Outcome::Item(_) | Outcome::Ended | Outcome::Broken => Err(NotSent::Broken),
            });
        }
        if let Poll::Ready(sent) = self.poll_now(channel) {
            return Poll::Ready(sent);
        }
        let Some(load) = self.load.take() else {
            return Poll::Ready(Ok(()));
        };
        self.enqueue(channel, load, Waiter::new(wake()))
    }

    /// As `poll`, without queueing.
    pub fn poll_now(&mut self, channel: &Channel<T, W>) -> Poll<Result<(), NotSent>> {
        match self.load.take() {
            None | Some(Load::One(None)) => Poll::Ready(Ok(())),
            Some(Load::One(Some(item))) => match channel.try_send(item) {
                Ok(()) => Poll::Ready(Ok(())),
                Err(SendError::Broken(_)) => Poll::Ready(Err(NotSent::Broken)),
                Err(SendError::Closed(_)) => Poll::Ready(Err(NotSent::Closed)),
                Err(SendError::Full(item)) => {
                    self.load = Some(Load::One(Some(item)));
                    Poll::Pending
                }
            },
            Some(Load::Many(mut items)) => match channel.try_send_many(&mut items) {
                _ if items.is_empty() => Poll::Ready(Ok(())),
                Err(why) => Poll::Ready(Err(why)),
                Ok(_) => {
                    self.load = Some(Load::Many(items));
                    Poll::Pending
                }
            },
        }
    }

    /// The item, if this is a send of one item that was not polled.
    pub fn take_one(&mut self) -> Option<T> {
        match &mut self.load {
            Some(Load::One(item)) => item.take(),
            _ => None,
        }
    }

    fn enqueue(
        &mut self,
        channel: &Channel<T, W>,
        load: Load<T>,
        waiter: Arc<Waiter<T, W>>,
    ) -> Poll<Result<(), NotSent>> {
        let mut after = After::new();
        let mut state = channel.state.lock();
        let left = if let Some(why) = state.refuses() {
            after.dropped.push(load);
            drop(state);
            after.run();
            return Poll::Ready(Err(why));
        } else {
            match load {
                Load::One(None) => None,
                Load::One(Some(item)) => state
                    .accept(item, &mut after)
                    .err()
                    .map(|item| Load::One(Some(item))),
                Load::Many(mut items) => {
                    accept_many(&mut state, &mut items, &mut after);
                    (!items.is_empty()).then_some(Load::Many(items))
                }
            }
        };
        let poll = match left {
            None => Poll::Ready(Ok(())),
            Some(load) => {
                let id = state.ticket();
                state.sending.push_back(state::Sending {
                    id,
                    end: self.end,
                    arm: 0,
                    load,
                    waiter: Arc::clone(&waiter),
                });
                self.ticket = Some((id, waiter));
                Poll::Pending
            }
        };
        drop(state);
        after.run();
        poll
    }

    /// Whether it waits for room that is not there yet.
    pub fn is_pending(&self) -> bool {
        matches!(&self.ticket, Some((_, waiter)) if !waiter.is_served())
    }

    /// Gives up waiting. False if everything had been sent all the same. Of many items, those in
    /// front may have been sent.
    pub fn leave(&mut self, channel: &Channel<T, W>) -> bool {
        let Some((id, waiter)) = self.ticket.take() else {
            return self.load.take().is_some();
        };
        match waiter.leave() {
            Some((_, outcome)) => !matches!(outcome, Outcome::Sent),
            None => {
                channel.forget_sending(id);
                true
            }
        }
    }
}

/// One alternative of a select, at an end of its channel.
#[derive(Debug)]
pub enum Arm<T> {
    Receive(usize),
    /// Taken out when it is sent or queued.
    Send(usize, Option<T>),
}

/// A choice between operations on several channels: exactly one of them happens.
#[derive(Debug)]
pub struct Selecting<T, W> {
    waiter: Option<Arc<Waiter<T, W>>>,
    /// One for each arm that is queued; 0 marks an arm that is not.
    ids: Vec<u64>,
}

impl<T, W> Default for Selecting<T, W> {
    fn default() -> Self {
        Selecting {
            waiter: None,
            ids: Vec::new(),
        }
    }
}

impl<T, W: Wake> Selecting<T, W> {
    /// The arm that happened and what came of it: `Item`, `Sent`, or `Ended`, `Broken` or `Closed`,
    /// which count as happening. `first` is where to begin looking, so that a caller can be fair.
    pub fn poll(
        &mut self,
        arms: &mut [(&Channel<T, W>, Arm<T>)],
        first: usize,
        wake: impl FnOnce() -> W,
    ) -> Poll<(usize, Outcome<T>)> {
        if let Some(waiter) = &self.waiter {
            let Some(outcome) = waiter.take() else {
                return Poll::Pending;
            };
            self.withdraw(arms);
            return Poll::Ready(outcome);
        }
        let waiter = Waiter::new(wake());
        self.ids = vec![0; arms.len()];
        self.waiter = Some(Arc::clone(&waiter));
        for offset in 0..arms.len() {
            let index = (first + offset) % arms.len();
            let (channel, arm) = &mut arms[index];
            match channel.join(arm, index, &waiter) {
                Some(id) => self.ids[index] = id,
                None => break,
            }
        }
        match waiter.take() {
            Some(outcome) => {
                self.withdraw(arms);
                Poll::Ready(outcome)
            }
            None => Poll::Pending,
        }
    }

    fn withdraw(&mut self, arms: &[(&Channel<T, W>, Arm<T>)]) {
        self.waiter = None;
        for ((channel, arm), id) in arms.iter().zip(std::mem::take(&mut self.ids)) {
            if id != 0 {
                match arm {
                    Arm::Receive(_) => channel.forget_receiving(id),
                    Arm::Send(..) => channel.forget_sending(id),
                }
            }
        }
    }

    /// Whether it waits for something that is not there yet.
    pub fn is_pending(&self) -> bool {
        matches!(&self.waiter, Some(waiter) if !waiter.is_served())
    }

    /// Gives up waiting; an item that had been handed over goes back to the front of its channel.
    /// The arm whose item had been sent all the same, if any.
    pub fn leave(&mut self, arms: &[(&Channel<T, W>, Arm<T>)]) -> Option<usize> {
        let served = self.waiter.take()?.leave();
        self.withdraw(arms);
        match served {
            Some((arm, Outcome::Item(item))) => {
                arms[arm].0.put_back(item);
                None
            }
            Some((arm, Outcome::Sent)) => Some(arm),
            Some(_) | None => None,
        }
    }
}

impl<T, W: Wake> Channel<T, W> {
    /// Does the arm at once if the waiter is still free, or queues it. None if the waiter is
    /// served, by this or by another channel.
    ///
    /// Only one waiter's lock is held at a time, or two selects that meet in two channels would
    /// block each other. So a peer is claimed first and the own waiter second (or the other way
    /// round), and if the second was served elsewhere in between, the item goes into the buffer,
    /// which then holds one more than its capacity for a moment.
    fn join(&self, arm: &mut Arm<T>, index: usize, waiter: &Arc<Waiter<T, W>>) -> Option<u64> {
        let mut after = After::new();
        let mut state = self.state.lock();
        let id = match arm {
            _ if !waiter.is_waiting() => None,
            Arm::Receive(end) => match state.next_item(&mut after) {
                Some(item) => {
                    if let Err(item) = waiter.give(index, item) {
                        state.give_back(item, &mut after);
                    }
                    None
                }
                None if state.ended => {
                    waiter.claim_with(index, || Outcome::Ended);
                    None
                }
                None => {
                    let id = state.ticket();
                    state.receiving.push_back(state::Receiving {
                        id,
                        end: *end,
                        arm: index,
                        waiter: Arc::clone(waiter),
                    });
                    Some(id)
                }
            },
            Arm::Send(..) if state.refuses().is_some() => {
                let closed = !state.broken;
                waiter.claim_with(index, || match closed {
                    true => Outcome::Closed,
                    false => Outcome::Broken,
                });
                None
            }
            Arm::Send(_, item) if state.has_room() || state.has_receiver() => {
                if waiter.claim_with(index, || Outcome::Sent)
                    && let Some(item) = item.take()
                {
                    state.force(item, &mut after);
                }
                None
            }
            Arm::Send(end, item) => {
                let id = state.ticket();
                state.sending.push_back(state::Sending {
                    id,
                    end: *end,
                    arm: index,
                    load: Load::One(item.take()),
                    waiter: Arc::clone(waiter),
                });
                Some(id)
            }
        };
        drop(state);
        after.run();
        id
    }

    /// A receiver that gave up is taken out of the queue, if it is still in it.
    fn forget_receiving(&self, id: u64) {
        let mut state = self.state.lock();
        let gone = match state.receiving.binary_search_by_key(&id, |entry| entry.id) {
            Ok(index) => state.receiving.remove(index),
            Err(_) => None,
        };
        drop(state);
        drop(gone);
    }

    /// A sender that gave up is taken out of the queue, if it is still in it, with its load.
    fn forget_sending(&self, id: u64) {
        let mut state = self.state.lock();
        let gone = match state.sending.binary_search_by_key(&id, |entry| entry.id) {
            Ok(index) => state.sending.remove(index),
            Err(_) => None,
        };
        drop(state);
        drop(gone);
    }
}
