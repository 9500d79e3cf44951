//! What a superstep of a state graph does for each of its tasks and writes, and the ids of its
//! checkpoints.
//!
//! The rules are those of `taskloom.pregel.cells`, which also has the cases that are rare: whatever
//! is not a plain write is left to it, from the first such write on.

use pyo3::exceptions::PyOverflowError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PySet, PyString, PyTuple};
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{SystemTime, UNIX_EPOCH};

// As in `taskloom.pregel.cells`.
pub const LAST: u8 = 0;
pub const REDUCE: u8 = 1;
pub const SIGNAL: u8 = 2;
pub const GUARDED_SIGNAL: u8 = 3;
pub const SENDS: u8 = 5;

/// Ticks of 100 ns from 1582-10-15, the epoch of UUIDs, to 1970-01-01.
const EPOCH: u64 = 0x01B2_1DD2_1381_4000;

/// The time of the last id.
static LAST_TICK: AtomicU64 = AtomicU64::new(0);

/// 48 random bits of this process.
static NODE: AtomicU64 = AtomicU64::new(0);

/// Where the writes of a superstep go.
struct Absorbed<'a, 'py> {
    kinds: &'a Bound<'py, PyDict>,
    operators: &'a Bound<'py, PyDict>,
    values: &'a Bound<'py, PyDict>,
    overwrite: &'a Bound<'py, PyAny>,
    signals: Bound<'py, PyDict>,
    sends: Bound<'py, PyList>,
    written: Bound<'py, PySet>,
}

/// The cells that were written; the signals, sends and cells written by name; where the first write is
/// that is for Python: of which task, and at which place among that task's writes.
type Applied<'py> = (
    Bound<'py, PyList>,
    Bound<'py, PyDict>,
    Bound<'py, PyList>,
    Bound<'py, PySet>,
    Option<(usize, usize)>,
);

/// Applies the writes of tasks in order, up to the first that is for Python.
#[pyfunction]
pub fn _absorb_writes<'py>(
    tasks: &Bound<'py, PyAny>,
    kinds: &Bound<'py, PyDict>,
    operators: &Bound<'py, PyDict>,
    values: &Bound<'py, PyDict>,
    overwrite: &Bound<'py, PyAny>,
) -> PyResult<Applied<'py>> {
    let py = tasks.py();
    let into = Absorbed {
        kinds,
        operators,
        values,
        overwrite,
        signals: PyDict::new(py),
        sends: PyList::empty(py),
        written: PySet::empty(py)?,
    };
    let place = into.take_all(tasks)?;
    let updated = PyList::empty(py);
    for key in into.written.iter() {
        updated.append(key)?;
    }
    for key in into.signals.keys() {
        updated.append(key)?;
    }
    Ok((updated, into.signals, into.sends, into.written, place))
}

