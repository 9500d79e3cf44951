//! The immutable compiled graph: flat arrays, checked once, run many times.
//!
//! Nodes are renumbered by their place in the static serial order, so that a serial run walks every
//! array from front to back and "everything before me" is "every smaller number". Whoever builds a plan
//! keeps its own tables in that order too; [`Layout::order`] says which node went where.
//!
//! The static order is depth-first: a finished node is followed by its first successor that became
//! ready, the other successors wait on a stack; one that gets a value from it, and besides only waits for
//! others, has its turn there even if the last of those ends later in its subtree. It is the order in which a single participant of a
//! parallel run takes the nodes unless some are more urgent, it touches a value while it is warm, and it
//! keeps few values alive. [`Plan::rank`] says which ready node a parallel run prefers; `priority` says why.

pub mod access;
mod priority;
pub mod slots;

pub use priority::{Preference, Urgency};
pub use slots::Slots;

/// Marks an edge that only orders two nodes: no value flows along it.
pub const ORDER_ONLY: u32 = 1 << 31;

/// Marks an edge along which not even a failure spreads: the node waits for the other, whatever its end.
pub const WAIT_ONLY: u32 = 1 << 30;

/// Marks an edge, among [`Dependencies`], along which no value flows. Only the static order knows it: a
/// node keeps its place among the children of the one that gives it a value.
pub const NO_VALUE: u32 = 1 << 29;

/// Marks an edge to who uses an object after the one that changes it. Who is left out has changed
/// nothing, so the other goes on; besides it is a dependency.
pub const SAME_OBJECT: u32 = 1 << 28;

/// The part of an edge that is the number of a node; the rest is flags.
pub const NODE: u32 = SAME_OBJECT - 1;

/// Most nodes a plan may have: the bits above are flags.
pub const MAX_NODES: usize = 1 << 28;

/// What each node waits for, by the caller's own numbering: `sources[starts[i]..starts[i + 1]]`, each
/// source at most once, with [`ORDER_ONLY`], [`WAIT_ONLY`] or [`SAME_OBJECT`] set where it is no
/// dependency proper.
pub struct Dependencies {
    pub starts: Vec<u32>,
    pub sources: Vec<u32>,
}

impl Dependencies {
    fn of(&self, node: usize) -> &[u32] {
        &self.sources[self.starts[node] as usize..self.starts[node + 1] as usize]
    }
}

/// The nodes of one cycle by the caller's numbering, each one waiting for the one before it and the
/// first for the last.
#[derive(Debug, PartialEq, Eq)]
pub struct Cycle(pub Vec<u32>);

/// A plan and where each of the caller's nodes went.
pub struct Layout {
    pub plan: Plan,
    /// `order[position]` is the caller's number of the node at that position.
    pub order: Vec<u32>,
    /// `position[node]` is the inverse.
    pub position: Vec<u32>,
    /// The effective priority of each of the caller's nodes.
    pub effective: Vec<f64>,
}

/// The shape of a graph; all numbers are positions in the static order.
pub struct Plan {
    starts: Box<[u32]>,
    successors: Box<[u32]>,
    joins: Box<[u32]>,
    entries: Box<[u32]>,
    /// The rank of each node, and the inverse; empty if ranks are positions.
    ranks: Box<[u32]>,
    at_rank: Box<[u32]>,
}

