//! A choice between sends and receives on several channels.

use super::awaitable::{self, awaitable as awaitable_class};
use super::operations::{ReceivePlan, SendPlan};
use super::receiver::Receiver;
use super::streams::{Core, Sender, broken, closed, ended};
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

/// The end at which an alternative is.
enum End {
    Sender(Py<Sender>),
    Receiver(Py<Receiver>),
}

impl End {
    fn core(&self) -> &Core {
        match self {
            End::Sender(sender) => sender.get().core(),
            End::Receiver(receiver) => receiver.get().core(),
        }
    }

    fn is_closed(&self) -> bool {
        match self {
            End::Sender(sender) => sender.get().is_closed(),
            End::Receiver(receiver) => receiver.get().is_closed(),
        }
    }
}

pub struct SelectPlan {
    ends: Vec<End>,
    arms: Vec<Arm<Py<PyAny>>>,
    inner: Selecting<Py<PyAny>, Waker>,
    waited: bool,
}

/// Where the next select begins to look, so that no arm is always the first.
static TURN: AtomicUsize = AtomicUsize::new(0);

impl SelectPlan {
    fn run<R>(
        &mut self,
        f: impl FnOnce(&mut Selecting<Py<PyAny>, Waker>, &mut [(&Core, Arm<Py<PyAny>>)]) -> R,
    ) -> R {
        let cores = self.ends.iter().map(End::core);
        let mut arms: Vec<_> = cores.zip(self.arms.drain(..)).collect();
        let result = f(&mut self.inner, &mut arms);
        let arms: Vec<_> = arms.into_iter().map(|(_, arm)| arm).collect();
        self.arms = arms;
        result
    }

    /// The first of its ends that is closed.
    fn closed_end(&self) -> Option<usize> {
        self.ends.iter().position(End::is_closed)
    }

    fn finish(
        &self,
        py: Python<'_>,
        index: usize,
        outcome: Outcome<Py<PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let end = match &self.ends[index] {
            End::Receiver(_) => "receiver",
            End::Sender(_) => "sender",
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
        if !self.waited
            && let Some(index) = self.closed_end()
        {
            return Poll::Ready(self.finish(py, index, Outcome::Closed));
        }
        let first = TURN.fetch_add(1, Ordering::Relaxed);
        match self.run(|inner, arms| inner.poll(arms, first, wake)) {
            Poll::Ready((index, outcome)) => Poll::Ready(self.finish(py, index, outcome)),
            Poll::Pending => {
                self.waited = true;
                // Closed by another thread, perhaps before this was queued.
                let Some(index) = self.closed_end() else {
                    return Poll::Pending;
                };
                let sent = self.leave(py);
                Poll::Ready(sent.unwrap_or_else(|| self.finish(py, index, Outcome::Closed)))
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
        ends: Vec::new(),
        arms: Vec::new(),
        inner: Selecting::default(),
        waited: false,
    };
    for alternative in alternatives {
        let receive = |receive: &mut ReceivePlan| receive.receiver().clone_ref(py);
        let send = |send: &mut SendPlan| (send.sender().clone_ref(py), send.take_one());
        if let Some(receiver) = awaitable::with(&alternative, receive) {
            receiver.get().check(py)?;
            plan.arms.push(Arm::Receive(receiver.get().number()));
            plan.ends.push(End::Receiver(receiver));
        } else if let Some((sender, item)) = awaitable::with(&alternative, send) {
            sender.get().check(py)?;
            let item = item.ok_or_else(|| {
                PyValueError::new_err("select() takes a send of one item, not awaited before")
            })?;
            plan.arms.push(Arm::Send(sender.get().number(), Some(item)));
            plan.ends.push(End::Sender(sender));
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
