//! What every awaitable of ours shares: how it waits, wherever it is awaited.
//!
//! An operation is polled: done, or it has arranged for a wake. Around it, three ways of waiting.
//! In a coroutine that taskloom drives, the task is woken and polls again. On a foreign event loop
//! (asyncio, trio) the operation borrows one of that loop's own awaitables (`taskloom.scope._hosts.park`)
//! and is polled again when that is done. On a plain thread the thread sleeps (`blocking`). In all three a
//! cancelled scope ends the wait: the operation is left, and `Cancelled` raised, unless it was
//! already served; then it completes, and the next await raises.

use super::task::{self, Current, TaskRef};
use super::token::{self, WakeOnCancel};
use crate::future;
use pyo3::exceptions::{PyRuntimeError, PyStopIteration};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::task::Poll;
use taskloom_core::cancel::{Registration, Token};
use taskloom_core::channel::Wake;
use taskloom_core::latch::Event;

/// How whoever waits is told to look again.
#[derive(Clone)]
pub enum Waker {
    Task(TaskRef),
    Thread(Arc<Elsewhere<Arc<Event>>>),
    /// By a callable of a foreign event loop, safe to call from any thread.
    Call(Arc<Elsewhere<Py<PyAny>>>),
}

/// Who waits outside of our coroutines: how to wake it, and the innermost token there.
pub struct Elsewhere<W> {
    wake: W,
    token: Option<Token>,
}

impl<W> Elsewhere<W> {
    fn is_wanted(&self) -> bool {
        !self.token.as_ref().is_some_and(Token::is_cancelled)
    }
}

impl Wake for Waker {
    fn wake(&self) {
        match self {
            Waker::Task(task) => task.wake(),
            Waker::Thread(thread) => thread.wake.set(),
            Waker::Call(call) => Python::attach(|py| {
                if let Err(error) = call.wake.call0(py) {
                    error.write_unraisable(py, Some(call.wake.bind(py)));
                }
            }),
        }
    }

    fn is_wanted(&self) -> bool {
        match self {
            Waker::Task(task) => !task.is_doomed(),
            Waker::Thread(thread) => thread.is_wanted(),
            Waker::Call(call) => call.is_wanted(),
        }
    }
}

impl Waker {
    pub fn thread(wake: Arc<Event>, token: Option<Token>) -> Self {
        Waker::Thread(Arc::new(Elsewhere { wake, token }))
    }

    fn call(wake: Py<PyAny>, token: Option<Token>) -> Self {
        Waker::Call(Arc::new(Elsewhere { wake, token }))
    }

    /// For polls that cannot have to wait anew.
    pub fn nobody() -> Self {
        Waker::thread(Arc::default(), None)
    }
}

/// Something that may have to wait.
pub trait Operation {
    /// Whether a pending poll in a task has arranged for a wake. Otherwise the task just goes to the
    /// end of the queue.
    const WAITS: bool = true;

    /// What a watchdog says that it waits for; None if that is noted elsewhere, or not at all.
    const ABOUT: Option<&'static str> = None;

