//! The taskloom engine. There is no Python in this crate, so that `cargo test` and loom can check it alone.

pub mod ready;
