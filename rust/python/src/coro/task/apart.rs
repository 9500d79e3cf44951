//! What few tasks have, kept apart from them: behind one pointer, which is null for the rest.

use super::super::home::Home;
use parking_lot::{Mutex, MutexGuard};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use std::cell::UnsafeCell;
use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::atomic::AtomicPtr;
use std::sync::atomic::Ordering::{AcqRel, Acquire};
use taskloom_core::cancel::Token;

/// The call that makes a coroutine.
pub type Call = (Py<PyAny>, Py<PyTuple>, Option<Py<PyDict>>);

/// What a task has that is in no scope.
pub struct Apart {
    pub home: Home,
    pub token: Token,
    /// What its variables live in; None for those of the stepping thread. For who steps it.
    pub context: UnsafeCell<Option<Py<PyAny>>>,
    /// Taken at the first step.
    pub call: Mutex<Option<Call>>,
    /// Told how it ended: `ended(value, None)` or `ended(None, error)`.
    pub ended: Option<Py<PyAny>>,
    /// What `current_task()` gives inside, where there is no future.
    pub handle: Option<Py<PyAny>>,
}

/// What a task has once somebody has cancelled it alone, or put something below it.
#[derive(Default)]
pub struct Owned {
    /// Its own token, below its scope's: made when something is to be put below it.
    pub token: Option<Token>,
    pub reason: Option<Arc<str>>,
}

#[derive(Default)]
struct Both {
    owned: Mutex<Owned>,
    /// Never changed.
    apart: Option<Apart>,
}

/// The place of both: made on demand, and then there as long as the task.
#[derive(Default)]
pub struct Own(AtomicPtr<Both>);

impl Own {
    /// Of a task that is in no scope.
    pub fn of(apart: Apart) -> Self {
        let both = Box::new(Both {
            owned: Mutex::default(),
            apart: Some(apart),
        });
        Own(AtomicPtr::new(Box::into_raw(both)))
    }

    /// What it has if it is in no scope.
    #[inline]
    pub fn apart(&self) -> Option<&Apart> {
        // SAFETY: null, or freed only with `self`.
        unsafe { self.0.load(Acquire).as_ref() }?.apart.as_ref()
    }

    pub fn lock(&self) -> MutexGuard<'_, Owned> {
        let mut both = self.0.load(Acquire);
        if both.is_null() {
            let fresh = Box::into_raw(Box::default());
            both = match self.0.compare_exchange(null_mut(), fresh, AcqRel, Acquire) {
                Ok(_) => fresh,
                Err(other) => {
                    // SAFETY: the box that lost was never shared.
                    drop(unsafe { Box::from_raw(fresh) });
                    other
                }
            };
        }
        // SAFETY: not null, and freed only with `self`.
        unsafe { &*both }.owned.lock()
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let both = *self.0.get_mut();
        if !both.is_null() {
            // SAFETY: made by `of` or `lock`, and nobody refers to it any more.
            drop(unsafe { Box::from_raw(both) });
        }
    }
}
