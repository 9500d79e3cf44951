//! A share in what is called when a token is cancelled, whoever keeps count of the shares.
//!
//! An `Arc` of a trait object would do, but that only shares what lies in an `Arc`. A coroutine's task
//! lies in memory of its own, and a million may wait, each with its callback: none is to be boxed.

use super::OnCancel;
use std::ptr::NonNull;
use std::sync::Arc;

/// A share in something to be called. Made from an `Arc`, or by [`Callback::new`].
pub struct Callback {
    data: NonNull<()>,
    functions: &'static Functions,
}

/// What is done with a share.
pub struct Functions {
    // SAFETY: both are called with the data that `Callback::new` was given; see there.
    /// Calls it.
    pub cancelled: unsafe fn(NonNull<()>),
    /// Gives the share up.
    pub release: unsafe fn(NonNull<()>),
}

// SAFETY: `Callback::new` demands that the functions may be called on any thread, and several at once.
unsafe impl Send for Callback {}
// SAFETY: as above.
unsafe impl Sync for Callback {}

impl Callback {
    /// A share in what `data` points to.
    ///
    /// # Safety
    /// Both functions may be called with `data` on any thread until `release` has been, once; nothing
    /// is done with it after that.
    pub const unsafe fn new(data: NonNull<()>, functions: &'static Functions) -> Self {
        Callback { data, functions }
    }

    pub(super) fn cancelled(&self) {
        // SAFETY: the share was not given up yet.
        unsafe { (self.functions.cancelled)(self.data) }
    }
}

impl Drop for Callback {
    fn drop(&mut self) {
        // SAFETY: once, and nothing comes after it.
        unsafe { (self.functions.release)(self.data) }
    }
}

impl<T: OnCancel + 'static> From<Arc<T>> for Callback {
    fn from(shared: Arc<T>) -> Self {
        // SAFETY: a share in a live `Arc`, whose pointer this is.
        unsafe fn cancelled<T: OnCancel>(data: NonNull<()>) {
            // SAFETY: as above; what is called is `Sync`.
            unsafe { data.cast::<T>().as_ref() }.cancelled();
        }
        // SAFETY: as above, and given up.
        unsafe fn release<T>(data: NonNull<()>) {
            // SAFETY: the share that `from` was given.
            drop(unsafe { Arc::from_raw(data.cast::<T>().as_ptr().cast_const()) });
        }
        // SAFETY: an `Arc`'s pointer is not null, and its share is ours. What it points to is `Send` and
        // `Sync`.
        unsafe {
            let data = NonNull::new_unchecked(Arc::into_raw(shared).cast_mut().cast());
            let functions = const {
                &Functions {
                    cancelled: cancelled::<T>,
                    release: release::<T>,
                }
            };
            Callback::new(data, functions)
        }
    }
}
