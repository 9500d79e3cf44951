//! Memory for objects of few sizes that come and go in crowds.
//!
//! Cells of one size lie side by side in spans of 64 KiB, and spans in regions of 2 MiB. A cell is
//! taken from the span at hand: one that was given back, or the next that was never used. A span
//! that runs empty goes back to its region, to serve another size, and a region that runs empty is
//! spare. It is the arrangement of mimalloc (Leijen, Zorn and de Moura: *Mimalloc: Free List Sharding
//! in Action*, 2019), for one thread at a time.
//!
//! What it gains: a crowd that grows by a million objects takes its memory from the system anew each
//! time, in pages of 4 KiB, and each page is a fault of 0.5 to 1 µs, which came to a quarter of a
//! task's whole cost. All regions but the first ask for one huge page each.
//!
//! Spare regions are kept for the next crowd, since a huge page is zeroed when it is taken anew, and on
//! a virtual machine may have to be got from the host first; but not for long. Whoever has the slab is
//! told when there is a spare one, and from then on calls `rest` from time to time: that takes out the
//! regions that were spare ever since the last time, to be given back to the system. Beyond
//! `MOST_SPARES` they go back at once.

mod region;

use region::{REGION, map, unmap};
use std::ptr::{NonNull, null_mut};

/// Every cell is a multiple of so many bytes, and aligned to them.
pub const GRAIN: usize = 16;
/// The largest cell.
pub const LARGEST: usize = 256;

/// How many spare regions are kept: 256 MiB.
const MOST_SPARES: usize = if cfg!(test) { 8 } else { 128 };

const SPAN: usize = 1 << 16;
const SIZES: usize = LARGEST / GRAIN + 1;

struct Cell {
    next: *mut Cell,
}

/// The head of a span; the cells follow it.
#[repr(C, align(64))]
struct Span {
    /// Cells that were given back.
    free: *mut Cell,
    /// The first byte that no cell was made of yet.
    fresh: *mut u8,
    /// How many bytes are left from there on.
    left: usize,
    /// The size of its cells.
    size: usize,
    /// Cells that are taken.
    used: usize,
    /// Whether it is among the spans with room.
    listed: bool,
    /// Its neighbours there.
    next: *mut Span,
    previous: *mut Span,
    /// Of the region that begins with this span.
    region: Region,
}

struct Region {
    /// One bit for each span that is free.
    free: u32,
    /// Its neighbours among the regions with a free span; of a spare one, the next that is.
    next: *mut Span,
    previous: *mut Span,
}

/// No span of a region is taken.
const ALL_FREE: u32 = u32::MAX;
const _: () = assert!(REGION / SPAN == u32::BITS as usize);

/// Spare regions on their way to the system, which get there when this is dropped. That takes time.
#[must_use]
pub struct Unneeded(*mut Span);

// SAFETY: what it points to belongs to it alone.
unsafe impl Send for Unneeded {}

impl Drop for Unneeded {
    fn drop(&mut self) {
        // SAFETY: spare regions that were taken out of their slab, which nobody uses.
        unsafe {
            while let Some(first) = self.0.as_mut() {
                self.0 = first.region.next;
                unmap(std::ptr::from_mut(first).cast());
            }
        }
    }
}

/// A place to take cells from, and to give them back to. When it is dropped, nothing is freed.
pub struct Slab {
    /// The spans with room for each size. The first is taken from, and may be full; no other is.
    spans: [*mut Span; SIZES],
    /// The regions with a free span, each by its first span; not the spare ones.
    regions: *mut Span,
    /// The spare ones.
    spare: *mut Span,
    spares: usize,
    /// The fewest of them since `rest` was called.
    fewest: usize,
    /// How many regions there are.
    count: usize,
    /// Called when a region is spare.
    on_spare: fn(),
}

// SAFETY: what it points to belongs to it alone.
unsafe impl Send for Slab {}

impl Default for Slab {
    fn default() -> Self {
        Slab::new(|| ())
    }
}

impl Slab {
    /// An empty one. `on_spare` is called in a `give` each time a region is spare from then on; it may
    /// not use the slab.
    pub const fn new(on_spare: fn()) -> Self {
        Slab {
            spans: [null_mut(); SIZES],
            regions: null_mut(),
            spare: null_mut(),
            spares: 0,
            fewest: 0,
            count: 0,
            on_spare,
        }
    }