impl Plan {
    /// Checks and lays out a graph. Linear in nodes and edges, but for sorting by urgency. In the static
    /// order, of several nodes that are ready the one with the highest user priority goes first, then
    /// the one registered first.
    pub fn lay_out(dependencies: &Dependencies, urgency: &Urgency<'_>) -> Result<Layout, Cycle> {
        let count = dependencies.starts.len().saturating_sub(1);
        let (starts, mut successors) = transpose(dependencies, count);
        let mut entries: Vec<u32> = (0..count as u32)
            .filter(|&node| dependencies.of(node as usize).is_empty())
            .collect();
        if !urgency.priorities.is_empty() {
            let last_first = |edge: &u32| -i64::from(urgency.priorities[(edge & NODE) as usize]);
            entries.sort_by_key(last_first);
            for range in starts.windows(2) {
                successors[range[0] as usize..range[1] as usize].sort_by_key(last_first);
            }
        }
        let (order, waits) = depth_first(dependencies, &starts, &successors, &entries);
        if order.len() < count {
            return Err(find_cycle(dependencies, &waits));
        }
        let mut position = vec![0; count];
        for (place, &node) in order.iter().enumerate() {
            position[node as usize] = place as u32;
        }
        let effective = priority::effective(&starts, &successors, &order, urgency);
        let preferred = priority::preferred(
            dependencies,
            &starts,
            &mut successors,
            &mut entries,
            &effective,
            urgency.preference,
        );
        let (mut ranks, mut at_rank) = (Vec::new(), Vec::new());
        if let Some(preferred) = preferred {
            at_rank.extend(preferred.iter().map(|&node| position[node as usize]));
            ranks.resize(count, 0);
            for (rank, &place) in at_rank.iter().enumerate() {
                ranks[place as usize] = rank as u32;
            }
        }
        let mut plan_starts = Vec::with_capacity(count + 1);
        let mut plan_successors: Vec<u32> = Vec::with_capacity(successors.len());
        let mut joins = Vec::with_capacity(count);
        plan_starts.push(0);
        for &node in &order {
            let node = node as usize;
            let first = plan_successors.len();
            plan_successors.extend(
                successors[starts[node] as usize..starts[node + 1] as usize]
                    .iter()
                    .map(|&edge| position[(edge & NODE) as usize] | (edge & !(NODE | NO_VALUE))),
            );
            if !ranks.is_empty() {
                plan_successors[first..].sort_by_key(|&edge| ranks[(edge & NODE) as usize]);
            }
            plan_starts.push(plan_successors.len() as u32);
            joins.push(dependencies.of(node).len() as u32);
        }
        let mut entries: Vec<u32> = entries
            .iter()
            .map(|&node| position[node as usize])
            .collect();
        if !ranks.is_empty() {
            entries.sort_by_key(|&place| ranks[place as usize]);
        }
        let plan = Plan {
            starts: plan_starts.into(),
            successors: plan_successors.into(),
            joins: joins.into(),
            entries: entries.into(),
            ranks: ranks.into(),
            at_rank: at_rank.into(),
        };
        Ok(Layout {
            plan,
            order,
            position,
            effective,
        })
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.joins.len()
    }

    pub fn is_empty(&self) -> bool {
        self.joins.is_empty()
    }

    /// What waits for `node`, the most preferred first; flags may be set.
    #[inline(always)]
    pub fn successors(&self, node: u32) -> &[u32] {
        debug_assert!((node as usize) < self.len());
        // SAFETY: `starts` has one element more than there are nodes, never falls, and ends at the
        // length of `successors`; every node number in a plan is below its length by construction.
        unsafe {
            let start = *self.starts.get_unchecked(node as usize) as usize;
            let end = *self.starts.get_unchecked(node as usize + 1) as usize;
            self.successors.get_unchecked(start..end)
        }
    }

    /// How many nodes `node` waits for.
    #[inline(always)]
    pub fn join(&self, node: u32) -> u32 {
        debug_assert!((node as usize) < self.len());
        // SAFETY: as above.
        unsafe { *self.joins.get_unchecked(node as usize) }
    }

    /// The nodes that wait for nothing, the most preferred first.
    pub fn entries(&self) -> &[u32] {
        &self.entries
    }

    /// Which node a parallel run prefers of several that are ready: that of the lowest rank.
    #[inline(always)]
    pub fn rank(&self, node: u32) -> u32 {
        match self.ranks.is_empty() {
            true => node,
            false => self.ranks[node as usize],
        }
    }

