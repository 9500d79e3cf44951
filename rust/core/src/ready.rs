//! The ready queue: what may start now, and which of it starts first.
//!
//! Eight priority bands, 0 the most urgent. A band holds a FIFO of what has no deadline, a run of
//! what came in the order of its deadlines, and a heap of what did not; a mask with one bit a band
//! finds the first that holds anything. With default options an item thus costs one append and one
//! take, whatever else is queued; one binary heap over (priority, deadline, order) would cost its
//! logarithm always.
//!
//! The order, most significant first:
//!
//! 1. The band. A deadline that nears draws its item forward: with `slack` ticks left of a
//!    `lead` of ticks, an item of band `b` ranks with band `⌈b · slack / lead⌉`, so it is among
//!    band 0 when it falls due. Past its deadline it goes before everything, or back to its own
//!    band, as [`OverdueOrder`] says.
//! 2. Within a band, the earliest deadline; items without one come after those with one.
//! 3. The order of submission.
//!
//! **Nothing starves.** Every `aging`-th pop takes the oldest head instead of the most urgent one:
//! of all FIFO fronts and heap tops, the one that was submitted first. An item of a FIFO with `k`
//! older items in the queue therefore leaves within `aging · (k + 1)` pops; an item with a deadline
//! leaves at the latest when its own deadline is the earliest, which the passing of time brings
//! about. Counting pops instead of reading a clock keeps the default path free of clock reads:
//! `now` is asked for only while something queued has a deadline.
//!
//! A plain data structure: who shares it, locks it. Ticks are whatever monotonic unit the caller
//! uses throughout.

mod deadlines;
mod fifo;
mod heap;

use deadlines::{Deadlines, Place};
use fifo::Fifo;

/// Number of priority bands.
pub const BANDS: usize = 8;
/// The band of an item with priority 0.
pub const DEFAULT_BAND: usize = 4;

#[derive(Clone, Copy)]
struct Entry<T> {
    sequence: u64,
    item: T,
}

/// Where an item goes whose deadline has passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OverdueOrder {
    /// Before everything else: to run it first, or to fail it without delay.
    #[default]
    First,
    /// Back to its own band, so that late items do not make others late (the domino effect of
    /// earliest-deadline-first under overload). While it is at the head of its band's deadlines,
    /// it also keeps those behind it in that band.
    InBand,
}

/// How a [`ReadyQueue`] orders what it holds.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    /// Ticks before a deadline from which on it draws its item forward; 0 for never.
    pub lead: u64,
    /// Every how many pops the oldest head goes first; 0 for never (low priority may starve).
    pub aging: u32,
    /// What becomes of overdue items.
    pub overdue: OverdueOrder,
}

impl Default for Order {
    fn default() -> Self {
        Self {
            lead: 0,
            aging: 64,
            overdue: OverdueOrder::First,
        }
    }
}

/// An item that left the queue to be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Popped<T> {
    /// What was pushed.
    pub item: T,
    /// The band that it was pushed to.
    pub band: u8,
    /// Whether its deadline had passed: the caller may skip it or report it.
    pub overdue: bool,
}

/// Items that may start, in bands, by deadline and by age. See the module's text for the order.
pub struct ReadyQueue<T> {
    sequence: u64,
    len: usize,
    /// Bit `b` is set while `fifos[b]` holds something.
    fifo_mask: u8,
    /// Bit `b` is set while `heaps[b]` holds something.
    heap_mask: u8,
    /// Pops left until the oldest head goes first.
    turns: u32,
    order: Order,
    /// No queued deadline is earlier. Lowered by pushes, made exact when it is reached.
    deadline_bound: u64,
    fifos: [Fifo<T>; BANDS],
    heaps: [Deadlines<T>; BANDS],
}

/// A head of the queue and what it is compared by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    /// 0 for an overdue item that goes first, else one more than the band it counts as.
    band: u64,
    deadline: u64,
    sequence: u64,
}

impl<T: Copy> ReadyQueue<T> {
    /// An empty queue; it takes memory only when something is pushed.
    pub const fn new(order: Order) -> Self {
        Self {
            sequence: 0,
            len: 0,
            fifo_mask: 0,
            heap_mask: 0,
            turns: order.aging,
            order,
            deadline_bound: u64::MAX,
            fifos: [const { Fifo::new() }; BANDS],
            heaps: [const { Deadlines::new() }; BANDS],
        }
    }

