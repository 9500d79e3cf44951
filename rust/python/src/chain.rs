//! The next version of a list that has only grown: what was added to it, upon its last version. The
//! rules are those of `Chain` in `taskloom.pregel.checkpoint.patch`, whose attributes are read and set.

use crate::outline::_Outline;
use crate::packing::packed;
use crate::patch::extended;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

/// Links of a chain.
const LONGEST: usize = 256;

/// What a patch is taken to cost besides what was added, in bytes.
const PATCH: usize = 31;

/// The stored form of a list's new version; what was added to the list, and the stored form of that.
type Lengthened<'py> = (Bound<'py, PyAny>, (Bound<'py, PyList>, Bound<'py, PyAny>));

/// Stores a list upon its last version if it is known to have only grown, whole if the patches would
/// cost too much; None if it is not known, or the serializer is not the package's own.
pub fn lengthened<'py>(
    serde: &Bound<'py, PyAny>,
    values: &Bound<'py, PyDict>,
    chain: &Bound<'py, PyAny>,
    (cell, version, list): (&Bound<'py, PyAny>, &Bound<'py, PyAny>, &Bound<'py, PyList>),
) -> PyResult<Option<Lengthened<'py>>> {
    let py = serde.py();
    let items = chain.getattr(intern!(py, "items"))?.extract::<usize>()?;
    let outline = chain.getattr(intern!(py, "outline"))?;
    let before = (cell, chain.getattr(intern!(py, "version"))?);
    let (Ok(outline), Some(base)) = (outline.cast::<_Outline>(), values.get_item(before)?) else {
        return Ok(None);
    };
    if items == 0 {
        return Ok(None);
    }
    // Not known while this may fail.
    chain.setattr(intern!(py, "items"), 0)?;
    if outline.try_borrow_mut()?.grown(list) != items {
        return Ok(None);
    }
    let tag = intern!(py, "msgpack");
    let added = list.get_slice(items, list.len());
    let Some(raw) = packed(serde, &added)? else {
        return Ok(None);
    };
    let links = chain.getattr(intern!(py, "links"))?.extract::<usize>()?;
    let patched = chain.getattr(intern!(py, "patched"))?.extract::<usize>()?;
    let size = chain.getattr(intern!(py, "size"))?.extract::<usize>()?;
    let patched = patched + raw.as_bytes().len() + PATCH;
    let made = extended(py, items, size, added.len(), raw.as_bytes());
    if let Some(((head, old_head, kept, tail, rest), size)) = made
        && patched * 4 <= size
        && links < LONGEST
    {
        chain.setattr(intern!(py, "version"), version)?;
        chain.setattr(intern!(py, "raw"), py.None())?;
        chain.setattr(intern!(py, "size"), size)?;
        chain.setattr(intern!(py, "links"), links + 1)?;
        chain.setattr(intern!(py, "patched"), patched)?;
        chain.setattr(intern!(py, "items"), items + added.len())?;
        let stored = (tag, base, head, old_head, kept, tail, rest).into_pyobject(py)?;
        let addition = (tag, raw).into_pyobject(py)?;
        return Ok(Some((stored.into_any(), (added, addition.into_any()))));
    }
    let Some(raw) = packed(serde, list)? else {
        return Ok(None);
    };
    chain.call_method1(intern!(py, "restart"), (version, tag, &raw))?;
    chain.setattr(intern!(py, "items"), items + added.len())?;
    let stored = (tag, raw).into_pyobject(py)?;
    let nothing = (PyList::empty(py), py.None().into_bound(py));
    Ok(Some((stored.into_any(), nothing)))
}
