//! One entry in the timer for all limits of a thread's tasks: what the engine's `note` is to a thread.
//!
//! A task that runs inside another one on the same thread, as a worker does that waits, finds the
//! note taken and sets a timer of its own.

use super::limit::Limit;
use super::{FutureObject, GENERATION, waits};
use crate::timer;
use pyo3::prelude::*;
use std::cell::RefCell;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};
use taskloom_core::clock;
use taskloom_core::note::{ALIGNMENT, Alarm, Found, Note};
use taskloom_core::pool::{Pool, Worker};
use taskloom_core::timer::{Deadline, Expire};

const _: () = assert!(align_of::<FutureObject>() >= ALIGNMENT);

/// What a thread is to be stopped for.
pub(super) struct Watch {
    /// The fork generation: the timer of another is gone, and locks may be held for ever.
    generation: u32,
    note: Note<Deadline>,
    /// Whose worker the thread is; None for a thread from outside.
    pool: Option<Weak<Pool>>,
    /// The thread, as Python names it.
    thread: u64,
    /// Itself, for entries in the timer.
    this: Weak<Watch>,
}

thread_local! {
    static WATCH: RefCell<Option<Arc<Watch>>> = const { RefCell::new(None) };
}

impl Watch {
    fn new() -> Arc<Self> {
        Arc::new_cyclic(|this| Watch {
            generation: GENERATION.load(Relaxed),
            note: Note::default(),
            pool: Worker::with_current(|worker| worker.map(|w| Arc::downgrade(w.pool()))),
            thread: waits::this_thread(),
            this: this.clone(),
        })
    }

    /// Notes that this thread runs a task that is due at some ticks, until the guard ends that. None
    /// if it has noted one already.
    #[inline]
    pub(super) fn note(future: &FutureObject, at: u64) -> Option<Noted> {
        WATCH.with_borrow_mut(|mine| {
            let generation = GENERATION.load(Relaxed);
            if mine
                .as_ref()
                .is_none_or(|mine| mine.generation != generation)
            {
                // One of another generation is leaked: its lock may be held.
                std::mem::forget(mine.replace(Watch::new()));
            }
            let watch = mine.as_ref().filter(|watch| watch.note.is_free())?;
            let subject = std::ptr::from_ref(future);
            watch.note.write(subject.expose_provenance(), at, &**watch);
            Some(Noted {
                watch: Arc::as_ptr(watch),
                subject,
            })
        })
    }

    /// The timer looks, for the entry that was set for `set_for`.
    fn look(&self, set_for: u64) {
        // The two clocks may be a little apart: what is due within a microsecond is due.
        let now = clock::ticks().saturating_add(clock::from_nanos(1_000));
        if self.note.look(set_for, now, self) == Found::Nothing {
            return;
        }
        // No thread may enter an interpreter that is going away; its tasks end with it. Attached
        // before the task is held: its thread may wait for that while it is attached.
        let _ = Python::try_attach(|py| {
            let keep = |subject: usize, due| {
                let future = std::ptr::with_exposed_provenance_mut(subject);
                // SAFETY: attached; a future that its runner keeps alive for as long as it is noted.
                (
                    unsafe { Bound::from_borrowed_ptr(py, future) }.unbind(),
                    due,
                )
            };
            if let Some((future, due)) = self.note.take(now, self, keep) {
                let pool = self.pool.as_ref().and_then(Weak::upgrade);
                Limit::new(future, pool, due, self.thread).end(py);
            }
        });
    }
}

impl Alarm for Watch {
    type Entry = Deadline;

    fn set(&self, at: u64) -> Option<Deadline> {
        let clock = timer::real_clock();
        let left = clock::nanos(at.saturating_sub(clock::ticks()));
        let entry = Entry(self.this.clone(), at);
        clock.set(clock.now().saturating_add(left), Arc::new(entry))
    }

    fn take_back(&self, entry: Deadline) {
        timer::real_clock().forget(entry);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(entry) = self.note.take_entry() {
            timer::real_clock().forget(entry);
        }
    }
}

/// A limit that is noted. Stays with its thread.
pub(super) struct Noted {
    watch: *const Watch,
    subject: *const FutureObject,
}

impl Noted {
    /// Takes it back. True if the timer took it before.
    #[inline]
    pub(super) fn wipe(self) -> bool {
        // SAFETY: a thread keeps its watch until it ends, and leaks it where a fork made it stale.
        let watch = unsafe { &*self.watch };
        watch.generation == GENERATION.load(Relaxed) && watch.note.wipe(self.subject.addr())
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
