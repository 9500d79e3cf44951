//! A bounded stream from many senders to many receivers.
//!
//! It ends when its last sender leaves and breaks when its last receiver leaves. Items come out in
//! the order in which they went in; who waits is served first come, first served. Capacity 0 is a
//! rendezvous: a send completes when a receiver takes the item. The protocol and why it holds are
//! in the README beside this file; the loom models are in `tests.rs`.

mod operation;
mod state;
mod waiter;

#[cfg(test)]
mod tests;

pub use operation::{Arm, Receiving, Selecting, Sending};
pub use waiter::{Outcome, Waiter, Wake};

use crate::sync::Mutex;
use state::{After, State};
use std::collections::VecDeque;

/// Why a send could not be done at once; the item comes back.
#[derive(Debug, PartialEq, Eq)]
pub enum SendError<T> {
    Full(T),
    /// The last receiver has left.
    Broken(T),
    /// The last sender has left, the one that sends among them.
    Closed(T),
}

/// Why a send will never be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotSent {
    /// The last receiver has left.
    Broken,
    /// The sender's own end was closed.
    Closed,
}

/// Why a receive could not be done at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiveError {
    Empty,
    /// Drained, and the last sender has left.
    Ended,
    /// The receiver's own end was closed while it waited.
    Closed,
}

/// A channel at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    pub capacity: usize,
    pub buffered: usize,
    pub senders: usize,
    pub receivers: usize,
    pub waiting_senders: usize,
    pub waiting_receivers: usize,
    pub sent: u64,
    pub received: u64,
}

/// The shared state of a channel's ends. `W` wakes a suspended operation's owner.
#[derive(Debug)]
pub struct Channel<T, W> {
    state: Mutex<State<T, W>>,
}

impl<T, W: Wake> Channel<T, W> {
    /// A channel that holds at most `capacity` items, with no ends yet: it neither ends nor breaks
    /// before it had a sender or a receiver.
    pub fn new(capacity: usize) -> Self {
        Channel {
            state: Mutex::new(State {
                buffer: VecDeque::new(),
                capacity,
                senders: 0,
                receivers: 0,
                ended: false,
                broken: false,
                sending: VecDeque::new(),
                receiving: VecDeque::new(),
                next_id: 0,
                sent: 0,
                received: 0,
            }),
        }
    }

    /// One more sender; false if the channel has ended or broken already.
    #[must_use]
    pub fn add_sender(&self) -> bool {
        let mut state = self.state.lock();
        let open = !state.ended && !state.broken;
        state.senders += usize::from(open);
        open
    }

    /// One more receiver; false if the channel is broken. A channel that has ended can still be
    /// drained by a new receiver.
    #[must_use]
    pub fn add_receiver(&self) -> bool {
        let mut state = self.state.lock();
        let open = !state.broken;
        state.receivers += usize::from(open);
        open
    }

    /// A sender leaves; receivers that wait are told if it was the last, and who waits to send by
    /// this `end`: whatever number its sends were given.
    pub fn remove_sender(&self, end: usize) {
        let mut after = After::new();
        let mut state = self.state.lock();
        state.interrupt_sending(end, &mut after);
        state.senders -= 1;
        if state.senders == 0 {
            state.end(&mut after);
        }
        drop(state);
        after.run();
    }

    /// A receiver leaves; senders that wait are told if it was the last, and what is buffered is
    /// dropped. Who waits to receive by this `end` is told, too.
    pub fn remove_receiver(&self, end: usize) {
        let mut after = After::new();
        let mut state = self.state.lock();
        state.interrupt_receiving(end, &mut after);
        state.receivers -= 1;
        if state.receivers == 0 {
            state.abandon(&mut after);
        }
        drop(state);
        after.run();
    }

