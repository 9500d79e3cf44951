//! A checkpoint without the values of its cells, as one flat tuple: which version each cell has, what
//! each node has seen, which cells were updated, the metadata. Reading it is for Python; see
//! `parts_of` in `taskloom.pregel.checkpoint.memory.line`.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::critical_section::with_critical_section;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

/// Whether a value is text, a number or the like: stored as it is, because it cannot change.
pub fn is_unchanging(value: &Bound<'_, PyAny>) -> bool {
    value.is_none()
        || value.is_exact_instance_of::<PyInt>()
        || value.is_exact_instance_of::<PyString>()
        || value.is_exact_instance_of::<PyBool>()
        || value.is_exact_instance_of::<PyFloat>()
        || value.is_exact_instance_of::<PyBytes>()
}

/// The parts of a record so far, and whether all were fit for one.
struct Parts<'py> {
    found: Vec<Bound<'py, PyAny>>,
    fit: bool,
}

impl<'py> Parts<'py> {
    fn with_room_for(parts: usize) -> Self {
        Self {
            found: Vec::with_capacity(parts),
            fit: true,
        }
    }

    fn name(&mut self, name: Bound<'py, PyAny>) {
        self.fit &= name.is_exact_instance_of::<PyString>();
        self.found.push(name);
    }

    fn count(&mut self, py: Python<'py>, count: usize) {
        self.found.push(PyInt::new(py, count).into_any());
    }

    /// Adds how many pairs a map has, then its keys and values in turn, the latter in their form.
    fn pairs(
        &mut self,
        pairs: &Bound<'py, PyDict>,
        form: impl Fn(&mut Self, Bound<'py, PyAny>) -> PyResult<()>,
    ) -> PyResult<()> {
        // Nothing in here runs a program's code, so the map stays locked.
        with_critical_section(pairs, || {
            self.count(pairs.py(), pairs.len());
            for (key, value) in pairs {
                self.name(key);
                form(self, value)?;
            }
            Ok(())
        })
    }

    fn unchanging(&mut self, value: Bound<'py, PyAny>) -> PyResult<()> {
        self.fit &= is_unchanging(&value);
        self.found.push(value);
        Ok(())
    }

    fn versions(&mut self, versions: Bound<'py, PyAny>) -> PyResult<()> {
        let Ok(versions) = versions.cast_exact::<PyDict>() else {
            self.fit = false;
            return Ok(());
        };
        self.pairs(versions, Self::unchanging)
    }

    /// Adds names of cells, if there is a list of them.
    fn names(&mut self, names: &Bound<'py, PyAny>) {
        if let Ok(names) = names.cast_exact::<PyList>() {
            self.count(names.py(), names.len());
            for name in names {
                self.name(name);
            }
        } else {
            self.fit &= names.is_none();
            self.found.push(names.clone());
        }
    }

    /// A value of the metadata: a map becomes a tuple.
    fn fact(&mut self, value: Bound<'py, PyAny>) -> PyResult<()> {
        let Ok(map) = value.cast_exact::<PyDict>() else {
            return self.unchanging(value);
        };
        let mut inner = Self::with_room_for(2 * map.len() + 1);
        inner.pairs(map, Self::unchanging)?;
        self.fit &= inner.fit;
        let form = PyTuple::new(value.py(), inner.found)?;
        self.found.push(form.into_any());
        Ok(())
    }
}

/// The record of a checkpoint: what it is given first, then None and the parts of its versions, of what
/// nodes have seen, of the names of updated cells and of the metadata; or else a serializer's tag and
/// bytes for these.
pub fn record_of<'py>(
    serde: &Bound<'py, PyAny>,
    first: [Bound<'py, PyAny>; 3],
    versions: &Bound<'py, PyDict>,
    seen: &Bound<'py, PyDict>,
    (updated, metadata): &(Bound<'py, PyAny>, Bound<'py, PyAny>),
) -> PyResult<Bound<'py, PyTuple>> {
    let py = serde.py();
    if let Ok(metadata) = metadata.cast_exact::<PyDict>() {
        let room = 2 * (versions.len() + metadata.len()) + 6 * seen.len() + 12;
        let mut parts = Parts::with_room_for(room);
        parts.found.extend_from_slice(&first);
        parts.found.push(py.None().into_bound(py));
        parts.versions(versions.clone().into_any())?;
        parts.pairs(seen, Parts::versions)?;
        parts.names(updated);
        parts.pairs(metadata, Parts::fact)?;
        if parts.fit {
            return PyTuple::new(py, parts.found);
        }
    }
    let body = (versions, seen, updated, metadata)
        .into_pyobject(py)?
        .to_list();
    let dumped = serde.call_method1(intern!(py, "dumps_typed"), (body,))?;
    let (tag, raw) = dumped.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>()?;
    let [frame, parent, stamp] = first;
    (frame, parent, stamp, tag, raw).into_pyobject(py)
}
