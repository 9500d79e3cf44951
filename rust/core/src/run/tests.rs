use super::*;
use crate::plan::{Dependencies, NODE, ORDER_ONLY, Preference, Urgency, WAIT_ONLY};
use crate::pool::{Host, Pool, Settings};
use crate::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::*};
use std::sync::{Arc, OnceLock, Weak};
use std::thread::JoinHandle;

#[derive(Default)]
struct Threads {
    pool: OnceLock<Weak<Pool>>,
    handles: Mutex<Vec<JoinHandle<()>>>,
}

impl Host for Arc<Threads> {
    fn spawn(&self, index: usize) -> bool {
        let Some(pool) = self.pool.get().and_then(Weak::upgrade) else {
            return false;
        };
        self.handles
            .lock()
            .push(std::thread::spawn(move || pool.work(index)));
        true
    }
    fn attach(&self) {}
    fn detach(&self) {}
    fn is_untidy(&self) -> bool {
        false
    }
    fn tidy(&self) {}
    fn now(&self) -> u64 {
        0
    }
}

struct Workers {
    pool: Arc<Pool>,
    threads: Arc<Threads>,
}

impl Workers {
    fn new(count: usize) -> Self {
        let threads = Arc::new(Threads::default());
        let settings = Settings {
            max_workers: count,
            max_spares: 0,
            local_bound: None,
            nearest: Arc::default(),
            gated: false,
            local_queues: true,
            bound: None,
            order: crate::ready::Order::default(),
            timing: false,
        };
        let pool = Pool::new(Box::new(Arc::clone(&threads)), settings);
        assert!(threads.pool.set(Arc::downgrade(&pool)).is_ok());
        Workers { pool, threads }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.pool.close();
        while let Some(handle) = { self.threads.handles.lock().pop() } {
            assert!(handle.join().is_ok());
        }
    }
}

/// What the nodes of a test do: each notes when it ran; some fail, some end elsewhere.
struct Script<const EXCLUSIVE: bool = false> {
    shape: Plan,
    clock: AtomicU32,
    ran_at: Box<[AtomicU32]>,
    let_go: Box<[AtomicU32]>,
    outcomes: Vec<Outcome>,
    order_only: OrderOnly,
    pending: Mutex<Vec<u32>>,
    /// Nodes that are pending, without having run, when they are first executed.
    held_back: Mutex<Vec<u32>>,
    finished: AtomicUsize,
    recycled: Arc<Mutex<Option<State>>>,
}

impl<const EXCLUSIVE: bool> Script<EXCLUSIVE> {
    fn new(shape: Plan, outcomes: Vec<Outcome>) -> Self {
        let zeros = || (0..shape.len()).map(|_| AtomicU32::new(0)).collect();
        Script {
            clock: AtomicU32::new(0),
            ran_at: zeros(),
            let_go: zeros(),
            outcomes,
            order_only: OrderOnly::Skip,
            pending: Mutex::new(Vec::new()),
            held_back: Mutex::new(Vec::new()),
            finished: AtomicUsize::new(0),
            recycled: Arc::default(),
            shape,
        }
    }

    fn ran(&self) -> Vec<bool> {
        self.ran_at
            .iter()
            .map(|time| time.load(Acquire) > 0)
            .collect()
    }
}

// SAFETY: it claims nothing.
unsafe impl<const EXCLUSIVE: bool> NodeExec for Script<EXCLUSIVE> {
    const EXCLUSIVE: bool = EXCLUSIVE;
    type Scratch = ();

    fn shape(&self) -> &Plan {
        &self.shape
    }

    fn scratch(&self) {}