    /// How many items were ever pushed.
    pub fn pushed(&self) -> u64 {
        self.sequence
    }

    /// How many items are queued.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is queued.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many items each band holds.
    pub fn depths(&self) -> [usize; BANDS] {
        std::array::from_fn(|band| self.fifos[band].len() + self.heaps[band].len())
    }

    /// The bands that hold something, bit `b` for band `b`. A copy of it in an atomic lets others
    /// see without the lock whether anything more urgent waits.
    #[inline]
    pub fn bands(&self) -> u8 {
        self.fifo_mask | self.heap_mask
    }

    /// Whether something queued has a deadline, that is whether `pop` will ask for the time.
    #[inline]
    pub fn has_deadlines(&self) -> bool {
        self.heap_mask != 0
    }

    /// Whether the next pop takes the oldest head, whatever is more urgent.
    pub fn ages_next(&self) -> bool {
        self.turns == 1
    }

    /// Queues `item` in `band` (the last band for any larger number), to be started by `deadline`.
    #[inline]
    pub fn push(&mut self, item: T, band: usize, deadline: Option<u64>) {
        let band = band.min(BANDS - 1);
        let sequence = self.sequence;
        self.sequence += 1;
        self.len += 1;
        let entry = Entry { sequence, item };
        if let Some(deadline) = deadline {
            self.heaps[band].push(deadline, entry);
            self.heap_mask |= 1 << band;
            self.deadline_bound = self.deadline_bound.min(deadline);
        } else {
            self.fifos[band].push(entry);
            self.fifo_mask |= 1 << band;
        }
    }

    /// Takes the item that is to start next; `now` is called only while a deadline is queued.
    #[inline]
    pub fn pop(&mut self, now: impl FnOnce() -> u64) -> Option<Popped<T>> {
        let bands = self.bands();
        if bands == 0 {
            return None;
        }
        if self.turns == 1 {
            return self.pop_aged(now);
        }
        self.turns = self.turns.saturating_sub(1);
        let band = bands.trailing_zeros() as usize;
        if self.heap_mask == 0 {
            return self.take_fifo(band);
        }
        let now = now();
        if now.saturating_add(self.order.lead) >= self.deadline_bound {
            return self.pop_urgent(now);
        }
        if self.heap_mask & (1 << band) != 0 {
            self.take_heap(band, now)
        } else {
            self.take_fifo(band)
        }
    }

    /// Removes the item that was submitted first, in constant time unless deadlines are queued;
    /// then it may look at each of those.
    pub fn remove_oldest(&mut self) -> Option<T> {
        let mut least = u64::MAX;
        let mut found = None;
        for band in bits(self.fifo_mask) {
            if let Some(front) = self.fifos[band].front()
                && front.sequence < least
            {
                least = front.sequence;
                found = Some((band, None));
            }
        }
        for band in bits(self.heap_mask) {
            if let Some((place, sequence)) = self.heaps[band].oldest(least) {
                least = sequence;
                found = Some((band, Some(place)));
            }
        }
        match found? {
            (band, Some(place)) => self.remove_from_heap(band, place),
            (band, None) => self.take_fifo(band).map(|popped| popped.item),
        }
    }

    /// Removes the item that is needed least, in the reverse of the queue's order: of the least
    /// urgent band the newest without a deadline, else the one with the latest deadline (which
    /// looks at each deadline of that band). Nothing is removed when every item is more urgent
    /// than `than`, a band: an arrival does not displace what matters more.
    pub fn remove_lowest(&mut self, than: usize) -> Option<T> {
        let bands = self.bands();
        if bands == 0 {
            return None;
        }
        let band = 7 - bands.leading_zeros() as usize;
        if band < than.min(BANDS - 1) {
            return None;
        }
        if let Some(entry) = self.fifos[band].pop_back() {
            self.len -= 1;
            self.note_fifo(band);
            return Some(entry.item);
        }
        let place = self.heaps[band].last()?;
        self.remove_from_heap(band, place)
    }

