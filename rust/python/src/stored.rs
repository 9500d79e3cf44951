//! What is stored of a superstep of a state graph: the new values of its cells, what its only task
//! wrote, and its checkpoint. Values that cannot change any more are stored as they are; others are for
//! a serializer, and for methods of the line that they are stored in, which is locked meanwhile.
//!
//! The forms are those of `taskloom.pregel.checkpoint.memory.line`.

use crate::chain::lengthened;
use crate::packing::packed;
use crate::record::{is_unchanging, record_of};
use crate::superstep::{GUARDED_SIGNAL, LAST, REDUCE, SIGNAL};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt, PyList, PySet, PyString, PyTuple};
use std::time::{SystemTime, UNIX_EPOCH};

/// Entries of a checkpoint's maps; where there are more, it is stored as what differs from a frame, as
/// `taskloom.pregel.checkpoint.frame` says.
const WIDE: usize = 24;

/// Stores a superstep at once: changed cells, the only task's names and writes, the checkpoint.
#[pyfunction]
pub fn _store_step<'py>(
    line: &Bound<'py, PyAny>,
    serde: &Bound<'py, PyAny>,
    cells: &Bound<'py, PyAny>,
    id: &Bound<'py, PyString>,
    parent: &Bound<'py, PyAny>,
    about: (Bound<'py, PyAny>, Bound<'py, PyAny>),
    alone: Option<(Bound<'py, PyTuple>, Bound<'py, PyAny>)>,
) -> PyResult<()> {
    let py = line.py();
    let versions = cells.getattr(intern!(py, "versions"))?;
    let versions = versions.cast::<PyDict>()?;
    let made = store_changes(line, serde, cells, versions)?;
    if let Some((names, writes)) = alone
        && !parent.is_none()
    {
        let row = row_of(line, serde, &names, &writes, made.as_ref())?;
        let alone = line.getattr(intern!(py, "alone"))?;
        let alone = alone.cast::<PyDict>()?;
        if alone.contains(parent)? || line.getattr(intern!(py, "writes"))?.contains(parent)? {
            line.call_method1(intern!(py, "add_row"), (parent, row))?;
        } else {
            alone.set_item(parent, row)?;
        }
    }
    let seen = cells.getattr(intern!(py, "seen"))?;
    let now = match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_nanos() as u64,
        Err(_) => 0, // a clock before 1970
    };
    let maps = (versions.clone(), seen.cast_into::<PyDict>()?);
    let (updated, metadata) = about;
    let about = match updated.cast_exact::<PyList>() {
        Ok(names) => {
            let names = names.get_slice(0, names.len());
            names.sort()?;
            (names.into_any(), metadata)
        }
        Err(_) => (updated, metadata),
    };
    let stamp = PyInt::new(py, now);
    store_checkpoint(line, serde, id, maps, about, parent, &stamp)
}

/// Stores a checkpoint, with the values that cells have in new versions. Returns false, having stored
/// only values, if it has other parts than a checkpoint of the latest format.
#[pyfunction]
pub fn _store_put<'py>(
    line: &Bound<'py, PyAny>,
    serde: &Bound<'py, PyAny>,
    checkpoint: &Bound<'py, PyDict>,
    latest: i64,
    metadata: Bound<'py, PyAny>,
    versions: &Bound<'py, PyDict>,
    parent: &Bound<'py, PyAny>,
) -> PyResult<bool> {
    let py = line.py();
    if let Some(contents) = checkpoint.get_item(intern!(py, "channel_values"))? {
        store_values(line, serde, contents.cast()?, versions)?;
    }
    let (Some(format), Some(id), Some(stamp), Some(maps), Some(seen), Some(updated)) = (
        checkpoint.get_item(intern!(py, "v"))?,
        checkpoint.get_item(intern!(py, "id"))?,
        checkpoint.get_item(intern!(py, "ts"))?,
        checkpoint.get_item(intern!(py, "channel_versions"))?,
        checkpoint.get_item(intern!(py, "versions_seen"))?,
        checkpoint.get_item(intern!(py, "updated_channels"))?,
    ) else {
        return Ok(false);
    };
    // The seventh are the values.
    if checkpoint.len() != 7 || !format.eq(latest)? {
        return Ok(false);
    }
    let maps = (maps.cast_into()?, seen.cast_into()?);
    store_checkpoint(
        line,
        serde,
        id.cast()?,
        maps,
        (updated, metadata),
        parent,
        &stamp,
    )?;
    Ok(true)
}

