//! The pool's shared queue: a ready queue behind a lock, with what others may see without it.

use crate::job::Job;
use crate::ready::{BANDS, DEFAULT_BAND, Order, ReadyQueue};
use crate::stats::Count;
use crate::sync::Mutex;
use crate::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use crate::sync::atomic::{AtomicU8, AtomicUsize};
use crate::sync::{Futex, Wait};
use std::time::Duration;

/// The queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

pub struct Injector {
    ready: Mutex<ReadyQueue<Job>>,
    /// Length and bands, copied out of the queue under the lock.
    len: AtomicUsize,
    bands: AtomicU8,
    /// How many of all jobs were nobody's task; written under the lock.
    tickets: Count,
    /// Submitters that wait for space, and the word that they sleep on.
    waiting: AtomicUsize,
    space: Futex,
    /// Waiting submitters are woken when the queue has drained to this length.
    low_water: usize,
}

impl Injector {
    pub fn new(order: Order, bound: Option<usize>) -> Self {
        Injector {
            ready: Mutex::new(ReadyQueue::new(order)),
            len: AtomicUsize::new(0),
            bands: AtomicU8::new(0),
            tickets: Count::default(),
            waiting: AtomicUsize::new(0),
            space: Futex::new(0),
            low_water: bound.map_or(0, |bound| bound - bound.min(256).div_ceil(2)),
        }
    }

    pub fn len(&self) -> usize {
        self.len.load(Acquire)
    }

    /// How many jobs were ever queued here that are somebody's task.
    pub fn pushed(&self) -> u64 {
        let ready = self.ready.lock();
        ready.pushed() - self.tickets.get()
    }

    /// How many jobs of each band are queued.
    pub fn depths(&self) -> [usize; BANDS] {
        self.ready.lock().depths()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether something more urgent than the default band is queued.
    pub fn has_urgent(&self) -> bool {
        self.bands.load(Relaxed) & ((1 << DEFAULT_BAND) - 1) != 0
    }

    fn publish(&self, ready: &ReadyQueue<Job>) {
        self.len.store(ready.len(), Release);
        self.bands.store(ready.bands(), Relaxed);
    }

    /// Calls `f` with the length, which does not change meanwhile.
    pub fn at_length<R>(&self, f: impl FnOnce(usize) -> R) -> R {
        f(self.ready.lock().len())
    }

    /// Queues a job unless `bound()` jobs are queued; returns the length with it. The bound is asked
    /// for while the length cannot change.
    #[inline]
    pub fn push(
        &self,
        job: Job,
        band: usize,
        deadline: Option<u64>,
        bound: impl FnOnce() -> usize,
    ) -> Result<usize, Full> {
        let mut ready = self.ready.lock();
        if ready.len() >= bound() {
            return Err(Full);
        }
        ready.push(job, band, deadline);
        self.publish(&ready);
        Ok(ready.len())
    }

    /// Queues a job that is nobody's task or was counted before, and is never refused; returns the length
    /// with it.
    #[inline]
    pub fn push_ticket(&self, job: Job, band: usize, deadline: Option<u64>) -> usize {
        let mut ready = self.ready.lock();
        self.tickets.add(1);
        ready.push(job, band, deadline);
        self.publish(&ready);
        ready.len()
    }

    /// Queues as many of the jobs as the bound lets in, in one hand-over; returns how many.
    pub fn push_many(&self, jobs: &[Job], band: usize, bound: impl FnOnce() -> usize) -> usize {
        let mut ready = self.ready.lock();
        let room = jobs.len().min(bound().saturating_sub(ready.len()));
        for &job in &jobs[..room] {
            ready.push(job, band, None);
        }
        self.publish(&ready);
        room
    }

    /// Takes the job that is to start next.
    #[inline]
    pub fn pop(&self, now: impl FnOnce() -> u64) -> Option<Job> {
        if self.is_empty() {
            return None;
        }
        let mut ready = self.ready.lock();
        let popped = ready.pop(now)?;
        let len = ready.len();
        self.publish(&ready);
        drop(ready);
        // A submitter that counted itself before it looked at the length under the lock is seen
        // here; one that looked later has found the room that this pop made.
        if self.waiting.load(Relaxed) > 0 && len <= self.low_water {
            self.wake_submitters();
        }
        Some(popped.item)
    }

    /// Removes the job that was queued first.
    pub fn remove_oldest(&self) -> Option<Job> {
        let mut ready = self.ready.lock();
        let removed = ready.remove_oldest();
        self.publish(&ready);
        removed
    }

    /// Removes the least urgent job, if it is no more urgent than `band`.
    pub fn remove_lowest(&self, band: usize) -> Option<Job> {
        let mut ready = self.ready.lock();
        let removed = ready.remove_lowest(band);
        self.publish(&ready);
        removed
    }

    /// Takes out the jobs that `goes` names, which may not block.
    pub fn take_out(&self, mut goes: impl FnMut(Job) -> bool) -> Vec<Job> {
        let mut ready = self.ready.lock();
        let taken = ready.take_out(|job| goes(*job));
        self.publish(&ready);
        drop(ready);
        self.wake_submitters();
        taken
    }

    /// Takes everything, in the order in which it would have been started.
    pub fn drain(&self) -> Vec<Job> {
        let mut ready = self.ready.lock();
        let mut jobs = Vec::with_capacity(ready.len());
        while let Some(popped) = ready.pop(|| 0) {
            jobs.push(popped.item);
        }
        self.publish(&ready);
        drop(ready);
        self.wake_submitters();
        jobs
    }

    #[cold]
    pub fn wake_submitters(&self) {
        self.space.word.fetch_add(1, SeqCst);
        self.space.wake(u32::MAX);
    }

    /// The bound that submitters are held to has grown. As in `pop`: a submitter that counted
    /// itself before is woken here, one that did later reads the bound as it is now.
    pub fn note_room(&self) {
        if self.waiting.load(SeqCst) > 0 {
            self.wake_submitters();
        }
    }

    /// Sleeps until there may be room below `bound()`; for the submitter that found none.
    pub fn wait_for_room(&self, bound: impl FnOnce() -> usize, timeout: Option<Duration>) -> Wait {
        self.waiting.fetch_add(1, SeqCst);
        let seen = self.space.word.load(SeqCst);
        let full = self.ready.lock().len() >= bound();
        let wait = if full {
            self.space.wait(seen, timeout)
        } else {
            Wait::Woken
        };
        self.waiting.fetch_sub(1, SeqCst);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::Worker;

    // SAFETY: asks nothing of its data; unsafe because a job's function is.
    unsafe fn nothing(_: *const (), _: &Worker) {}

    #[test]
    fn the_length_does_not_change_while_the_bound_is_asked_for() {
        let injector = Injector::new(Order::default(), Some(1));
        let locked = |found: &str| assert!(injector.ready.try_lock().is_none(), "{found}");
        // SAFETY: the job uses no data.
        let job = unsafe { Job::new(std::ptr::null(), nothing) };
        let one = || {
            locked("push");
            1
        };
        assert_eq!(injector.push(job, DEFAULT_BAND, None, one), Ok(1));
        assert_eq!(injector.push(job, DEFAULT_BAND, None, one), Err(Full));
        assert_eq!(injector.push_many(&[job, job], DEFAULT_BAND, one), 0);
        let length = injector.at_length(|length| {
            locked("at_length");
            length
        });
        assert_eq!(length, 1);
    }
}