    /// How many bytes it has taken from the system.
    pub fn reserved(&self) -> usize {
        self.count * REGION
    }

    /// How many of them nobody uses, in regions kept for later.
    pub fn spare(&self) -> usize {
        self.spares * REGION
    }

    /// Takes out the regions that were spare all the time since this was called before.
    pub fn rest(&mut self) -> Unneeded {
        let mut unneeded = Unneeded(null_mut());
        for _ in 0..self.fewest {
            let Some(first) = self.take_spare() else {
                break;
            };
            self.count -= 1;
            // SAFETY: a spare region, which nobody uses.
            unsafe { (*first).region.next = unneeded.0 };
            unneeded.0 = first;
        }
        self.fewest = self.spares;
        unneeded
    }

    /// A cell of at least `size` bytes, up to `LARGEST`; None if there is no memory.
    #[inline]
    pub fn take(&mut self, size: usize) -> Option<NonNull<u8>> {
        let index = size.div_ceil(GRAIN);
        let span = self.spans[index];
        // SAFETY: null, or a span that stays where it is while it is listed; its cells are nobody's.
        unsafe {
            if let Some(span) = span.as_mut()
                && let Some(cell) = NonNull::new(span.free)
            {
                span.free = cell.as_ref().next;
                span.used += 1;
                return Some(cell.cast());
            }
        }
        self.take_fresh(index)
    }

    /// The next cell that was never used, or one of another span.
    fn take_fresh(&mut self, index: usize) -> Option<NonNull<u8>> {
        let size = index * GRAIN;
        loop {
            let span = self.spans[index];
            // SAFETY: as in `take`; what is left of a span lies behind `fresh`.
            if let Some(span) = unsafe { span.as_mut() } {
                if !span.free.is_null() {
                    return self.take(size);
                }
                if span.left >= size {
                    let cell = span.fresh;
                    // SAFETY: as many bytes are left.
                    span.fresh = unsafe { cell.add(size) };
                    span.left -= size;
                    span.used += 1;
                    return NonNull::new(cell);
                }
                // SAFETY: listed, in the list of its size.
                unsafe { self.unlist(span) };
                continue;
            }
            let span = self.take_span()?;
            // SAFETY: a span that nobody uses, as large as said.
            unsafe {
                let head = size_of::<Span>();
                (*span).free = null_mut();
                (*span).fresh = span.cast::<u8>().add(head);
                (*span).left = SPAN - head;
                (*span).size = size;
                (*span).used = 0;
                self.list(span);
            }
        }
    }

    /// Takes a cell back.
    ///
    /// # Safety
    /// It was taken here, and nobody uses it any more.
    #[inline]
    pub unsafe fn give(&mut self, cell: NonNull<u8>) {
        let cell = cell.as_ptr().cast::<Cell>();
        let span = cell
            .map_addr(|address| address & !(SPAN - 1))
            .cast::<Span>();
        // SAFETY: a cell lies in its span, and a span is as large as it is aligned.
        unsafe {
            (*cell).next = (*span).free;
            (*span).free = cell;
            (*span).used -= 1;
            if (*span).used == 0 || !(*span).listed {
                self.note_room(span);
            }
        }
    }

    /// A span was full until now, or is empty from now on.
    ///
    /// # Safety
    /// It is one of ours.
    #[cold]
    unsafe fn note_room(&mut self, span: *mut Span) {
        // SAFETY: as the caller promises.
        unsafe {
            if !(*span).listed {
                self.list(span);
            }
            // The one at hand is kept, so that one object that comes and goes costs nothing.
            if (*span).used == 0 && self.spans[(*span).size / GRAIN] != span {
                self.unlist(span);
                self.give_span(span);
            }
        }
    }

    /// Puts a span behind the one at hand.
    ///
    /// # Safety
    /// It is one of ours and not listed.
    unsafe fn list(&mut self, span: *mut Span) {
        // SAFETY: as the caller promises; the neighbours are listed, and so alive.
        unsafe {
            let first = &mut self.spans[(*span).size / GRAIN];
            (*span).listed = true;
            (*span).previous = *first;
            if let Some(first) = first.as_mut() {
                (*span).next = first.next;
                first.next = span;
            } else {
                (*span).next = null_mut();
                *first = span;
            }
            if let Some(next) = (*span).next.as_mut() {
                next.previous = span;
            }
        }
    }

