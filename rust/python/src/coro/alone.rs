//! A coroutine of an executor that no scope has: only its future tells how it ended.

use super::home::{Home, OnPool};
use super::task::{Apart, Task};
use super::token::Token;
use crate::context;
use crate::options::TaskOptions;
use crate::pool::Pool;
use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use std::cell::UnsafeCell;
use std::sync::Arc;
use taskloom_core::ready::DEFAULT_BAND;
use taskloom_core::{cancel, clock};

/// Queues `function(*args, **kwargs)`, a call that makes a coroutine, on a pool, closed or not, and
/// returns its future, which bears the name of `named`. It is cancelled with `token`, and runs in a copy of the caller's context.
#[pyfunction]
#[allow(clippy::too_many_arguments)]
#[pyo3(signature = (pool, function, args, kwargs = None, *, options = None, token = None, named = None))]
pub fn _spawn<'py>(
    py: Python<'py>,
    pool: &Pool,
    function: Py<PyAny>,
    args: Py<PyTuple>,
    kwargs: Option<Py<PyDict>>,
    options: Option<&TaskOptions>,
    token: Option<&Token>,
    named: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let named = named.unwrap_or_else(|| function.clone_ref(py));
    let future = pool.coroutine_future(py, &named, options)?;
    // SAFETY: a new reference, or null with an exception set.
    let snapshot = unsafe { Bound::from_owned_ptr_or_err(py, context::capture())? };
    let on_pool = OnPool::new(Arc::clone(pool.core()));
    let home = Home::Pool(on_pool.clone());
    let apart = Apart {
        home: home.clone(),
        token: token.map_or_else(cancel::Token::new, |token| token.0.clone()),
        context: UnsafeCell::new(Some(snapshot.unbind())),
        call: Mutex::new(Some((function, args, kwargs))),
        ended: None,
        handle: None,
    };
    let task = Task::apart(apart, Some(future.clone().unbind()), false);
    home.begin();
    let band = options.map_or(DEFAULT_BAND, |options| options.band);
    let span = options.and_then(|options| options.deadline);
    let deadline = span.map(|span| clock::ticks().saturating_add(span));
    on_pool.queue_first(task, band, deadline);
    Ok(future)
}
