//! When workers search, wait for the interpreter, sleep and are woken. README.md beside this file
//! states the protocol and proves that no work is left behind.

use crate::latch::SPIN;
use crate::sync::atomic::Ordering::{Relaxed, SeqCst};
use crate::sync::atomic::{AtomicBool, AtomicU64};
use crate::sync::{Futex, full_fence, thread};
use std::time::{Duration, Instant};

const SEARCHING: u64 = 1;
const SLEEPING: u64 = 1 << 32;

/// One grant in the word of permits; below it are the permits.
const GRANT: u32 = 1 << 16;

const fn searching(counts: u64) -> u64 {
    counts & (SLEEPING - 1)
}

const fn sleeping(counts: u64) -> u64 {
    counts >> 32
}

/// What a searching worker looks at.
pub trait Seek {
    /// Whether work is queued that nobody else may take.
    fn has_own(&self) -> bool {
        false
    }
    /// By which number `wake_owner` knows this worker.
    fn number(&self) -> usize {
        0
    }
    /// Whether work is queued that this worker could take.
    fn has_work(&self) -> bool;
    /// Whether the pool wants its workers gone once nothing is queued.
    fn closed(&self) -> bool;
    /// Whether this worker is one too many, and is to look for no more work.
    fn dismissed(&self) -> bool {
        false
    }
    /// Called, counted as searching, before the worker goes to sleep.
    fn before_sleep(&self);
}

/// What a search came back with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Found {
    /// There is work that nobody else may take. The worker is still counted as searching; it needs no
    /// standby place, since nobody could take the work in its stead.
    Own,
    /// There was work. The worker is still counted as searching and holds the standby place.
    Work,
    /// The worker is one too many. It is still counted as searching and holds no standby place.
    Dismissed,
    /// The pool is closed and nothing is queued. The worker is no longer counted.
    Closed,
}

/// What became of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Notified {
    /// Somebody searches already and will find the work.
    Covered,
    /// A sleeper was woken.
    Woke,
    /// Nobody searches and nobody sleeps: all are at work, or none was started yet.
    NobodyIdle,
}

/// The counters and the two places where threads wait.
#[derive(Debug)]
pub struct Sleep {
    /// Searching workers in the low half, sleeping ones in the high half.
    counts: AtomicU64,
    /// Wake-ups granted and not yet taken, below; how often some were granted, above. The latter is
    /// for a sleeper with work of its own: it must notice a grant even if others took it.
    permits: Futex,
    /// Whether only one worker at a time may wait for the interpreter.
    gated: bool,
    /// Whether a worker waits for the interpreter (or has found work and is about to).
    standby: AtomicBool,
}

impl Sleep {
    /// `gated`: the interpreter can be held by one thread only, so one standby is enough.
    pub fn new(gated: bool) -> Self {
        Sleep {
            counts: AtomicU64::new(0),
            permits: Futex::new(0),
            gated,
            standby: AtomicBool::new(false),
        }
    }

    /// Counts a worker as searching: itself when it runs dry, or one that is being started.
    pub fn begin_search(&self) {
        self.counts.fetch_add(SEARCHING, SeqCst);
    }

    /// The worker has taken work, or leaves. True if nobody searches now: the caller then looks
    /// for more work and notifies if there is some.
    #[must_use]
    pub fn end_search(&self) -> bool {
        let before = self.counts.fetch_sub(SEARCHING, SeqCst);
        debug_assert!(searching(before) > 0);
        full_fence();
        searching(before) == 1
    }

    /// How many workers could take work without anybody being woken for it: searching or asleep.
    pub fn idle(&self) -> u64 {
        let counts = self.counts.load(SeqCst);
        searching(counts) + sleeping(counts)
    }

    /// Whether somebody sleeps and nobody searches (one relaxed load).
    pub fn has_sleeper_only(&self) -> bool {
        let counts = self.counts.load(Relaxed);
        searching(counts) == 0 && sleeping(counts) > 0
    }

    /// Whether nobody searches (one relaxed load).
    pub fn nobody_searches(&self) -> bool {
        searching(self.counts.load(Relaxed)) == 0
    }

    /// To be called after work was queued.
    #[inline]
    pub fn notify(&self) -> Notified {
        full_fence();
        let counts = self.counts.load(SeqCst);
        if searching(counts) > 0 {
            return Notified::Covered;
        }
        self.wake_one(counts)
    }

    #[cold]
    fn wake_one(&self, mut counts: u64) -> Notified {
        loop {
            if searching(counts) > 0 {
                return Notified::Covered;
            }
            if sleeping(counts) == 0 {
                return Notified::NobodyIdle;
            }
            match self.counts.compare_exchange(
                counts,
                counts - SLEEPING + SEARCHING,
                SeqCst,
                SeqCst,
            ) {
                Ok(_) => {
                    self.permits.word.fetch_add(GRANT + 1, SeqCst);
                    self.permits.wake(1);
                    return Notified::Woke;
                }
                Err(current) => counts = current,
            }
        }
    }