    /// # Safety
    /// It is one of ours and listed.
    unsafe fn unlist(&mut self, span: *mut Span) {
        // SAFETY: as the caller promises; the neighbours are listed, and so alive.
        unsafe {
            (*span).listed = false;
            match (*span).previous.as_mut() {
                Some(previous) => previous.next = (*span).next,
                None => self.spans[(*span).size / GRAIN] = (*span).next,
            }
            if let Some(next) = (*span).next.as_mut() {
                next.previous = (*span).previous;
            }
        }
    }

    /// A span that nobody uses.
    fn take_span(&mut self) -> Option<*mut Span> {
        if self.regions.is_null() {
            self.add_region()?;
        }
        let first = self.regions;
        // SAFETY: a region with a free span, whose number is below that of its spans.
        unsafe {
            let number = (*first).region.free.trailing_zeros();
            (*first).region.free &= !(1 << number);
            if (*first).region.free == 0 {
                self.unlist_region(first);
            }
            Some(first.byte_add(number as usize * SPAN))
        }
    }

    /// # Safety
    /// It is one of ours, not listed, and no cell of it is taken.
    unsafe fn give_span(&mut self, span: *mut Span) {
        let first = span.map_addr(|address| address & !(REGION - 1));
        let number = (span.addr() - first.addr()) / SPAN;
        // SAFETY: as the caller promises: a span lies in its region, which is aligned to its size.
        unsafe {
            let was_full = (*first).region.free == 0;
            (*first).region.free |= 1 << number;
            if was_full {
                self.list_region(first);
            }
            if (*first).region.free == ALL_FREE && self.count - self.spares > 1 {
                self.unlist_region(first);
                self.keep_spare(first);
            }
        }
    }

    /// # Safety
    /// It is one of ours, not listed, and no span of it is taken.
    unsafe fn keep_spare(&mut self, first: *mut Span) {
        if self.spares == MOST_SPARES {
            self.count -= 1;
            // SAFETY: as the caller promises.
            unsafe { unmap(first.cast()) };
            return;
        }
        // SAFETY: as the caller promises.
        unsafe { (*first).region.next = self.spare };
        self.spare = first;
        self.spares += 1;
        (self.on_spare)();
    }

    /// A region that was spare, if there is one.
    fn take_spare(&mut self) -> Option<*mut Span> {
        let first = self.spare;
        // SAFETY: null, or one of ours that nobody uses.
        self.spare = unsafe { first.as_ref() }?.region.next;
        self.spares -= 1;
        self.fewest = self.fewest.min(self.spares);
        Some(first)
    }

    #[cold]
    fn add_region(&mut self) -> Option<()> {
        let first = match self.take_spare() {
            Some(first) => first,
            None => {
                // Whoever needs but one region needs no more of it than it touches.
                let first = map(self.count > 0)?.cast::<Span>().as_ptr();
                self.count += 1;
                first
            }
        };
        // SAFETY: a region of our own, which has room for the head of its first span.
        unsafe {
            (*first).region.free = ALL_FREE;
            self.list_region(first);
        }
        Some(())
    }

    /// # Safety
    /// It is one of ours and not listed.
    unsafe fn list_region(&mut self, first: *mut Span) {
        // SAFETY: as the caller promises; the neighbours are listed, and so alive.
        unsafe {
            (*first).region.previous = null_mut();
            (*first).region.next = self.regions;
            if let Some(next) = self.regions.as_mut() {
                next.region.previous = first;
            }
        }
        self.regions = first;
    }

    /// # Safety
    /// It is one of ours and listed.
    unsafe fn unlist_region(&mut self, first: *mut Span) {
        // SAFETY: as the caller promises; the neighbours are listed, and so alive.
        unsafe {
            let (next, previous) = ((*first).region.next, (*first).region.previous);
            match previous.as_mut() {
                Some(previous) => previous.region.next = next,
                None => self.regions = next,
            }
            if let Some(next) = next.as_mut() {
                next.region.previous = previous;
            }
        }
    }
}

#[cfg(test)]
mod tests;
