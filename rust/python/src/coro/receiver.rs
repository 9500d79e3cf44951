//! The receiving end of a channel as Python sees it.

use super::operations::Receive;
use super::ready::Ready;
use super::streams::{Channel, ChannelStats, closed, ended, warn_unclosed};
use super::suspend;
use crate::call;
use pyo3::exceptions::{PyStopIteration, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyTuple, PyType};
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

    fn is_open(&self) -> bool {
        !self.closed.load(Ordering::Acquire)
    }

    fn leave(&self) -> bool {
        let open = !self.closed.swap(true, Ordering::AcqRel);
        if open {
            self.channel.get().core.remove_receiver();
        }
        open
    }

    fn nowait_error(py: Python<'_>, error: ReceiveError) -> PyErr {
        match error {
            ReceiveError::Ended => ended(py),
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

    /// Receives the next item, waiting for it: await it. EndOfStream when there will be none.
    #[inline]
    fn receive(&self, py: Python<'_>) -> Receive {
        Receive::one(self.channel.clone_ref(py), self.is_open())
    }

    /// Receives what is there, at least one item and at most `max`, as a list: await it.
    fn receive_many(&self, py: Python<'_>, max: usize) -> PyResult<Receive> {
        if max == 0 {
            return Err(PyValueError::new_err("receive_many(max): at least 1"));
        }
        Ok(Receive::many(
            self.channel.clone_ref(py),
            self.is_open(),
            max,
        ))
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
        let mut receive = Receive::blocking(self.channel.clone_ref(py), None);
        suspend::block(py, &mut receive, call::timeout_from(timeout))
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
        let mut receive = Receive::blocking(self.channel.clone_ref(py), Some(max.max(1)));
        suspend::block(py, &mut receive, call::timeout_from(timeout))
    }

    fn __aiter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[inline]
    fn __anext__(&self, py: Python<'_>) -> Receive {
        Receive::next(self.channel.clone_ref(py), self.is_open())
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.check(py)?;
        let mut receive = Receive::blocking(self.channel.clone_ref(py), None);
        receive.ends_with = PyStopIteration::new_err::<()>;
        suspend::block(py, &mut receive, None)
    }

    /// Another receiving end of the same channel.
    fn clone(&self, py: Python<'_>) -> PyResult<Receiver> {
        self.check(py)?;
        Receiver::open(py, self.channel.clone_ref(py))
    }

    /// Closes this end; the channel breaks with its last receiver. May be called twice.
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