    // SAFETY: safe with any node; the trait's contract is not used.
    unsafe fn execute<const SERIAL: bool>(&self, node: u32, (): &mut ()) -> Outcome {
        let held_back = {
            let mut held_back = self.held_back.lock();
            let place = held_back.iter().position(|&other| other == node);
            place.map(|place| held_back.swap_remove(place))
        };
        if held_back.is_some() {
            self.pending.lock().push(node);
            return Outcome::Pending;
        }
        let time = self.clock.fetch_add(1, AcqRel) + 1;
        assert_eq!(
            self.ran_at[node as usize].swap(time, AcqRel),
            0,
            "node {node} ran twice"
        );
        self.let_go[node as usize].fetch_add(1, AcqRel);
        let outcome = self
            .outcomes
            .get(node as usize)
            .copied()
            .unwrap_or(Outcome::Done);
        if outcome == Outcome::Pending {
            self.pending.lock().push(node);
        }
        outcome
    }

    // SAFETY: as `execute`.
    unsafe fn skip<const SERIAL: bool>(&self, node: u32) {
        self.let_go[node as usize].fetch_add(1, AcqRel);
    }

    fn order_only(&self, _node: u32) -> OrderOnly {
        self.order_only
    }

    fn poll(&self, (): &mut ()) -> bool {
        true
    }

    fn park(&self, event: &Event) -> bool {
        let _ = event.wait(None);
        true
    }

    fn finished(&self) {
        self.finished.fetch_add(1, AcqRel);
    }

    fn recycle(&mut self, state: State) {
        *self.recycled.lock() = Some(state);
    }
}

fn plan(waits_for: &[Vec<u32>]) -> Plan {
    lay_out(waits_for, &Urgency::default())
}

fn lay_out(waits_for: &[Vec<u32>], urgency: &Urgency<'_>) -> Plan {
    let mut starts = vec![0];
    let mut sources = Vec::new();
    for list in waits_for {
        sources.extend_from_slice(list);
        starts.push(sources.len() as u32);
    }
    match Plan::lay_out(&Dependencies { starts, sources }, urgency) {
        Ok(layout) => layout.plan,
        Err(cycle) => panic!("{cycle:?}"),
    }
}

/// A pseudo-random graph: what node `i` waits for, all of it below `i`.
fn random_graph(nodes: u32, seed: u64) -> Vec<Vec<u32>> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = move |bound: u32| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 33) as u32 % bound.max(1)
    };
    let mut graph = Vec::new();
    for node in 0..nodes {
        let mut sources: Vec<u32> = (0..next(4).min(node)).map(|_| next(node)).collect();
        sources.sort_unstable();
        sources.dedup();
        graph.push(sources);
    }
    graph
}

fn check_order(run: &Run<Script>) {
    let script = run.exec();
    for node in 0..script.shape.len() as u32 {
        let own = script.ran_at[node as usize].load(Acquire);
        for &edge in script.shape.successors(node) {
            let later = script.ran_at[(edge & NODE) as usize].load(Acquire);
            assert!(later == 0 || own < later, "a node ran before its source");
        }
    }
}

#[test]
fn every_node_of_a_shared_run_runs_once_and_after_its_sources() {
    for workers in [1, 3] {
        let workers = Workers::new(workers);
        for seed in 0..40 {
            let script: Script = Script::new(plan(&random_graph(300, seed)), vec![]);
            let state = State::new(&script.shape);
            let run = Arc::new(Run::shared(script, state, &workers.pool, 4));
            // SAFETY: nothing has to be attached here, and the run is run once.
            unsafe { run.run_shared() };
            assert!(run.is_over() && run.marks().clean());
            assert!(run.exec().ran().iter().all(|ran| *ran));
            assert_eq!(run.exec().finished.load(Acquire), 1);
            check_order(&run);
        }
    }
}

#[test]
fn a_started_run_is_run_by_workers_alone() {
    let workers = Workers::new(2);
    for seed in 0..40 {
        let script: Script = Script::new(plan(&random_graph(200, seed)), vec![]);
        let state = State::new(&script.shape);
        let run = Arc::new(Run::shared(script, state, &workers.pool, 4));
        // SAFETY: as above.
        unsafe { run.start() };
        let _ = run.wait(None);
        assert!(run.exec().ran().iter().all(|ran| *ran));
        check_order(&run);
    }
}

