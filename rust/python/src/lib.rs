//! `taskloom._taskloom`: the binding of the engine to CPython.

mod errors;
mod plan;
mod run;

use pyo3::prelude::*;

#[pymodule(gil_used = false)]
mod _taskloom {
    use super::*;

    #[pymodule_export]
    use crate::plan::{Callee, GraphBuilder, Node, Plan};
    #[pymodule_export]
    use crate::run::RunCore;

    #[pymodule_init]
    fn init(m: &Bound<'_, PyModule>) -> PyResult<()> {
        m.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
