//! Who spawned whom, as far as cancelling goes: cancelling a task cancels what it has submitted.
//!
//! A task that submits makes one `Family`, which its submits share. A future has it in the place of
//! its pool's identity, marked in the lowest bit, so that others pay for nothing. Queued children of
//! a cancelled task are cancelled when somebody looks at them or their turn comes; those that run
//! see it in their token.

use super::{FutureObject, Object, Observers};
use crate::context::context_of;
use pyo3::ffi;
use pyo3::prelude::*;
use std::cell::Cell;
use std::ptr::null;
use std::sync::Arc;
use taskloom_core::cancel::{OnCancel, Token};
use taskloom_core::completion::State;
use taskloom_core::pool::Worker;

/// What the submits of one task to one pool share.
pub struct Family {
    pool: *const (),
    token: Token,
}

// SAFETY: the identity of the pool is compared and never followed; the token is shared by design.
unsafe impl Send for Family {}
// SAFETY: as above.
unsafe impl Sync for Family {}

const MARK: usize = 1;

/// Whose workers run a future, and who spawned it.
#[derive(Clone, Copy)]
pub struct Origin(*const ());

impl Origin {
    pub const fn of_pool(pool: *const ()) -> Self {
        Origin(pool)
    }

    /// The origin of what `parent` submits to `pool`; `release` it with its last user.
    pub fn of_child(parent: &FutureObject, pool: *const ()) -> Self {
        let observers = parent.observers_or_new();
        let make = || {
            Arc::new(Family {
                pool,
                token: own_token(parent, observers),
            })
        };
        let cached = observers.family.get_or_init(make);
        let family = if std::ptr::eq(cached.pool, pool) {
            Arc::clone(cached)
        } else {
            make()
        };
        Origin(
            Arc::into_raw(family)
                .cast::<()>()
                .map_addr(|address| address | MARK),
        )
    }

    #[inline]
    fn family(&self) -> Option<&Family> {
        if self.0.addr() & MARK == 0 {
            return None;
        }
        // SAFETY: marked, so made by `of_child`, and not yet released.
        Some(unsafe { &*self.0.map_addr(|address| address & !MARK).cast::<Family>() })
    }

    pub fn pool(&self) -> *const () {
        self.family().map_or(self.0, |family| family.pool)
    }

    /// Whether the task that submitted it was cancelled.
    #[inline]
    pub fn is_cancelled(&self) -> bool {
        self.family()
            .is_some_and(|family| family.token.is_cancelled())
    }

    /// Gives up a share in the family. To be called once for each `of_child`.
    #[inline]
    pub fn release(self) {
        if self.0.addr() & MARK != 0 {
            let family = self.0.map_addr(|address| address & !MARK).cast::<Family>();
            // SAFETY: marked, so a share that `of_child` took.
            drop(unsafe { Arc::from_raw(family) });
        }
    }
}

thread_local! {
    /// The future that a thread from outside runs.
    static OUTSIDE: Cell<*const FutureObject> = const { Cell::new(null()) };
}

/// Makes `future` the one that this thread runs; returns the one before.
pub fn replace_current(future: *const FutureObject) -> *const FutureObject {
    Worker::with_current(|worker| match worker {
        Some(worker) => worker.replace_current(future.cast()).cast(),
        None => OUTSIDE.with(|outside| outside.replace(future)),
    })
}

/// The future whose task the calling thread is in, if it is in one.
pub fn current<'a>() -> Option<&'a FutureObject> {
    let current = Worker::with_current(|worker| match worker {
        Some(worker) => worker.current().cast(),
        None => OUTSIDE.with(Cell::get),
    });
    // SAFETY: set for as long as its task runs on this thread, and its runner keeps it alive.
    unsafe { current.as_ref() }
}

/// The future whose task the calling worker is in.
#[inline]
pub fn current_on_worker<'a>() -> Option<&'a FutureObject> {
    let current: *const FutureObject =
        Worker::with_current(|worker| worker.map_or(null(), |w| w.current().cast()));
    // SAFETY: as in `current`.
    unsafe { current.as_ref() }
}

/// The token of a task, made on demand below that of the task that submitted it.
fn own_token(future: &FutureObject, observers: &Observers) -> Token {
    let make = || match future.origin.family() {
        Some(family) => family.token.child(false),
        None => Token::new(),
    };
    observers.token.get_or_init(make).clone()
}

struct CancelToo(Token);

impl OnCancel for CancelToo {
    fn cancelled(&self) {
        self.0.cancel(None);
    }
}

/// The token of the running task, if no scope was entered since it began: `innermost` is what
/// `variable`, which scopes set, holds here, and `outer` makes a token of that.
pub fn current_token(
    py: Python<'_>,
    variable: &Py<PyAny>,
    innermost: Object,
    outer: impl FnOnce() -> Option<Token>,
) -> PyResult<Option<Token>> {
    let Some(future) = current() else {
        return Ok(None);
    };
    let observers = future.observers_or_new();
    let context = future.context;
    if !context.is_null() {
        // SAFETY: the runner's own snapshot, alive while its task runs on this thread.
        let context = unsafe { Bound::from_owned_ptr_or_err(py, context_of(context))? };
        let before = context.call_method1("get", (variable,))?;
        let same = if before.is_none() {
            // SAFETY: attached.
            innermost.is_null() || innermost == unsafe { ffi::Py_None() }
        } else {
            before.as_ptr() == innermost
        };
        if !same {
            return Ok(None);
        }
    }
    if let Some(token) = observers.token.get() {
        return Ok(Some(token.clone()));
    }
    let token = own_token(future, observers);
    if let Some(outer) = outer() {
        // Below two: the task that submitted it, and the scope that it was submitted in.
        if outer
            .on_cancel(Arc::new(CancelToo(token.clone())))
            .is_none()
        {
            token.cancel(None);
        }
    }
    Ok(Some(token))
}

impl FutureObject {
    /// Whether it was cancelled, and that is over.
    pub fn was_cancelled(&self) -> bool {
        self.completion.state() == State::Cancelled
    }

    /// Whether its task has been asked to stop.
    pub(super) fn was_asked_to_stop(&self) -> bool {
        self.observers()
            .and_then(|observers| observers.token.get())
            .is_some_and(Token::is_cancelled)
    }
}

/// By what the children of a task are known, if it has any, and by what it is known as one of another's
/// children. Two tasks are parent and child if the one number is the other, as long as both are there.
pub fn kinship(future: &FutureObject) -> (Option<usize>, Option<usize>) {
    let own = (future.observers()).and_then(|observers| observers.family.get());
    let address = |family: &Family| std::ptr::from_ref(family).addr();
    (
        own.map(|family| address(family)),
        future.origin.family().map(address),
    )
}

/// Asks a running task to stop.
pub fn ask_to_stop(future: &FutureObject) {
    let observers = future.observers_or_new();
    own_token(future, observers).cancel(None);
}
