//! Latches: an event that threads wait for, spinning first and sleeping on a futex after.

use crate::sync::atomic::Ordering::{Acquire, Relaxed, SeqCst};
use crate::sync::{Futex, Wait, thread};
use std::time::{Duration, Instant};

/// How long a waiter spins (yielding its core) before it sleeps. A wake-up from a futex takes
/// 6 to 60 µs, so a wait that ends within this time is several times cheaper spun than slept.
pub const SPIN: Duration = Duration::from_micros(50);

const UNSET: u32 = 0;
const SET: u32 = 1;
const AWAITED: u32 = 2;

/// A flag that can be set, waited for, and reset by its owner.
#[derive(Debug)]
pub struct Event {
    state: Futex,
}

impl Default for Event {
    fn default() -> Self {
        Event::new()
    }
}

impl Event {
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Event {
            state: Futex::new(UNSET),
        }
    }

    #[cfg(loom)]
    pub fn new() -> Self {
        Event {
            state: Futex::new(UNSET),
        }
    }

    pub fn is_set(&self) -> bool {
        self.state.word.load(Acquire) == SET
    }

    /// Sets the event and wakes everybody who waits; what came before is visible to them.
    ///
    /// The setter does not touch the event after it became visible as set, except for the wake,
    /// which uses only its address: a waiter may free it as soon as it has seen it set.
    pub fn set(&self) {
        if self.state.word.swap(SET, SeqCst) == AWAITED {
            self.state.wake(u32::MAX);
        }
    }

    /// Unsets the event. For its owner: a waiter that has not looked yet goes on waiting.
    pub fn reset(&self) {
        self.state.word.store(UNSET, Relaxed);
    }

    /// Waits until the event is set. `Woken` means that it is.
    pub fn wait(&self, timeout: Option<Duration>) -> Wait {
        let deadline = Deadline::after(timeout);
        if spin_until(deadline, || self.is_set()) {
            return Wait::Woken;
        }
        loop {
            let looked = self
                .state
                .word
                .compare_exchange(UNSET, AWAITED, SeqCst, Acquire);
            if looked == Err(SET) {
                return Wait::Woken;
            }
            if deadline.passed() {
                return Wait::TimedOut;
            }
            if self.state.wait(AWAITED, deadline.left()) == Wait::Interrupted && !self.is_set() {
                return Wait::Interrupted;
            }
        }
    }
}

/// The moment at which a wait gives up, if it ever does.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Option<Instant>);

impl Deadline {
    /// `None`, or a time beyond what the clock can hold, waits for ever.
    pub fn after(timeout: Option<Duration>) -> Self {
        Deadline(timeout.and_then(|t| Instant::now().checked_add(t)))
    }

    pub fn passed(self) -> bool {
        self.0.is_some_and(|at| Instant::now() >= at)
    }

    /// The time left, for a futex: `None` is for ever.
    pub fn left(self) -> Option<Duration> {
        self.0
            .map(|at| at.saturating_duration_since(Instant::now()))
    }
}

/// Polls `done` for at most [`SPIN`], giving up the core between looks: on a busy core a pure spin
/// would starve the very thread that it waits for.
pub fn spin_until(deadline: Deadline, mut done: impl FnMut() -> bool) -> bool {
    if done() {
        return true;
    }
    if cfg!(loom) {
        return false;
    }
    let start = Instant::now();
    while start.elapsed() < SPIN && !deadline.passed() {
        thread::yield_now();
        if done() {
            return true;
        }
    }
    false
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_waiter_sees_what_was_written_before_the_set() {
        let shared = Arc::new((Event::new(), std::sync::atomic::AtomicU32::new(0)));
        let setter = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            setter.1.store(7, Relaxed);
            setter.0.set();
        });
        assert_eq!(shared.0.wait(None), Wait::Woken);
        assert_eq!(shared.1.load(Relaxed), 7);
        assert!(thread.join().is_ok());
    }

    #[test]
    fn a_wait_that_is_not_answered_times_out() {
        let event = Event::new();
        assert_eq!(event.wait(Some(Duration::ZERO)), Wait::TimedOut);
        event.set();
        assert_eq!(event.wait(Some(Duration::ZERO)), Wait::Woken);
        event.reset();
        assert_eq!(event.wait(Some(Duration::from_micros(60))), Wait::TimedOut);
    }
}

#[cfg(all(test, loom))]
mod loom_models {
    use super::*;
    use crate::sync::Arc;

    #[test]
    fn no_wake_is_lost_with_two_waiters() {
        loom::model(|| {
            let event = Arc::new(Event::new());
            let other = Arc::clone(&event);
            let waiter = loom::thread::spawn(move || {
                assert_eq!(other.wait(None), Wait::Woken);
            });
            let setter = Arc::clone(&event);
            let set = loom::thread::spawn(move || setter.set());
            assert_eq!(event.wait(None), Wait::Woken);
            assert!(waiter.join().is_ok());
            assert!(set.join().is_ok());
        });
    }
}
