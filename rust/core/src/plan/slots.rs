//! Which slot of a run each node's value lies in: values that never live at the same time share one.
//!
//! A run in the static order knows when each value is freed, so slots are given out as registers are to
//! the intervals of straight-line code: a node takes one that is free when it has read its own sources,
//! the one freed last first, for that is still warm. There are then as many slots as values live at once.
//! (Linear scan register allocation, Poletto and Sarkar 1999, without spilling.)
//!
//! Where nodes run side by side, only what the graph orders may be relied on: a node takes over the slot
//! of a source that nobody but this node reads. All owners of a slot then form a path along which each
//! waits for the one before it. No fewer slots would do for a tree, nor for nodes that may all have run before
//! any of their values is read.
//!
//! Both count on it that a node gives up what it has read before its own value is stored, that a value which
//! nobody stores leaves the slot as empty as its last reader left it, and that kept values are not freed.

/// Where the values of nodes lie; nodes are numbered by position.
#[derive(Debug, PartialEq, Eq)]
pub struct Slots {
    /// The slot of each node.
    pub of: Vec<u32>,
    /// How many slots there are.
    pub count: u32,
}

/// What the readers of values are, by position.
pub struct Readers<'a> {
    /// `sources[starts[node]..starts[node + 1]]` are the nodes whose values a node reads, each once.
    pub starts: &'a [u32],
    pub sources: &'a [u32],
    /// How many nodes read each value.
    pub counts: &'a [u32],
    /// The last of them; [`KEPT`] for a value that is kept to the end of the run, as one that nobody reads must be.
    pub last: &'a [u32],
}

/// In place of the last reader of a value: none frees it.
pub const KEPT: u32 = u32::MAX;

impl Readers<'_> {
    fn sources_of(&self, node: usize) -> &[u32] {
        &self.sources[self.starts[node] as usize..self.starts[node + 1] as usize]
    }
}

impl Slots {
    /// A slot of its own for each node.
    pub fn one_to_one(nodes: usize) -> Self {
        Slots {
            of: (0..nodes as u32).collect(),
            count: nodes as u32,
        }
    }

    /// For runs that take the nodes in the static order.
    pub fn in_order(readers: &Readers<'_>) -> Self {
        let mut slots = Slots::none(readers);
        let mut free = Vec::new();
        for node in 0..readers.counts.len() {
            for &source in readers.sources_of(node) {
                if readers.last[source as usize] == node as u32 {
                    free.push(slots.of[source as usize]);
                }
            }
            let own = free.pop();
            slots.push(own);
        }
        slots
    }

    /// For runs whose nodes may run side by side, as far as the graph does not order them.
    pub fn side_by_side(readers: &Readers<'_>) -> Self {
        let mut slots = Slots::none(readers);
        for node in 0..readers.counts.len() {
            let is_left = |&&source: &&u32| {
                readers.counts[source as usize] == 1 && readers.last[source as usize] != KEPT
            };
            let left = readers.sources_of(node).iter().find(is_left);
            let own = left.map(|&source| slots.of[source as usize]);
            slots.push(own);
        }
        slots
    }

    fn none(readers: &Readers<'_>) -> Self {
        Slots {
            of: Vec::with_capacity(readers.counts.len()),
            count: 0,
        }
    }

    /// Gives the next node this slot, or a new one.
    fn push(&mut self, slot: Option<u32>) {
        self.of.push(slot.unwrap_or_else(|| {
            self.count += 1;
            self.count - 1
        }));
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// Sources by node; a value that nobody reads is kept, and those in `keep`.
    struct Graph {
        starts: Vec<u32>,
        sources: Vec<u32>,
        counts: Vec<u32>,
        last: Vec<u32>,
    }

    impl Graph {
        fn new(reads: &[Vec<u32>], keep: &[usize]) -> Self {
            let mut starts = vec![0];
            let mut sources = Vec::new();
            let mut counts = vec![0; reads.len()];
            for list in reads {
                sources.extend_from_slice(list);
                starts.push(sources.len() as u32);
                list.iter().for_each(|&source| counts[source as usize] += 1);
            }
            let reads_it = |node: usize, source: u32| reads[node].contains(&source);
            let mut last: Vec<u32> = (0..reads.len() as u32)
                .map(|source| (0..reads.len()).rfind(|&node| reads_it(node, source)))
                .map(|node| node.map_or(KEPT, |node| node as u32))
                .collect();
            keep.iter().for_each(|&node| last[node] = KEPT);
            Graph {
                starts,
                sources,
                counts,
                last,
            }
        }

        fn is_kept(&self, node: usize) -> bool {
            self.last[node] == KEPT
        }

        fn readers(&self) -> Readers<'_> {
            Readers {
                starts: &self.starts,
                sources: &self.sources,
                counts: &self.counts,
                last: &self.last,
            }
        }

        fn in_order(&self) -> Slots {
            Slots::in_order(&self.readers())
        }

        fn side_by_side(&self) -> Slots {
            Slots::side_by_side(&self.readers())
        }
    }

    fn chain(nodes: u32) -> Vec<Vec<u32>> {
        (0..nodes)
            .map(|node| node.checked_sub(1).into_iter().collect())
            .collect()
    }

