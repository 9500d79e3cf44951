//! The awaitables of channel ends.

use super::streams::{Channel, broken, ended};
use super::suspend::{self, Operation, Suspended, Waker, awaitable};
use pyo3::exceptions::PyStopAsyncIteration;
use pyo3::prelude::*;
use pyo3::types::PyList;
use std::collections::VecDeque;
use std::task::Poll;
use taskloom_core::channel::{ReceiveError, Receiving, Sending};

/// A receive on its way: of one item, or of up to `max` as a list.
pub struct ReceivePlan {
    pub channel: Py<Channel>,
    inner: Receiving<Py<PyAny>, Waker>,
    max: Option<usize>,
    open: bool,
    /// The error that says that there will be no more.
    pub ends_with: fn(()) -> PyErr,
}

fn end_of_stream(_: ()) -> PyErr {
    Python::attach(ended)
}

impl ReceivePlan {
    fn new(channel: Py<Channel>, open: bool, max: Option<usize>) -> Self {
        ReceivePlan {
            channel,
            inner: Receiving::default(),
            max,
            open,
            ends_with: end_of_stream,
        }
    }

    fn finish(
        &self,
        py: Python<'_>,
        received: Result<Py<PyAny>, ReceiveError>,
    ) -> PyResult<Py<PyAny>> {
        let Ok(first) = received else {
            return Err((self.ends_with)(()));
        };
        let Some(max) = self.max else {
            return Ok(first);
        };
        let mut items = vec![first];
        // Nothing more there, or the end, does not matter: there is one item to return.
        let _ = self
            .channel
            .get()
            .core
            .try_receive_many(&mut items, max - 1);
        Ok(PyList::new(py, items)?.into_any().unbind())
    }
}

impl Operation for ReceivePlan {
    #[inline]
    fn poll(&mut self, py: Python<'_>, wake: impl FnOnce() -> Waker) -> Poll<PyResult<Py<PyAny>>> {
        if !self.open {
            let text = "this receiver is closed";
            return Poll::Ready(Err(suspend::raise(py, "ClosedResourceError", text)));
        }
        match self.inner.poll(&self.channel.get().core, wake) {
            Poll::Ready(received) => Poll::Ready(self.finish(py, received)),
            Poll::Pending => Poll::Pending,
        }
    }

    fn poll_now(&mut self, py: Python<'_>) -> Poll<PyResult<Py<PyAny>>> {
        if self.inner.has_waited() {
            // A queued receive never asks for another waker.
            return self.poll(py, unreachable_waker);
        }
        if !self.open {
            return self.poll(py, unreachable_waker);
        }
        match self.channel.get().core.try_receive() {
            Err(ReceiveError::Empty) => Poll::Pending,
            received => Poll::Ready(self.finish(py, received)),
        }
    }

    fn leave(&mut self, _py: Python<'_>) -> Option<PyResult<Py<PyAny>>> {
        // An item that was handed over goes back.
        self.inner.leave(&self.channel.get().core);
        None
    }
}

/// For polls that cannot have to wait anew.
fn unreachable_waker() -> Waker {
    Waker::Thread(std::sync::Arc::default(), None)
}

/// The awaitable of a receive.
#[pyclass(module = "taskloom._taskloom")]
pub struct Receive {
    pub state: Suspended<ReceivePlan>,
}

awaitable!(Receive {});

impl Receive {
    #[inline]
    pub fn one(channel: Py<Channel>, open: bool) -> Self {
        Receive {
            state: Suspended::new(ReceivePlan::new(channel, open, None)),
        }
    }

    pub fn many(channel: Py<Channel>, open: bool, max: usize) -> Self {
        Receive {
            state: Suspended::new(ReceivePlan::new(channel, open, Some(max))),
        }
    }

    /// A step of an `async for`.
    #[inline]
    pub fn next(channel: Py<Channel>, open: bool) -> Self {
        let mut plan = ReceivePlan::new(channel, open, None);
        plan.ends_with = PyStopAsyncIteration::new_err::<()>;
        Receive {
            state: Suspended::new(plan),
        }
    }

    pub fn blocking(channel: Py<Channel>, max: Option<usize>) -> ReceivePlan {
        ReceivePlan::new(channel, true, max)
    }
}

/// A send on its way.
pub struct SendPlan {
    inner: Sending<Py<PyAny>, Waker>,
    waited: bool,
}

impl SendPlan {
    pub fn one(item: Py<PyAny>) -> Self {
        SendPlan {
            inner: Sending::one(item),
            waited: false,
        }
    }

    pub fn many(items: VecDeque<Py<PyAny>>) -> Self {
        SendPlan {
            inner: Sending::many(items),
            waited: false,
        }
    }

    /// The item of a send of one item that has not begun.
    pub fn take_one(&mut self) -> Option<Py<PyAny>> {
        self.inner.take_one()
    }

    /// With the channel that it goes to.
    pub fn on(self, channel: Py<Channel>) -> SendOn {
        SendOn {
            channel,
            plan: self,
            open: true,
        }
    }
}

/// A send to a channel.
pub struct SendOn {
    pub channel: Py<Channel>,
    pub plan: SendPlan,
    open: bool,
}

impl Operation for SendOn {
    #[inline]
    fn poll(&mut self, py: Python<'_>, wake: impl FnOnce() -> Waker) -> Poll<PyResult<Py<PyAny>>> {
        if !self.open {
            let text = "this sender is closed";
            return Poll::Ready(Err(suspend::raise(py, "ClosedResourceError", text)));
        }
        match self.plan.inner.poll(&self.channel.get().core, wake) {
            Poll::Ready(true) => Poll::Ready(Ok(py.None())),
            Poll::Ready(false) => Poll::Ready(Err(broken(py))),
            Poll::Pending => {
                self.plan.waited = true;
                Poll::Pending
            }
        }
    }

    fn poll_now(&mut self, py: Python<'_>) -> Poll<PyResult<Py<PyAny>>> {
        if self.plan.waited || !self.open {
            return self.poll(py, unreachable_waker);
        }
        match self.plan.inner.poll_now(&self.channel.get().core) {
            Poll::Ready(true) => Poll::Ready(Ok(py.None())),
            Poll::Ready(false) => Poll::Ready(Err(broken(py))),
            Poll::Pending => Poll::Pending,
        }
    }

    fn leave(&mut self, py: Python<'_>) -> Option<PyResult<Py<PyAny>>> {
        let unsent = self.plan.inner.leave(&self.channel.get().core);
        (!unsent).then(|| Ok(py.None()))
    }
}

/// The awaitable of a send.
#[pyclass(module = "taskloom._taskloom")]
pub struct Send {
    pub state: Suspended<SendOn>,
}

awaitable!(Send {});

impl Send {
    #[inline]
    pub fn new(channel: Py<Channel>, plan: SendPlan, open: bool) -> Self {
        Send {
            state: Suspended::new(SendOn {
                channel,
                plan,
                open,
            }),
        }
    }
}
