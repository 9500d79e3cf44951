//! What a thread is at and until when, noted for the timer at the price of two atomic operations.
//!
//! To set a timer for a task and to take it back costs most of a microsecond, and hardly any limit
//! is ever reached. So a thread notes its task here, and one entry in the timer, set for no later than
//! the task is due, looks at the note when it expires. If the task is due by then the timer takes it;
//! else it sets its entry anew, for when it is. With limits of a minute the timer is thus set about
//! once a minute, whatever the number of tasks.
//!
//! One word says it all, so that no two reads of it can disagree:
//!
//! ```text
//!   subject   the address of what the thread is at; 0 for nothing, or once the timer took it
//!   AWAKE     an entry is set in the timer, for `wakes` or earlier
//!   HELD      the timer looks at the subject, which must not go meanwhile
//!   TAKEN     the timer has taken it
//! ```
//!
//! - **Who may write.** The subject is put in and out by its thread, by `write` and `wipe`; only the
//!   timer, which holds it, may put it out before, and leaves `TAKEN`. `HELD` is the timer's. `AWAKE`
//!   changes under the lock of `entry`, with that.
//! - **Nothing due is missed.** `write` adds the subject and learns in the same operation whether
//!   there is an entry; `look` takes `AWAKE` away and learns in the same operation whether there is
//!   a subject. Whichever comes second sees the other: either the timer finds the subject and sets an
//!   entry for it, or its thread finds no entry and does. Where both set one, the lock orders them
//!   and the earlier one stays.
//! - **A stale `due` does no harm.** `look` may read one that belongs to a subject after or before the
//!   one that it saw. Read as not due, it only says when to look again: if it is another subject's, that
//!   one was written after `AWAKE` went, and its thread sees to its own entry. Read as due, it is
//!   read again by `take` while the subject is held, when it cannot change.
//! - **The subject is alive while it is held.** `wipe` does not return before `HELD` is gone, and the
//!   timer holds it for no longer than it takes to take a share in it.

use crate::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use crate::sync::atomic::{AtomicU64, AtomicUsize};
use crate::sync::{Mutex, thread};

const AWAKE: usize = 1;
const HELD: usize = 2;
const TAKEN: usize = 4;
const FLAGS: usize = AWAKE | HELD | TAKEN;

/// How a subject's address must be aligned.
pub const ALIGNMENT: usize = FLAGS + 1;

/// What looks at a note at a given time.
pub trait Alarm {
    /// By which an entry is taken back.
    type Entry;
    /// Has `look` called at `at`, a time of the note's own clock. None if the timer has stopped.
    fn set(&self, at: u64) -> Option<Self::Entry>;
    fn take_back(&self, entry: Self::Entry);
}

/// What `look` and `take` find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing, or nothing that is due: what there is to do for it was done.
    Nothing,
    /// Something that is due, as far as can be told without holding it.
    Due,
}

/// The note of one thread.
pub struct Note<E> {
    word: AtomicUsize,
    /// When the subject is due.
    due: AtomicU64,
    /// When the entry looks.
    wakes: AtomicU64,
    entry: Mutex<Option<E>>,
}

impl<E> Default for Note<E> {
    fn default() -> Self {
        Note {
            word: AtomicUsize::new(0),
            due: AtomicU64::new(0),
            wakes: AtomicU64::new(0),
            entry: Mutex::new(None),
        }
    }
}

impl<E> Note<E> {
    /// Whether its thread may write: it is at nothing yet that is noted. For its thread.
    #[inline]
    pub fn is_free(&self) -> bool {
        self.word.load(Relaxed) & !AWAKE == 0
    }

