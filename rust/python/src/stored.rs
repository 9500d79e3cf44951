//! What is stored of a superstep of a state graph: the new values of its cells, and what its only task
//! wrote. Values that cannot change any more are stored as they are; others are for a serializer.
//!
//! The forms are those of `taskloom.pregel.checkpoint.memory.line`.

use crate::superstep::{GUARDED_SIGNAL, LAST, REDUCE, SENDS, SIGNAL};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PySet, PyString, PyTuple};

/// Name, version and value of cells, and the names of cells that are objects.
type Others<'py> = (Bound<'py, PyList>, Bound<'py, PyList>);

/// Takes the names of the changed cells out of `bumped`, and stores the values that they hold under
/// name and version. Returns those that are not for this, if there are any.
#[pyfunction]
pub fn _store_changes<'py>(
    bumped: &Bound<'py, PySet>,
    kinds: &Bound<'py, PyDict>,
    versions: &Bound<'py, PyDict>,
    values: &Bound<'py, PyDict>,
    signals: &Bound<'py, PyDict>,
    into: &Bound<'py, PyDict>,
) -> PyResult<Option<Others<'py>>> {
    let py = bumped.py();
    let mut others: Option<Others<'py>> = None;
    let empty = || (PyList::empty(py), PyList::empty(py));
    for key in bumped.iter() {
        let kind = match kinds.get_item(&key)? {
            Some(kind) => kind.extract::<u8>()?,
            None => SENDS,
        };
        let held = match kind {
            LAST | REDUCE => values.get_item(&key)?,
            SIGNAL | GUARDED_SIGNAL => signals.get_item(&key)?,
            _ => {
                others.get_or_insert_with(empty).1.append(key)?;
                continue;
            }
        };
        if let (Some(value), Some(version)) = (held, versions.get_item(&key)?) {
            if is_unchanging(&value) {
                into.set_item((key, version), value)?;
            } else {
                let change = (key, version, value);
                others.get_or_insert_with(empty).0.append(change)?;
            }
        }
    }
    bumped.clear();
    Ok(others)
}

/// The row that is kept of a superstep's only task: what names it, then its writes, cells and stored
/// values in turn. What is a cell's new value, or was added to it, shares the stored form of that.
#[pyfunction]
pub fn _row_of<'py>(
    names: &Bound<'py, PyTuple>,
    writes: &Bound<'py, PyAny>,
    made: &Bound<'py, PyDict>,
    dumps: &Bound<'py, PyAny>,
    serde: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyTuple>> {
    let py = names.py();
    let mut row: Vec<Bound<'py, PyAny>> = names.iter().collect();
    for write in writes.try_iter()? {
        let write = write?;
        let (cell, value) = (write.get_item(0)?, write.get_item(1)?);
        let stored = if is_unchanging(&value) {
            value
        } else {
            let shared = match made.get_item(&cell)? {
                Some(forms) => shared(forms.cast::<PyTuple>()?, &value)?,
                None => None,
            };
            match shared {
                Some(stored) => stored,
                None => dumps.call1((serde, value, intern!(py, "written to the cell"), &cell))?,
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

fn is_unchanging(value: &Bound<'_, PyAny>) -> bool {
    value.is_none()
        || value.is_exact_instance_of::<PyInt>()
        || value.is_exact_instance_of::<PyString>()
        || value.is_exact_instance_of::<PyBool>()
        || value.is_exact_instance_of::<PyFloat>()
        || value.is_exact_instance_of::<PyBytes>()
}