#[test]
fn a_state_serves_one_run_after_the_other_failures_included() {
    let workers = Workers::new(2);
    let graph = random_graph(300, 7);
    let mut state = None;
    for round in 0..30 {
        let mut outcomes = vec![Outcome::Done; 300];
        if round % 3 == 0 {
            outcomes[20 + round] = Outcome::Failed;
        }
        if round % 7 == 0 {
            outcomes[50] = Outcome::Fatal;
        }
        let script: Script = Script::new(plan(&graph), outcomes.clone());
        let recycled = Arc::clone(&script.recycled);
        let fresh = State::new(&script.shape);
        let run = Arc::new(Run::shared(
            script,
            state.take().unwrap_or(fresh),
            &workers.pool,
            4,
        ));
        // SAFETY: as above.
        unsafe { run.run_shared() };
        assert!(
            run.exec()
                .let_go
                .iter()
                .all(|count| count.load(Acquire) == 1)
        );
        for node in 0..300 {
            let expected = run.exec().ran()[node as usize];
            assert_eq!(
                matches!(run.marks().get(node), Mark::Done | Mark::Failed),
                expected
            );
        }
        drop(run);
        // A worker that has yet to leave may be the one that drops it.
        while recycled.lock().is_none() {
            std::thread::yield_now();
        }
        state = recycled.lock().take();
    }
}

#[test]
fn a_failure_skips_the_same_nodes_however_it_is_run() {
    let workers = Workers::new(3);
    for seed in 0..40 {
        let graph = random_graph(120, seed);
        let outcomes: Vec<Outcome> = (0..120)
            .map(|node| {
                if node % 17 == 5 {
                    Outcome::Failed
                } else {
                    Outcome::Done
                }
            })
            .collect();
        let make = || Script::<false>::new(plan(&graph), outcomes.clone());
        let serial = Arc::new(Run::new(make(), State::new(&plan(&graph))));
        // SAFETY: as above.
        unsafe { serial.run_serial() };
        let shared = Arc::new(Run::shared(
            make(),
            State::new(&plan(&graph)),
            &workers.pool,
            4,
        ));
        // SAFETY: as above.
        unsafe { shared.run_shared() };
        assert_eq!(serial.exec().ran(), shared.exec().ran());
        let kind = |mark| std::mem::discriminant(&mark);
        for node in 0..120 {
            assert_eq!(
                kind(serial.marks().get(node)),
                kind(shared.marks().get(node))
            );
        }
    }
}

#[test]
fn a_failure_does_not_spread_along_an_edge_that_only_waits() {
    let outcomes = vec![Outcome::Failed];
    let shape = || plan(&[vec![], vec![WAIT_ONLY], vec![ORDER_ONLY], vec![1]]);
    let run = Arc::new(Run::new(
        Script::<false>::new(shape(), outcomes),
        State::new(&shape()),
    ));
    // SAFETY: as above.
    unsafe { run.run_serial() };
    assert_eq!(run.exec().ran(), [true, true, true, false]);
    assert_eq!(run.marks().get(3), Mark::Skipped(0));
}

/// Runs all nodes while another thread sees to those that are pending.
fn run_while_pending(run: &Arc<Run<Script>>, see_to: fn(&Arc<Run<Script>>, u32)) {
    let other = Arc::clone(run);
    let thread = std::thread::spawn(move || {
        while !other.is_over() {
            let node = { other.exec().pending.lock().pop() };
            match node {
                Some(node) => see_to(&other, node),
                None => std::thread::yield_now(),
            }
        }
    });
    // SAFETY: nothing has to be attached here, and the run is run once.
    unsafe { run.run_shared() };
    assert!(thread.join().is_ok());
    assert!(run.exec().ran().iter().all(|ran| *ran));
    check_order(run);
}

#[test]
fn pending_nodes_are_completed_from_outside() {
    let workers = Workers::new(2);
    for seed in 0..20 {
        let outcomes = (0..150).map(|node| {
            if node % 5 == 0 {
                Outcome::Pending
            } else {
                Outcome::Done
            }
        });
        let script: Script = Script::new(plan(&random_graph(150, seed)), outcomes.collect());
        let state = State::new(&script.shape);
        let run = Arc::new(Run::shared(script, state, &workers.pool, 4));
        run_while_pending(&run, |run, node| run.complete(node, Outcome::Done));
    }
}