    /// Takes out the items that `goes` names, which it is asked of all; the others keep their order.
    pub fn take_out(&mut self, mut goes: impl FnMut(&T) -> bool) -> Vec<T> {
        let mut out = Vec::new();
        for band in bits(self.bands()) {
            self.fifos[band].take_out(&mut goes, &mut out);
            self.heaps[band].take_out(&mut goes, &mut out);
            self.note_fifo(band);
            self.note_heap(band);
        }
        self.len -= out.len();
        out
    }

    fn remove_from_heap(&mut self, band: usize, place: Place) -> Option<T> {
        let item = self.heaps[band].remove(place)?;
        self.len -= 1;
        self.note_heap(band);
        Some(item)
    }

    #[inline]
    fn take_fifo(&mut self, band: usize) -> Option<Popped<T>> {
        let entry = self.fifos[band].pop_front()?;
        self.len -= 1;
        self.note_fifo(band);
        Some(Popped {
            item: entry.item,
            band: band as u8,
            overdue: false,
        })
    }

    #[inline]
    fn take_heap(&mut self, band: usize, now: u64) -> Option<Popped<T>> {
        let (deadline, item) = self.heaps[band].pop()?;
        self.len -= 1;
        self.note_heap(band);
        Some(Popped {
            item,
            band: band as u8,
            overdue: now > deadline,
        })
    }

    #[inline]
    fn note_fifo(&mut self, band: usize) {
        if self.fifos[band].is_empty() {
            self.fifo_mask &= !(1 << band);
        }
    }

    #[inline]
    fn note_heap(&mut self, band: usize) {
        if self.heaps[band].is_empty() {
            self.heap_mask &= !(1 << band);
        }
    }

    /// The turn of the oldest head.
    #[cold]
    fn pop_aged(&mut self, now: impl FnOnce() -> u64) -> Option<Popped<T>> {
        self.turns = self.order.aging;
        let fronts = bits(self.fifo_mask)
            .filter_map(|band| Some((self.fifos[band].front()?.sequence, band, false)));
        let tops =
            bits(self.heap_mask).filter_map(|band| Some((self.heaps[band].first()?.1, band, true)));
        let (_, band, timed) = fronts.chain(tops).min()?;
        if timed {
            self.take_heap(band, now())
        } else {
            self.take_fifo(band)
        }
    }

    /// A deadline is near or past, or the bound was out of date: compares all heads.
    #[inline(never)]
    fn pop_urgent(&mut self, now: u64) -> Option<Popped<T>> {
        let mut best: Option<(Rank, usize, bool)> = None;
        if self.fifo_mask != 0 {
            let band = self.fifo_mask.trailing_zeros() as usize;
            let rank = Rank {
                band: band as u64 + 1,
                deadline: u64::MAX,
                sequence: u64::MAX,
            };
            best = Some((rank, band, false));
        }
        let mut bound = u64::MAX;
        for band in bits(self.heap_mask) {
            let Some((deadline, sequence)) = self.heaps[band].first() else {
                continue;
            };
            bound = bound.min(deadline);
            let rank = Rank {
                band: self.urgency(band as u64, deadline, now),
                deadline,
                sequence,
            };
            if best.is_none_or(|(least, ..)| rank < least) {
                best = Some((rank, band, true));
            }
        }
        self.deadline_bound = bound;
        match best? {
            (_, band, true) => self.take_heap(band, now),
            (_, band, false) => self.take_fifo(band),
        }
    }

    /// What an item of `band` with this deadline counts as now; see [`Rank`].
    #[inline]
    fn urgency(&self, band: u64, deadline: u64, now: u64) -> u64 {
        if now > deadline {
            return match self.order.overdue {
                OverdueOrder::First => 0,
                OverdueOrder::InBand => band + 1,
            };
        }
        let slack = deadline - now;
        if slack >= self.order.lead {
            return band + 1;
        }
        // Here slack < lead, so lead > 0; a lead beyond 2^61 ticks is centuries.
        band.saturating_mul(slack).div_ceil(self.order.lead) + 1
    }
}

/// The set bits, lowest first.
fn bits(mut mask: u8) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        if mask == 0 {
            return None;
        }
        let bit = mask.trailing_zeros() as usize;
        mask &= mask - 1;
        Some(bit)
    })
}