    /// The node of a rank.
    #[inline(always)]
    pub fn at_rank(&self, rank: u32) -> u32 {
        match self.at_rank.is_empty() {
            true => rank,
            false => self.at_rank[rank as usize],
        }
    }
}

/// Turns "waits for" into "is waited for by", keeping the caller's order among the waiting.
fn transpose(dependencies: &Dependencies, count: usize) -> (Vec<u32>, Vec<u32>) {
    let mut starts = vec![0u32; count + 1];
    for &edge in &dependencies.sources {
        starts[(edge & NODE) as usize + 1] += 1;
    }
    for node in 0..count {
        starts[node + 1] += starts[node];
    }
    let mut next = starts.clone();
    let mut successors = vec![0u32; dependencies.sources.len()];
    for node in 0..count {
        for &edge in dependencies.of(node) {
            let place = &mut next[(edge & NODE) as usize];
            successors[*place as usize] = node as u32 | (edge & !NODE);
            *place += 1;
        }
    }
    (starts, successors)
}

/// Where a node stands in the search for the static order.
#[derive(Clone, Copy)]
enum Standing {
    /// Its turn comes as soon as it is ready.
    Free,
    /// It has one source of values and other sources: its turn comes among the children of that one.
    ByParent,
    /// It stands there, ready or not.
    OnStack,
    /// It was not ready when its turn came.
    Passed,
}

/// How nodes stand at first; empty if all are free.
fn stand_by_parents(dependencies: &Dependencies, count: usize) -> Vec<Standing> {
    if dependencies.sources.iter().all(|edge| edge & NO_VALUE == 0) {
        return Vec::new();
    }
    let stand = |node| {
        let sources = dependencies.of(node);
        let values = sources.iter().filter(|&edge| edge & NO_VALUE == 0).count();
        match values == 1 && sources.len() > 1 {
            true => Standing::ByParent,
            false => Standing::Free,
        }
    };
    (0..count).map(stand).collect()
}

/// The depth-first order, and how many sources each node still waits for: if the order does not hold
/// every node, there is a cycle among those that wait.
fn depth_first(
    dependencies: &Dependencies,
    starts: &[u32],
    successors: &[u32],
    entries: &[u32],
) -> (Vec<u32>, Vec<u32>) {
    let count = starts.len() - 1;
    let mut waits: Vec<u32> = (0..count)
        .map(|node| dependencies.of(node).len() as u32)
        .collect();
    let mut standing = stand_by_parents(dependencies, count);
    let mut stack: Vec<u32> = entries.iter().rev().copied().collect();
    let mut order = Vec::with_capacity(count);
    while let Some(node) = stack.pop() {
        if waits[node as usize] > 0 {
            standing[node as usize] = Standing::Passed;
            continue;
        }
        order.push(node);
        let bottom = stack.len();
        let range = starts[node as usize] as usize..starts[node as usize + 1] as usize;
        for &edge in &successors[range] {
            let successor = edge & NODE;
            let wait = &mut waits[successor as usize];
            *wait -= 1;
            match standing.get(successor as usize) {
                Some(Standing::ByParent) => {
                    if edge & NO_VALUE == 0 {
                        standing[successor as usize] = Standing::OnStack;
                        stack.push(successor);
                    }
                }
                Some(Standing::OnStack) => {}
                None | Some(Standing::Free | Standing::Passed) => {
                    if *wait == 0 {
                        stack.push(successor);
                    }
                }
            }
        }
        stack[bottom..].reverse();
    }
    (order, waits)
}