    /// Notes what this thread is at until `wipe`, and when it is due. For its thread, if it is free;
    /// `subject` is aligned as [`ALIGNMENT`] says, and not 0.
    #[inline]
    pub fn write(&self, subject: usize, due: u64, alarm: &impl Alarm<Entry = E>) {
        debug_assert!(subject != 0 && subject & FLAGS == 0 && self.is_free());
        self.due.store(due, Relaxed);
        let before = self.word.fetch_add(subject, AcqRel);
        if before & AWAKE == 0 || self.wakes.load(Relaxed) > due {
            self.wake_at(due, alarm);
        }
    }

    /// This thread is at that no longer. True if the timer has taken it. For its thread.
    #[inline]
    pub fn wipe(&self, subject: usize) -> bool {
        let mut word = subject | AWAKE;
        loop {
            match self
                .word
                .compare_exchange_weak(word, word & AWAKE, AcqRel, Acquire)
            {
                Ok(_) => return word & TAKEN != 0,
                Err(current) => word = current,
            }
            while word & HELD != 0 {
                // It is held for a few instructions, unless the timer's thread was put aside there.
                thread::yield_now();
                word = self.word.load(Acquire);
            }
        }
    }

    #[cold]
    fn wake_at(&self, at: u64, alarm: &impl Alarm<Entry = E>) {
        let mut entry = self.entry.lock();
        if entry.is_some() && self.wakes.load(Relaxed) <= at {
            return;
        }
        // Under the lock: an entry that expires at once waits for it, and so finds itself noted.
        let before = std::mem::replace(&mut *entry, alarm.set(at));
        self.wakes.store(at, Relaxed);
        if entry.is_some() {
            self.word.fetch_or(AWAKE, Release);
        } else {
            self.word.fetch_and(!AWAKE, Release);
        }
        drop(entry);
        if let Some(before) = before {
            alarm.take_back(before);
        }
    }

    /// The timer looks, for the entry that was set for `set_for`. If something is due it is to be
    /// taken by `take`.
    pub fn look(&self, set_for: u64, now: u64, alarm: &impl Alarm<Entry = E>) -> Found {
        let mut entry = self.entry.lock();
        if self.wakes.load(Relaxed) != set_for {
            // Another entry has taken its place; it was too late to take this one back.
            return Found::Nothing;
        }
        *entry = None;
        let word = self.word.fetch_and(!AWAKE, AcqRel);
        drop(entry);
        if word & !FLAGS == 0 {
            return Found::Nothing;
        }
        let due = self.due.load(Relaxed);
        if due <= now {
            return Found::Due;
        }
        self.wake_at(due, alarm);
        Found::Nothing
    }

    /// Takes what is due by `now`: calls `keep` with it and when it was due, while its thread cannot
    /// go on. `keep` must not block, nor run what could.
    pub fn take<R>(
        &self,
        now: u64,
        alarm: &impl Alarm<Entry = E>,
        keep: impl FnOnce(usize, u64) -> R,
    ) -> Option<R> {
        let mut word = self.word.load(Relaxed);
        loop {
            // Where it is held already, another entry's `take` is at it.
            if word & !FLAGS == 0 || word & HELD != 0 {
                return None;
            }
            match self
                .word
                .compare_exchange_weak(word, word | HELD, AcqRel, Relaxed)
            {
                Ok(_) => break,
                Err(current) => word = current,
            }
        }
        // Written before the subject was, and not changed before that is gone.
        let due = self.due.load(Relaxed);
        if due > now {
            self.word.fetch_and(!HELD, Release);
            self.wake_at(due, alarm);
            return None;
        }
        let subject = word & !FLAGS;
        let kept = keep(subject, due);
        // Only `AWAKE` may have changed since.
        let change = TAKEN.wrapping_sub(subject | HELD);
        self.word.fetch_add(change, AcqRel);
        Some(kept)
    }

    /// The entry in the timer, if there is one, for who drops the note.
    pub fn take_entry(&mut self) -> Option<E> {
        self.entry.lock().take()
    }
}

#[cfg(all(test, not(loom)))]
mod tests;

#[cfg(all(test, loom))]
mod loom_models;
