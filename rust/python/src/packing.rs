//! Bytes of values, from the packer of the package's own serializer.

use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyBytes;

/// What the package's own serializer packs values with: its class, the function and its options.
static PACKING: PyOnceLock<(Py<PyAny>, Py<PyAny>, Py<PyAny>)> = PyOnceLock::new();

/// The bytes of a value, if they are to be had from the packer at once: the serializer is the package's
/// own, and the value has no parts that it must walk through. Else it is asked, in its usual way.
pub fn packed<'py>(
    serde: &Bound<'py, PyAny>,
    value: &Bound<'py, PyAny>,
) -> PyResult<Option<Bound<'py, PyBytes>>> {
    let py = serde.py();
    let (class, pack, options) = PACKING.get_or_try_init(py, || {
        let module = py.import("taskloom.pregel.checkpoint.serde.jsonplus")?;
        let named = |name| Ok::<_, PyErr>(module.getattr(name)?.unbind());
        Ok::<_, PyErr>((
            named("JsonPlusSerializer")?,
            named("_packb")?,
            named("_OPTIONS")?,
        ))
    })?;
    if !serde.get_type().is(class) {
        return Ok(None);
    }
    let default = serde.getattr(intern!(py, "_default"))?;
    match pack.bind(py).call1((value, default, options)) {
        Ok(raw) => Ok(Some(raw.cast_into()?)),
        Err(error) if error.is_instance_of::<PyTypeError>(py) => Ok(None),
        Err(error) => Err(error),
    }
}