    /// A binary reduction in the order of a depth-first search.
    fn reduction(leaves: u32, reads: &mut Vec<Vec<u32>>) -> u32 {
        let sources = match leaves {
            1 => vec![],
            _ => vec![reduction(leaves / 2, reads), reduction(leaves / 2, reads)],
        };
        reads.push(sources);
        reads.len() as u32 - 1
    }

    #[test]
    fn a_chain_needs_one_slot() {
        let graph = Graph::new(&chain(1000), &[]);
        assert_eq!(graph.in_order().count, 1);
        assert_eq!(graph.side_by_side().count, 1);
    }

    #[test]
    fn a_kept_value_has_its_slot_to_the_end() {
        let graph = Graph::new(&chain(5), &[2]);
        for slots in [graph.in_order(), graph.side_by_side()] {
            assert_eq!(slots.of, [0, 0, 0, 1, 1]);
        }
    }

    #[test]
    fn a_reduction_in_order_needs_a_slot_for_each_level() {
        for leaves in [2u32, 64, 1024] {
            let mut reads = Vec::new();
            reduction(leaves, &mut reads);
            let graph = Graph::new(&reads, &[]);
            assert_eq!(graph.in_order().count, leaves.ilog2() + 1);
            // All leaves may have run before any two are joined.
            assert_eq!(graph.side_by_side().count, leaves);
        }
    }

    #[test]
    fn side_by_side_no_slot_is_taken_over_from_a_value_that_others_read() {
        let graph = Graph::new(&[vec![], vec![0], vec![0], vec![1, 2]], &[]);
        assert_eq!(graph.in_order().of, [0, 1, 0, 0]);
        assert_eq!(graph.side_by_side().of, [0, 1, 2, 1]);
    }

    #[test]
    fn each_node_has_a_slot_of_its_own_if_that_is_wanted() {
        assert_eq!(Slots::one_to_one(3).of, [0, 1, 2]);
    }

    /// Graphs whose nodes read up to three of the twelve before them, made from a seed.
    fn random(seed: u64) -> Graph {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut next = move |below: u32| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 33) as u32 % below
        };
        let count = 2 + next(60);
        let mut reads = Vec::new();
        for node in 0..count {
            let mut list: Vec<u32> = (0..next(4))
                .filter_map(|_| node.checked_sub(1 + next(12)))
                .collect();
            list.sort_unstable();
            list.dedup();
            reads.push(list);
        }
        let keep: Vec<usize> = (0..count as usize).filter(|_| next(8) == 0).collect();
        Graph::new(&reads, &keep)
    }

    /// Which nodes come after which, by the edges alone.
    fn reachable(graph: &Graph) -> Vec<Vec<bool>> {
        let count = graph.counts.len();
        let mut before = vec![vec![false; count]; count];
        for node in 0..count {
            for &source in graph.readers().sources_of(node) {
                let source = source as usize;
                let further = before[source].clone();
                (0..count)
                    .filter(|&other| further[other])
                    .for_each(|other| before[node][other] = true);
                before[node][source] = true;
            }
        }
        before
    }

    #[test]
    fn in_order_no_value_is_overwritten_before_it_was_read() {
        for seed in 0..300 {
            let graph = random(seed);
            let slots = graph.in_order();
            let mut owner = vec![None; slots.count as usize];
            for node in 0..graph.counts.len() {
                for &source in graph.readers().sources_of(node) {
                    assert_eq!(owner[slots.of[source as usize] as usize], Some(source));
                }
                owner[slots.of[node] as usize] = Some(node as u32);
            }
            for node in (0..graph.counts.len()).filter(|&node| graph.is_kept(node)) {
                assert_eq!(owner[slots.of[node] as usize], Some(node as u32));
            }
        }
    }

    #[test]
    fn in_order_there_are_as_many_slots_as_values_live_at_once() {
        for seed in 0..300 {
            let graph = random(seed);
            let mut to_come = graph.counts.clone();
            let (mut live, mut most) = (0u32, 0);
            for node in 0..graph.counts.len() {
                for &source in graph.readers().sources_of(node) {
                    to_come[source as usize] -= 1;
                    let is_freed = to_come[source as usize] == 0 && !graph.is_kept(source as usize);
                    live -= u32::from(is_freed);
                }
                live += 1;
                most = most.max(live);
            }
            assert_eq!(graph.in_order().count, most);
        }
    }

    #[test]
    fn side_by_side_the_owners_of_a_slot_follow_all_readers_of_the_one_before() {
        for seed in 0..300 {
            let graph = random(seed);
            let slots = graph.side_by_side();
            let before = reachable(&graph);
            let count = graph.counts.len();
            for (late, before_it) in before.iter().enumerate() {
                let earlier = (0..late).filter(|&early| slots.of[early] == slots.of[late]);
                for early in earlier {
                    assert!(!graph.is_kept(early) && before_it[early]);
                    let is_reader =
                        |&node: &usize| graph.readers().sources_of(node).contains(&(early as u32));
                    for reader in (0..count).filter(is_reader) {
                        assert!(reader == late || before_it[reader]);
                    }
                }
            }
        }
    }
}
