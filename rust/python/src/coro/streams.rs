//! Channel ends as Python sees them.

use super::awaitable;
use super::blocking;
use super::operations::SendPlan;
use super::ready::Ready;
use super::receiver::Receiver;
use super::suspend::{self, Waker};
use crate::call;
use pyo3::exceptions::{PyResourceWarning, PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyTuple, PyType};
use std::collections::VecDeque;
use std::ffi::CStr;
use std::sync::atomic::{AtomicBool, Ordering};
use taskloom_core::channel::{self, SendError};

pub type Core = channel::Channel<Py<PyAny>, Waker>;

/// A bounded stream between tasks, many to many.
///
/// `Channel(capacity)` holds at most `capacity` items; 0 is a rendezvous: a send completes when a
/// receiver takes the item. Make ends with `sender()` and `receiver()`, or one of each with
/// `split()`. It ends when its last sender is closed: receivers drain what is left, then get
/// `EndOfStream`. It breaks when its last receiver is closed: senders get `BrokenResourceError`.
///
/// >>> import taskloom
/// >>> send, receive = taskloom.Channel(2).split()
/// >>> with send, receive:
/// ...     send.send_nowait("a")
/// ...     receive.receive_nowait()
/// 'a'
#[pyclass(frozen, module = "taskloom", weakref)]
pub struct Channel {
    pub core: Core,
    name: Option<String>,
}

#[pymethods]
impl Channel {
    #[new]
    #[pyo3(signature = (capacity, *, name = None))]
    fn new(capacity: &Bound<'_, PyAny>, name: Option<String>) -> PyResult<Self> {
        let wrong = || {
            PyValueError::new_err(format!(
                "Channel(capacity): an integer from 0 on, or math.inf, not {capacity}"
            ))
        };
        let items = match capacity.extract::<usize>() {
            Ok(items) => items,
            Err(_) if capacity.extract::<f64>().is_ok_and(|c| c == f64::INFINITY) => usize::MAX,
            Err(_) => return Err(wrong()),
        };
        Ok(Channel {
            core: Core::new(items),
            name,
        })
    }

    #[classmethod]
    fn __class_getitem__(class: Bound<'_, PyType>, _item: &Bound<'_, PyAny>) -> Py<PyType> {
        class.unbind()
    }

    /// One more sending end. ClosedResourceError if the channel has ended or broken.
    fn sender(slf: PyRef<'_, Self>) -> PyResult<Sender> {
        Sender::open(slf.py(), slf.into())
    }

    /// One more receiving end. ClosedResourceError if the channel is broken.
    fn receiver(slf: PyRef<'_, Self>) -> PyResult<Receiver> {
        Receiver::open(slf.py(), slf.into())
    }

    /// A sending and a receiving end.
    fn split(slf: PyRef<'_, Self>) -> PyResult<(Sender, Receiver)> {
        let py = slf.py();
        let channel: Py<Channel> = slf.into();
        let receiver = Receiver::open(py, channel.clone_ref(py))?;
        Ok((Sender::open(py, channel)?, receiver))
    }

    /// A frozen record of what is in the channel and who waits.
    pub fn stats(&self) -> ChannelStats {
        let stats = self.core.stats();
        let bounded = stats.capacity != usize::MAX;
        ChannelStats {
            current_buffer_used: stats.buffered,
            max_buffer_size: if bounded {
                stats.capacity as f64
            } else {
                f64::INFINITY
            },
            open_send_streams: stats.senders,
            open_receive_streams: stats.receivers,
            tasks_waiting_send: stats.waiting_senders,
            tasks_waiting_receive: stats.waiting_receivers,
            sent: stats.sent,
            received: stats.received,
        }
    }

    pub fn __repr__(&self) -> String {
        let stats = self.core.stats();
        let name = self.name.as_deref().unwrap_or("channel");
        let capacity = match stats.capacity {
            usize::MAX => "any".into(),
            capacity => capacity.to_string(),
        };
        format!(
            "<{name}: {} of {capacity} items, {} senders, {} receivers>",
            stats.buffered, stats.senders, stats.receivers
        )
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.core.for_each_buffered(|item| visit.call(item))
    }

    fn __clear__(&self) {
        drop(self.core.clear());
    }
}

