//! The receiving end of a channel as Python sees it.

use super::awaitable;
use super::blocking;
use super::operations::{EndsWith, ReceivePlan};
use super::ready::Ready;
use super::streams::{Channel, ChannelStats, closed, ended, warn_unclosed};
use super::suspend;
use crate::call;
use pyo3::exceptions::PyValueError;
use pyo3::ffi;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyTuple, PyType};
use std::ffi::CStr;
use std::sync::atomic::{AtomicBool, Ordering};
use taskloom_core::channel::ReceiveError;

/// A receiving end of a channel. Close it, or use it in a `with`; iterate it with `async for`, or
/// with `for` on a thread.
///
/// >>> import taskloom
/// >>> send, receive = taskloom.Channel(3).split()
/// >>> with send:
/// ...     send.send_many_blocking("abc")
/// >>> with receive:
/// ...     list(receive)
/// ['a', 'b', 'c']
#[pyclass(frozen, module = "taskloom", weakref)]
pub struct Receiver {
    pub channel: Py<Channel>,
    closed: AtomicBool,
}

impl Receiver {
    pub fn open(py: Python<'_>, channel: Py<Channel>) -> PyResult<Self> {
        if !channel.get().core.add_receiver() {
            return Err(suspend::raise(
                py,
                "ClosedResourceError",
                "the channel is broken: its last receiver was closed",
            ));
        }
        Ok(Receiver {
            channel,
            closed: AtomicBool::new(false),
        })
    }

    #[inline]
    fn check(&self, py: Python<'_>) -> PyResult<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(closed(py, "receiver"));
        }
        Ok(())
    }

    /// A receive of one item.
    #[inline]
    fn plan(&self, py: Python<'_>, ends_with: EndsWith) -> ReceivePlan {
        ReceivePlan::one(self.channel.clone_ref(py), self.open_number(), ends_with)
    }

    /// What tells its receives from those of other ends: its address, which it keeps for life.
    fn number(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// The same, or 0 if it is closed.
    #[inline]
    fn open_number(&self) -> usize {
        match self.closed.load(Ordering::Acquire) {
            true => 0,
            false => self.number(),
        }
    }

    fn leave(&self) -> bool {
        let open = !self.closed.swap(true, Ordering::AcqRel);
        if open {
            self.channel.get().core.remove_receiver(self.number());
        }
        open
    }

    fn nowait_error(py: Python<'_>, error: ReceiveError) -> PyErr {
        match error {
            ReceiveError::Ended => ended(py),
            ReceiveError::Closed => closed(py, "receiver"),
            ReceiveError::Empty => suspend::raise(py, "WouldBlock", "the channel is empty"),
        }
    }
}

#[pymethods]
impl Receiver {
    #[classmethod]
    fn __class_getitem__(class: Bound<'_, PyType>, _item: &Bound<'_, PyAny>) -> Py<PyType> {
        class.unbind()
    }

