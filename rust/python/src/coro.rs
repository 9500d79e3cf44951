//! Python coroutines as tasks of our own: who steps them, how they are suspended and woken.
//!
//! Layout: `task` is one coroutine on its way; `home` is where it is queued when it can go on;
//! `suspend` is what every awaitable of ours shares, on the pool as on foreign event loops, `blocking`
//! how a plain thread waits for the same; the rest are the awaitables: `wait` (one-shot), `sleep`, `streams` with
//! `operations` and `select` (channel ends); `awaitable` makes the classes of those that are many.
//! `alone` is a coroutine that no scope has. `lent`: threads whose blocking waits a seeded scheduler
//! governs. `token` is the cancel token as Python sees it,
//! `nursery` what a scope knows of its children.

pub mod alone;
pub mod awaitable;
pub mod blocking;
pub mod foreign;
pub mod home;
pub mod lent;
pub mod nursery;
pub mod operations;
pub mod ready;
pub mod receiver;
pub mod select;
pub mod sleep;
pub mod stop;
pub mod streams;
pub mod suspend;
pub mod task;
pub mod token;
pub mod wait;

use crate::run;
use pyo3::prelude::*;

/// Adds this part's classes and functions to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    nursery::register(m)?;
    task::register_tasks();
    receiver::register(m)?;
    sleep::register(m)?;
    streams::register(m)?;
    m.add_class::<home::HomeObject>()?;
    m.add_class::<home::LocalLoop>()?;
    m.add_class::<home::TaskHandle>()?;
    m.add_class::<select::Select>()?;
    m.add_class::<select::Selected>()?;
    m.add_class::<token::Token>()?;
    m.add_class::<token::TokenCallback>()?;
    m.add_class::<token::TokenDeadline>()?;
    m.add_class::<wait::Setter>()?;
    m.add_class::<wait::Wait>()?;
    m.add("token_variable", token::variable(m.py())?)?;
    m.add_function(wrap_pyfunction!(alone::_spawn, m)?)?;
    m.add_function(wrap_pyfunction!(home::current_home, m)?)?;
    m.add_function(wrap_pyfunction!(home::pool_home, m)?)?;
    m.add_function(wrap_pyfunction!(select::select, m)?)?;
    m.add_function(wrap_pyfunction!(sleep::clock, m)?)?;
    m.add_function(wrap_pyfunction!(sleep::maybe_yield, m)?)?;
    m.add_function(wrap_pyfunction!(sleep::sleep, m)?)?;
    m.add_function(wrap_pyfunction!(sleep::sleep_blocking, m)?)?;
    m.add_function(wrap_pyfunction!(sleep::stop_timer, m)?)?;
    m.add_function(wrap_pyfunction!(token::current_token, m)?)?;
    m.add_function(wrap_pyfunction!(token::replace_token, m)?)?;
    m.add_function(wrap_pyfunction!(token::leave_token, m)?)?;
    m.add_function(wrap_pyfunction!(token::checkpoint_if_cancelled, m)?)?;
    m.add_function(wrap_pyfunction!(task::in_coroutine, m)?)?;
    m.add_function(wrap_pyfunction!(task::current_handle, m)?)?;
    m.add_function(wrap_pyfunction!(task::current_task_id, m)?)?;
    run::know_stepped(task::stepped_here);
    Ok(())
}