    /// Done, or a wake is arranged; `wake` is called only if it has to wait, and once.
    fn poll(&mut self, py: Python<'_>, wake: impl FnOnce() -> Waker) -> Poll<PyResult<Py<PyAny>>>;

    /// As `poll`, but arranges nothing.
    fn poll_now(&mut self, py: Python<'_>) -> Poll<PyResult<Py<PyAny>>>;

    /// Whether it gives way now, of an operation that does nothing else (not `WAITS`); asked once, as it
    /// begins.
    fn gives_way(&mut self) -> bool {
        false
    }

    /// Whether it waits for nothing, but lets others have their turn.
    fn only_gives_way(&self) -> bool {
        false
    }

    /// Gives up waiting; to be called before it is dropped if it was pending. Its result, if it has
    /// happened all the same since it was last polled, as it can on another thread: an item that
    /// was sent must not be reported as not sent.
    fn leave(&mut self, py: Python<'_>) -> Option<PyResult<Py<PyAny>>>;
}

/// Where an operation waits.
enum Place {
    /// Nowhere yet.
    Fresh,
    /// In a task of ours.
    Task {
        _noted: Option<Noted>,
    },
    /// On a foreign loop.
    Foreign(Box<Foreign>),
    Over,
}

/// The iterator of a foreign loop's awaitable, and the registration at the scope's token.
struct Foreign {
    iterator: Py<PyAny>,
    registered: Option<(Token, Registration)>,
    /// It is only the others' turn, before the operation begins.
    first: bool,
}

/// What an awaitable's step comes to.
pub enum Step {
    Yield(Py<PyAny>),
    Return(Py<PyAny>),
}

/// A wait that is noted for watchdogs until this is dropped.
pub struct Noted(NonZeroU64);

impl Drop for Noted {
    #[cold]
    fn drop(&mut self) {
        Python::attach(|py| {
            let ended = waits(py).and_then(|waits| waits.call_method1("end", (self.0,)));
            if let Err(error) = ended {
                error.write_unraisable(py, None);
            }
        });
    }
}

/// Notes that the caller begins to wait, if anybody watches.
#[inline]
pub fn note<O: Operation>(py: Python<'_>) -> Option<Noted> {
    let about = O::ABOUT?;
    future::is_watched().then(|| note_wait(py, about))?
}

#[cold]
fn note_wait(py: Python<'_>, about: &'static str) -> Option<Noted> {
    let begun = waits(py).and_then(|waits| waits.call_method1("begin", (about,))?.extract());
    match begun {
        Ok(number) => NonZeroU64::new(number).map(Noted),
        Err(error) => {
            error.write_unraisable(py, None);
            None
        }
    }
}

fn waits(py: Python<'_>) -> PyResult<Bound<'_, PyModule>> {
    py.import("taskloom._waits")
}

/// An operation on its way, wherever it is awaited.
pub struct Suspended<O: Operation> {
    pub operation: O,
    place: Place,
}

impl<O: Operation> Suspended<O> {
    pub fn new(operation: O) -> Self {
        Suspended {
            operation,
            place: Place::Fresh,
        }
    }

    /// One step of the await; `sent` is what a foreign loop sends in.
    #[inline]
    pub fn advance(
        &mut self,
        py: Python<'_>,
        task: Option<&Current>,
        sent: Option<Py<PyAny>>,
    ) -> PyResult<Step> {
        match &self.place {
            Place::Fresh => self.begin(py, task),
            Place::Task { .. } => self.resume(py, task),
            Place::Foreign(..) => self.forward(py, sent),
            Place::Over => Err(PyRuntimeError::new_err(
                "this was awaited before: make a new one for each await",
            )),
        }
    }

    /// As `advance` in a task, for an operation that does not wait: whether it gives way, or is over. None
    /// if there is more to say.
    #[inline]
    pub fn give_way(&mut self, task: &Current) -> Option<bool> {
        match self.place {
            Place::Fresh if !task.is_cancelled() && self.operation.gives_way() => {
                self.place = Place::Task { _noted: None };
                Some(true)
            }
            Place::Task { .. } => {
                self.place = Place::Over;
                Some(false)
            }
            _ => None,
        }
    }

    #[inline]
    fn begin(&mut self, py: Python<'_>, task: Option<&Current>) -> PyResult<Step> {
        let Some(task) = task else {
            return self.begin_foreign(py);
        };
        if task.is_cancelled() {
            self.place = Place::Over;
            return Err(task.cancelled(py));
        }
        if task.spend() {
            return Ok(Step::Yield(py.None()));
        }
        match self.operation.poll(py, || task.waker()) {
            Poll::Ready(result) => {
                self.place = Place::Over;
                result.map(Step::Return)
            }
            Poll::Pending => {
                self.place = Place::Task {
                    _noted: note::<O>(py),
                };
                if O::WAITS {
                    task.arranged();
                }
                Ok(Step::Yield(py.None()))
            }
        }
    }

    #[inline]
    fn resume(&mut self, py: Python<'_>, task: Option<&Current>) -> PyResult<Step> {
        if let Poll::Ready(result) = self.operation.poll_now(py) {
            self.place = Place::Over;
            return result.map(Step::Return);
        }
        let Some(task) = task else {
            return Err(PyRuntimeError::new_err(
                "awaited on a taskloom pool first and now resumed by something else",
            ));
        };
        if task.is_cancelled() || task.is_doomed() {
            self.place = Place::Over;
            return match self.operation.leave(py) {
                Some(result) => result.map(Step::Return),
                None => Err(task.cancelled(py)),
            };
        }
        task.arranged();
        Ok(Step::Yield(py.None()))
    }

    fn begin_foreign(&mut self, py: Python<'_>) -> PyResult<Step> {
        let token = token::here(py)?;
        if let Some(token) = token.as_ref().filter(|token| token.is_cancelled()) {
            self.place = Place::Over;
            return Err(cancelled(py, token.reason()));
        }
        if O::WAITS && task::spend_elsewhere() {
            self.place = Place::Foreign(Box::new(Foreign {
                iterator: others_turn(py)?,
                registered: None,
                first: true,
            }));
            return self.forward(py, None);
        }
        if let Poll::Ready(result) = self.operation.poll_now(py) {
            self.place = Place::Over;
            return result.map(Step::Return);
        }
        if self.operation.only_gives_way() {
            let nobody = Waker::nobody;
            self.place = Place::Foreign(Box::new(Foreign {
                iterator: others_turn(py)?,
                registered: None,
                first: false,
            }));
            if let Poll::Ready(result) = self.operation.poll(py, nobody) {
                self.place = Place::Over;
                return result.map(Step::Return);
            }
            return self.forward(py, None);
        }
        let (iterator, wake) = park(py)?;
        let waker = Waker::call(wake, token.clone());
        let on_cancel = waker.clone();
        match self.operation.poll(py, || waker) {
            Poll::Ready(result) => {
                self.place = Place::Over;
                result.map(Step::Return)
            }
            Poll::Pending => {
                self.listen(iterator, token, on_cancel);
                self.forward(py, None)
            }
        }
    }

    fn listen(&mut self, iterator: Py<PyAny>, token: Option<Token>, waker: Waker) {
        let registered = token.and_then(|token| {
            let callback = Arc::new(WakeOnCancel(waker.clone()));
            match token.on_cancel(callback) {
                Some(registration) => Some((token, registration)),
                None => {
                    waker.wake();
                    None
                }
            }
        });
        self.place = Place::Foreign(Box::new(Foreign {
            iterator,
            registered,
            first: false,
        }));
    }

    fn forward(&mut self, py: Python<'_>, sent: Option<Py<PyAny>>) -> PyResult<Step> {
        let Place::Foreign(foreign) = &self.place else {
            return Err(PyRuntimeError::new_err("not awaited yet"));
        };
        let iterator = foreign.iterator.bind(py);
        let next = match sent {
            Some(value) => iterator.call_method1("send", (value,)),
            None => iterator.call_method0("__next__"),
        };
        match next {
            Ok(value) => Ok(Step::Yield(value.unbind())),
            Err(error) if error.is_instance_of::<PyStopIteration>(py) => self.woken(py),
            Err(error) => {
                self.leave(py);
                Err(error)
            }
        }
    }

    /// The foreign loop's awaitable is done.
    fn woken(&mut self, py: Python<'_>) -> PyResult<Step> {
        if matches!(&self.place, Place::Foreign(foreign) if foreign.first) {
            self.place = Place::Fresh;
            return self.begin_foreign(py);
        }
        if let Place::Foreign(foreign) = &self.place
            && let Some((token, registration)) = &foreign.registered
        {
            token.forget(*registration);
        }
        self.place = Place::Over;
        if let Poll::Ready(result) = self.operation.poll_now(py) {
            return result.map(Step::Return);
        }
        if let Some(result) = self.operation.leave(py) {
            return result.map(Step::Return);
        }
        match token::here(py)?.filter(Token::is_cancelled) {
            Some(token) => Err(cancelled(py, token.reason())),
            None => Err(PyRuntimeError::new_err(
                "woken without a reason: resumed by something other than its event loop?",
            )),
        }
    }

    /// Whether it waits: `leave` has something to do.
    #[inline]
    pub fn waits(&self) -> bool {
        matches!(self.place, Place::Task { .. } | Place::Foreign(..))
    }

    /// Gives the await up, whatever became of it; nothing to do if it never waited.
    pub fn leave(&mut self, py: Python<'_>) {
        match std::mem::replace(&mut self.place, Place::Over) {
            Place::Task { .. } => {
                let _ = self.operation.leave(py);
            }
            Place::Foreign(foreign) if foreign.first => {}
            Place::Foreign(foreign) => {
                if let Some((token, registration)) = foreign.registered {
                    token.forget(registration);
                }
                let _ = self.operation.leave(py);
            }
            Place::Fresh | Place::Over => {}
        }
    }
}

pub fn hosts(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    static HOSTS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let hosts = HOSTS.get_or_try_init(py, || {
        py.import("taskloom.scope._hosts")
            .map(|hosts| hosts.into_any().unbind())
    })?;
    Ok(hosts.bind(py).clone())
}

/// Lets everything else on a foreign loop have its turn, by the loop's own means: a wake that comes before
/// the wait would end it unawaited.
fn others_turn(py: Python<'_>) -> PyResult<Py<PyAny>> {
    Ok(hosts(py)?.call_method0("give_way")?.unbind())
}

fn park(py: Python<'_>) -> PyResult<(Py<PyAny>, Py<PyAny>)> {
    hosts(py)?.call_method0("park")?.extract()
}

/// Adds what to do to an error that is known to puzzle.
pub fn explain(py: Python<'_>, error: &PyErr) {
    if error.is_instance_of::<PyRuntimeError>(py)
        && error
            .value(py)
            .to_string()
            .contains("no running event loop")
    {
        let note = "this coroutine runs on a taskloom pool, where no asyncio loop runs: await \
                    taskloom.aio(coroutine), or use taskloom's own sleep, timeouts and primitives";
        // A note that cannot be added is no reason to lose the error itself.
        let _ = error.value(py).call_method1("add_note", (note,));
    }
}

pub use crate::errors::raise;

/// What a cancelled wait raises.
#[cold]
pub fn cancelled(py: Python<'_>, reason: Option<Arc<str>>) -> PyErr {
    let reason = reason.as_deref().unwrap_or("the scope was cancelled");
    if super::task::in_coroutine() {
        return raise(py, "Cancelled", reason);
    }
    // Asyncio's code has to know it for a cancellation, too.
    let made = hosts(py).and_then(|hosts| hosts.call_method1("cancelled_here", (reason,)));
    made.map_or_else(|error| error, PyErr::from_value)
}

/// Seconds as nanoseconds on a clock; never before now, and for ever if it does not fit.
pub fn nanoseconds(seconds: f64) -> u64 {
    // A cast from a float saturates, and turns what is not a number into zero.
    (seconds * 1e9) as u64
}
