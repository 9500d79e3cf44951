//! What a superstep of a state graph does for each of its tasks and writes, and the ids of its
//! checkpoints.
//!
//! The rules are those of `taskloom.pregel.cells`, which also has the cases that are rare: whatever
//! is not a plain write is left to it, from the first such write on.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PySet, PyString, PyTuple};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{SystemTime, UNIX_EPOCH};

// As in `taskloom.pregel.cells`.
const LAST: u8 = 0;
const REDUCE: u8 = 1;
const SIGNAL: u8 = 2;
const GUARDED_SIGNAL: u8 = 3;
const SENDS: u8 = 5;

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
    signals: &'a Bound<'py, PyDict>,
    sends: &'a Bound<'py, PyList>,
    written: &'a Bound<'py, PySet>,
    overwrite: &'a Bound<'py, PyAny>,
}

/// Applies the writes of tasks in order, up to the first that is for Python: returns its task and its
/// place among that task's writes, or None if there was none.
#[pyfunction]
#[allow(clippy::too_many_arguments)] // the tables of a run, each of its own kind
pub fn _absorb_writes(
    tasks: &Bound<'_, PyAny>,
    kinds: &Bound<'_, PyDict>,
    operators: &Bound<'_, PyDict>,
    values: &Bound<'_, PyDict>,
    signals: &Bound<'_, PyDict>,
    sends: &Bound<'_, PyList>,
    written: &Bound<'_, PySet>,
    overwrite: &Bound<'_, PyAny>,
) -> PyResult<Option<(usize, usize)>> {
    let into = Absorbed {
        kinds,
        operators,
        values,
        signals,
        sends,
        written,
        overwrite,
    };
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
            if !into.take(&write)? {
                return Ok(Some((number, place)));
            }
            place += 1;
        }
    }
    Ok(None)
}

impl<'py> Absorbed<'_, 'py> {
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
                if self.written.contains(key)? {
                    return Ok(false);
                }
                self.written.add(key)?;
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

/// The name, version and value of the plain cells and signals among `bumped` that hold a value, and
/// the names of the other cells.
#[pyfunction]
pub fn _changes<'py>(
    bumped: &Bound<'py, PySet>,
    kinds: &Bound<'py, PyDict>,
    versions: &Bound<'py, PyDict>,
    values: &Bound<'py, PyDict>,
    signals: &Bound<'py, PyDict>,
) -> PyResult<(Bound<'py, PyList>, Bound<'py, PyList>)> {
    let py = bumped.py();
    let (found, others) = (PyList::empty(py), PyList::empty(py));
    for key in bumped.iter() {
        let kind = match kinds.get_item(&key)? {
            Some(kind) => kind.extract::<u8>()?,
            None => SENDS,
        };
        let held = match kind {
            LAST | REDUCE => values.get_item(&key)?,
            SIGNAL | GUARDED_SIGNAL => signals.get_item(&key)?,
            _ => {
                others.append(key)?;
                continue;
            }
        };
        if let (Some(value), Some(version)) = (held, versions.get_item(&key)?) {
            found.append((key, version, value))?;
        }
    }
    Ok((found, others))
}

/// Stores those of the changes that cannot change any more under their name and version, and returns
/// the others.
#[pyfunction]
pub fn _store_unchanging<'py>(
    changes: &Bound<'py, PyList>,
    into: &Bound<'py, PyDict>,
) -> PyResult<Option<Bound<'py, PyList>>> {
    let mut others = None;
    for change in changes {
        let parts = change.cast::<PyTuple>()?;
        let value = parts.get_borrowed_item(2)?;
        if is_unchanging(&value) {
            into.set_item(parts.get_slice(0, 2), value)?;
        } else {
            others
                .get_or_insert_with(|| PyList::empty(changes.py()))
                .append(change)?;
        }
    }
    Ok(others)
}

fn is_unchanging(value: &Bound<'_, PyAny>) -> bool {
    value.is_none()
        || value.is_exact_instance_of::<PyInt>()
        || value.is_exact_instance_of::<PyString>()
        || value.is_exact_instance_of::<PyBool>()
        || value.is_exact_instance_of::<PyFloat>()
        || value.is_exact_instance_of::<PyBytes>()
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