/// Stores a checkpoint without the values of its cells: its versions and what nodes have seen, the
/// names of updated cells and the metadata, the checkpoint before it, its time stamp.
fn store_checkpoint<'py>(
    line: &Bound<'py, PyAny>,
    serde: &Bound<'py, PyAny>,
    id: &Bound<'py, PyString>,
    maps: (Bound<'py, PyDict>, Bound<'py, PyDict>),
    about: (Bound<'py, PyAny>, Bound<'py, PyAny>),
    parent: &Bound<'py, PyAny>,
    stamp: &Bound<'py, PyAny>,
) -> PyResult<()> {
    let py = line.py();
    let (mut versions, mut seen) = maps;
    let mut frame = py.None().into_bound(py);
    if versions.len() + seen.len() > WIDE {
        let narrowed = line.call_method1(intern!(py, "narrow"), (id, versions, seen))?;
        (frame, versions, seen) = narrowed.extract()?;
    }
    let first = [frame, parent.clone(), stamp.clone()];
    let record = record_of(serde, first, &versions, &seen, &about)?;
    let records = line.getattr(intern!(py, "records"))?;
    let records = records.cast::<PyDict>()?;
    let ids = line.getattr(intern!(py, "ids"))?;
    let ids = ids.cast::<PyList>()?;
    let newest = match ids.len() {
        0 => true,
        count => ids.get_item(count - 1)?.lt(id)?,
    };
    if newest {
        ids.append(id)?;
        records.set_item(id, record)
    } else {
        line.call_method1(intern!(py, "add"), (id, record))?;
        Ok(())
    }
}

/// Stores the values that cells have in new versions.
fn store_values<'py>(
    line: &Bound<'py, PyAny>,
    serde: &Bound<'py, PyAny>,
    contents: &Bound<'py, PyDict>,
    versions: &Bound<'py, PyDict>,
) -> PyResult<()> {
    let py = line.py();
    let into = line.getattr(intern!(py, "values"))?;
    let into = into.cast::<PyDict>()?;
    for pair in versions.items() {
        let (cell, version) = pair.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>()?;
        let Some(value) = contents.get_item(&cell)? else {
            continue;
        };
        if is_unchanging(&value) {
            let key = (cell, version).into_pyobject(py)?;
            // What a version holds never changes.
            if !into.contains(&key)? {
                into.set_item(key, value)?;
            }
        } else {
            store_changing(line, serde, into, (&cell, version, &value))?;
        }
    }
    Ok(())
}

/// Bytes; a value that takes more is stored as what differs from its last version. As in
/// `taskloom.pregel.checkpoint.memory.line`.
const PATCHED_FROM: usize = 256;

/// Stores a value that may change. Returns its stored form, and whether the line says what was added.
fn store_changing<'py>(
    line: &Bound<'py, PyAny>,
    serde: &Bound<'py, PyAny>,
    into: &Bound<'py, PyDict>,
    (cell, version, value): (&Bound<'py, PyAny>, Bound<'py, PyAny>, &Bound<'py, PyAny>),
) -> PyResult<(Bound<'py, PyAny>, bool)> {
    let py = line.py();
    let key = (cell, &version).into_pyobject(py)?;
    if let Some(held) = into.get_item(&key)? {
        return Ok((held, false));
    }
    let chains = line.getattr(intern!(py, "chains"))?;
    if let Some(chain) = chains.cast::<PyDict>()?.get_item(cell)? {
        if let Ok(list) = value.cast_exact::<PyList>()
            && let Some((stored, added)) = lengthened(serde, into, &chain, (cell, &version, list))?
        {
            into.set_item(key, &stored)?;
            line.setattr(intern!(py, "added"), added)?;
            return Ok((stored, true));
        }
    } else {
        if let Some(raw) = packed(serde, value)?
            && raw.as_bytes().len() < PATCHED_FROM
        {
            let stored = (intern!(py, "msgpack"), raw).into_pyobject(py)?;
            into.set_item(key, &stored)?;
            return Ok((stored.into_any(), false));
        }
    }
    let stored = line.call_method1(intern!(py, "store"), (serde, cell, version, value))?;
    Ok((stored, true))
}

/// A value's stored form.
///
/// Errors: it has none; a note says at which position, of which cell, it was.
fn dumps<'py>(
    line: &Bound<'py, PyAny>,
    serde: &Bound<'py, PyAny>,
    value: &Bound<'py, PyAny>,
    (position, cell): (&Bound<'py, PyString>, &Bound<'py, PyAny>),
) -> PyResult<Bound<'py, PyAny>> {
    let py = line.py();
    if let Some(raw) = packed(serde, value)? {
        let stored = (intern!(py, "msgpack"), raw).into_pyobject(py)?;
        return Ok(stored.into_any());
    }
    line.call_method1(intern!(py, "dumps"), (serde, value, position, cell))
}

