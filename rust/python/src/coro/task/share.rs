//! Shares in a task: who holds one keeps it alive. As an `Arc`, but for where the task lies, and that
//! whoever has the only share can tell.

use super::Task;
use crate::cells;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::process::abort;
use std::ptr::NonNull;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::fence;
use taskloom_core::cancel::{Callback, Functions, OnCancel};

/// More shares than anybody has memory for.
const TOO_MANY: u32 = u32::MAX / 2;

/// A share in a task.
pub struct TaskRef(NonNull<Task>);

// SAFETY: as for an `Arc` of a task, which is `Send` and `Sync`.
unsafe impl Send for TaskRef {}
// SAFETY: as above.
unsafe impl Sync for TaskRef {}

impl TaskRef {
    /// The only share in a new task. Attached.
    pub(super) fn new(task: Task) -> Self {
        // SAFETY: attached; the place is ours, and empty.
        unsafe {
            let Some(place) = cells::place::<Task>() else {
                std::alloc::handle_alloc_error(std::alloc::Layout::new::<Task>());
            };
            place.write(task);
            TaskRef(place)
        }
    }

    /// Its address, with the share given up to whoever has it.
    pub fn into_raw(self) -> *const () {
        ManuallyDrop::new(self).0.as_ptr().cast_const().cast()
    }

    /// The share back.
    ///
    /// # Safety
    /// `into_raw` gave the address, and this is called once for it.
    pub unsafe fn from_raw(task: *const ()) -> Self {
        // SAFETY: not null, as the caller promises.
        TaskRef(unsafe { NonNull::new_unchecked(task.cast_mut().cast()) })
    }
}

impl Task {
    /// A share to keep.
    #[inline]
    pub fn share(&self) -> TaskRef {
        // Nobody waits for the count: who has a share gives another away by other means.
        if self.shares.fetch_add(1, Relaxed) > TOO_MANY {
            abort();
        }
        TaskRef(NonNull::from(self))
    }

    /// Whether the caller has the only share: then nobody else can come by one, and what others did
    /// with theirs is over, and seen.
    #[inline]
    pub(super) fn is_sole(&self) -> bool {
        self.shares.load(Acquire) == 1
    }
}

impl Deref for TaskRef {
    type Target = Task;

    #[inline]
    fn deref(&self) -> &Task {
        // SAFETY: alive as long as this share.
        unsafe { self.0.as_ref() }
    }
}

impl Clone for TaskRef {
    #[inline]
    fn clone(&self) -> Self {
        self.share()
    }
}

impl Drop for TaskRef {
    #[inline]
    fn drop(&mut self) {
        if !self.is_sole() {
            if self.shares.fetch_sub(1, Release) != 1 {
                return;
            }
            fence(Acquire);
        }
        // SAFETY: the last share, and the others are over: nobody uses the task any more.
        unsafe {
            self.0.drop_in_place();
            cells::leave(self.0);
        }
    }
}

impl From<TaskRef> for Callback {
    fn from(task: TaskRef) -> Self {
        const FUNCTIONS: &Functions = &Functions {
            // SAFETY: the callback has a share, so the task is alive.
            cancelled: |task| OnCancel::cancelled(unsafe { task.cast::<Task>().as_ref() }),
            // SAFETY: the share that it has.
            release: |task| drop(unsafe { TaskRef::from_raw(task.as_ptr()) }),
        };
        let task = ManuallyDrop::new(task);
        // SAFETY: the share is the callback's; a task is `Send` and `Sync`.
        unsafe { Callback::new(task.0.cast(), FUNCTIONS) }
    }
}
