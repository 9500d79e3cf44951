//! Deadlines: what is to happen at a time, kept in a heap, and one thread that waits for the next.
//!
//! Ten thousand sleepers are ten thousand heap entries and no thread. A deadline that is taken
//! back is only forgotten; its entry leaves the heap when its time comes, or when more than half of
//! the heap is such entries (the usual case: a timeout that did not happen). The thread starts with
//! the first deadline. A [`Clock`] without the thread is moved by hand: that is virtual time.

use crate::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use crate::sync::{Arc, Futex, Mutex, thread};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::{Duration, Instant};

/// What is called, once, when its time has come: on the timer's thread, with no lock held.
pub trait Expire: Send + Sync {
    fn expire(&self);
}

// A trait object must live in the standard `Arc`: loom's cannot hold an unsized value.
type Callback = std::sync::Arc<dyn Expire>;

/// A deadline that was set, to be taken back by. Valid for the clock that gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Deadline(u64);

#[derive(Default)]
struct Heap {
    /// Time, then order of setting: equal times expire in the order in which they were set.
    order: BinaryHeap<Reverse<(u64, Deadline)>>,
    pending: HashMap<Deadline, Callback>,
    /// When the timer's thread looks again by itself: whoever sets an earlier deadline must wake it.
    /// Zero while it is awake, for it looks before it waits. The thread decides to wait, and until
    /// when, under the lock under which deadlines are set, so none comes in between unseen. A
    /// deadline that was taken back may leave it waking for nothing, once.
    waits_until: u64,
}

impl Heap {
    fn insert(&mut self, at: u64, deadline: Deadline, callback: Callback) {
        self.order.push(Reverse((at, deadline)));
        self.pending.insert(deadline, callback);
    }

    fn remove(&mut self, deadline: Deadline) -> Option<Callback> {
        let gone = self.pending.remove(&deadline)?;
        if self.order.len() > 64 && self.order.len() > 2 * self.pending.len() {
            let pending = &self.pending;
            self.order
                .retain(|Reverse((_, key))| pending.contains_key(key));
        }
        Some(gone)
    }

    /// The time of the next deadline that was not taken back.
    fn next(&mut self) -> Option<u64> {
        while let Some(Reverse((at, deadline))) = self.order.peek() {
            if self.pending.contains_key(deadline) {
                return Some(*at);
            }
            self.order.pop();
        }
        None
    }

    fn pop_due(&mut self, now: u64) -> Option<Callback> {
        if self.next()? > now {
            return None;
        }
        let Reverse((_, deadline)) = self.order.pop()?;
        self.pending.remove(&deadline)
    }
}

/// Counts nanoseconds from its making: real ones, or those that it is moved by.
pub struct Clock {
    origin: Instant,
    /// Virtual time; None for real time.
    moved: Option<Mutex<u64>>,
    /// Never null, and replaced only in a forked child, which has one thread then.
    state: AtomicPtr<State>,
    /// The number of the newest deadline. It goes on in a forked child, where what came along from
    /// the parent may still take back deadlines that are not there.
    newest: AtomicU64,
    /// Moves whenever the timer's thread should look again.
    signal: Futex,
}

#[derive(Default)]
struct State {
    heap: Mutex<Heap>,
    life: Mutex<Life>,
}

#[derive(Default)]
struct Life {
    thread: Option<thread::JoinHandle<()>>,
    stopped: bool,
}

impl Clock {
    /// Real time, with a thread that starts when it is first needed.
    pub fn real() -> Arc<Self> {
        Arc::new(Self::new(None))
    }

    /// Time that stands still until it is moved.
    pub fn still() -> Arc<Self> {
        Arc::new(Self::new(Some(Mutex::new(0))))
    }

    fn new(moved: Option<Mutex<u64>>) -> Self {
        Clock {
            origin: Instant::now(),
            moved,
            state: AtomicPtr::new(Box::into_raw(Box::new(State::default()))),
            newest: AtomicU64::new(0),
            signal: Futex::new(0),
        }
    }

    fn state(&self) -> &State {
        // SAFETY: never null; freed by `drop` alone, and leaked where it is replaced.
        unsafe { &*self.state.load(Ordering::Acquire) }
    }

    /// Nanoseconds since the clock was made.
    pub fn now(&self) -> u64 {
        match &self.moved {
            Some(moved) => *moved.lock(),
            None => self.origin.elapsed().as_nanos() as u64,
        }
    }

    pub fn is_virtual(&self) -> bool {
        self.moved.is_some()
    }

    /// Has `callback` called at `at`. None once the timer was stopped.
    pub fn set(self: &Arc<Self>, at: u64, callback: Callback) -> Option<Deadline> {
        if self.moved.is_none() && !self.ensure_thread() {
            return None;
        }
        let mut heap = self.state().heap.lock();
        let earlier = at < heap.waits_until;
        if earlier {
            heap.waits_until = at;
        }
        let deadline = Deadline(self.newest.fetch_add(1, Ordering::Relaxed) + 1);
        heap.insert(at, deadline, callback);
        drop(heap);
        if earlier {
            self.look_again();
        }
        Some(deadline)
    }