/// Takes the names of the changed cells out of the cells' `bumped`, and stores the values that they
/// hold. Returns, for those that are not plain, value and stored form, what was added and the stored
/// form of that.
fn store_changes<'py>(
    line: &Bound<'py, PyAny>,
    serde: &Bound<'py, PyAny>,
    cells: &Bound<'py, PyAny>,
    versions: &Bound<'py, PyDict>,
) -> PyResult<Option<Bound<'py, PyDict>>> {
    let py = line.py();
    let into = line.getattr(intern!(py, "values"))?;
    let into = into.cast::<PyDict>()?;
    let kinds = cells.getattr(intern!(py, "kinds"))?;
    let kinds = kinds.cast::<PyDict>()?;
    let values = cells.getattr(intern!(py, "values"))?;
    let values = values.cast::<PyDict>()?;
    let signals = cells.getattr(intern!(py, "signals"))?;
    let signals = signals.cast::<PyDict>()?;
    let bumped = cells.getattr(intern!(py, "bumped"))?;
    let bumped = bumped.cast::<PySet>()?;
    let mut made: Option<Bound<'py, PyDict>> = None;
    for cell in bumped.iter() {
        let kind = match kinds.get_item(&cell)? {
            Some(kind) => Some(kind.extract::<u8>()?),
            None => None,
        };
        let held = match kind {
            Some(LAST | REDUCE) => values.get_item(&cell)?,
            Some(SIGNAL | GUARDED_SIGNAL) => signals.get_item(&cell)?,
            _ => {
                let held = cells.call_method1(intern!(py, "storable"), (&cell,))?;
                held.cast_into::<PyTuple>()?.iter().next()
            }
        };
        let (Some(value), Some(version)) = (held, versions.get_item(&cell)?) else {
            continue;
        };
        if is_unchanging(&value) {
            into.set_item((cell, version), value)?;
            continue;
        }
        let made = made.get_or_insert_with(|| PyDict::new(py));
        let (stored, tells) = store_changing(line, serde, into, (&cell, version, &value))?;
        let none = || py.None().into_bound(py);
        let (added, form) = if tells {
            line.getattr(intern!(py, "added"))?.extract()?
        } else {
            (none(), none())
        };
        made.set_item(cell, (value, stored, added, form))?;
    }
    bumped.clear();
    Ok(made)
}

/// The row that is kept of a superstep's only task: what names it, then its writes, cells and stored
/// values in turn. What is a cell's new value, or was added to it, shares the stored form of that.
fn row_of<'py>(
    line: &Bound<'py, PyAny>,
    serde: &Bound<'py, PyAny>,
    names: &Bound<'py, PyTuple>,
    writes: &Bound<'py, PyAny>,
    made: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyTuple>> {
    let py = names.py();
    let mut row: Vec<Bound<'py, PyAny>> = names.iter().collect();
    for write in writes.try_iter()? {
        let write = write?;
        let (cell, value) = match write.cast_exact::<PyTuple>() {
            Ok(pair) if pair.len() == 2 => (pair.get_item(0)?, pair.get_item(1)?),
            _ => (write.get_item(0)?, write.get_item(1)?),
        };
        let stored = if is_unchanging(&value) {
            value
        } else {
            let forms = match made {
                Some(made) => made.get_item(&cell)?,
                None => None,
            };
            let shared = match forms {
                Some(forms) => shared(forms.cast::<PyTuple>()?, &value)?,
                None => None,
            };
            match shared {
                Some(stored) => stored,
                None => dumps(
                    line,
                    serde,
                    &value,
                    (intern!(py, "written to the cell"), &cell),
                )?,
            }
        };
        row.push(cell);
        row.push(stored);
    }
    PyTuple::new(py, row)
}

/// The stored form of what was written, if it is known from the cell: of its value, of what was added
/// to that, with their stored forms.
fn shared<'py>(
    forms: &Bound<'py, PyTuple>,
    value: &Bound<'py, PyAny>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let (whole, stored) = (forms.get_borrowed_item(0)?, forms.get_borrowed_item(1)?);
    if whole.is(value) {
        return Ok(Some(stored.to_owned()));
    }
    let (added, stored) = (forms.get_borrowed_item(2)?, forms.get_borrowed_item(3)?);
    if let (Ok(value), Ok(added)) = (value.cast_exact::<PyList>(), added.cast::<PyList>())
        && value.len() == 1
        && added.len() == 1
        && value.get_item(0)?.is(&added.get_item(0)?)
    {
        return Ok(Some(stored.to_owned()));
    }
    Ok(None)
}

/// Whether none of the writes is to one of these cells.
#[pyfunction]
pub fn _none_to(writes: &Bound<'_, PyAny>, cells: &Bound<'_, PyAny>) -> PyResult<bool> {
    for write in writes.try_iter()? {
        if cells.contains(write?.get_item(0)?)? {
            return Ok(false);
        }
    }
    Ok(true)
}
