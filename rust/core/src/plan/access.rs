//! The edges that follow from how nodes use values: sequential task flow.
//!
//! All uses of an object order by registration. Readers come after its last writer and depend on it; a
//! writer comes after all readers since the last writer, but a failed reader does not keep it from
//! running. A writer that is left out, because its case of a branch was not taken, has not written: it
//! keeps nobody from running either. A node that an object was forwarded to stands for it from then on, and after its taker
//! nobody may use it, but for nodes of other cases of the same branch: of those and the taker only one runs. They
//! are ordered all the same, which costs nothing. One pass over the nodes and what they use, linear in both.

use std::collections::HashMap;

use super::{NODE, SAME_OBJECT, WAIT_ONLY};

/// The ways in which a node needs a value for itself. Reading and copying share it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    Write,
    Forward,
    Take,
}

/// A use that shares a value with nobody, by the caller's numbering.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exclusive {
    pub node: u32,
    pub source: u32,
    pub mode: Mode,
}

/// What follows from the uses of values, by the caller's numbering.
#[derive(Default, Debug, PartialEq, Eq)]
pub struct Inferred {
    /// `(after, before with flags)`; a pair may come more than once.
    pub edges: Vec<(u32, u32)>,
    /// `(node, source)` where a node takes the value of a source.
    pub takes: Vec<(u32, u32)>,
    /// The nodes that stand for an object that is taken in the end.
    pub gone: Vec<u32>,
    /// The nodes that made the objects somebody needs for himself.
    pub contested: Vec<u32>,
}

/// Uses that do not go together.
#[derive(Debug, PartialEq, Eq)]
pub enum Conflict {
    /// `node` uses `source` after `taker` has taken the object.
    AfterTake { node: u32, source: u32, taker: u32 },
    /// `node` uses one object through two sources, and one of the uses is exclusive.
    Twice { node: u32, source: u32, other: u32 },
    /// `node` needs `source` for itself, but `now` stands for that object.
    Superseded { node: u32, source: u32, now: u32 },
    /// `node` takes what is only lent to the run.
    Borrowed { node: u32, source: u32 },
}

/// Which nodes run in one case of a branch only: by node, the branches and cases that it is in.
#[derive(Default, Clone, Debug)]
pub struct Cases(pub HashMap<u32, Vec<(u32, u32)>>);

impl Cases {
    /// Whether at most one of two nodes runs, for they are in different cases of a branch.
    fn exclude(&self, one: u32, other: u32) -> bool {
        let (Some(one), Some(other)) = (self.0.get(&one), self.0.get(&other)) else {
            return false;
        };
        let apart = |(branch, case): &(u32, u32)| {
            let same = other.iter().find(|(its, _)| its == branch);
            same.is_some_and(|(_, its)| its != case)
        };
        one.iter().any(apart)
    }
}

const NONE: u32 = u32::MAX;

/// What is known of an object that somebody needs for himself.
struct Object {
    readers: Vec<u32>,
    writer: u32,
    /// The nodes that it was forwarded to, in order. Of those that a node does not exclude, the last one stands
    /// for it; without any, its maker does.
    forwarded: Vec<u32>,
    takers: Vec<u32>,
    lent: bool,
}