/// Walks from any blocked node to one that blocks it until a node comes twice.
fn find_cycle(dependencies: &Dependencies, waits: &[u32]) -> Cycle {
    let blocked = |node: u32| waits[node as usize] > 0;
    let mut path: Vec<u32> = Vec::new();
    let mut seen_at = vec![u32::MAX; waits.len()];
    let mut node = (0..waits.len() as u32)
        .find(|&node| blocked(node))
        .unwrap_or(0);
    while seen_at[node as usize] == u32::MAX {
        seen_at[node as usize] = path.len() as u32;
        path.push(node);
        let blocker = dependencies
            .of(node as usize)
            .iter()
            .map(|edge| edge & NODE)
            .find(|&source| blocked(source));
        // A blocked node always has a blocked source: all its sources having run would have freed it.
        let Some(blocker) = blocker else { break };
        node = blocker;
    }
    let mut cycle = path.split_off(seen_at[node as usize] as usize);
    cycle.reverse();
    Cycle(cycle)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(waits_for: &[&[u32]]) -> Result<Layout, Cycle> {
        let mut starts = vec![0];
        let mut sources = Vec::new();
        for list in waits_for {
            sources.extend_from_slice(list);
            starts.push(sources.len() as u32);
        }
        Plan::lay_out(&Dependencies { starts, sources }, &Urgency::default())
    }

    fn order(waits_for: &[&[u32]]) -> Vec<u32> {
        layout(waits_for)
            .map(|layout| layout.order)
            .unwrap_or_default()
    }

    #[test]
    fn independent_nodes_keep_the_order_of_registration() {
        assert_eq!(order(&[&[], &[], &[]]), [0, 1, 2]);
    }

    #[test]
    fn the_order_goes_deep_before_it_goes_wide() {
        assert_eq!(order(&[&[], &[0], &[0], &[1], &[2]]), [0, 1, 3, 2, 4]);
    }

    #[test]
    fn a_reduction_tree_joins_as_early_as_it_can() {
        assert_eq!(
            order(&[&[], &[], &[], &[], &[0, 1], &[2, 3], &[4, 5]]),
            [0, 1, 4, 2, 3, 5, 6]
        );
    }

    #[test]
    fn of_the_ready_nodes_the_most_urgent_goes_first() {
        let graph = Dependencies {
            starts: vec![0, 0, 0, 1, 2, 3],
            sources: vec![1, 1, 1],
        };
        let urgency = Urgency {
            priorities: &[0, 5, 0, -1, 3],
            ..Urgency::default()
        };
        let order = Plan::lay_out(&graph, &urgency).map(|layout| layout.order);
        assert_eq!(order.ok(), Some(vec![1, 4, 2, 3, 0]));
    }

    #[test]
    fn a_node_that_also_waits_for_others_keeps_its_place_among_its_parents_children() {
        let w = NO_VALUE;
        // 1 and 2 are children of 0, 2 also waits for 1; 3 is a child of 1.
        assert_eq!(order(&[&[], &[0], &[0, 1 | w], &[1]]), [0, 1, 3, 2]);
        // 1 waits for a child of 2: passed in its turn, it comes as soon as it can.
        assert_eq!(order(&[&[], &[0, 3 | w], &[0], &[2]]), [0, 2, 3, 1]);
    }

    #[test]
    fn numbers_inside_a_plan_are_positions() {
        let Ok(layout) = layout(&[&[1 | ORDER_ONLY], &[]]) else {
            panic!("no cycle here")
        };
        assert_eq!(layout.order, [1, 0]);
        assert_eq!(layout.position, [1, 0]);
        assert_eq!(layout.plan.entries(), [0]);
        assert_eq!(layout.plan.successors(0), [1 | ORDER_ONLY]);
        assert_eq!((layout.plan.join(0), layout.plan.join(1)), (0, 1));
    }

    #[test]
    fn a_cycle_is_named_in_the_order_of_waiting() {
        assert_eq!(
            layout(&[&[], &[0, 3], &[1], &[2]]).err(),
            Some(Cycle(vec![2, 3, 1]))
        );
    }

    #[test]
    fn a_node_that_waits_for_itself_is_a_cycle() {
        assert_eq!(layout(&[&[0]]).err(), Some(Cycle(vec![0])));
    }

    #[test]
    fn the_empty_graph_has_an_empty_plan() {
        assert!(layout(&[]).is_ok_and(|layout| layout.plan.is_empty()));
    }
}
