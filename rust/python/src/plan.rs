//! Graphs and plans: the builder that collects nodes, the compiler, and the tables that a run follows.

mod access;
mod assemble;
mod builder;
mod compile;
mod node;
mod reader;
mod table;
mod template;
mod values;

pub use access::Use;
pub use builder::{Callee, GraphBuilder};
pub use compile::Plan;
pub use node::Node;
pub use table::{DEFERRED, PLAIN, Policy, SLOT, Step, Tables};
pub use values::Values;