    /// Takes a deadline back. False if it has expired, or is about to.
    pub fn forget(&self, deadline: Deadline) -> bool {
        let gone = self.state().heap.lock().remove(deadline);
        gone.is_some()
    }

    /// How many deadlines are set.
    pub fn pending(&self) -> usize {
        self.state().heap.lock().pending.len()
    }

    /// When the next one is.
    pub fn next(&self) -> Option<u64> {
        self.state().heap.lock().next()
    }

    /// Moves virtual time on to `to`, letting everything due on the way expire at its own time.
    pub fn advance(&self, to: u64) {
        let Some(moved) = &self.moved else {
            return;
        };
        loop {
            let mut heap = self.state().heap.lock();
            let next = heap.next().filter(|next| *next <= to);
            let due = next.and_then(|next| heap.pop_due(next));
            drop(heap);
            let (Some(next), Some(due)) = (next, due) else {
                break;
            };
            {
                let mut now = moved.lock();
                *now = (*now).max(next);
            }
            due.expire();
        }
        let mut now = moved.lock();
        *now = (*now).max(to);
    }

    fn look_again(&self) {
        self.signal.word.fetch_add(1, Ordering::SeqCst);
        self.signal.wake(1);
    }

    fn ensure_thread(self: &Arc<Self>) -> bool {
        let mut life = self.state().life.lock();
        if life.thread.is_none() && !life.stopped {
            let clock = Arc::clone(self);
            let builder = thread::Builder::new().name("taskloom-timer".into());
            life.thread = builder.spawn(move || clock.work()).ok();
        }
        life.thread.is_some()
    }

    fn work(&self) {
        loop {
            let seen = self.signal.word.load(Ordering::SeqCst);
            if self.state().life.lock().stopped {
                return;
            }
            let now = self.now();
            let mut heap = self.state().heap.lock();
            let due = heap.pop_due(now);
            let next = heap.next();
            heap.waits_until = match due {
                Some(_) => 0,
                None => next.unwrap_or(u64::MAX),
            };
            drop(heap);
            match due {
                Some(due) => due.expire(),
                None => {
                    let timeout = next.map(|next| Duration::from_nanos(next.saturating_sub(now)));
                    let _ = self.signal.wait(seen, timeout);
                }
            }
        }
    }

    /// Ends the thread and waits for it; nothing expires after this returns.
    pub fn stop(&self) {
        let thread = {
            let mut life = self.state().life.lock();
            life.stopped = true;
            life.thread.take()
        };
        self.look_again();
        if let Some(thread) = thread {
            // A callback that panicked has said so on standard error.
            let _ = thread.join();
        }
    }

    /// In a forked child: the thread did not come along, and nothing set by the parent is due here.
    /// What was there is leaked, for a thread of the parent may have held its locks, or waited for
    /// them, as the process forked.
    pub fn after_fork(&self) {
        let fresh = Box::into_raw(Box::new(State::default()));
        let _leaked = self.state.swap(fresh, Ordering::AcqRel);
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        // SAFETY: made by `Box::into_raw`, and nobody else can reach it any more.
        drop(unsafe { Box::from_raw(self.state.load(Ordering::Acquire)) });
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::mpsc;

    struct Tell(mpsc::Sender<u32>, u32);

    impl Expire for Tell {
        fn expire(&self) {
            let _ = self.0.send(self.1);
        }
    }

    fn tell(sender: &mpsc::Sender<u32>, value: u32) -> Callback {
        std::sync::Arc::new(Tell(sender.clone(), value))
    }

    #[test]
    fn deadlines_expire_in_order_of_time_then_of_setting() {
        let (clock, (send, receive)) = (Clock::still(), mpsc::channel());
        for (at, value) in [(30, 3), (10, 1), (30, 4), (20, 2)] {
            assert!(clock.set(at, tell(&send, value)).is_some());
        }
        clock.advance(29);
        assert_eq!(receive.try_iter().collect::<Vec<_>>(), [1, 2]);
        assert_eq!((clock.now(), clock.next()), (29, Some(30)));
        clock.advance(30);
        assert_eq!(receive.try_iter().collect::<Vec<_>>(), [3, 4]);
    }

    #[test]
    fn a_deadline_that_was_taken_back_does_not_expire_and_leaves_the_heap() {
        let (clock, (send, receive)) = (Clock::still(), mpsc::channel());
        for at in 0..1_000 {
            let deadline = clock.set(at, tell(&send, 1));
            assert!(deadline.is_some_and(|deadline| clock.forget(deadline)));
        }
        assert!(clock.state().heap.lock().order.len() <= 65);
        clock.advance(2_000);
        assert_eq!(receive.try_iter().count(), 0);
    }

    #[test]
    fn the_thread_wakes_for_an_earlier_deadline_and_ends_when_stopped() {
        let (clock, (send, receive)) = (Clock::real(), mpsc::channel());
        let hour = clock.now() + 3_600_000_000_000;
        assert!(clock.set(hour, tell(&send, 2)).is_some());
        assert!(clock.set(clock.now() + 1_000, tell(&send, 1)).is_some());
        assert_eq!(receive.recv(), Ok(1));
        clock.stop();
        assert!(clock.set(0, tell(&send, 3)).is_none());
        assert_eq!(receive.try_iter().count(), 0);
    }
}
