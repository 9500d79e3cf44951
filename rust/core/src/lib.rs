//! The taskloom engine. There is no Python in this crate, so that `cargo test` and loom can check it alone.

pub mod clock;
pub mod histogram;
pub mod ready;
pub mod stats;
