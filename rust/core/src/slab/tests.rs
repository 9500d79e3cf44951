//! Tests of the slab: that cells are apart from each other, are used again, and go back.

use super::*;
use std::collections::BTreeMap;

/// What a region has at most of cells of the smallest size that a future takes.
const CROWD: usize = 3 * REGION / 112;

fn take(slab: &mut Slab, size: usize) -> NonNull<u8> {
    slab.take(size).unwrap_or_else(|| panic!("no memory"))
}

fn give(slab: &mut Slab, cell: NonNull<u8>) {
    // SAFETY: the tests give what they have taken, once.
    unsafe { slab.give(cell) };
}

#[test]
fn cells_are_apart_and_aligned() {
    let mut slab = Slab::default();
    let mut taken = BTreeMap::new();
    for index in 0..20_000 {
        let size = 1 + (index * 37) % LARGEST;
        let cell = take(&mut slab, size);
        assert_eq!(cell.addr().get() % GRAIN, 0);
        taken.insert(cell.addr().get(), size);
    }
    let pairs = taken.iter().zip(taken.iter().skip(1));
    for ((start, size), (next, _)) in pairs {
        assert!(start + size <= *next);
    }
}

#[test]
fn what_one_wrote_stays_while_others_come_and_go() {
    let mut slab = Slab::default();
    let mut live: Vec<(NonNull<u8>, usize, u8)> = Vec::new();
    let mut state = 1_u64;
    let mut random = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for step in 0..60_000_usize {
        // Grows for a while, then shrinks, and so on.
        if (step / 10_000).is_multiple_of(2) || live.is_empty() {
            let (size, mark) = (1 + random(LARGEST), random(256) as u8);
            let cell = take(&mut slab, size);
            // SAFETY: a cell of that size, which is ours.
            unsafe { cell.write_bytes(mark, size) };
            live.push((cell, size, mark));
        } else {
            let (cell, size, mark) = live.swap_remove(random(live.len()));
            // SAFETY: as above, and written in full.
            let bytes = unsafe { std::slice::from_raw_parts(cell.as_ptr(), size) };
            assert!(bytes.iter().all(|byte| *byte == mark));
            give(&mut slab, cell);
        }
    }
}

#[test]
fn a_cell_that_was_given_back_is_taken_next() {
    let mut slab = Slab::default();
    let cell = take(&mut slab, 112);
    give(&mut slab, cell);
    assert_eq!(take(&mut slab, 112), cell);
}

/// A crowd comes and goes.
fn crowd(slab: &mut Slab) {
    let crowd: Vec<_> = (0..CROWD).map(|_| take(slab, 112)).collect();
    for cell in crowd {
        give(slab, cell);
    }
}

#[test]
fn the_memory_of_a_crowd_is_kept_for_the_next_one() {
    let mut slab = Slab::default();
    crowd(&mut slab);
    let reserved = slab.reserved();
    assert!(reserved >= 3 * REGION);
    assert_eq!(slab.spare(), reserved - REGION);
    crowd(&mut slab);
    assert_eq!(slab.reserved(), reserved);
}

#[test]
fn the_memory_of_a_crowd_goes_back_when_nobody_needed_it_for_a_while() {
    let mut slab = Slab::default();
    crowd(&mut slab);
    let reserved = slab.reserved();
    drop(slab.rest());
    assert_eq!(slab.reserved(), reserved);
    drop(slab.rest());
    assert_eq!((slab.reserved(), slab.spare()), (REGION, 0));
    crowd(&mut slab);
    assert_eq!(slab.reserved(), reserved);
}

#[test]
fn what_crowds_need_now_and_then_is_not_given_back_between() {
    let mut slab = Slab::default();
    crowd(&mut slab);
    let reserved = slab.reserved();
    for _ in 0..3 {
        drop(slab.rest());
        crowd(&mut slab);
    }
    assert_eq!(slab.reserved(), reserved);
}

#[test]
fn no_more_than_so_many_regions_are_spare() {
    let mut slab = Slab::default();
    let crowd: Vec<_> = (0..(MOST_SPARES + 10) * REGION / LARGEST)
        .map(|_| take(&mut slab, LARGEST))
        .collect();
    for cell in crowd {
        give(&mut slab, cell);
    }
    assert_eq!(slab.spare(), MOST_SPARES * REGION);
    assert_eq!(slab.reserved(), slab.spare() + REGION);
}

#[test]
fn who_has_the_slab_is_told_of_regions_that_are_spare() {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    static TOLD: AtomicUsize = AtomicUsize::new(0);
    let mut slab = Slab::new(|| _ = TOLD.fetch_add(1, Relaxed));
    let cell = take(&mut slab, 112);
    give(&mut slab, cell);
    assert_eq!(TOLD.load(Relaxed), 0);
    crowd(&mut slab);
    assert_eq!(TOLD.load(Relaxed), slab.spare() / REGION);
}

#[test]
fn a_crowd_of_another_size_uses_the_room_that_one_has_left() {
    let mut slab = Slab::default();
    let crowd: Vec<_> = (0..CROWD).map(|_| take(&mut slab, 112)).collect();
    let reserved = slab.reserved();
    // One stays, so that no region of the crowd goes back but those that are empty.
    let per_region = REGION / 112;
    for (index, cell) in crowd.iter().enumerate() {
        if index % per_region != 0 {
            give(&mut slab, *cell);
        }
    }
    for _ in 0..CROWD / 4 {
        let _ = take(&mut slab, 208);
    }
    assert!(slab.reserved() <= reserved);
}