/// A channel at one moment; the fields are named as anyio's.
///
/// >>> import taskloom
/// >>> taskloom.Channel(3).stats().max_buffer_size
/// 3.0
#[pyclass(frozen, eq, get_all, module = "taskloom")]
#[derive(PartialEq)]
pub struct ChannelStats {
    current_buffer_used: usize,
    max_buffer_size: f64,
    open_send_streams: usize,
    open_receive_streams: usize,
    tasks_waiting_send: usize,
    tasks_waiting_receive: usize,
    sent: u64,
    received: u64,
}

#[pymethods]
impl ChannelStats {
    fn __repr__(&self) -> String {
        format!(
            "ChannelStats(current_buffer_used={}, max_buffer_size={}, open_send_streams={}, \
             open_receive_streams={}, tasks_waiting_send={}, tasks_waiting_receive={}, sent={}, \
             received={})",
            self.current_buffer_used,
            self.max_buffer_size,
            self.open_send_streams,
            self.open_receive_streams,
            self.tasks_waiting_send,
            self.tasks_waiting_receive,
            self.sent,
            self.received
        )
    }
}

pub fn closed(py: Python<'_>, end: &str) -> PyErr {
    suspend::raise(py, "ClosedResourceError", &format!("this {end} is closed"))
}

/// An end is dropped: `leave` closes it, and if it was open still, that is told. It may happen while an
/// error is on its way, which nothing that is called here must meet or replace.
pub fn dropped(channel: &Py<Channel>, end: &str, leave: impl FnOnce() -> bool) {
    Python::attach(|py| {
        let pending = PyErr::take(py);
        if leave() {
            warn_unclosed(py, end, channel);
        }
        if let Some(pending) = pending {
            pending.restore(py);
        }
    });
}

fn warn_unclosed(py: Python<'_>, end: &str, channel: &Py<Channel>) {
    let channel = channel.get();
    let text = format!("unclosed {end} of {}", channel.__repr__());
    let category = py.get_type::<PyResourceWarning>();
    let Ok(text) = std::ffi::CString::new(text) else {
        return;
    };
    if let Err(error) = PyErr::warn(py, &category, &text, 1) {
        error.write_unraisable(py, None);
    }
}

/// A sending end of a channel. Close it, or use it in a `with`; clone it for each producer.
///
/// >>> import taskloom
/// >>> send, receive = taskloom.Channel(1).split()
/// >>> with send, receive:
/// ...     send.send_blocking(1)
/// ...     receive.receive_blocking()
/// 1
#[pyclass(frozen, module = "taskloom", weakref)]
pub struct Sender {
    pub channel: Py<Channel>,
    closed: AtomicBool,
}

impl Sender {
    fn open(py: Python<'_>, channel: Py<Channel>) -> PyResult<Self> {
        if !channel.get().core.add_sender() {
            return Err(suspend::raise(
                py,
                "ClosedResourceError",
                "the channel has ended: its last sender or receiver was closed",
            ));
        }
        Ok(Sender {
            channel,
            closed: AtomicBool::new(false),
        })
    }

    #[inline]
    pub fn core(&self) -> &Core {
        &self.channel.get().core
    }

    #[inline]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    #[inline]
    pub fn check(&self, py: Python<'_>) -> PyResult<()> {
        if self.is_closed() {
            return Err(closed(py, "sender"));
        }
        Ok(())
    }

    /// What tells its sends from those of other ends: its address, which it keeps for life.
    #[inline]
    pub fn number(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    fn leave(&self) -> bool {
        let open = !self.closed.swap(true, Ordering::AcqRel);
        if open {
            self.core().remove_sender(self.number());
        }
        open
    }
}

pub fn broken(py: Python<'_>) -> PyErr {
    suspend::raise(
        py,
        "BrokenResourceError",
        "the channel's last receiver was closed",
    )
}

pub fn ended(py: Python<'_>) -> PyErr {
    suspend::raise(py, "EndOfStream", "the channel's last sender was closed")
}

fn items_of(items: &Bound<'_, PyAny>) -> PyResult<VecDeque<Py<PyAny>>> {
    items.try_iter()?.map(|item| Ok(item?.unbind())).collect()
}

#[pymethods]
impl Sender {
    #[classmethod]
    fn __class_getitem__(class: Bound<'_, PyType>, _item: &Bound<'_, PyAny>) -> Py<PyType> {
        class.unbind()
    }

