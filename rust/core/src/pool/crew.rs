//! Who of a pool's workers is there, and how many of them may take jobs.
//!
//! A worker is absent, working or parked. Of the regular workers `active` may work, and one more for
//! each that is blocked inside a job. A worker with a place beyond that is surplus: it parks on a seat
//! of its own until it is called back, or until the pool is closed. A spare, with a place beyond those
//! of the regular workers, leaves instead as soon as nobody is blocked.
//!
//! Every change of who is there is made under one lock; what others look at on the way (`active`,
//! `working`, `blocked`) is copied out of it, and decides nothing by itself: a worker that takes itself
//! for surplus asks again under the lock. So of two that look at once only as many park as are too many.
//!
//! To the sleep protocol a parked worker is one that has left and a call back is a start: the worker
//! parks first, then stops counting as searching, then passes on what is queued. Who queues a job
//! therefore either finds it searching still, and then it looks at the queue afterwards; or finds it
//! parked, and may call it.

use crate::latch::Event;
use crate::sync::atomic::AtomicUsize;
use crate::sync::atomic::Ordering::{Relaxed, SeqCst};
use crate::sync::{Mutex, MutexGuard, Wait};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Member {
    Absent,
    Working,
    Parked,
}

/// How a worker is to be had; the caller counts it as searching first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Recruit {
    /// By a new thread for this place.
    Start(usize),
    /// By calling the one that is parked there.
    Call(usize),
}

/// What a worker does that took itself for surplus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Aside {
    /// It is not one too many any more.
    Stay,
    /// It waits on its seat.
    Parked,
    /// The pool is closed: it goes home.
    Leave,
}

struct Members {
    states: Vec<Member>,
    working: usize,
    parked: usize,
    closed: bool,
}

pub(super) struct Crew {
    regular: usize,
    spares: usize,
    active: AtomicUsize,
    /// Workers that are stuck in their jobs.
    blocked: AtomicUsize,
    /// Copied out of the members.
    working: AtomicUsize,
    /// Workers that may still be had without anybody blocking: zero in the steady state.
    missing: AtomicUsize,
    members: Mutex<Members>,
    seats: Box<[Event]>,
}

impl Crew {
    pub fn new(regular: usize, spares: usize) -> Self {
        let places = regular + spares;
        Crew {
            regular,
            spares,
            active: AtomicUsize::new(regular),
            blocked: AtomicUsize::new(0),
            working: AtomicUsize::new(0),
            missing: AtomicUsize::new(regular),
            members: Mutex::new(Members {
                states: vec![Member::Absent; places],
                working: 0,
                parked: 0,
                closed: false,
            }),
            seats: (0..places).map(|_| Event::new()).collect(),
        }
    }

    /// How many regular workers may take jobs.
    #[cfg(not(loom))]
    pub fn active(&self) -> usize {
        self.active.load(Relaxed)
    }

    /// Changes that, between 1 and all; returns what it was. Who is parked has to be called, and who
    /// is asleep to be woken, by the caller.
    pub fn set_active(&self, count: usize) -> usize {
        let members = self.members.lock();
        let before = self.active.load(SeqCst);
        self.active.store(count.clamp(1, self.regular), SeqCst);
        self.publish(&members);
        before
    }

    /// How many threads there are: working, and parked.
    pub fn threads(&self) -> (usize, usize) {
        let members = self.members.lock();
        (members.working, members.parked)
    }

    /// Whether more workers may be had although nobody is blocked.
    #[inline]
    pub fn is_short(&self) -> bool {
        self.missing.load(Relaxed) > 0
    }

    pub fn block(&self) {
        self.blocked.fetch_add(1, SeqCst);
    }

    #[cfg(not(loom))]
    pub fn unblock(&self) {
        self.blocked.fetch_sub(1, SeqCst);
    }

    pub fn anybody_blocked(&self) -> bool {
        self.blocked.load(SeqCst) > 0
    }

    #[cfg(not(loom))]
    pub fn blocked(&self) -> usize {
        self.blocked.load(Relaxed)
    }

    fn allowed(&self) -> usize {
        self.active.load(SeqCst) + self.blocked.load(SeqCst).min(self.spares)
    }

    /// Whether this is a place for spares, who come and go.
    pub fn is_spare(&self, index: usize) -> bool {
        index >= self.regular
    }

    /// Whether the worker is one too many: to be asked before it takes a job.
    #[inline]
    pub fn is_surplus(&self, index: usize) -> bool {
        index >= self.active.load(Relaxed) && self.looks_surplus(index)
    }

    #[cold]
    fn looks_surplus(&self, index: usize) -> bool {
        if self.is_spare(index) {
            return !self.anybody_blocked();
        }
        self.working.load(SeqCst) > self.allowed()
    }

    /// Finds a worker, if one more may work.
    pub fn recruit(&self) -> Option<Recruit> {
        let mut members = self.members.lock();
        if members.working >= self.allowed() {
            return None;
        }
        let at = |wanted: Member| members.states.iter().position(|state| *state == wanted);
        let recruit = match at(Member::Parked) {
            Some(index) => Recruit::Call(index),
            None => Recruit::Start(at(Member::Absent)?),
        };
        let (Recruit::Call(index) | Recruit::Start(index)) = recruit;
        members.states[index] = Member::Working;
        members.working += 1;
        members.parked -= usize::from(recruit == Recruit::Call(index));
        self.publish(&members);
        Some(recruit)
    }

    /// Wakes a worker that `recruit` wants called.
    pub fn call(&self, index: usize) {
        self.seats[index].set();
    }

    /// Parks a surplus worker, if it is one too many still.
    pub fn park(&self, index: usize) -> Aside {
        let mut members = self.members.lock();
        if members.working <= self.allowed() {
            return Aside::Stay;
        }
        if members.closed {
            return Aside::Leave;
        }
        self.seats[index].reset();
        members.states[index] = Member::Parked;
        members.working -= 1;
        members.parked += 1;
        self.publish(&members);
        Aside::Parked
    }

    /// Waits on the seat; whether the worker was called, rather than sent home.
    pub fn wait(&self, index: usize) -> bool {
        while self.seats[index].wait(None) == Wait::Interrupted {}
        self.members.lock().states[index] == Member::Working
    }

    /// The thread of a place is gone, or did not come.
    pub fn leave(&self, index: usize) {
        let mut members = self.members.lock();
        match members.states[index] {
            Member::Working => members.working -= 1,
            Member::Parked => members.parked -= 1,
            Member::Absent => {}
        }
        members.states[index] = Member::Absent;
        self.publish(&members);
    }

    /// Sends those home who are parked, now and later.
    pub fn close(&self) {
        let mut members = self.members.lock();
        members.closed = true;
        self.publish(&members);
        for (index, state) in members.states.iter().enumerate() {
            if *state == Member::Parked {
                self.seats[index].set();
            }
        }
    }

    fn publish(&self, members: &MutexGuard<'_, Members>) {
        self.working.store(members.working, SeqCst);
        let missing = if members.closed {
            0
        } else {
            self.active.load(SeqCst).saturating_sub(members.working)
        };
        self.missing.store(missing, Relaxed);
    }
}

#[cfg(test)]
#[path = "crew_tests.rs"]
mod tests;
