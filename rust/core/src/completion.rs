//! The state of a future in one word: who may run it, whether it is over, who must be told.
//!
//! The low bits hold the state, the high ones two flags. All transitions are methods here.
//!
//! ```text
//! PENDING ──claim──▶ RUNNING ──publish──▶ DONE | FAILED
//!    │                  │ settle_running (a promise: its owner sets the result)
//!    └──claim_to_settle─┴─▶ SETTLING ──publish──▶ CANCELLED | DONE | FAILED
//! ```
//!
//! - `AWAITED`: a thread sleeps on the word; who publishes wakes it.
//! - `OBSERVED`: somebody registered a callback or a condition beside the future. Publishing then
//!   happens under that condition. Why nothing is missed: `observe` sets the flag by a
//!   read-modify-write of the same word that `try_publish` changes by compare-exchange. Either the
//!   flag came first, and `try_publish` refuses; or the publication did, and `observe` returns a
//!   state that is over. There is no third order.

use crate::latch::{Deadline, spin_until};
use crate::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
use crate::sync::{Futex, Wait};
use std::time::Duration;

const STATE: u32 = 7;
const AWAITED: u32 = 8;
const OBSERVED: u32 = 16;

/// Where a future is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum State {
    Pending = 0,
    Running = 1,
    Settling = 2,
    Done = 3,
    Failed = 4,
    Cancelled = 5,
}

impl State {
    fn of(word: u32) -> State {
        match word & STATE {
            0 => State::Pending,
            1 => State::Running,
            2 => State::Settling,
            3 => State::Done,
            4 => State::Failed,
            _ => State::Cancelled,
        }
    }

    /// Whether nothing will change any more.
    pub fn is_over(self) -> bool {
        self as u32 >= State::Done as u32
    }
}

/// The word.
#[derive(Debug)]
pub struct Completion {
    state: Futex,
}

impl Default for Completion {
    fn default() -> Self {
        Completion::new()
    }
}