/// Infers the edges. `starts` and `sources` say whose values each node uses, each at most once;
/// `exclusive` is ordered by node; `lent` are the nodes whose values belong to somebody else.
pub fn infer(
    starts: &[u32],
    sources: &[u32],
    exclusive: &[Exclusive],
    lent: &[u32],
    cases: &Cases,
) -> Result<Inferred, Conflict> {
    let count = starts.len().saturating_sub(1);
    let mut inferred = Inferred::default();
    // Which node made the object that a node stands for; itself, but where an object was forwarded to it.
    let mut maker: Vec<u32> = (0..count as u32).collect();
    // By maker, the number of the object in `objects`.
    let mut object_of = vec![NONE; count];
    let mut objects: Vec<Object> = Vec::new();
    for used in exclusive {
        let thing = maker[used.source as usize];
        if object_of[thing as usize] == NONE {
            object_of[thing as usize] = objects.len() as u32;
            inferred.contested.push(thing);
            objects.push(Object {
                readers: Vec::new(),
                writer: NONE,
                forwarded: Vec::new(),
                takers: Vec::new(),
                lent: false,
            });
        }
        if used.mode == Mode::Forward {
            maker[used.node as usize] = thing;
        }
    }
    for &node in lent {
        if let Some(object) = objects.get_mut(object_of[node as usize] as usize) {
            object.lent = true;
        }
    }
    let mut pending = exclusive.iter().copied().peekable();
    // What the present node has used: the object, by which source, and whether for itself.
    let mut touched: Vec<(u32, u32, bool)> = Vec::new();
    let mut own: Vec<Exclusive> = Vec::new();
    for node in 0..count as u32 {
        touched.clear();
        own.clear();
        while let Some(used) = pending.next_if(|used| used.node <= node) {
            own.push(used);
        }
        let range = starts[node as usize] as usize..starts[node as usize + 1] as usize;
        for &source in &sources[range] {
            let number = object_of[maker[source as usize] as usize];
            let Some(object) = objects.get_mut(number as usize) else {
                continue;
            };
            let mode = own.iter().find(|used| used.source == source);
            let mode = mode.map(|used| used.mode);
            let before = |other: &&u32| !cases.exclude(node, **other);
            if let Some(&taker) = object.takers.iter().find(before) {
                return Err(Conflict::AfterTake {
                    node,
                    source,
                    taker,
                });
            }
            let twice = touched
                .iter()
                .find(|(other, _, alone)| *other == number && (*alone || mode.is_some()));
            if let Some(&(_, other, _)) = twice {
                return Err(Conflict::Twice {
                    node,
                    source,
                    other,
                });
            }
            touched.push((number, source, mode.is_some()));
            if object.writer != NONE {
                inferred.edges.push((node, object.writer | SAME_OBJECT));
            }
            let Some(mode) = mode else {
                object.readers.push(node);
                continue;
            };
            let last = object.forwarded.iter().rfind(before);
            let now = last.copied().unwrap_or(maker[source as usize]);
            if now != source {
                return Err(Conflict::Superseded { node, source, now });
            }
            debug_assert!(node & !NODE == 0);
            let waits = object.readers.drain(..);
            inferred
                .edges
                .extend(waits.map(|reader| (node, reader | WAIT_ONLY)));
            object.writer = node;
            match mode {
                Mode::Write => {}
                Mode::Forward => object.forwarded.push(node),
                Mode::Take if object.lent => return Err(Conflict::Borrowed { node, source }),
                Mode::Take => {
                    object.takers.push(node);
                    inferred.takes.push((node, source));
                }
            }
        }
    }
    for node in 0..count as u32 {
        let number = object_of[maker[node as usize] as usize] as usize;
        if objects
            .get(number)
            .is_some_and(|object| !object.takers.is_empty())
        {
            inferred.gone.push(node);
        }
    }
    Ok(inferred)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nodes as lists of what they use; an exclusive use has its mode.
    fn of_cases(
        nodes: &[&[(u32, Option<Mode>)]],
        lent: &[u32],
        cases: &Cases,
    ) -> Result<Inferred, Conflict> {
        let (mut starts, mut sources, mut exclusive) = (vec![0], vec![], vec![]);
        for (node, uses) in nodes.iter().enumerate() {
            for &(source, mode) in *uses {
                sources.push(source);
                exclusive.extend(mode.map(|mode| Exclusive {
                    node: node as u32,
                    source,
                    mode,
                }));
            }
            starts.push(sources.len() as u32);
        }
        infer(&starts, &sources, &exclusive, lent, cases)
    }

    /// No node is in a case.
    fn of(nodes: &[&[(u32, Option<Mode>)]], lent: &[u32]) -> Result<Inferred, Conflict> {
        of_cases(nodes, lent, &Cases::default())
    }

    const READ: Option<Mode> = None;
    const WRITE: Option<Mode> = Some(Mode::Write);
    const FORWARD: Option<Mode> = Some(Mode::Forward);
    const TAKE: Option<Mode> = Some(Mode::Take);

    #[test]
    fn a_writer_waits_for_readers_and_later_readers_depend_on_it() {
        let found = of(&[&[], &[(0, READ)], &[(0, WRITE)], &[(0, READ)]], &[]);
        let edges = found.map(|found| found.edges);
        assert_eq!(edges, Ok(vec![(2, 1 | WAIT_ONLY), (3, 2 | SAME_OBJECT)]));
    }

    #[test]
    fn values_that_are_only_read_make_no_edges() {
        let found = of(&[&[], &[(0, READ)], &[(0, READ)]], &[]);
        assert_eq!(found, Ok(Inferred::default()));
    }

    #[test]
    fn who_an_object_was_forwarded_to_stands_for_it() {
        let found = of(&[&[], &[(0, FORWARD)], &[(1, TAKE)]], &[]);
        let found = found.unwrap_or_default();
        assert_eq!(found.edges, [(2, 1 | SAME_OBJECT)]);
        assert_eq!(found.takes, [(2, 1)]);
        assert_eq!(found.gone, [0, 1]);
        assert_eq!(found.contested, [0]);
    }

    #[test]
    fn a_use_after_a_take_is_a_conflict() {
        let conflict = Conflict::AfterTake {
            node: 2,
            source: 0,
            taker: 1,
        };
        assert_eq!(of(&[&[], &[(0, TAKE)], &[(0, READ)]], &[]), Err(conflict));
    }

    #[test]
    fn writing_past_a_forwarder_is_a_conflict() {
        let conflict = Conflict::Superseded {
            node: 2,
            source: 0,
            now: 1,
        };
        let found = of(&[&[], &[(0, FORWARD)], &[(0, WRITE)]], &[]);
        assert_eq!(found, Err(conflict));
    }

    #[test]
    fn using_an_object_by_two_names_is_a_conflict_if_one_use_is_exclusive() {
        let conflict = Conflict::Twice {
            node: 2,
            source: 1,
            other: 0,
        };
        let found = of(&[&[], &[(0, FORWARD)], &[(0, READ), (1, WRITE)]], &[]);
        assert_eq!(found, Err(conflict));
    }

    /// Nodes 1 and 2 in two cases of one branch.
    fn two_cases() -> Cases {
        Cases(HashMap::from([(1, vec![(9, 0)]), (2, vec![(9, 1)])]))
    }

    #[test]
    fn two_cases_of_a_branch_may_take_the_same_object() {
        let found = of_cases(&[&[], &[(0, TAKE)], &[(0, TAKE)]], &[], &two_cases());
        let found = found.unwrap_or_default();
        assert_eq!(found.takes, [(1, 0), (2, 0)]);
        assert_eq!(found.edges, [(2, 1 | SAME_OBJECT)]);
        assert_eq!(found.gone, [0]);
    }

    #[test]
    fn a_use_after_the_branch_conflicts_with_the_take_in_a_case() {
        let nodes: &[&[_]] = &[&[], &[(0, TAKE)], &[(0, READ)], &[(0, READ)]];
        let conflict = Conflict::AfterTake {
            node: 3,
            source: 0,
            taker: 1,
        };
        assert_eq!(of_cases(nodes, &[], &two_cases()), Err(conflict));
    }

    #[test]
    fn in_each_case_the_object_stands_where_that_case_put_it() {
        let nodes: &[&[_]] = &[&[], &[(0, FORWARD)], &[(0, FORWARD)]];
        assert!(of_cases(nodes, &[], &two_cases()).is_ok());
        let nodes: &[&[_]] = &[&[], &[(0, FORWARD)], &[(1, WRITE)]];
        let conflict = Conflict::Superseded {
            node: 2,
            source: 1,
            now: 0,
        };
        assert_eq!(of_cases(nodes, &[], &two_cases()), Err(conflict));
    }

    #[test]
    fn cases_of_different_branches_exclude_nothing() {
        let cases = Cases(HashMap::from([(1, vec![(8, 0)]), (2, vec![(9, 1)])]));
        let conflict = Conflict::AfterTake {
            node: 2,
            source: 0,
            taker: 1,
        };
        let found = of_cases(&[&[], &[(0, TAKE)], &[(0, TAKE)]], &[], &cases);
        assert_eq!(found, Err(conflict));
    }

    #[test]
    fn taking_what_is_lent_is_a_conflict() {
        let conflict = Conflict::Borrowed { node: 1, source: 0 };
        assert_eq!(of(&[&[], &[(0, TAKE)]], &[0]), Err(conflict));
    }
}