    /// Receives what is there, at least one item and at most `max`, as a list: await it.
    fn receive_many<'py>(&self, py: Python<'py>, max: usize) -> PyResult<Bound<'py, PyAny>> {
        if max == 0 {
            return Err(PyValueError::new_err("receive_many(max): at least 1"));
        }
        let channel = self.channel.clone_ref(py);
        awaitable::make(py, ReceivePlan::many(channel, self.open_number(), max))
    }

    /// Receives an item that is there, or raises WouldBlock.
    fn receive_nowait(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.check(py)?;
        let received = self.channel.get().core.try_receive();
        received.map_err(|error| Self::nowait_error(py, error))
    }

    /// Receives what is there, at most `max` items, as a list, or raises WouldBlock.
    fn receive_many_nowait(&self, py: Python<'_>, max: usize) -> PyResult<Vec<Py<PyAny>>> {
        self.check(py)?;
        let mut items = Vec::new();
        match self.channel.get().core.try_receive_many(&mut items, max) {
            Ok(_) => Ok(items),
            Err(error) => Err(Self::nowait_error(py, error)),
        }
    }

    /// Receives the next item, blocking this thread at most `timeout` seconds.
    #[pyo3(signature = (*, timeout = None))]
    fn receive_blocking(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Py<PyAny>> {
        self.check(py)?;
        let mut receive = self.plan(py, EndsWith::EndOfStream);
        blocking::block(py, &mut receive, call::timeout_from(timeout))
    }

    /// Receives at least one item and at most `max`, blocking this thread at most `timeout` seconds.
    #[pyo3(signature = (max, *, timeout = None))]
    fn receive_many_blocking(
        &self,
        py: Python<'_>,
        max: usize,
        timeout: Option<f64>,
    ) -> PyResult<Py<PyAny>> {
        self.check(py)?;
        let mut receive = ReceivePlan::many(self.channel.clone_ref(py), self.number(), max.max(1));
        blocking::block(py, &mut receive, call::timeout_from(timeout))
    }

    fn __aiter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[inline]
    fn __anext__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        awaitable::make(py, self.plan(py, EndsWith::StopAsyncIteration))
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.check(py)?;
        let mut receive = self.plan(py, EndsWith::StopIteration);
        blocking::block(py, &mut receive, None)
    }

    /// Another receiving end of the same channel.
    fn clone(&self, py: Python<'_>) -> PyResult<Receiver> {
        self.check(py)?;
        Receiver::open(py, self.channel.clone_ref(py))
    }

    /// Closes this end; the channel breaks with its last receiver. May be called twice.
    ///
    /// Who waits at this end gets nothing: ClosedResourceError is raised there.
    fn close(&self) {
        self.leave();
    }

    /// A frozen record of what is in the channel and who waits.
    fn stats(&self) -> ChannelStats {
        self.channel.get().stats()
    }

    /// The same as `stats()`, under anyio's name.
    fn statistics(&self) -> ChannelStats {
        self.channel.get().stats()
    }

    /// Whether this end was closed.
    #[getter]
    fn closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    fn __enter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    #[pyo3(signature = (*_error))]
    fn __exit__(&self, _error: &Bound<'_, PyTuple>) {
        self.leave();
    }

    /// As `close()`, for code that awaits it.
    fn aclose(&self, py: Python<'_>) -> Ready {
        self.leave();
        Ready::new(py.None())
    }

    fn __aenter__(slf: Py<Self>) -> Ready {
        Ready::new(slf.into_any())
    }

    #[pyo3(signature = (*_error))]
    fn __aexit__(&self, py: Python<'_>, _error: &Bound<'_, PyTuple>) -> Ready {
        self.aclose(py)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.channel)
    }

    fn __repr__(&self) -> String {
        let state = if self.closed() {
            "closed receiver"
        } else {
            "receiver"
        };
        format!("<{state} of {}>", self.channel.get().__repr__())
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if self.leave() {
            Python::attach(|py| warn_unclosed(py, "receiver", &self.channel));
        }
    }
}

const RECEIVE: &CStr = c"receive($self, /)\n--\n\nReceives the next item, waiting for it: await it. EndOfStream when there will be none.";

unsafe extern "C" fn receive(
    this: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: a method of `Receiver`, which has no subclass; called attached by the interpreter.
    let plan = unsafe {
        let py = Python::assume_attached();
        let this = Bound::from_borrowed_ptr(py, this).cast_into_unchecked::<Receiver>();
        this.get().plan(py, EndsWith::EndOfStream)
    };
    awaitable::new(plan)
}

/// Adds the class and its awaitable.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Receiver>()?;
    awaitable::register::<ReceivePlan>(module.py())?;
    let class = module.py().get_type::<Receiver>();
    let meth = ffi::PyMethodDefPointer {
        PyCFunction: receive,
    };
    awaitable::add_method(&class, c"receive", meth, ffi::METH_NOARGS, RECEIVE)
}
