//! Graphs and plans: the builder that collects nodes, the compiler, and the tables that a run follows.

mod access;
mod assemble;
mod builder;
mod callee;
mod compile;
mod copying;
mod infer;
mod moving;
mod node;
mod pack;
mod reader;
mod table;
mod template;
mod values;
mod window;
mod wire;

pub use access::Use;
pub use builder::GraphBuilder;
pub use callee::Callee;
pub use compile::Plan;
pub use copying::{Copies, copied};
pub use infer::Inferred;
pub use moving::{_moves_into, give_up};
pub use node::Node;
pub use pack::Pack;
pub use table::{DEFERRED, Kind, PLAIN, Policy, SLOT, Step, TAKEN, TAKING, Tables, Wiring};
pub use template::CONSTANT;
pub use values::Values;
pub use window::Window;
