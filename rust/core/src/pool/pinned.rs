//! Jobs that belong to one worker: what has begun on its thread and must go on there.
//!
//! An inbox is open while its worker takes jobs. It closes when the worker blocks inside a job, begins
//! one that may take any time, or leaves: its jobs then go to the shared queue, so that they are never
//! held up by a thread that cannot run them; pinning is a promise about the thread, progress is a
//! stronger one.
//!
//! No job is left behind. A worker says that it sleeps before it looks at its inbox for the last
//! time; who pushes looks at that after the push (both with a full fence in between). So either the
//! worker sees the job, or the pusher sees the sleeper and wakes it. What the worker pushes itself it
//! sees by itself; a coroutine that gives way is pushed by it, and pays for no fence.

use crate::job::Job;
use crate::sync::atomic::Ordering::Relaxed;
use crate::sync::atomic::{AtomicBool, AtomicUsize};
use crate::sync::{Mutex, full_fence};
use std::collections::VecDeque;

#[derive(Default)]
pub(super) struct Inbox {
    queue: Mutex<VecDeque<Job>>,
    /// Copied out of the queue under its lock.
    len: AtomicUsize,
    /// Changed under the lock.
    open: AtomicBool,
    asleep: AtomicBool,
}

impl Inbox {
    /// Whether the worker has to be woken for it; or the job back, if the inbox is closed.
    pub fn push(&self, job: Job) -> Result<bool, Job> {
        self.push_own(job)?;
        full_fence();
        Ok(self.asleep.load(Relaxed))
    }

    /// As `push`, for the worker itself.
    #[inline]
    pub fn push_own(&self, job: Job) -> Result<(), Job> {
        let mut queue = self.queue.lock();
        if !self.open.load(Relaxed) {
            return Err(job);
        }
        queue.push_back(job);
        self.len.store(queue.len(), Relaxed);
        Ok(())
    }

    #[inline]
    pub fn pop(&self) -> Option<Job> {
        if self.len.load(Relaxed) == 0 {
            return None;
        }
        let mut queue = self.queue.lock();
        let job = queue.pop_front();
        self.len.store(queue.len(), Relaxed);
        job
    }

    /// How many jobs it held a moment ago.
    #[inline]
    pub fn len(&self) -> usize {
        self.len.load(Relaxed)
    }

    /// Whether it is open and held fewer jobs a moment ago.
    #[inline]
    pub fn is_shorter(&self, than: usize) -> bool {
        self.open.load(Relaxed) && self.len() < than
    }

    #[inline]
    pub fn has_jobs(&self) -> bool {
        self.len() > 0
    }

    pub fn set_asleep(&self, asleep: bool) {
        self.asleep.store(asleep, Relaxed);
        full_fence();
    }

    pub fn open(&self) {
        let _locked = self.queue.lock();
        self.open.store(true, Relaxed);
    }

    /// What was in it, for others to do.
    pub fn close(&self) -> VecDeque<Job> {
        let mut queue = self.queue.lock();
        self.open.store(false, Relaxed);
        self.len.store(0, Relaxed);
        std::mem::take(&mut queue)
    }
}
