//! A run that finds the state of an earlier one allocates nothing per node.
#![cfg(not(loom))]
#![cfg(not(loom))]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::{Arc, Mutex};

use taskloom_core::latch::Event;
use taskloom_core::plan::{Dependencies, Plan, Urgency};
use taskloom_core::run::{NodeExec, OrderOnly, Outcome, Run, State};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: everything is left to the system's allocator; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // A thread that is ending has no count any more, and needs none.
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's contract.
        unsafe { System.alloc(layout) }
    }

    // SAFETY: as `alloc`.
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct Nothing {
    shape: Arc<Plan>,
    left: Arc<Mutex<Option<State>>>,
}

// SAFETY: it claims nothing.
unsafe impl NodeExec for Nothing {
    const EXCLUSIVE: bool = false;
    type Scratch = ();

    fn shape(&self) -> &Plan {
        &self.shape
    }

    fn scratch(&self) {}

    // SAFETY: safe with any node; the trait's contract is not used.
    unsafe fn execute<const SERIAL: bool>(&self, _node: u32, (): &mut ()) -> Outcome {
        Outcome::Done
    }

    // SAFETY: as `execute`.
    unsafe fn skip<const SERIAL: bool>(&self, _node: u32) {}

    fn order_only(&self, _node: u32) -> OrderOnly {
        OrderOnly::Skip
    }

    fn poll(&self, (): &mut ()) -> bool {
        true
    }

    fn park(&self, _event: &Event) -> bool {
        true
    }

    fn finished(&self) {}

    fn recycle(&mut self, state: State) {
        if let Ok(mut left) = self.left.lock() {
            *left = Some(state);
        }
    }
}

/// Each node waits for the two before it.
fn plan(nodes: u32) -> Arc<Plan> {
    let mut starts = vec![0];
    let mut sources = Vec::new();
    for node in 0..nodes {
        sources.extend((node.saturating_sub(2)..node).rev());
        starts.push(sources.len() as u32);
    }
    match Plan::lay_out(&Dependencies { starts, sources }, &Urgency::default()) {
        Ok(layout) => Arc::new(layout.plan),
        Err(cycle) => panic!("{cycle:?}"),
    }
}

/// Allocations of a run that comes after another one.
fn allocations(nodes: u32) -> usize {
    let shape = plan(nodes);
    let left = Arc::new(Mutex::new(None));
    let mut counted = 0;
    for _ in 0..3 {
        let before = ALLOCATIONS.with(Cell::get);
        let state = left.lock().ok().and_then(|mut left| left.take());
        let state = state.unwrap_or_else(|| State::new(&shape));
        let exec = Nothing {
            shape: Arc::clone(&shape),
            left: Arc::clone(&left),
        };
        let run = Arc::new(Run::new(exec, state));
        // SAFETY: nothing has to be attached here, and the run is run once.
        unsafe { run.run_serial() };
        assert!(run.is_over());
        drop(run);
        counted = ALLOCATIONS.with(Cell::get) - before;
    }
    counted
}

#[test]
fn a_second_run_allocates_as_much_for_ten_nodes_as_for_ten_thousand() {
    assert_eq!(allocations(10), allocations(10_000));
}
