//! The awaitables of channel ends.

use super::awaitable::Awaitable;
use super::receiver::Receiver;
use super::streams::{Core, Sender, broken, closed, ended};
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
    receiver: Py<Receiver>,
    inner: Receiving<Py<PyAny>, Waker>,
    /// 0 for one item by itself.
    max: u32,
    ends_with: EndsWith,
}

// Every coroutine that waits for a channel has one of these.
const _: () = assert!(size_of::<ReceivePlan>() <= 40);

impl ReceivePlan {
    #[inline]
    pub fn one(receiver: Py<Receiver>, ends_with: EndsWith) -> Self {
        ReceivePlan {
            inner: Receiving::at(receiver.get().number()),
            receiver,
            max: 0,
            ends_with,
        }
    }

    pub fn many(receiver: Py<Receiver>, max: usize) -> Self {
        ReceivePlan {
            max: u32::try_from(max).unwrap_or(u32::MAX),
            ..ReceivePlan::one(receiver, EndsWith::EndOfStream)
        }
    }

    pub fn receiver(&self) -> &Py<Receiver> {
        &self.receiver
    }

    #[inline]
    fn core(&self) -> &Core {
        self.receiver.get().core()
    }

    #[inline]
    fn is_closed(&self) -> bool {
        self.receiver.get().is_closed()
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
        let _ = self.core().try_receive_many(&mut items, more);
        Ok(PyList::new(py, items)?.into_any().unbind())
    }
}

impl Operation for ReceivePlan {
    const ABOUT: Option<&'static str> = Some("an item of a channel");

    #[inline]
    fn poll(&mut self, py: Python<'_>, wake: impl FnOnce() -> Waker) -> Poll<PyResult<Py<PyAny>>> {
        if !self.inner.has_waited() && self.is_closed() {
            return Poll::Ready(Err(closed(py, "receiver")));
        }
        match self.inner.poll(self.receiver.get().core(), wake) {
            Poll::Ready(received) => Poll::Ready(self.finish(py, received)),
            // Closed by another thread, perhaps before this was queued.
            Poll::Pending if self.is_closed() => {
                self.inner.leave(self.receiver.get().core());
                Poll::Ready(Err(closed(py, "receiver")))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn poll_now(&mut self, py: Python<'_>) -> Poll<PyResult<Py<PyAny>>> {
        // A queued receive never asks for another waker.
        if self.inner.has_waited() || self.is_closed() {
            return self.poll(py, Waker::nobody);
        }
        match self.core().try_receive() {
            Err(ReceiveError::Empty) => Poll::Pending,
            received => Poll::Ready(self.finish(py, received)),
        }
    }

    fn leave(&mut self, _py: Python<'_>) -> Option<PyResult<Py<PyAny>>> {
        // An item that was handed over goes back.
        self.inner.leave(self.receiver.get().core());
        None
    }
}

impl Awaitable for ReceivePlan {
    const NAME: &'static CStr = c"taskloom._taskloom.Receive";
    const SPARE: Option<usize> = Some(1);

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

/// A send on its way: of one item, or of many.
pub struct SendPlan {
    sender: Py<Sender>,
    inner: Sending<Py<PyAny>, Waker>,
    waited: bool,
}

impl SendPlan {
    #[inline]
    pub fn one(sender: Py<Sender>, item: Py<PyAny>) -> Self {
        let inner = Sending::one(item, sender.get().number());
        SendPlan {
            sender,
            inner,
            waited: false,
        }
    }

    pub fn many(sender: Py<Sender>, items: VecDeque<Py<PyAny>>) -> Self {
        let inner = Sending::many(items, sender.get().number());
        SendPlan {
            sender,
            inner,
            waited: false,
        }
    }

    pub fn sender(&self) -> &Py<Sender> {
        &self.sender
    }

    #[inline]
    fn is_closed(&self) -> bool {
        self.sender.get().is_closed()
    }

    /// The item of a send of one item that has not begun.
    pub fn take_one(&mut self) -> Option<Py<PyAny>> {
        self.inner.take_one()
    }
}

impl Operation for SendPlan {
    const ABOUT: Option<&'static str> = Some("room in a channel");

    #[inline]
    fn poll(&mut self, py: Python<'_>, wake: impl FnOnce() -> Waker) -> Poll<PyResult<Py<PyAny>>> {
        if !self.waited && self.is_closed() {
            return Poll::Ready(Err(closed(py, "sender")));
        }
        match self.inner.poll(self.sender.get().core(), wake) {
            Poll::Ready(sent) => Poll::Ready(told(py, sent)),
            // Closed by another thread, perhaps before this was queued.
            Poll::Pending if self.is_closed() => {
                let sent = self.leave(py);
                Poll::Ready(sent.unwrap_or_else(|| Err(closed(py, "sender"))))
            }
            Poll::Pending => {
                self.waited = true;
                Poll::Pending
            }
        }
    }

    fn poll_now(&mut self, py: Python<'_>) -> Poll<PyResult<Py<PyAny>>> {
        if self.waited || self.is_closed() {
            return self.poll(py, Waker::nobody);
        }
        match self.inner.poll_now(self.sender.get().core()) {
            Poll::Ready(sent) => Poll::Ready(told(py, sent)),
            Poll::Pending => Poll::Pending,
        }
    }

    fn leave(&mut self, py: Python<'_>) -> Option<PyResult<Py<PyAny>>> {
        let unsent = self.inner.leave(self.sender.get().core());
        (!unsent).then(|| Ok(py.None()))
    }
}

impl Awaitable for SendPlan {
    const NAME: &'static CStr = c"taskloom._taskloom.Send";
    const SPARE: Option<usize> = Some(2);

    fn class() -> &'static AtomicPtr<ffi::PyTypeObject> {
        static CLASS: AtomicPtr<ffi::PyTypeObject> = AtomicPtr::new(null_mut());
        &CLASS
    }
}