impl Completion {
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Completion {
            state: Futex::new(State::Pending as u32),
        }
    }

    #[cfg(loom)]
    pub fn new() -> Self {
        Completion {
            state: Futex::new(State::Pending as u32),
        }
    }

    #[inline]
    pub fn state(&self) -> State {
        State::of(self.state.word.load(Acquire))
    }

    /// Takes the right to run it; one caller gets it.
    #[inline]
    #[must_use]
    pub fn claim(&self) -> bool {
        self.leave_pending(State::Running)
    }

    /// Takes the right to end it without running it: to cancel it, or to set a promise's result.
    #[must_use]
    pub fn claim_to_settle(&self) -> bool {
        self.leave_pending(State::Settling)
    }

    /// Takes the right to end what runs; for a promise, whose owner may set its result from any
    /// thread after having marked it as running.
    #[must_use]
    pub fn settle_running(&self) -> bool {
        self.transit(State::Running, State::Settling)
    }

    #[inline]
    fn leave_pending(&self, to: State) -> bool {
        self.transit(State::Pending, to)
    }

    #[inline]
    fn transit(&self, from: State, to: State) -> bool {
        let mut word = self.state.word.load(Relaxed);
        while State::of(word) == from {
            let next = word & !STATE | to as u32;
            match self
                .state
                .word
                .compare_exchange_weak(word, next, AcqRel, Relaxed)
            {
                Ok(_) => return true,
                Err(current) => word = current,
            }
        }
        false
    }

    /// Ends it, for whoever claimed it, unless it is observed: then nothing is done and false
    /// returned, and the caller ends it by `publish_observed` under the observers' condition.
    /// The future may be gone when this returns.
    #[inline]
    #[must_use]
    pub fn try_publish(&self, end: State) -> bool {
        let mut word = self.state.word.load(Relaxed);
        while word & OBSERVED == 0 {
            match self
                .state
                .word
                .compare_exchange_weak(word, end as u32, SeqCst, Relaxed)
            {
                Ok(_) => {
                    if word & AWAITED != 0 {
                        self.state.wake(u32::MAX);
                    }
                    return true;
                }
                Err(current) => word = current,
            }
        }
        false
    }

    /// As `claim`, for who knows that nobody else can come by the word meanwhile.
    #[inline]
    #[must_use]
    pub fn claim_alone(&self) -> bool {
        let word = self.state.word.load(Relaxed);
        let claims = State::of(word) == State::Pending;
        if claims {
            let word = word & !STATE | State::Running as u32;
            self.state.word.store(word, Relaxed);
        }
        claims
    }

    /// Ends what runs, for who knows that nobody else can come by the word meanwhile, unless it is
    /// observed; false if nothing was done.
    #[inline]
    #[must_use]
    pub fn end_alone(&self, end: State) -> bool {
        let ends = self.state.word.load(Relaxed) == State::Running as u32;
        if ends {
            self.state.word.store(end as u32, Release);
        }
        ends
    }

    /// Ends it whether observed or not.
    pub fn publish_observed(&self, end: State) {
        if self.state.word.swap(end as u32 | OBSERVED, SeqCst) & AWAITED != 0 {
            self.state.wake(u32::MAX);
        }
    }

    /// Marks it as observed and returns its state at that moment: if it is over, nobody will tell
    /// the observer, who sees for himself.
    pub fn observe(&self) -> State {
        State::of(self.state.word.fetch_or(OBSERVED, SeqCst))
    }

    /// Waits until it is over. `Woken` means that it is.
    pub fn wait(&self, timeout: Option<Duration>) -> Wait {
        let deadline = Deadline::after(timeout);
        if spin_until(deadline, || self.state().is_over()) {
            return Wait::Woken;
        }
        loop {
            let word = self.state.word.fetch_or(AWAITED, SeqCst) | AWAITED;
            if State::of(word).is_over() {
                return Wait::Woken;
            }
            if deadline.passed() {
                return Wait::TimedOut;
            }
            if self.state.wait(word, deadline.left()) == Wait::Interrupted
                && !self.state().is_over()
            {
                return Wait::Interrupted;
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn only_one_claim_succeeds() {
        let completion = Completion::new();
        assert!(completion.claim());
        assert!(!completion.claim());
        assert!(!completion.claim_to_settle());
        assert!(completion.try_publish(State::Done));
        assert_eq!(completion.state(), State::Done);
    }

    #[test]
    fn who_is_alone_with_it_claims_and_ends_it_once() {
        let completion = Completion::new();
        assert!(!completion.end_alone(State::Done));
        assert!(completion.claim_alone());
        assert!(!completion.claim_alone() && !completion.claim());
        assert!(completion.end_alone(State::Failed));
        assert!(!completion.end_alone(State::Done));
        assert_eq!(completion.state(), State::Failed);
    }

    #[test]
    fn who_is_alone_with_an_observed_one_leaves_its_end_to_the_observers() {
        let completion = Completion::new();
        assert!(completion.claim_alone());
        assert_eq!(completion.observe(), State::Running);
        assert!(!completion.end_alone(State::Done));
        assert_eq!(completion.state(), State::Running);
    }

    #[test]
    fn an_observed_future_is_published_by_its_observers() {
        let completion = Completion::new();
        assert_eq!(completion.observe(), State::Pending);
        assert!(completion.claim_to_settle());
        assert!(!completion.try_publish(State::Cancelled));
        assert_eq!(completion.state(), State::Settling);
        completion.publish_observed(State::Cancelled);
        assert_eq!(completion.observe(), State::Cancelled);
    }

    #[test]
    fn a_wait_times_out_while_it_runs() {
        let completion = Completion::new();
        assert!(completion.claim());
        assert_eq!(completion.wait(Some(Duration::ZERO)), Wait::TimedOut);
        assert!(completion.try_publish(State::Failed));
        assert_eq!(completion.wait(None), Wait::Woken);
        assert_eq!(completion.state(), State::Failed);
    }
}

#[cfg(all(test, loom))]
mod loom_models {
    use super::*;
    use crate::sync::Arc;
    use crate::sync::atomic::AtomicUsize;

    #[test]
    fn a_sleeping_waiter_is_woken() {
        loom::model(|| {
            let completion = Arc::new(Completion::new());
            let runner = Arc::clone(&completion);
            let thread = loom::thread::spawn(move || {
                if runner.claim() {
                    assert!(runner.try_publish(State::Done));
                }
            });
            assert_eq!(completion.wait(None), Wait::Woken);
            assert_eq!(completion.state(), State::Done);
            assert!(thread.join().is_ok());
        });
    }

    #[test]
    fn running_and_cancelling_exclude_each_other() {
        loom::model(|| {
            let completion = Arc::new(Completion::new());
            let runner = Arc::clone(&completion);
            let thread = loom::thread::spawn(move || runner.claim());
            let cancelled = completion.claim_to_settle();
            let ran = thread.join().unwrap_or(false);
            assert!(ran != cancelled);
        });
    }

    /// The observer is told exactly once: by the publisher or by what `observe` returned.
    #[test]
    fn an_observer_is_told_once() {
        loom::model(|| {
            let shared = Arc::new((Completion::new(), AtomicUsize::new(0)));
            let runner = Arc::clone(&shared);
            let thread = loom::thread::spawn(move || {
                assert!(runner.0.claim());
                if !runner.0.try_publish(State::Done) {
                    runner.0.publish_observed(State::Done);
                    runner.1.fetch_add(1, SeqCst);
                }
            });
            if shared.0.observe().is_over() {
                shared.1.fetch_add(1, SeqCst);
            }
            assert!(thread.join().is_ok());
            assert_eq!(shared.1.load(SeqCst), 1);
        });
    }
}
