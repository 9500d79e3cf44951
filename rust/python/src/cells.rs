//! Memory for the objects that come and go in crowds: futures, and the tasks of coroutines.
//!
//! With a GIL they lie in one [`slab`](taskloom_core::slab), which whoever is attached has for itself.
//! What is given back by a thread that is not attached is put aside, for the next one that is. Memory
//! that a crowd has left goes back to the system when it was not needed for a second or two. Without a
//! GIL they lie where Rust puts them.

use std::ptr::NonNull;

#[cfg(not(Py_GIL_DISABLED))]
pub use own::{after_fork, take};

#[cfg(all(Py_3_12, not(Py_GIL_DISABLED)))]
pub use own::give;

/// In a forked child.
#[cfg(Py_GIL_DISABLED)]
pub fn after_fork() {}

#[cfg(not(Py_GIL_DISABLED))]
mod own {
    use crate::timer;
    use pyo3::ffi;
    use std::cell::UnsafeCell;
    use std::ptr::{NonNull, null_mut};
    use std::sync::Arc;
    use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
    use std::sync::atomic::{AtomicBool, AtomicPtr};
    use taskloom_core::slab::Slab;
    use taskloom_core::timer::Expire;

    /// How long memory is kept that nobody needs, in nanoseconds; at most twice that.
    const REST: u64 = 1_000_000_000;

    struct Cells {
        slab: UnsafeCell<Slab>,
        /// Whether a rest is set.
        rests: AtomicBool,
        /// Cells that were given back by threads that were not attached, each with the next one in it.
        aside: AtomicPtr<Aside>,
    }

    struct Aside {
        next: *mut Aside,
    }

    // SAFETY: as with the interpreter's own allocator, who takes or gives a cell is attached, and on
    // the builds that this is compiled for no two threads are at once. What is aside is put there by a
    // compare-exchange, and taken all at once.
    unsafe impl Sync for Cells {}

    static CELLS: Cells = Cells {
        slab: UnsafeCell::new(Slab::new(set_rest)),
        rests: AtomicBool::new(false),
        aside: AtomicPtr::new(null_mut()),
    };

    /// A cell of at least `size` bytes; None if there is no memory.
    ///
    /// # Safety
    /// Attached.
    #[inline(always)]
    pub unsafe fn take(size: usize) -> Option<NonNull<u8>> {
        // SAFETY: attached, and the slab calls nothing that would let another thread in.
        unsafe { (*CELLS.slab.get()).take(size) }
    }

    /// Gives a cell back.
    ///
    /// # Safety
    /// Attached; a cell that was taken here, and that nobody uses any more.
    #[inline(always)]
    pub unsafe fn give(cell: NonNull<u8>) {
        // SAFETY: as in `take`, and as the caller promises.
        unsafe { (*CELLS.slab.get()).give(cell) }
    }

    /// Has the slab rest in a while, if that is not set yet. Attached.
    #[cold]
    fn set_rest() {
        if !CELLS.rests.swap(true, Relaxed) {
            let clock = timer::real_clock();
            // At the end of the process it is not set any more, and nothing goes back.
            let _ = clock.set(clock.now().saturating_add(REST), Arc::new(Rest));
        }
    }

    struct Rest;

    impl Expire for Rest {
        fn expire(&self) {
            let unneeded = timer::attach(|_| {
                // SAFETY: attached, and the slab calls nothing that would let another thread in.
                let slab = unsafe { &mut *CELLS.slab.get() };
                let unneeded = slab.rest();
                CELLS.rests.store(false, Relaxed);
                if slab.spare() > 0 {
                    set_rest();
                }
                unneeded
            });
            // Detached: the system takes its time.
            drop(unneeded);
        }
    }

    /// In a forked child: the rest that was set did not come along.
    pub fn after_fork() {
        CELLS.rests.store(false, Relaxed);
    }

    /// As `give`, on any thread.
    ///
    /// # Safety
    /// A cell that was taken here, and that nobody uses any more.
    #[inline]
    pub(super) unsafe fn give_anywhere(cell: NonNull<u8>) {
        if !is_attached() {
            // SAFETY: as the caller promises.
            return unsafe { put_aside(cell.cast()) };
        }
        // SAFETY: attached, and as the caller promises.
        unsafe { give(cell) };
        if !CELLS.aside.load(Relaxed).is_null() {
            // SAFETY: attached.
            unsafe { give_those_aside() };
        }
    }

    /// Whether this thread is attached.
    #[inline]
    fn is_attached() -> bool {
        // SAFETY: both only ask, on any thread.
        unsafe {
            #[cfg(Py_3_13)]
            return !ffi::PyThreadState_GetUnchecked().is_null();
            #[cfg(not(Py_3_13))]
            return ffi::PyGILState_Check() == 1;
        }
    }

    /// # Safety
    /// As `give_anywhere`.
    #[cold]
    unsafe fn put_aside(cell: NonNull<Aside>) {
        let mut next = CELLS.aside.load(Relaxed);
        loop {
            // SAFETY: nobody's cell, with room for a pointer, until it is put there.
            unsafe { cell.write(Aside { next }) };
            let put = (CELLS.aside).compare_exchange_weak(next, cell.as_ptr(), Release, Relaxed);
            match put {
                Ok(_) => return,
                Err(other) => next = other,
            }
        }
    }

    /// # Safety
    /// Attached.
    #[cold]
    unsafe fn give_those_aside() {
        let mut next = CELLS.aside.swap(null_mut(), Acquire);
        while let Some(cell) = NonNull::new(next) {
            // SAFETY: put there by `put_aside`, and ours since the swap.
            unsafe {
                next = cell.as_ref().next;
                give(cell.cast());
            }
        }
    }
}

/// A place for one `T`, with nothing in it. None if there is no memory.
///
/// # Safety
/// Attached.
#[inline(always)]
pub unsafe fn place<T>() -> Option<NonNull<T>> {
    const { assert!(align_of::<T>() <= taskloom_core::slab::GRAIN) };
    const { assert!(size_of::<T>() > 0 && size_of::<T>() <= taskloom_core::slab::LARGEST) };
    // SAFETY: as the caller promises; a cell is aligned to the grain, and large enough.
    #[cfg(not(Py_GIL_DISABLED))]
    return unsafe { take(size_of::<T>()) }.map(NonNull::cast);
    // SAFETY: the layout is not empty.
    #[cfg(Py_GIL_DISABLED)]
    return NonNull::new(unsafe { std::alloc::alloc(std::alloc::Layout::new::<T>()) }.cast());
}

/// Gives a place back, on any thread, attached or not.
///
/// # Safety
/// `place` gave it, and nobody uses it, or what was in it, any more.
#[inline(always)]
pub unsafe fn leave<T>(place: NonNull<T>) {
    // SAFETY: as the caller promises.
    unsafe {
        #[cfg(not(Py_GIL_DISABLED))]
        own::give_anywhere(place.cast());
        #[cfg(Py_GIL_DISABLED)]
        std::alloc::dealloc(place.as_ptr().cast(), std::alloc::Layout::new::<T>());
    }
}