/// Ends a superstep of a graph that has no cells which are objects: applies the writes of its tasks,
/// forgets the signals of the last superstep, and gives the cells that changed a new version.
///
/// Returns the names of the cells that changed and hold a value; or, if there are writes for Python,
/// what `_absorb_writes` returns, and nothing but writes has been applied, and noted who has seen what.
#[pyfunction]
pub fn _apply_step<'py>(
    cells: &Bound<'py, PyAny>,
    tasks: &Bound<'py, PyAny>,
    overwrite: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = cells.py();
    let versions = cells.getattr(intern!(py, "versions"))?;
    let versions = versions.cast::<PyDict>().ok();
    if let Some(versions) = versions {
        let seen = cells.getattr(intern!(py, "seen"))?;
        _note_seen(tasks, versions, seen.cast()?)?;
    }
    let kinds = cells.getattr(intern!(py, "kinds"))?;
    let operators = cells.getattr(intern!(py, "operators"))?;
    let values = cells.getattr(intern!(py, "values"))?;
    let (kinds, operators) = (kinds.cast()?, operators.cast()?);
    let found = _absorb_writes(tasks, kinds, operators, values.cast()?, overwrite)?;
    if found.4.is_some() {
        return Ok(found.into_pyobject(py)?.into_any());
    }
    let (updated, signals, sends, _, _) = found;
    let before = cells.getattr(intern!(py, "signals"))?;
    cells.setattr(intern!(py, "signals"), &signals)?;
    let changed = PyList::empty(py);
    if versions.is_some() {
        for key in before.cast::<PyDict>()?.keys() {
            if !signals.contains(&key)? {
                changed.append(key)?;
            }
        }
    }
    if !sends.is_empty() || cells.getattr(intern!(py, "sends"))?.is_truthy()? {
        let into = if sends.is_empty() { &changed } else { &updated };
        into.append(intern!(py, "__pregel_tasks"))?;
        cells.setattr(intern!(py, "sends"), sends)?;
    }
    if let Some(versions) = versions
        && !(updated.is_empty() && changed.is_empty())
    {
        let next = cells.getattr(intern!(py, "next_version"))?;
        let version = next.call1((cells.getattr(intern!(py, "highest"))?, py.None()))?;
        cells.setattr(intern!(py, "highest"), &version)?;
        let bumped = cells.getattr(intern!(py, "bumped"))?;
        _bump(&version, &updated, &changed, versions, bumped.cast()?)?;
    }
    Ok(updated.into_any())
}

