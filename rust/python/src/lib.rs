//! `taskloom._taskloom`: the binding of the engine to CPython.

use pyo3::prelude::*;

#[pymodule(gil_used = false)]
mod _taskloom {
    use super::*;

    #[pymodule_init]
    fn init(m: &Bound<'_, PyModule>) -> PyResult<()> {
        m.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
