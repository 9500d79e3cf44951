//! A ring of events that one worker writes and anybody may read while it does.
//!
//! An event is two words: when, in ticks of [`crate::clock`], and what. The ring is allocated once;
//! when it is full the oldest events are overwritten, and the reader is told how many it lost.
//!
//! The protocol is a sequence lock turned around. `written` counts the events that are complete.
//! The writer issues a release fence, stores the slot, then stores `written + 1` with release. A
//! reader loads `written` with acquire, copies slots, issues an acquire fence and loads `written`
//! again. If it copied any word of event `n`, the writer's fence before that word and the reader's
//! fence after it make the reader's second load see at least `n`: the value that `written` had
//! before event `n` was begun. So whatever lies `capacity` or more behind the second value may be
//! torn and is thrown away, and all the rest is whole.

mod recording;

pub use recording::{Recorder, Recording, Switch, Track, interrupted};

use crate::clock;
use crate::sync::atomic::{AtomicU64, Ordering, fence};

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum EventKind {
    /// A task was submitted; the data is its number.
    Submit = 0,
    /// A task or node began; the data is its number.
    Start,
    /// It ended with a value.
    Done,
    /// It raised.
    Fail,
    /// It ended cancelled.
    Cancel,
    /// Its coroutine has given way.
    Suspend,
    /// A task that was submitted before may start.
    Ready,
    /// The task that was submitted last comes after the one with this number.
    After,
    /// The task that runs waits for another one; the data is that one's number.
    Wait,
    /// It waits for it no longer.
    Resume,
    /// The data says how the next start is called.
    Label,
    /// As the last label, said again before that is overwritten: what began before it is called so too.
    Again,
    /// Whatever else the program wants to mark; the data is its own.
    Mark,
}

impl EventKind {
    const ALL: [Self; 13] = [
        Self::Submit,
        Self::Start,
        Self::Done,
        Self::Fail,
        Self::Cancel,
        Self::Suspend,
        Self::Ready,
        Self::After,
        Self::Wait,
        Self::Resume,
        Self::Label,
        Self::Again,
        Self::Mark,
    ];

    /// A lower-case word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Submit => "submit",
            Self::Start => "start",
            Self::Done => "done",
            Self::Fail => "fail",
            Self::Cancel => "cancel",
            Self::Suspend => "suspend",
            Self::Ready => "ready",
            Self::After => "after",
            Self::Wait => "wait",
            Self::Resume => "resume",
            Self::Label => "label",
            Self::Again => "again",
            Self::Mark => "mark",
        }
    }
}

/// One event, read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// When, in ticks.
    pub ticks: u64,
    /// What.
    pub kind: EventKind,
    /// Of what; 56 bits.
    pub data: u64,
}

/// What [`TraceRing::read`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Events {
    /// The events, oldest first.
    pub events: Vec<Event>,
    /// Where to go on reading.
    pub next: u64,
    /// How many were overwritten before they could be read.
    pub lost: u64,
}

struct Slot {
    ticks: AtomicU64,
    word: AtomicU64,
}

/// A preallocated ring of events with one writer.
pub struct TraceRing {
    slots: Box<[Slot]>,
    written: AtomicU64,
}

impl TraceRing {
    /// A ring of at least `capacity` events (16 bytes each), rounded up to a power of two.
    pub fn new(capacity: usize) -> Self {
        let slot = |_| Slot {
            ticks: AtomicU64::new(0),
            word: AtomicU64::new(0),
        };
        Self {
            slots: (0..capacity.max(2).next_power_of_two()).map(slot).collect(),
            written: AtomicU64::new(0),
        }
    }

    /// Adds an event of this moment. For the ring's one writer: two at once may garble an event.
    #[inline]
    pub fn record(&self, kind: EventKind, data: u64) {
        self.record_at(clock::ticks(), kind, data);
    }

    /// Adds an event of a given moment, for those who have read the clock anyway.
    #[inline]
    pub fn record_at(&self, ticks: u64, kind: EventKind, data: u64) {
        let written = self.written.load(Ordering::Relaxed);
        let slot = &self.slots[written as usize & (self.slots.len() - 1)];
        fence(Ordering::Release);
        slot.ticks.store(ticks, Ordering::Relaxed);
        slot.word.store(data << 8 | kind as u64, Ordering::Relaxed);
        self.written.store(written + 1, Ordering::Release);
    }

