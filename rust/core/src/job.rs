//! A type-erased unit of work, two words long. This file owns the unsafety of erasing it.

use crate::pool::Worker;

/// What a job points at and how to execute it.
///
/// A job is plain data: copying it does not copy the work. Whoever makes one promises that it is
/// executed (or discarded by its owner) exactly once, as the constructor says.
#[derive(Clone, Copy, Debug)]
pub struct Job {
    data: *const (),
    // SAFETY: called by `execute` alone, with this `data`, as `new` demands.
    execute: unsafe fn(*const (), &Worker),
}

// SAFETY: `Job::new` demands that the pair may be executed on any thread.
unsafe impl Send for Job {}

impl Job {
    /// Erases a unit of work.
    ///
    /// # Safety
    /// `data` must stay valid until `execute` has been called on it, once, on any thread, and
    /// `execute` must be sound to call there with it.
    pub const unsafe fn new(data: *const (), execute: unsafe fn(*const (), &Worker)) -> Self {
        Job { data, execute }
    }

    /// What the job points at, for owners that drain their own jobs out of a queue.
    pub const fn data(self) -> *const () {
        self.data
    }

    /// Whether the job was made with this `execute`.
    // SAFETY: compares the function, and does not call it.
    pub fn is_made_of(self, execute: unsafe fn(*const (), &Worker)) -> bool {
        std::ptr::fn_addr_eq(self.execute, execute)
    }

    /// Does the work.
    ///
    /// # Safety
    /// To be called once for each unit of work that was erased.
    #[inline]
    pub unsafe fn execute(self, worker: &Worker) {
        // SAFETY: the constructor's and this function's contracts together.
        unsafe { (self.execute)(self.data, worker) }
    }
}
