//! A choice between sends and receives on several channels.

use super::awaitable::{self, awaitable as awaitable_class};
use super::operations::{ReceivePlan, SendOn};
use super::streams::{Channel, broken, closed, ended};
use super::suspend::{Operation, Suspended, Waker};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use taskloom_core::channel::{Arm, Outcome, Selecting};

/// Which alternative happened, and the item that it received (None for a send).
///
/// >>> import taskloom
/// >>> send, receive = taskloom.Channel(1).split()
/// >>> with send, receive:
/// ...     send.send_nowait("a")
/// ...     taskloom.select(receive.receive()).wait()
/// Selected(index=0, value='a')
#[pyclass(frozen, get_all, module = "taskloom")]
pub struct Selected {
    index: usize,
    value: Py<PyAny>,
}

#[pymethods]
impl Selected {
    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let value = self.value.bind(py).repr()?;
        Ok(format!("Selected(index={}, value={value})", self.index))
    }

    fn __iter__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let pair = (self.index, self.value.clone_ref(py)).into_pyobject(py)?;
        Ok(pair.try_iter()?.into_any().unbind())
    }
}

pub struct SelectPlan {
    channels: Vec<Py<Channel>>,
    arms: Vec<Arm<Py<PyAny>>>,
    inner: Selecting<Py<PyAny>, Waker>,
    waited: bool,
}

/// Where the next select begins to look, so that no arm is always the first.
static TURN: AtomicUsize = AtomicUsize::new(0);

impl SelectPlan {
    fn run<R>(
        &mut self,
        f: impl FnOnce(
            &mut Selecting<Py<PyAny>, Waker>,
            &mut [(&super::streams::Core, Arm<Py<PyAny>>)],
        ) -> R,
    ) -> R {
        let cores = self.channels.iter().map(|channel| &channel.get().core);
        let mut arms: Vec<_> = cores.zip(self.arms.drain(..)).collect();
        let result = f(&mut self.inner, &mut arms);
        let arms: Vec<_> = arms.into_iter().map(|(_, arm)| arm).collect();
        self.arms = arms;
        result
    }

    fn finish(
        &self,
        py: Python<'_>,
        index: usize,
        outcome: Outcome<Py<PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let end = match &self.arms[index] {
            Arm::Receive(_) => "receiver",
            Arm::Send(..) => "sender",
        };
        let error = match outcome {
            Outcome::Item(value) => {
                return Ok(Py::new(py, Selected { index, value })?.into_any());
            }
            Outcome::Sent => {
                let value = py.None();
                return Ok(Py::new(py, Selected { index, value })?.into_any());
            }
            Outcome::Ended => ended(py),
            Outcome::Broken => broken(py),
            Outcome::Closed => closed(py, end),
        };
        error.value(py).setattr("index", index)?;
        Err(error)
    }
}

impl Operation for SelectPlan {
    const ABOUT: Option<&'static str> = Some("one of several channels");

    fn poll(&mut self, py: Python<'_>, wake: impl FnOnce() -> Waker) -> Poll<PyResult<Py<PyAny>>> {
        let first = TURN.fetch_add(1, Ordering::Relaxed);
        match self.run(|inner, arms| inner.poll(arms, first, wake)) {
            Poll::Ready((index, outcome)) => Poll::Ready(self.finish(py, index, outcome)),
            Poll::Pending => {
                self.waited = true;
                Poll::Pending
            }
        }
    }

    fn poll_now(&mut self, py: Python<'_>) -> Poll<PyResult<Py<PyAny>>> {
        if !self.waited {
            return Poll::Pending;
        }
        self.poll(py, Waker::nobody)
    }

    fn leave(&mut self, py: Python<'_>) -> Option<PyResult<Py<PyAny>>> {
        let sent = self.run(|inner, arms| inner.leave(arms));
        sent.map(|index| self.finish(py, index, Outcome::Sent))
    }
}

/// The awaitable that `select` gives.
#[pyclass(module = "taskloom._taskloom")]
pub struct Select {
    state: Suspended<SelectPlan>,
}

awaitable_class!(Select {
    /// Blocks the calling thread until one alternative has happened.
    #[pyo3(signature = (*, timeout = None))]
    fn wait(&mut self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Py<PyAny>> {
        let timeout = crate::call::timeout_from(timeout);
        super::blocking::block(py, &mut self.state.operation, timeout)
    }
});

/// Waits until one of several sends or receives can be done, and does exactly that one.
///
/// Give what `receive()` and `send(item)` return, not awaited; await the result, or call its
/// `wait()` on a thread. Returns `Selected(index, value)`. `EndOfStream` or `BrokenResourceError`
/// if that is what happened first; its `index` says to which.
///
/// >>> import taskloom
/// >>> (send, receive), (_, other) = taskloom.Channel(1).split(), taskloom.Channel(1).split()
/// >>> with send, receive, _, other:
/// ...     send.send_nowait("a")
/// ...     index, value = taskloom.select(other.receive(), receive.receive()).wait()
/// >>> index, value
/// (1, 'a')
#[pyfunction]
#[pyo3(signature = (*alternatives))]
pub fn select(alternatives: &Bound<'_, PyTuple>) -> PyResult<Select> {
    let py = alternatives.py();
    if alternatives.is_empty() {
        return Err(PyValueError::new_err(
            "select() needs at least one alternative",
        ));
    }
    let mut plan = SelectPlan {
        channels: Vec::new(),
        arms: Vec::new(),
        inner: Selecting::default(),
        waited: false,
    };
    for alternative in alternatives {
        let receive = |receive: &mut ReceivePlan| (receive.channel.clone_ref(py), receive.end());
        let send = |send: &mut SendOn| (send.channel.clone_ref(py), send.end(), send.take_one());
        if let Some((channel, end)) = awaitable::with(&alternative, receive) {
            if end == 0 {
                return Err(closed(py, "receiver"));
            }
            plan.channels.push(channel);
            plan.arms.push(Arm::Receive(end));
        } else if let Some((channel, end, item)) = awaitable::with(&alternative, send) {
            if end == 0 {
                return Err(closed(py, "sender"));
            }
            let item = item.ok_or_else(|| {
                PyValueError::new_err("select() takes a send of one item, not awaited before")
            })?;
            plan.channels.push(channel);
            plan.arms.push(Arm::Send(end, Some(item)));
        } else {
            return Err(PyTypeError::new_err(format!(
                "select() takes what receive() and send(item) return, not {}",
                alternative.get_type().name()?
            )));
        }
    }
    Ok(Select {
        state: Suspended::new(plan),
    })
}
