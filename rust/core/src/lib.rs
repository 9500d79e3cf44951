//! The taskloom engine. There is no Python in this crate, so that `cargo test` and loom can check it alone.

pub mod cancel;
pub mod channel;
pub mod clock;
pub mod completion;
pub mod histogram;
pub mod latch;
pub mod note;
pub mod plan;
#[cfg(all(loom, test))]
#[path = "pool/crew.rs"]
mod pool_crew;
pub mod ready;
#[cfg(not(loom))]
pub mod run;
#[cfg(all(loom, test))]
#[path = "run/errand.rs"]
mod run_errand;
#[cfg(all(loom, test))]
#[path = "run/help.rs"]
mod run_help;
#[cfg(not(loom))]
pub mod slab;
pub mod sleep;
pub mod stats;
pub mod sync;
pub mod trace;

#[cfg(not(loom))]
pub mod injector;
#[cfg(not(loom))]
pub mod job;
#[cfg(not(loom))]
pub mod pool;
#[cfg(not(loom))]
pub mod timer;
