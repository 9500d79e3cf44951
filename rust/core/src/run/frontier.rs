//! The ready nodes of a run where threads exclude each other, the most preferred one first.
//!
//! A set of small numbers that gives its least: one bit for each rank, over it one bit for each word that
//! is not empty, and so on until one word is left. Putting in and taking out touch one word as a rule, and
//! one per level at worst: five levels hold a thousand million ranks. The least is kept at hand, for it
//! is asked for at every node. (A van Emde Boas tree cut flat, as priority bitmaps of schedulers are.)

/// The least of an empty frontier: above every rank.
const NONE: u32 = u32::MAX;

pub struct Frontier {
    least: u32,
    /// From the bits of the ranks upwards; the last level is one word.
    levels: Box<[Box<[u64]>]>,
}

impl Frontier {
    /// An empty frontier for the ranks below `count`.
    pub fn new(count: usize) -> Self {
        let mut levels = Vec::new();
        let mut words = count.div_ceil(64).max(1);
        loop {
            levels.push(vec![0; words].into());
            if words == 1 {
                break;
            }
            words = words.div_ceil(64);
        }
        Frontier {
            least: NONE,
            levels: levels.into(),
        }
    }

    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.least == NONE
    }

    #[inline(always)]
    pub fn insert(&mut self, rank: u32) {
        self.least = self.least.min(rank);
        let mut place = rank as usize;
        for level in &mut self.levels {
            let word = &mut level[place / 64];
            let before = *word;
            *word = before | 1 << (place % 64);
            if before != 0 {
                return;
            }
            place /= 64;
        }
    }

    /// Takes out the least.
    #[inline(always)]
    pub fn pop(&mut self) -> Option<u32> {
        if self.is_empty() {
            return None;
        }
        let least = self.least;
        let mut place = least as usize;
        for level in &mut self.levels {
            let word = &mut level[place / 64];
            *word &= !(1 << (place % 64));
            if *word != 0 {
                break;
            }
            place /= 64;
        }
        let word = least / 64;
        self.least = match self.levels[0][word as usize] {
            0 => self.search(),
            bits => word * 64 + bits.trailing_zeros(),
        };
        Some(least)
    }

    /// Puts `rank` in and takes the least out.
    #[inline(always)]
    pub fn exchange(&mut self, rank: u32) -> u32 {
        if self.least > rank {
            return rank;
        }
        self.insert(rank);
        self.pop().unwrap_or(rank)
    }

    /// The least rank by the bits, from the top down.
    fn search(&self) -> u32 {
        let mut place = 0;
        for level in self.levels.iter().rev() {
            match level[place] {
                0 => return NONE,
                bits => place = place * 64 + bits.trailing_zeros() as usize,
            }
        }
        place as u32
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn it_gives_what_an_ordered_set_gives() {
        for count in [1u32, 63, 64, 65, 4_096, 4_097, 300_000] {
            let mut frontier = Frontier::new(count as usize);
            let mut model = BTreeSet::new();
            let mut state = u64::from(count) | 1;
            for step in 0..3_000 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                let rank = (state >> 20) as u32 % count;
                match state % 3 {
                    0 => assert_eq!(frontier.pop(), model.pop_first(), "step {step} of {count}"),
                    1 if !model.contains(&rank) => {
                        model.insert(rank);
                        let least = model.pop_first();
                        assert_eq!(Some(frontier.exchange(rank)), least);
                    }
                    _ => {
                        frontier.insert(rank);
                        model.insert(rank);
                    }
                }
                assert_eq!(frontier.is_empty(), model.is_empty());
            }
            while let Some(least) = model.pop_first() {
                assert_eq!(frontier.pop(), Some(least));
            }
            assert_eq!(frontier.pop(), None);
        }
    }

    #[test]
    fn the_frontier_of_an_empty_plan_is_empty() {
        assert_eq!(Frontier::new(0).pop(), None);
    }
}
