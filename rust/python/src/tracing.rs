//! What tasks leave in a recording: when they were submitted, began and ended, and what they are called.
//!
//! A task is known by the address of its future or coroutine, which another may have after it: who
//! reads a recording takes the events of one address in their order. What a task is called is known by
//! the address of something that names it, such as the code of its function, and is kept for as long
//! as the recording is.

use parking_lot::Mutex;
use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList, PyString, PyType};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use taskloom_core::clock;
use taskloom_core::pool::{Pool as Core, Worker};
use taskloom_core::trace::{EventKind, Recorder, TraceRing};

type Object = *mut ffi::PyObject;

unsafe extern "C" {
    static mut PyMethod_Type: ffi::PyTypeObject;
    fn PyMethod_Function(method: Object) -> Object;
}

/// `functools.partial`, known once something is recorded.
static PARTIAL: PyOnceLock<Py<PyType>> = PyOnceLock::new();

/// Functions that call another on behalf of the library: their addresses, and which of their arguments
/// that is.
static WRAPPERS: [(AtomicUsize, AtomicUsize); 4] =
    [const { (AtomicUsize::new(0), AtomicUsize::new(0)) }; 4];

/// Has tasks that call `function`, which lives for ever, named after the argument number `place`.
#[pyfunction]
fn _know_wrapper(function: Py<PyAny>, place: usize) -> PyResult<()> {
    let address = function.into_ptr().addr();
    for (known, argument) in &WRAPPERS {
        if known.load(Relaxed) == 0 {
            argument.store(place, Relaxed);
            known.store(address, Release);
            return Ok(());
        }
    }
    Err(PyRuntimeError::new_err(
        "four functions that wrap others are known already",
    ))
}

/// Which argument of a callable names the task, if the callable itself does not.
#[inline]
pub fn named_by_argument(callable: Object) -> Option<usize> {
    let mut wrappers = WRAPPERS.iter();
    let found = wrappers.find(|(known, _)| known.load(Acquire) == callable.addr())?;
    Some(found.1.load(Relaxed))
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(_know_wrapper, module)?)
}

/// What names tasks in one recording, by address; each with the round in which it was last asked for.
///
/// A label is kept as long as a ring says it: now and then, those that none does are let go of, but for
/// the ones of this round, which may just be about to be said.
struct Labels {
    kept: HashMap<u64, (Py<PyAny>, u32)>,
    round: u32,
    /// How many may be there before the next look.
    room: usize,
}

/// How many labels are always kept.
const LABELS_KEPT: usize = 1024;

static LABELS: Mutex<Option<HashMap<u64, Labels>>> = Mutex::new(None);

/// Where this thread's events of a pool go: one more than the index of the pool's worker that it is,
/// or 0.
fn place(core: &Core) -> u32 {
    Worker::with_current(|worker| match worker {
        Some(worker) if std::ptr::eq(Arc::as_ptr(worker.pool()), core) => worker.index() as u32 + 1,
        _ => 0,
    })
}

/// A task was submitted. Attached.
#[cold]
pub fn submitted(core: &Core, task: *const ()) {
    core.switch().with(place(core), |_, ring| {
        ring.record(EventKind::Submit, task.addr() as u64);
    });
}

/// A task that waited for something before may start. Attached.
#[cold]
pub fn ready(core: &Core, task: *const ()) {
    core.switch().with(place(core), |_, ring| {
        ring.record(EventKind::Ready, task.addr() as u64);
    });
}

/// The task that this thread has just submitted comes after another.
pub fn comes_after(core: &Core, other: *const ()) {
    core.switch().with(place(core), |_, ring| {
        ring.record(EventKind::After, other.addr() as u64);
    });
}

/// A task waits for another, or no longer.
#[cold]
pub fn waits(worker: &Worker, other: *const (), begins: bool) {
    let kind = if begins {
        EventKind::Wait
    } else {
        EventKind::Resume
    };
    worker
        .pool()
        .switch()
        .with(worker.index() as u32 + 1, |_, ring| {
            ring.record(kind, other.addr() as u64);
        });
}

/// A task begins on a worker.
///
/// # Safety
/// Attached; `named_by` is a live object.
#[inline(never)]
pub unsafe fn started(worker: &Worker, task: *const (), named_by: Object) {
    let place = worker.index() as u32 + 1;
    let mut is_full = false;
    worker.pool().switch().with(place, |recorder, ring| {
        // SAFETY: as the caller promises.
        is_full = unsafe { name(recorder, ring, named_by) };
        // Where other threads run at the same time, one may have submitted this task after the end
        // of the one before.
        let begin = if cfg!(Py_GIL_DISABLED) {
            clock::ticks()
        } else {
            recorder.begin()
        };
        ring.record_at(begin, EventKind::Start, task.addr() as u64);
    });
    if is_full {
        let_go(worker);
    }
}

