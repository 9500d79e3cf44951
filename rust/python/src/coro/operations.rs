//! The awaitables of channel ends.

use super::awaitable::Awaitable;
use super::streams::{Channel, broken, closed, ended};
use super::suspend::{Operation, Waker};
use pyo3::exceptions::{PyStopAsyncIteration, PyStopIteration};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyList;
use std::collections::VecDeque;
use std::ffi::CStr;
use std::ptr::null_mut;
use std::sync::atomic::AtomicPtr;
use std::task::Poll;
use taskloom_core::channel::{NotSent, ReceiveError, Receiving, Sending};

/// How a receive says that there will be no more.
#[derive(Clone, Copy)]
pub enum EndsWith {
    EndOfStream,
    StopIteration,
    StopAsyncIteration,
}

/// A receive on its way: of one item, or of up to `max` as a list.
pub struct ReceivePlan {
    pub channel: Py<Channel>,
    inner: Receiving<Py<PyAny>, Waker>,
    /// 0 for one item by itself.
    max: u32,
    ends_with: EndsWith,
}

// Every coroutine that waits for a channel has one of these.
const _: () = assert!(size_of::<ReceivePlan>() <= 40);

impl ReceivePlan {
    #[inline]
    pub fn one(channel: Py<Channel>, end: usize, ends_with: EndsWith) -> Self {
        ReceivePlan {
            channel,
            inner: Receiving::at(end),
            max: 0,
            ends_with,
        }
    }

    pub fn many(channel: Py<Channel>, end: usize, max: usize) -> Self {
        ReceivePlan {
            max: u32::try_from(max).unwrap_or(u32::MAX),
            ..ReceivePlan::one(channel, end, EndsWith::EndOfStream)
        }
    }

    /// The number of its end; 0 if that is closed.
    pub fn end(&self) -> usize {
        self.inner.end()
    }

    #[cold]
    fn error(&self, py: Python<'_>, why: ReceiveError) -> PyErr {
        match self.ends_with {
            _ if why == ReceiveError::Closed => closed(py, "receiver"),
            EndsWith::EndOfStream => ended(py),
            EndsWith::StopIteration => PyStopIteration::new_err(()),
            EndsWith::StopAsyncIteration => PyStopAsyncIteration::new_err(()),
        }
    }

    #[inline]
    fn finish(
        &self,
        py: Python<'_>,
        received: Result<Py<PyAny>, ReceiveError>,
    ) -> PyResult<Py<PyAny>> {
        match received {
            Ok(first) if self.max == 0 => Ok(first),
            Ok(first) => self.gather(py, first),
            Err(why) => Err(self.error(py, why)),
        }
    }

    fn gather(&self, py: Python<'_>, first: Py<PyAny>) -> PyResult<Py<PyAny>> {
        let mut items = vec![first];
        // Nothing more there, or the end, does not matter: there is one item to return.
        let more = self.max as usize - 1;
        let _ = self.channel.get().core.try_receive_many(&mut items, more);
        Ok(PyList::new(py, items)?.into_any().unbind())
    }
}

impl Operation for ReceivePlan {
    const ABOUT: Option<&'static str> = Some("an item of a channel");

    #[inline]
    fn poll(&mut self, py: Python<'_>, wake: impl FnOnce() -> Waker) -> Poll<PyResult<Py<PyAny>>> {
        if self.end() == 0 {
            return Poll::Ready(Err(closed(py, "receiver")));
        }
        match self.inner.poll(&self.channel.get().core, wake) {
            Poll::Ready(received) => Poll::Ready(self.finish(py, received)),
            Poll::Pending => Poll::Pending,
        }
    }

    fn poll_now(&mut self, py: Python<'_>) -> Poll<PyResult<Py<PyAny>>> {
        if self.inner.has_waited() {
            // A queued receive never asks for another waker.
            return self.poll(py, Waker::nobody);
        }
        if self.end() == 0 {
            return self.poll(py, Waker::nobody);
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

impl Awaitable for ReceivePlan {
    const NAME: &'static CStr = c"taskloom._taskloom.Receive";

    fn class() -> &'static AtomicPtr<ffi::PyTypeObject> {
        static CLASS: AtomicPtr<ffi::PyTypeObject> = AtomicPtr::new(null_mut());
        &CLASS
    }
}

#[inline]
fn told(py: Python<'_>, sent: Result<(), NotSent>) -> PyResult<Py<PyAny>> {
    match sent {
        Ok(()) => Ok(py.None()),
        Err(NotSent::Broken) => Err(broken(py)),
        Err(NotSent::Closed) => Err(closed(py, "sender")),
    }
}

/// A send on its way, by the end of a number.
pub struct SendPlan {
    inner: Sending<Py<PyAny>, Waker>,
    end: usize,
    waited: bool,
}

impl SendPlan {
    #[inline]
    pub fn one(item: Py<PyAny>, end: usize) -> Self {
        SendPlan {
            inner: Sending::one(item, end),
            end,
            waited: false,
        }
    }

    pub fn many(items: VecDeque<Py<PyAny>>, end: usize) -> Self {
        SendPlan {
            inner: Sending::many(items, end),
            end,
            waited: false,
        }
    }

    /// With the channel that it goes to, by an end that is open or not.
    #[inline]
    pub fn on(self, channel: Py<Channel>, open: bool) -> SendOn {
        SendOn {
            channel,
            plan: self,
            open,
        }
    }
}

/// A send to a channel.
pub struct SendOn {
    pub channel: Py<Channel>,
    plan: SendPlan,
    open: bool,
}

impl SendOn {
    /// The number of its end; 0 if that is closed.
    pub fn end(&self) -> usize {
        if self.open { self.plan.end } else { 0 }
    }

    /// The item of a send of one item that has not begun.
    pub fn take_one(&mut self) -> Option<Py<PyAny>> {
        self.plan.inner.take_one()
    }
}

impl Operation for SendOn {
    const ABOUT: Option<&'static str> = Some("room in a channel");

    #[inline]
    fn poll(&mut self, py: Python<'_>, wake: impl FnOnce() -> Waker) -> Poll<PyResult<Py<PyAny>>> {
        if !self.open {
            return Poll::Ready(Err(closed(py, "sender")));
        }
        match self.plan.inner.poll(&self.channel.get().core, wake) {
            Poll::Ready(sent) => Poll::Ready(told(py, sent)),
            Poll::Pending => {
                self.plan.waited = true;
                Poll::Pending
            }
        }
    }

    fn poll_now(&mut self, py: Python<'_>) -> Poll<PyResult<Py<PyAny>>> {
        if self.plan.waited || !self.open {
            return self.poll(py, Waker::nobody);
        }
        match self.plan.inner.poll_now(&self.channel.get().core) {
            Poll::Ready(sent) => Poll::Ready(told(py, sent)),
            Poll::Pending => Poll::Pending,
        }
    }

    fn leave(&mut self, py: Python<'_>) -> Option<PyResult<Py<PyAny>>> {
        let unsent = self.plan.inner.leave(&self.channel.get().core);
        (!unsent).then(|| Ok(py.None()))
    }
}

impl Awaitable for SendOn {
    const NAME: &'static CStr = c"taskloom._taskloom.Send";

    fn class() -> &'static AtomicPtr<ffi::PyTypeObject> {
        static CLASS: AtomicPtr<ffi::PyTypeObject> = AtomicPtr::new(null_mut());
        &CLASS
    }
}
