//! What a pool is made with: its host, and its settings.

use crate::ready::Order;
use crate::sync::Arc;

/// What the pool needs from the process that it lives in.
pub trait Host: Send + Sync + 'static {
    /// Starts a thread that calls [`Pool::work`] with this index; false if none can be started.
    /// Called attached, with no lock of the pool held.
    fn spawn(&self, index: usize) -> bool;
    /// Takes the interpreter for this thread; blocks until it has it.
    fn attach(&self);
    /// Gives the interpreter up.
    fn detach(&self);
    /// Whether the thread keeps something (called detached) that it should let go of before it
    /// sleeps; [`Host::tidy`] is then called attached.
    fn is_untidy(&self) -> bool;
    fn tidy(&self);
    /// The clock of deadlines, in the ticks that jobs were submitted with.
    fn now(&self) -> u64;
}

/// What a pool is made with.
#[derive(Clone, Debug)]
pub struct Settings {
    pub max_workers: usize,
    /// How many workers more may be started while others block.
    pub max_spares: usize,
    /// Whether the interpreter can be held by one thread only.
    pub gated: bool,
    /// Whether what a worker submits goes to its own deque. Where one thread runs at a time there
    /// is nothing to gain, and one queue keeps the order of submission exactly.
    pub local_queues: bool,
    /// How many jobs such a deque may hold; what is more goes to the shared queue.
    pub local_bound: Option<usize>,
    /// For each regular worker the others in the order in which to steal from them; empty for any
    /// order.
    pub nearest: Arc<[Box<[usize]>]>,
    /// How many submitted jobs may be queued or held; None for any number.
    pub bound: Option<usize>,
    pub order: Order,
    /// Whether latencies are recorded.
    pub timing: bool,
}