/// A task has ended on a worker, or its coroutine has given way.
#[inline(never)]
pub fn ended(worker: &Worker, task: *const (), kind: EventKind) {
    worker
        .pool()
        .switch()
        .with(worker.index() as u32 + 1, |recorder, ring| {
            ring.record_at(recorder.end(), kind, task.addr() as u64);
        });
}

/// Says how the next start is called, if it is called otherwise than the one before. True if there are
/// more labels now than there is room for.
///
/// # Safety
/// Attached; `named_by` is a live object.
#[inline]
unsafe fn name(recorder: &Recorder, ring: &TraceRing, named_by: Object) -> bool {
    // SAFETY: as the caller promises.
    unsafe {
        let mut object = named_by;
        let key = if ffi::PyFunction_Check(object) != 0 {
            object = ffi::PyFunction_GetCode(object);
            object.addr() as u64
        } else {
            key_of_other(&mut object)
        };
        if let Some(kind) = recorder.relabel(key, ring) {
            let is_full = keep(recorder.recording(), key, object);
            ring.record_at(0, kind, key);
            is_full
        } else {
            false
        }
    }
}

/// The address that names what is no function, and what is kept for it.
///
/// # Safety
/// Attached; `object` is live, and what it is replaced by lives as long.
#[inline(never)]
unsafe fn key_of_other(object: &mut Object) -> u64 {
    // SAFETY: as the caller promises.
    unsafe {
        if let Some(inner) = inside_partial(*object) {
            *object = inner;
        }
        if ffi::Py_TYPE(*object) == &raw mut PyMethod_Type {
            *object = PyMethod_Function(*object);
        }
        if ffi::PyFunction_Check(*object) != 0 {
            *object = ffi::PyFunction_GetCode(*object);
        } else if ffi::PyCFunction_Check(*object) != 0 {
            // What the function is made of outlives it, and does not hold what it is bound to.
            return (*(*object).cast::<ffi::PyCFunctionObject>()).m_ml.addr() as u64;
        } else if ffi::PyUnicode_Check(*object) == 0 && ffi::PyCode_Check(*object) == 0 {
            // Not the object itself, which may hold more than should be kept.
            *object = ffi::Py_TYPE(*object).cast();
        }
        object.addr() as u64
    }
}

/// What gives a task its name: `object`, which is live, or what it is a partial of.
pub fn named<'py>(object: Object, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: attached; live, as the caller promises.
    let object = unsafe { Bound::from_borrowed_ptr(py, object) };
    let partial = py.import("functools")?.getattr("partial")?;
    match object.is_instance(&partial)? {
        true => object.getattr("func"),
        false => Ok(object),
    }
}

/// What a partial calls, which lives as long as that.
///
/// # Safety
/// Attached; `object` is live.
unsafe fn inside_partial(object: Object) -> Option<Object> {
    // SAFETY: as the caller promises.
    let py = unsafe { Python::assume_attached() };
    let partial = PARTIAL.get(py)?;
    // SAFETY: live; a partial holds its function, so that this is live too once it is let go of.
    unsafe {
        if !std::ptr::addr_eq(ffi::Py_TYPE(object), partial.as_ptr()) {
            return None;
        }
        let function = ffi::PyObject_GetAttrString(object, c"func".as_ptr());
        if function.is_null() {
            ffi::PyErr_Clear();
            return None;
        }
        ffi::Py_DECREF(function);
        Some(function)
    }
}

/// Keeps what a label says; whether there are now more than there is room for.
///
/// # Safety
/// Attached; `object` is live.
#[cold]
unsafe fn keep(recording: u64, key: u64, object: Object) -> bool {
    // SAFETY: as the caller promises.
    let py = unsafe { Python::assume_attached() };
    if let Some(labels) = LABELS.lock().get_or_insert_default().get_mut(&recording)
        && let Some((_, round)) = labels.kept.get_mut(&key)
    {
        *round = labels.round;
        return false;
    }
    // SAFETY: as the caller promises.
    let mut label = unsafe { Bound::from_borrowed_ptr(py, object) };
    // SAFETY: as the caller promises.
    if unsafe { ffi::PyCFunction_Check(object) } != 0
        && let Ok(text) = label.getattr("__qualname__")
    {
        label = text;
    }
    let label = label.unbind();
    let mut all = LABELS.lock();
    let labels = (all.get_or_insert_default())
        .entry(recording)
        .or_insert_with(|| Labels {
            kept: HashMap::new(),
            round: 0,
            room: LABELS_KEPT,
        });
    let before = labels.kept.insert(key, (label, labels.round));
    let is_full = labels.kept.len() > labels.room;
    drop(all);
    drop(before);
    is_full
}

