//! `taskloom._taskloom`: the binding of the engine to CPython.

use pyo3::prelude::*;

mod attempt;
mod call;
mod cells;
mod chain;
mod context;
mod coro;
mod errors;
mod flow;
mod future;
mod ids;
mod method;
mod options;
mod outline;
mod packing;
mod patch;
mod plan;
mod pool;
mod ready;
mod record;
mod run;
mod sharing;
mod spare;
mod stored;
mod submitter;
mod superstep;
mod timer;
mod tracing;

#[pymodule(gil_used = false)]
mod _taskloom {
    use super::*;

    #[pymodule_export]
    use crate::attempt::{_PlainNode, _run_plain};
    #[pymodule_export]
    use crate::ids::{_digest, _task_id};
    #[pymodule_export]
    use crate::outline::_Outline;
    #[pymodule_export]
    use crate::patch::_diff;
    #[pymodule_export]
    use crate::plan::{_moves_into, Callee, Copies, GraphBuilder, Inferred, Node, Pack, Plan, Use};
    #[pymodule_export]
    use crate::ready::ReadyQueue;
    #[pymodule_export]
    use crate::run::{
        _after_fork_in_runs, _is_spawn, _know_spawn, _node_here, _pause, _run_here, _run_id_here,
        RunCore, RunSpans,
    };

    #[pymodule_export]
    use crate::stored::{_none_to, _store_put, _store_step};
    #[pymodule_export]
    use crate::superstep::{
        _absorb_writes, _apply_step, _bump, _checkpoint_id, _know_node, _next_version, _note_seen,
    };

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        let py = module.py();
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        call::note_main_thread(py)?;
        context::register(module)?;
        coro::register(module)?;
        future::register(module)?;
        future::register_waits(module)?;
        options::register(module)?;
        pool::register(module)?;
        submitter::register(module)?;
        tracing::register(module)?;
        sharing::share_functions(module);
        Ok(())
    }
}
