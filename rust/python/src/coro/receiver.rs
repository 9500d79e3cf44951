//! The receiving end of a channel as Python sees it.

use super::awaitable;
use super::blocking;
use super::operations::{EndsWith, ReceivePlan};
use super::ready::Ready;
use super::streams::{Channel, ChannelStats, Core, closed, dropped, ended};
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
    pub fn check(&self, py: Python<'_>) -> PyResult<()> {
        if self.is_closed() {
            return Err(closed(py, "receiver"));
        }
        Ok(())
    }

    #[inline]
    pub fn core(&self) -> &Core {
        &self.channel.get().core
    }

    #[inline]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// What tells its receives from those of other ends: its address, which it keeps for life.
    #[inline]
    pub fn number(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    fn leave(&self) -> bool {
        let open = !self.closed.swap(true, Ordering::AcqRel);
        if open {
            self.core().remove_receiver(self.number());
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
    fn receive_many<'py>(slf: Bound<'py, Self>, max: usize) -> PyResult<Bound<'py, PyAny>> {
        if max == 0 {
            return Err(PyValueError::new_err("receive_many(max): at least 1"));
        }
        let py = slf.py();
        awaitable::make(py, ReceivePlan::many(slf.unbind(), max))
    }

    /// Receives an item that is there, or raises WouldBlock.
    fn receive_nowait(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.check(py)?;
        let received = self.core().try_receive();
        received.map_err(|error| Self::nowait_error(py, error))
    }

    /// Receives what is there, at most `max` items, as a list, or raises WouldBlock.
    fn receive_many_nowait(&self, py: Python<'_>, max: usize) -> PyResult<Vec<Py<PyAny>>> {
        self.check(py)?;
        let mut items = Vec::new();
        match self.core().try_receive_many(&mut items, max) {
            Ok(_) => Ok(items),
            Err(error) => Err(Self::nowait_error(py, error)),
        }
    }

    /// Receives the next item, blocking this thread at most `timeout` seconds.
    #[pyo3(signature = (*, timeout = None))]
    fn receive_blocking(slf: Bound<'_, Self>, timeout: Option<f64>) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        slf.get().check(py)?;
        let mut receive = ReceivePlan::one(slf.unbind(), EndsWith::EndOfStream);
        blocking::block(py, &mut receive, call::timeout_from(timeout))
    }

    /// Receives at least one item and at most `max`, blocking this thread at most `timeout` seconds.
    #[pyo3(signature = (max, *, timeout = None))]
    fn receive_many_blocking(
        slf: Bound<'_, Self>,
        max: usize,
        timeout: Option<f64>,
    ) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        slf.get().check(py)?;
        let mut receive = ReceivePlan::many(slf.unbind(), max.max(1));
        blocking::block(py, &mut receive, call::timeout_from(timeout))
    }

    fn __aiter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[inline]
    fn __anext__<'py>(slf: Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let receive = ReceivePlan::one(slf.unbind(), EndsWith::StopAsyncIteration);
        awaitable::make(py, receive)
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__(slf: Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        slf.get().check(py)?;
        let mut receive = ReceivePlan::one(slf.unbind(), EndsWith::StopIteration);
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
        self.is_closed()
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
        let state = if self.is_closed() {
            "closed receiver"
        } else {
            "receiver"
        };
        format!("<{state} of {}>", self.channel.get().__repr__())
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if !self.is_closed() {
            dropped(&self.channel, "receiver", || self.leave());
        }
    }
}

const RECEIVE: &CStr = c"receive($self, /)\n--\n\nReceives the next item, waiting for it: await it. EndOfStream when there will be none.";

unsafe extern "C" fn receive(
    this: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: a method of `Receiver`, which has no subclass; called attached by the interpreter.
    let this = unsafe {
        let py = Python::assume_attached();
        Bound::from_borrowed_ptr(py, this).cast_into_unchecked::<Receiver>()
    };
    awaitable::new(ReceivePlan::one(this.unbind(), EndsWith::EndOfStream))
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