/// Lets go of the labels that no ring says any more. Attached.
#[cold]
fn let_go(worker: &Worker) {
    let Some(recording) = worker.pool().switch().recording() else {
        return;
    };
    let mut said = HashSet::new();
    recording.each_track(|track| {
        let events = track.ring.read(0).events;
        let labels = events
            .iter()
            .filter(|event| matches!(event.kind, EventKind::Label | EventKind::Again));
        said.extend(labels.map(|event| event.data));
    });
    let mut dropped = Vec::new();
    if let Some(labels) = LABELS
        .lock()
        .as_mut()
        .and_then(|all| all.get_mut(&recording.id()))
    {
        let round = labels.round;
        let unsaid = labels
            .kept
            .extract_if(|key, (_, asked)| *asked != round && !said.contains(key));
        dropped.extend(unsaid);
        labels.round = round.wrapping_add(1);
        labels.room = LABELS_KEPT.max(2 * labels.kept.len());
    }
    // After the lock: that may run arbitrary code.
    drop(dropped);
}

fn text_of(label: &Bound<'_, PyAny>) -> String {
    if let Ok(text) = label.cast::<PyString>() {
        return text.to_string();
    }
    ["co_qualname", "__qualname__"]
        .iter()
        .find_map(|name| label.getattr(*name).ok())
        .map_or_else(|| "?".to_owned(), |text| text.to_string())
}

/// Begins a recording with room for so many events of each thread; false if one is on.
pub fn start(core: &Core, py: Python<'_>, capacity: usize) -> PyResult<bool> {
    PARTIAL.get_or_try_init(py, || {
        let partial = py.import("functools")?.getattr("partial")?;
        PyResult::Ok(partial.cast_into::<PyType>()?.unbind())
    })?;
    Ok(core.switch().start(capacity).is_some())
}

/// What was recorded so far: for each thread its worker (-1 for one from outside), how many events
/// were lost, and the events as lists of seconds, kinds and addresses; and what the labels say.
pub fn read<'py>(
    core: &Core,
    py: Python<'py>,
) -> PyResult<(Bound<'py, PyList>, Bound<'py, PyDict>)> {
    clock::refine();
    let (tracks, labels) = (PyList::empty(py), PyDict::new(py));
    let Some(recording) = core.switch().recording() else {
        return Ok((tracks, labels));
    };
    let mut found = Vec::new();
    recording.each_track(|track| found.push((track.place, track.ring.read(0))));
    for (place, read) in found {
        let seconds: Vec<f64> = (read.events.iter())
            .map(|event| clock::monotonic_nanos(event.ticks) as f64 * 1e-9)
            .collect();
        let kinds: Vec<&str> = read.events.iter().map(|event| event.kind.name()).collect();
        let data: Vec<u64> = read.events.iter().map(|event| event.data).collect();
        tracks.append((i64::from(place) - 1, read.lost, seconds, kinds, data))?;
    }
    if recording.lost() > 0 {
        // Of threads that are gone, and whose rings are not there any more.
        let none = || PyList::empty(py);
        tracks.append((-1, recording.lost(), none(), none(), none()))?;
    }
    let kept: Vec<(u64, Py<PyAny>)> = (LABELS.lock().iter())
        .filter_map(|all| all.get(&recording.id()))
        .flat_map(|labels| &labels.kept)
        .map(|(key, (label, _))| (*key, label.clone_ref(py)))
        .collect();
    for (key, label) in kept {
        labels.set_item(key, text_of(label.bind(py)))?;
    }
    Ok((tracks, labels))
}

/// Ends the recording and lets go of what it kept.
pub fn stop(core: &Core) {
    if let Some(recording) = core.switch().stop() {
        // Dropped after the lock: that may run arbitrary code.
        let dropped = (LABELS.lock().as_mut()).and_then(|all| all.remove(&recording.id()));
        drop(dropped);
    }
}
