//! Runs of plans: the values and errors of one execution, and the handle that Python holds.

mod caller;
mod copying;
mod current;
mod deferred;
mod ending;
mod execution;
mod failure;
mod flow;
mod fork;
mod forwarding;
mod handle;
mod scratch;
mod spans;
mod spawned;
mod taking;
mod watch;
mod windows;

pub use current::{_node_here, _run_id_here, is_at_node, know_stepped, token_here};
pub use flow::_pause;
pub use fork::_after_fork_in_runs;
pub use handle::RunCore;
pub use spans::RunSpans;
pub use spawned::{_is_spawn, _know_spawn, _run_here};