    /// Sends if a receiver waits or there is room.
    pub fn try_send(&self, item: T) -> Result<(), SendError<T>> {
        let mut after = After::new();
        let mut state = self.state.lock();
        match state.refuses() {
            Some(NotSent::Broken) => return Err(SendError::Broken(item)),
            Some(NotSent::Closed) => return Err(SendError::Closed(item)),
            None => {}
        }
        let sent = state.accept(item, &mut after);
        drop(state);
        after.run();
        sent.map_err(SendError::Full)
    }

    /// Sends from the front of `items` as many as there is room for; says how many.
    pub fn try_send_many(&self, items: &mut VecDeque<T>) -> Result<usize, NotSent> {
        let mut after = After::new();
        let mut state = self.state.lock();
        if let Some(why) = state.refuses() {
            return Err(why);
        }
        let sent = accept_many(&mut state, items, &mut after);
        drop(state);
        after.run();
        Ok(sent)
    }

    /// Receives if an item is there.
    pub fn try_receive(&self) -> Result<T, ReceiveError> {
        let mut after = After::new();
        let mut state = self.state.lock();
        let item = state.next_item(&mut after);
        let ended = state.ended;
        drop(state);
        after.run();
        match item {
            Some(item) => Ok(item),
            None if ended => Err(ReceiveError::Ended),
            None => Err(ReceiveError::Empty),
        }
    }

    /// Appends to `items` what is there, at most `max`; says how many.
    pub fn try_receive_many(&self, items: &mut Vec<T>, max: usize) -> Result<usize, ReceiveError> {
        let mut after = After::new();
        let mut state = self.state.lock();
        let mut taken = 0;
        if state.sending.is_empty() {
            taken = state.buffer.len().min(max);
            items.extend(state.buffer.drain(..taken));
            state.received += taken as u64;
        } else {
            while taken < max {
                match state.next_item(&mut after) {
                    Some(item) => items.push(item),
                    None => break,
                }
                taken += 1;
            }
        }
        let ended = state.ended;
        drop(state);
        after.run();
        match taken {
            0 if max == 0 => Ok(0),
            0 if ended => Err(ReceiveError::Ended),
            0 => Err(ReceiveError::Empty),
            taken => Ok(taken),
        }
    }

    /// An item that was handed to a receive whose owner cannot take it any more: the next receiver
    /// gets it, before anything else.
    pub fn put_back(&self, item: T) {
        let mut after = After::new();
        let mut state = self.state.lock();
        state.give_back(item, &mut after);
        drop(state);
        after.run();
    }

    /// The last sender has left.
    pub fn is_ended(&self) -> bool {
        self.state.lock().ended
    }

    /// The last receiver has left.
    pub fn is_broken(&self) -> bool {
        self.state.lock().broken
    }

    pub fn stats(&self) -> Stats {
        let state = self.state.lock();
        Stats {
            capacity: state.capacity,
            buffered: state.buffer.len(),
            senders: state.senders,
            receivers: state.receivers,
            waiting_senders: state.sending.len(),
            waiting_receivers: state.receiving.len(),
            sent: state.sent,
            received: state.received,
        }
    }

    /// Calls `visit` with each buffered item, for an embedder's garbage collector. `visit` must not
    /// come back to the channel.
    pub fn for_each_buffered<E>(&self, visit: impl FnMut(&T) -> Result<(), E>) -> Result<(), E> {
        self.state.lock().buffer.iter().try_for_each(visit)
    }

    /// Takes out what is buffered, for an embedder's garbage collector.
    pub fn clear(&self) -> VecDeque<T> {
        std::mem::take(&mut self.state.lock().buffer)
    }
}

fn accept_many<T, W: Wake>(
    state: &mut State<T, W>,
    items: &mut VecDeque<T>,
    after: &mut After<T, W>,
) -> usize {
    let mut sent = 0;
    while let Some(item) = items.pop_front() {
        if let Err(item) = state.accept(item, after) {
            items.push_front(item);
            break;
        }
        sent += 1;
    }
    sent
}
