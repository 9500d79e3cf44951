//! Jobs that belong to one worker: what has begun on its thread and must go on there.
//!
//! An inbox is open while its worker takes jobs. It closes when the worker blocks inside a job or
//! leaves: its jobs then go to the shared queue, so that they are never held up by a thread that
//! cannot run them; pinning is a promise about the thread, progress is a stronger one.
//!
//! No job is left behind. A worker says that it sleeps before it looks at its inbox for the last
//! time; who pushes looks at that after the push (both with a full fence in between). So either the
//! worker sees the job, or the pusher sees the sleeper and wakes it.

use crate::job::Job;
use crate::sync::Mutex;
use crate::sync::atomic::Ordering::{Relaxed, SeqCst};
use crate::sync::atomic::{AtomicBool, AtomicUsize, fence};
use std::collections::VecDeque;

#[derive(Default)]
struct Jobs {
    queue: VecDeque<Job>,
    open: bool,
}

#[derive(Default)]
pub(super) struct Inbox {
    jobs: Mutex<Jobs>,
    len: AtomicUsize,
    asleep: AtomicBool,
}

impl Inbox {
    /// Whether the worker has to be woken for it; or the job back, if the inbox is closed.
    pub fn push(&self, job: Job) -> Result<bool, Job> {
        let mut jobs = self.jobs.lock();
        if !jobs.open {
            return Err(job);
        }
        jobs.queue.push_back(job);
        self.len.store(jobs.queue.len(), SeqCst);
        drop(jobs);
        fence(SeqCst);
        Ok(self.asleep.load(SeqCst))
    }

    #[inline]
    pub fn pop(&self) -> Option<Job> {
        if self.len.load(Relaxed) == 0 {
            return None;
        }
        let mut jobs = self.jobs.lock();
        let job = jobs.queue.pop_front();
        self.len.store(jobs.queue.len(), SeqCst);
        job
    }

    #[inline]
    pub fn has_jobs(&self) -> bool {
        self.len.load(SeqCst) > 0
    }

    pub fn set_asleep(&self, asleep: bool) {
        self.asleep.store(asleep, SeqCst);
        fence(SeqCst);
    }

    pub fn open(&self) {
        self.jobs.lock().open = true;
    }

    /// What was in it, for others to do.
    pub fn close(&self) -> VecDeque<Job> {
        let mut jobs = self.jobs.lock();
        jobs.open = false;
        self.len.store(0, SeqCst);
        std::mem::take(&mut jobs.queue)
    }
}
