//! A 32-bit atomic word that threads can sleep on.
//!
//! Linux uses the futex system call, so that a signal interrupts the sleep (`Wait::Interrupted`)
//! and the embedder can look at it. Elsewhere the sleep is built on `parking_lot_core` and comes
//! back as interrupted every 50 ms, for the same purpose. Under loom it is a mutex and a condvar.

use super::atomic::AtomicU32;
use std::time::Duration;

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Wait {
    /// Woken, or the word no longer held the expected value; may be spurious: look at the word.
    Woken,
    /// The time given had passed.
    TimedOut,
    /// A signal arrived: let the embedder handle it, then wait again.
    Interrupted,
}

/// An atomic word with wait and wake.
#[cfg_attr(not(loom), repr(transparent))]
#[derive(Debug)]
pub struct Futex {
    /// The word; every atomic operation on it is allowed.
    pub word: AtomicU32,
    #[cfg(loom)]
    lock: loom::sync::Mutex<[u32; GROUPS]>,
    /// Who waits as one of two groups.
    #[cfg(loom)]
    condvars: [loom::sync::Condvar; GROUPS],
}

/// As how many groups sleepers can be told apart.
#[cfg(not(loom))]
const GROUPS: usize = 32;
#[cfg(loom)]
const GROUPS: usize = 2;

#[cfg(not(loom))]
impl Futex {
    pub const fn new(value: u32) -> Self {
        Futex {
            word: AtomicU32::new(value),
        }
    }
}

#[cfg(all(not(loom), target_os = "linux"))]
impl Futex {
    /// Sleeps while the word is `expected`.
    pub fn wait(&self, expected: u32, timeout: Option<Duration>) -> Wait {
        self.wait_as(0, expected, timeout)
    }

    /// As `wait`, by a member of a group, which `wake_group` may wake.
    pub fn wait_as(&self, member: usize, expected: u32, timeout: Option<Duration>) -> Wait {
        let spec = timeout.map(|t| libc::timespec {
            tv_sec: libc::time_t::try_from(t.as_secs()).unwrap_or(libc::time_t::MAX),
            // Below 10^9, so it fits every `c_long`.
            tv_nsec: t.subsec_nanos() as libc::c_long,
        });
        let spec_ptr = spec
            .as_ref()
            .map_or(std::ptr::null(), |s| s as *const libc::timespec);
        // SAFETY: the word outlives the call, and the timeout is null or points to a live timespec.
        let rc = unsafe {
            if timeout.is_none() {
                libc::syscall(
                    libc::SYS_futex,
                    self.word.as_ptr(),
                    libc::FUTEX_WAIT_BITSET | libc::FUTEX_PRIVATE_FLAG,
                    expected,
                    spec_ptr,
                    std::ptr::null::<u32>(),
                    1_u32 << (member % GROUPS),
                )
            } else {
                // The other one takes a time of day; who has a timeout is in every group.
                libc::syscall(
                    libc::SYS_futex,
                    self.word.as_ptr(),
                    libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG,
                    expected,
                    spec_ptr,
                )
            }
        };
        if rc == 0 {
            return Wait::Woken;
        }
        match std::io::Error::last_os_error().raw_os_error() {
            Some(libc::ETIMEDOUT) => Wait::TimedOut,
            Some(libc::EINTR) => Wait::Interrupted,
            _ => Wait::Woken,
        }
    }

    /// Wakes all sleepers of one member's group, and none of another.
    pub fn wake_group(&self, member: usize) {
        // SAFETY: the word is live for the call; a wake reads nothing else.
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                self.word.as_ptr(),
                libc::FUTEX_WAKE_BITSET | libc::FUTEX_PRIVATE_FLAG,
                i32::MAX,
                std::ptr::null::<libc::timespec>(),
                std::ptr::null::<u32>(),
                1_u32 << (member % GROUPS),
            );
        }
    }

    /// Wakes up to `count` sleepers.
    pub fn wake(&self, count: u32) {
        let count = count.min(i32::MAX as u32);
        // SAFETY: the word is live for the call; a wake reads nothing else.
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                self.word.as_ptr(),
                libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG,
                count,
            );
        }
    }
}

