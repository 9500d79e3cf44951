//! One entry in the timer for all limits of a thread's tasks.
//!
//! To set a timer and to take it back costs most of a microsecond, and hardly any limit is ever
//! reached. So a thread that runs tasks with limits notes the limit of the task at hand here, and
//! keeps one entry in the timer, due no later than that. When the entry expires it ends the task
//! that is due, or sets itself again for the limit that is noted by then. With limits of a minute
//! the timer is thus set about once a minute, whatever the number of tasks.
//!
//! A task that runs inside another one on the same thread, as a worker does that waits, finds the
//! note taken and sets a timer of its own.

use super::GENERATION;
use super::limit::Limit;
use crate::timer;
use parking_lot::Mutex;
use std::cell::RefCell;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};
use taskloom_core::clock;
use taskloom_core::timer::{Deadline, Expire};

/// What a thread is to be stopped for.
pub(super) struct Watch {
    /// The fork generation: the timer of another is gone, and the lock may be held for ever.
    generation: u32,
    note: Mutex<Note>,
}

#[derive(Default)]
struct Note {
    /// Ticks at which `limit` is due.
    at: u64,
    limit: Option<Limit>,
    /// The entry in the timer and the ticks that it was set for.
    entry: Option<(Deadline, u64)>,
}

thread_local! {
    static WATCH: RefCell<Option<Arc<Watch>>> = const { RefCell::new(None) };
}

impl Watch {
    /// This thread's.
    fn mine() -> Arc<Watch> {
        let generation = GENERATION.load(Relaxed);
        WATCH.with_borrow_mut(|mine| match mine {
            Some(watch) if watch.generation == generation => Arc::clone(watch),
            _ => {
                let note = Mutex::default();
                let fresh = Arc::new(Watch { generation, note });
                // One of another generation is leaked: its lock may be held.
                std::mem::forget(mine.replace(Arc::clone(&fresh)));
                fresh
            }
        })
    }

    /// Notes a limit that is due at some ticks, until the guard is dropped. Gives the limit back if
    /// this thread has noted one already.
    pub(super) fn note(at: u64, limit: Limit) -> Result<Noted, Limit> {
        let watch = Watch::mine();
        let mut note = watch.note.lock();
        if note.limit.is_some() {
            drop(note);
            return Err(limit);
        }
        note.limit = Some(limit);
        note.at = at;
        let in_time = note.entry.is_some_and(|(_, set_for)| set_for <= at);
        if !in_time {
            watch.set(&mut note, at);
        }
        drop(note);
        Ok(Noted(watch))
    }

    /// Has the timer look at the note at some ticks. Under the lock of the note: an entry that
    /// expires at once finds itself noted.
    fn set(self: &Arc<Self>, note: &mut Note, at: u64) {
        let clock = timer::real_clock();
        let left = clock::nanos(at.saturating_sub(clock::ticks()));
        let entry = Entry(Arc::downgrade(self), at);
        let set = clock.set(clock.now().saturating_add(left), Arc::new(entry));
        let before = std::mem::replace(&mut note.entry, set.map(|deadline| (deadline, at)));
        if let Some((before, _)) = before {
            clock.forget(before);
        }
    }

    /// The timer looks, for the entry that was set for `set_for`.
    fn look(self: &Arc<Self>, set_for: u64) {
        let mut note = self.note.lock();
        if note.entry.is_some_and(|(_, other)| other == set_for) {
            note.entry = None;
        }
        let at = note.at;
        // The two clocks may be a little apart: what is due within a microsecond is due.
        let due = at <= clock::ticks().saturating_add(clock::from_nanos(1_000));
        let limit = note.limit.take_if(|_| due);
        if note.limit.is_some() && note.entry.is_none() {
            self.set(&mut note, at);
        }
        drop(note);
        if let Some(limit) = limit {
            limit.expire();
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some((entry, _)) = self.note.get_mut().entry.take() {
            timer::real_clock().forget(entry);
        }
    }
}

/// A limit that is noted; dropped, it is taken back.
pub(super) struct Noted(Arc<Watch>);

impl Drop for Noted {
    fn drop(&mut self) {
        if self.0.generation == GENERATION.load(Relaxed) {
            let limit = self.0.note.lock().limit.take();
            // Not under the lock: this drops a reference to a Python object.
            drop(limit);
        }
    }
}

/// What the timer holds for a thread.
struct Entry(Weak<Watch>, u64);

impl Expire for Entry {
    fn expire(&self) {
        if let Some(watch) = self.0.upgrade() {
            watch.look(self.1);
        }
    }
}