    /// Sends all of `items` in order: await it. If it is cancelled, those in front may be sent.
    fn send_many<'py>(
        slf: Bound<'py, Self>,
        items: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        awaitable::make(py, SendPlan::many(slf.unbind(), items_of(items)?))
    }

    /// Sends an item if there is room or a receiver waits, or raises WouldBlock.
    fn send_nowait(&self, py: Python<'_>, item: Py<PyAny>) -> PyResult<()> {
        self.check(py)?;
        match self.core().try_send(item) {
            Ok(()) => Ok(()),
            Err(SendError::Closed(_)) => Err(closed(py, "sender")),
            Err(SendError::Broken(_)) => Err(broken(py)),
            Err(SendError::Full(_)) => Err(suspend::raise(
                py,
                "WouldBlock",
                "the channel is full and no receiver waits",
            )),
        }
    }

    /// Sends an item, blocking this thread at most `timeout` seconds.
    #[pyo3(signature = (item, *, timeout = None))]
    fn send_blocking(slf: Bound<'_, Self>, item: Py<PyAny>, timeout: Option<f64>) -> PyResult<()> {
        let py = slf.py();
        slf.get().check(py)?;
        let mut plan = SendPlan::one(slf.unbind(), item);
        blocking::block(py, &mut plan, call::timeout_from(timeout))?;
        Ok(())
    }

    /// Sends all of `items` in order, blocking this thread at most `timeout` seconds.
    #[pyo3(signature = (items, *, timeout = None))]
    fn send_many_blocking(
        slf: Bound<'_, Self>,
        items: &Bound<'_, PyAny>,
        timeout: Option<f64>,
    ) -> PyResult<()> {
        let py = slf.py();
        slf.get().check(py)?;
        let mut plan = SendPlan::many(slf.unbind(), items_of(items)?);
        blocking::block(py, &mut plan, call::timeout_from(timeout))?;
        Ok(())
    }

    /// Another sending end of the same channel.
    fn clone(&self, py: Python<'_>) -> PyResult<Sender> {
        self.check(py)?;
        Sender::open(py, self.channel.clone_ref(py))
    }

    /// Closes this end; the channel ends with its last sender. May be called twice.
    ///
    /// Sends that wait at this end are not done: ClosedResourceError is raised there.
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
            "closed sender"
        } else {
            "sender"
        };
        format!("<{state} of {}>", self.channel.get().__repr__())
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        if !self.is_closed() {
            dropped(&self.channel, "sender", || self.leave());
        }
    }
}

const SEND: &CStr = c"send($self, /, item)\n--\n\nSends an item, waiting for room: await it.";

unsafe extern "C" fn send(
    this: *mut ffi::PyObject,
    arguments: *const *mut ffi::PyObject,
    count: isize,
    kwnames: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: a method of `Sender`, which has no subclass; called attached by the interpreter with
    // `count` positional arguments and then the values of the keywords.
    unsafe {
        let py = Python::assume_attached();
        let this = Bound::from_borrowed_ptr(py, this).cast_into_unchecked::<Sender>();
        let names_item = |names| {
            let name = Bound::from_borrowed_ptr(py, ffi::PyTuple_GET_ITEM(names, 0));
            name.extract::<&str>().is_ok_and(|name| name == "item")
        };
        let named = if kwnames.is_null() {
            0
        } else {
            ffi::PyTuple_GET_SIZE(kwnames)
        };
        if count + named != 1 || (named == 1 && !names_item(kwnames)) {
            PyTypeError::new_err("send() takes one argument: send(item)").restore(py);
            return std::ptr::null_mut();
        }
        let item = Bound::from_borrowed_ptr(py, *arguments).unbind();
        awaitable::new(SendPlan::one(this.unbind(), item))
    }
}

/// Adds the classes and their awaitable.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Channel>()?;
    module.add_class::<ChannelStats>()?;
    module.add_class::<Sender>()?;
    awaitable::register::<SendPlan>(module.py())?;
    let class = module.py().get_type::<Sender>();
    let meth = ffi::PyMethodDefPointer {
        PyCFunctionFastWithKeywords: send,
    };
    let flags = ffi::METH_FASTCALL | ffi::METH_KEYWORDS;
    awaitable::add_method(&class, c"send", meth, flags, SEND)
}