    /// Wakes every sleeper, for closing or dismissing; to be called after the reason was made visible.
    pub fn wake_all(&self) {
        full_fence();
        let mut counts = self.counts.load(SeqCst);
        while sleeping(counts) > 0 {
            let asleep = sleeping(counts);
            let awake = counts - asleep * SLEEPING + asleep * SEARCHING;
            match self.counts.compare_exchange(counts, awake, SeqCst, SeqCst) {
                Ok(_) => {
                    // At most 2^16 - 1 workers, so the count fits its half of the word.
                    self.permits.word.fetch_add(GRANT + asleep as u32, SeqCst);
                    self.permits.wake(asleep as u32);
                    return;
                }
                Err(current) => counts = current,
            }
        }
    }

    /// Wakes one worker, by its number, for work of its own; to be called after that was made visible
    /// and the worker was found to be asleep. It takes no permit: the owner goes back to searching by
    /// itself. Others of its futex group may be woken too, and sleep again.
    pub fn wake_owner(&self, number: usize) {
        self.permits.word.fetch_add(GRANT, SeqCst);
        self.permits.wake_group(number);
    }

    /// Frees the standby place: the worker has the interpreter, or gives up waiting for it.
    pub fn leave_standby(&self) {
        if self.gated {
            self.standby.store(false, SeqCst);
        }
    }

    fn enter_standby(&self) -> bool {
        !self.gated
            || (!self.standby.load(Relaxed)
                && self
                    .standby
                    .compare_exchange(false, true, SeqCst, Relaxed)
                    .is_ok())
    }

    fn standby_is_free(&self) -> bool {
        !self.gated || !self.standby.load(SeqCst)
    }

    /// Looks for work until there is some, sleeping in between. The caller is counted as searching.
    pub fn search(&self, seek: &impl Seek) -> Found {
        loop {
            let spin = Spin::new();
            loop {
                if seek.has_own() {
                    return Found::Own;
                }
                if seek.dismissed() {
                    return Found::Dismissed;
                }
                // Looked at first: what was queued before the closing is then seen by the other.
                let closed = seek.closed();
                if seek.has_work() {
                    if self.enter_standby() {
                        return Found::Work;
                    }
                } else if closed {
                    // Who leaves passes the news on: those who slept because of a standby.
                    let _ = self.end_search();
                    self.wake_all();
                    return Found::Closed;
                }
                if self.counts_searching_others() || !spin.again() {
                    break;
                }
            }
            seek.before_sleep();
            self.counts
                .fetch_add(SLEEPING.wrapping_sub(SEARCHING), SeqCst);
            full_fence();
            let awake = if seek.has_own() || seek.dismissed() {
                true
            } else if seek.has_work() {
                self.standby_is_free()
            } else {
                seek.closed()
            };
            if !(awake && self.retract()) {
                self.take_permit(seek);
            }
        }
    }

    /// One lingering searcher is enough; the others go to sleep at once.
    fn counts_searching_others(&self) -> bool {
        searching(self.counts.load(Relaxed)) > 1
    }

    /// From sleeping back to searching. False if a waker was faster: then a permit is there.
    fn retract(&self) -> bool {
        let mut counts = self.counts.load(SeqCst);
        while sleeping(counts) > 0 {
            match self.counts.compare_exchange(
                counts,
                counts - SLEEPING + SEARCHING,
                SeqCst,
                SeqCst,
            ) {
                Ok(_) => return true,
                Err(current) => counts = current,
            }
        }
        false
    }

    /// Sleeps until a waker grants a permit; the waker has counted us as searching.
    ///
    /// Permits are anybody's, and one that is there is taken before all else: its wake-up may have been
    /// ours, and nobody else would hear of it. A sleeper that is woken for a reason of its own (its own
    /// work, or that it is dismissed) may find that there is none, or that another took it; then it
    /// retracts. The word is read before the reason is looked at, so a grant in between keeps it from
    /// sleeping.
    fn take_permit(&self, seek: &impl Seek) {
        loop {
            let word = self.permits.word.load(SeqCst);
            if !word.is_multiple_of(GRANT) {
                if self
                    .permits
                    .word
                    .compare_exchange(word, word - 1, SeqCst, Relaxed)
                    .is_ok()
                {
                    return;
                }
            } else if (seek.has_own() || seek.dismissed()) && self.retract() {
                return;
            } else {
                let _ = self.permits.wait_as(seek.number(), word, None);
            }
        }
    }
}

/// The lingering of a worker that ran dry: it yields its core between looks.
struct Spin(Option<(Instant, Duration)>);

impl Spin {
    fn new() -> Self {
        Spin((!cfg!(loom)).then(|| (Instant::now(), SPIN)))
    }

    fn again(&self) -> bool {
        match self.0 {
            Some((start, limit)) if start.elapsed() < limit => {
                thread::yield_now();
                true
            }
            _ => false,
        }
    }
}

#[cfg(all(test, loom))]
mod loom_models;