    /// How many events were added.
    fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Copies the events from number `from` on, the first being number 0; the writer may go on.
    pub fn read(&self, from: u64) -> Events {
        let capacity = self.slots.len() as u64;
        let end = self.written.load(Ordering::Acquire);
        let begin = from.max(end.saturating_sub(capacity)).min(end);
        let slot = |number: u64| &self.slots[(number & (capacity - 1)) as usize];
        let mut copied = Vec::with_capacity((end - begin) as usize);
        for number in begin..end {
            let slot = slot(number);
            copied.push((
                slot.ticks.load(Ordering::Relaxed),
                slot.word.load(Ordering::Relaxed),
            ));
        }
        fence(Ordering::Acquire);
        let now = self.written.load(Ordering::Relaxed);
        // Event `now` may be half written, over event `now - capacity`.
        let whole = (now + 1).saturating_sub(capacity).clamp(begin, end);
        let events = copied.into_iter().skip((whole - begin) as usize);
        Events {
            events: events
                .map(|(ticks, word)| Event {
                    ticks,
                    // Only `record_at` writes words, from an `EventKind`.
                    kind: EventKind::ALL[(word & 0xFF) as usize],
                    data: word >> 8,
                })
                .collect(),
            next: end,
            lost: whole.saturating_sub(from.min(whole)),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn events_come_back_in_order_with_what_was_put_in() {
        let ring = TraceRing::new(8);
        ring.record_at(10, EventKind::Start, 7);
        ring.record_at(20, EventKind::Done, (1 << 56) - 1);
        let read = ring.read(0);
        let expected = [
            Event {
                ticks: 10,
                kind: EventKind::Start,
                data: 7,
            },
            Event {
                ticks: 20,
                kind: EventKind::Done,
                data: (1 << 56) - 1,
            },
        ];
        assert_eq!(
            (read.events.as_slice(), read.next, read.lost),
            (&expected[..], 2, 0)
        );
        assert!(ring.read(read.next).events.is_empty());
    }

    #[test]
    fn what_was_overwritten_is_counted_as_lost() {
        let ring = TraceRing::new(4);
        for number in 0..10 {
            ring.record_at(number, EventKind::Mark, number);
        }
        let read = ring.read(0);
        let numbers: Vec<u64> = read.events.iter().map(|event| event.data).collect();
        // One slot is given up: its next event could be half written.
        assert_eq!((numbers, read.lost, read.next), (vec![7, 8, 9], 7, 10));
        assert_eq!(ring.read(8).lost, 0);
    }

    #[test]
    fn every_kind_survives_the_ring() {
        let ring = TraceRing::new(16);
        for kind in EventKind::ALL {
            ring.record(kind, 0);
        }
        let kinds = ring.read(0).events;
        assert!(kinds.iter().map(|event| event.kind).eq(EventKind::ALL));
    }

    #[test]
    fn a_reader_beside_a_busy_writer_sees_only_whole_events() {
        let ring = TraceRing::new(16);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0..50_000 {
                    ring.record_at(number, EventKind::Mark, number);
                }
            });
            let (mut next, mut seen, mut lost) = (0, 0, 0);
            while next < 50_000 {
                let read = ring.read(next);
                assert!(read.events.iter().all(|event| event.ticks == event.data));
                seen += read.events.len() as u64;
                lost += read.lost;
                next = read.next;
            }
            assert_eq!(seen + lost, 50_000);
        });
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use crate::sync::{Arc, thread};

    #[test]
    fn a_reader_never_sees_a_torn_event() {
        loom::model(|| {
            let ring = Arc::new(TraceRing::new(2));
            ring.record_at(1, EventKind::Mark, 1);
            let writer = {
                let ring = Arc::clone(&ring);
                thread::spawn(move || {
                    for number in 2..5 {
                        ring.record_at(number, EventKind::Mark, number);
                    }
                })
            };
            let read = ring.read(0);
            assert!(read.events.iter().all(|event| event.ticks == event.data));
            assert_eq!(read.lost + read.events.len() as u64, read.next);
            drop(writer.join());
        });
    }
}