#[cfg(all(not(loom), not(target_os = "linux")))]
impl Futex {
    /// Sleeps while the word is `expected`.
    pub fn wait(&self, expected: u32, timeout: Option<Duration>) -> Wait {
        use parking_lot_core::{DEFAULT_PARK_TOKEN, ParkResult, park};
        use std::time::Instant;
        const SLICE: Duration = Duration::from_millis(50);
        let slice = timeout.map_or(SLICE, |t| t.min(SLICE));
        let key = self as *const Self as usize;
        // SAFETY: the callbacks neither panic nor park, and the key is this word's own address.
        let result = unsafe {
            park(
                key,
                || self.word.load(super::atomic::Ordering::SeqCst) == expected,
                || {},
                |_, _| {},
                DEFAULT_PARK_TOKEN,
                Some(Instant::now() + slice),
            )
        };
        match result {
            ParkResult::Unparked(_) | ParkResult::Invalid => Wait::Woken,
            ParkResult::TimedOut if timeout.is_some_and(|t| t <= SLICE) => Wait::TimedOut,
            ParkResult::TimedOut => Wait::Interrupted,
        }
    }

    /// As `wait`, by a member of a group, which `wake_group` may wake.
    pub fn wait_as(&self, member: usize, expected: u32, timeout: Option<Duration>) -> Wait {
        let _ = member;
        self.wait(expected, timeout)
    }

    /// Wakes all sleepers of one member's group; here all there are, who look at the word again.
    pub fn wake_group(&self, member: usize) {
        let _ = member % GROUPS;
        self.wake(u32::MAX);
    }

    /// Wakes up to `count` sleepers.
    pub fn wake(&self, count: u32) {
        use parking_lot_core::{DEFAULT_UNPARK_TOKEN, unpark_one};
        let key = self as *const Self as usize;
        for _ in 0..count {
            // SAFETY: the callback neither panics nor parks, and the key is this word's own address.
            let result = unsafe { unpark_one(key, |_| DEFAULT_UNPARK_TOKEN) };
            if !result.have_more_threads {
                break;
            }
        }
    }
}

#[cfg(loom)]
impl Futex {
    pub fn new(value: u32) -> Self {
        Futex {
            word: AtomicU32::new(value),
            lock: loom::sync::Mutex::new([0; GROUPS]),
            condvars: std::array::from_fn(|_| loom::sync::Condvar::new()),
        }
    }

    /// Sleeps while the word is `expected`; loom has no clock, so a timeout never ends the wait.
    pub fn wait(&self, expected: u32, timeout: Option<Duration>) -> Wait {
        self.wait_as(0, expected, timeout)
    }

    /// As `wait`, by a member of a group, which `wake_group` may wake.
    pub fn wait_as(&self, member: usize, expected: u32, _timeout: Option<Duration>) -> Wait {
        let Ok(mut asleep) = self.lock.lock() else {
            return Wait::Woken;
        };
        if self.word.load(super::atomic::Ordering::SeqCst) == expected {
            asleep[member % GROUPS] += 1;
            drop(self.condvars[member % GROUPS].wait(asleep));
        }
        Wait::Woken
    }

    /// Wakes all sleepers of one member's group, and none of another.
    pub fn wake_group(&self, member: usize) {
        let Ok(mut asleep) = self.lock.lock() else {
            return;
        };
        asleep[member % GROUPS] = 0;
        self.condvars[member % GROUPS].notify_all();
    }

    /// Wakes as many sleepers as it has to, and no more: whoever leans on a spurious wake-up is found out.
    pub fn wake(&self, count: u32) {
        let Ok(mut asleep) = self.lock.lock() else {
            return;
        };
        let mut left = count;
        for (group, condvar) in self.condvars.iter().enumerate() {
            while left > 0 && asleep[group] > 0 {
                asleep[group] -= 1;
                left -= 1;
                condvar.notify_one();
            }
        }
    }
}