#[test]
fn nodes_that_were_held_back_are_executed_again() {
    let workers = Workers::new(2);
    for seed in 0..20 {
        let script: Script = Script::new(plan(&random_graph(150, seed)), vec![]);
        script.held_back.lock().extend((0..150).step_by(3));
        let state = State::new(&script.shape);
        let run = Arc::new(Run::shared(script, state, &workers.pool, 4));
        run_while_pending(&run, Run::again);
    }
}

#[test]
fn a_stopped_run_starts_nothing_more_and_ends() {
    let workers = Workers::new(2);
    let script: Script = Script::new(plan(&random_graph(100, 3)), vec![]);
    let state = State::new(&script.shape);
    let run = Arc::new(Run::shared(script, state, &workers.pool, 4));
    run.marks().stop();
    // SAFETY: as above.
    unsafe { run.run_shared() };
    assert!(run.is_over());
    assert!(run.exec().ran().iter().all(|ran| !ran));
    assert_eq!(run.marks().get(0), Mark::Cancelled);
}

/// The nodes by the time at which one participant alone ran them.
fn alone<const EXCLUSIVE: bool>(shape: Plan) -> Vec<u32> {
    let workers = Workers::new(1);
    let state = State::new(&shape);
    let script = Script::<EXCLUSIVE>::new(shape, vec![]);
    let run = Arc::new(Run::shared(script, state, &workers.pool, 4));
    // Joined by nobody: so threads exclude each other, too.
    run.hold_off_help();
    // SAFETY: as above.
    unsafe { run.run_shared() };
    let time = |node: u32| run.exec().ran_at[node as usize].load(Acquire);
    let mut nodes: Vec<u32> = (0..run.exec().shape.len() as u32).collect();
    nodes.sort_by_key(|&node| time(node));
    nodes
}

fn by_rank(shape: &Plan) -> Vec<u32> {
    (0..shape.len() as u32)
        .map(|rank| shape.at_rank(rank))
        .collect()
}

#[test]
fn one_participant_takes_the_nodes_in_the_order_of_ranks() {
    for seed in 0..20 {
        let shape = || plan(&random_graph(200, seed));
        assert_eq!(alone::<false>(shape()), by_rank(&shape()));
        assert_eq!(alone::<true>(shape()), by_rank(&shape()));
    }
}

#[test]
fn where_threads_exclude_each_other_the_most_urgent_ready_node_goes_first() {
    for seed in 0..20 {
        let graph = random_graph(200, seed);
        let urgency = Urgency {
            preference: Preference::MostUrgent,
            ..Urgency::default()
        };
        let shape = lay_out(&graph, &urgency);
        let mut waits: Vec<u32> = (0..200).map(|node| shape.join(node)).collect();
        let mut expected = Vec::new();
        for _ in 0..200 {
            let ready = (0..200).filter(|&node| waits[node as usize] == 0);
            let Some(next) = ready.min_by_key(|&node| shape.rank(node)) else {
                panic!("nothing is ready")
            };
            waits[next as usize] = u32::MAX;
            for &edge in shape.successors(next) {
                waits[(edge & NODE) as usize] -= 1;
            }
            expected.push(next);
        }
        assert_eq!(alone::<true>(shape), expected);
    }
}

#[test]
fn a_run_without_nodes_is_over_at_once() {
    let workers = Workers::new(1);
    for started in [false, true] {
        let script: Script = Script::new(plan(&[]), vec![]);
        let state = State::new(&script.shape);
        let run = Arc::new(Run::shared(script, state, &workers.pool, 4));
        // SAFETY: as above.
        unsafe {
            if started {
                run.start()
            } else {
                run.run_shared()
            }
        };
        assert!(run.is_over());
        let _ = run.wait(None);
    }
}