impl<'py> Absorbed<'_, 'py> {
    /// Applies writes up to the first that is for Python, and returns its place.
    fn take_all(&self, tasks: &Bound<'py, PyAny>) -> PyResult<Option<(usize, usize)>> {
        let name = intern!(tasks.py(), "writes");
        for (number, task) in tasks.try_iter()?.enumerate() {
            let writes = task?.getattr(name)?;
            let Ok(writes) = writes.cast::<PyList>() else {
                return Ok(Some((number, 0)));
            };
            let mut place = 0;
            // A reducer is the program's own code, which may even change the list.
            while place < writes.len() {
                let write = writes.get_item(place)?;
                if !self.take(&write)? {
                    return Ok(Some((number, place)));
                }
                place += 1;
            }
        }
        Ok(None)
    }

    /// Applies one write, or returns false, having done nothing.
    fn take(&self, write: &Bound<'py, PyAny>) -> PyResult<bool> {
        let Ok(pair) = write.cast_exact::<PyTuple>() else {
            return Ok(false);
        };
        if pair.len() != 2 {
            return Ok(false);
        }
        let key = pair.get_borrowed_item(0)?;
        let value = pair.get_borrowed_item(1)?;
        let Some(kind) = self.kinds.get_item(key)? else {
            return Ok(false);
        };
        match kind.extract::<u8>()? {
            SIGNAL => self.signals.set_item(key, value)?,
            LAST => {
                let before = self.written.len();
                self.written.add(key)?;
                if self.written.len() == before {
                    return Ok(false);
                }
                self.values.set_item(key, value)?;
            }
            REDUCE => {
                if self.overwrites(&value)? {
                    return Ok(false);
                }
                self.written.add(key)?;
                match self.values.get_item(key)? {
                    None => self.values.set_item(key, value)?,
                    Some(old) => match self.operators.get_item(key)? {
                        None => return Ok(false),
                        Some(operator) => {
                            self.values.set_item(key, operator.call1((old, value))?)?;
                        }
                    },
                }
            }
            SENDS => self.sends.append(value)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Whether a write may replace a reduced value: an `Overwrite`, or what JSON makes of one.
    fn overwrites(&self, value: &Bound<'py, PyAny>) -> PyResult<bool> {
        if value.get_type().is(self.overwrite) {
            return Ok(true);
        }
        let Ok(dict) = value.cast_exact::<PyDict>() else {
            return Ok(false);
        };
        let py = value.py();
        Ok(dict.contains(intern!(py, "__overwrite__"))?
            || (dict.contains(intern!(py, "type"))? && dict.contains(intern!(py, "value"))?))
    }
}

/// Notes in `seen` which versions of the cells that triggered them the tasks have run on.
#[pyfunction]
pub fn _note_seen(
    tasks: &Bound<'_, PyAny>,
    versions: &Bound<'_, PyDict>,
    seen: &Bound<'_, PyDict>,
) -> PyResult<()> {
    let py = tasks.py();
    for task in tasks.try_iter()? {
        let task = task?;
        let triggers = task.getattr(intern!(py, "triggers"))?;
        let name = task.getattr(intern!(py, "name"))?;
        let noted = PyDict::new(py);
        for key in triggers.cast::<PyTuple>()?.iter_borrowed() {
            if let Some(version) = versions.get_item(key)? {
                noted.set_item(key, version)?;
            }
        }
        if let Some(before) = seen.get_item(&name)? {
            // A node may be triggered by other cells at another time: what it saw of them stays seen.
            for (key, version) in before.cast::<PyDict>()? {
                if !noted.contains(&key)? {
                    noted.set_item(key, version)?;
                }
            }
        }
        seen.set_item(name, noted)?;
    }
    Ok(())
}

/// Gives the cells that were updated or otherwise changed a new version, and adds them to `bumped`.
#[pyfunction]
pub fn _bump(
    version: &Bound<'_, PyAny>,
    updated: &Bound<'_, PyList>,
    changed: &Bound<'_, PyList>,
    versions: &Bound<'_, PyDict>,
    bumped: &Bound<'_, PySet>,
) -> PyResult<()> {
    for key in updated.iter().chain(changed.iter()) {
        versions.set_item(&key, version)?;
        bumped.add(key)?;
    }
    Ok(())
}

/// The version after `current`: the upper half counts, the lower is random.
#[pyfunction]
#[pyo3(signature = (current, _channel = None))]
pub fn _next_version(current: Option<u64>, _channel: Option<&Bound<'_, PyAny>>) -> PyResult<u64> {
    static RANDOM: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    static CALLS: AtomicU64 = AtomicU64::new(0);
    // A forked child has the same state, but another node.
    let drawn = RANDOM.hash_one((NODE.load(Relaxed), CALLS.fetch_add(1, Relaxed)));
    match (current.unwrap_or(0) >> 32).checked_add(1) {
        Some(next) if next <= u64::from(u32::MAX) => Ok(next << 32 | drawn >> 32),
        _ => Err(PyOverflowError::new_err(
            "a thread has had too many versions of its cells",
        )),
    }
}

/// A new checkpoint id, greater than every one that this process made before.
#[pyfunction]
#[pyo3(signature = (step = 0))]
pub fn _checkpoint_id(py: Python<'_>, step: i64) -> Bound<'_, PyString> {
    let now = match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => (since.as_nanos() / 100) as u64 + EPOCH,
        Err(_) => EPOCH, // a clock before 1970: ids then count on from there
    };
    let mut last = LAST_TICK.load(Relaxed);
    let tick = loop {
        let tick = now.max(last + 1);
        match LAST_TICK.compare_exchange_weak(last, tick, Relaxed, Relaxed) {
            Ok(_) => break tick,
            Err(newer) => last = newer,
        }
    };
    let high = (tick >> 12) << 16 | 0x6000 | (tick & 0xFFF);
    let low = (0x8000 | (step as u64 & 0x3FFF)) << 48 | (NODE.load(Relaxed) & 0xFFFF_FFFF_FFFF);
    let mut text = [b'-'; 36];
    let mut place = 0;
    for word in [high, low] {
        for shift in (0..16).rev() {
            if matches!(place, 8 | 13 | 18 | 23) {
                place += 1;
            }
            text[place] = b"0123456789abcdef"[(word >> (4 * shift)) as usize & 0xF];
            place += 1;
        }
    }
    PyString::new(py, std::str::from_utf8(&text).unwrap_or_default())
}

/// Takes the 48 random bits by which ids of this process differ from those of others.
#[pyfunction]
pub fn _know_node(node: u64) {
    NODE.store(node, Relaxed);
}
