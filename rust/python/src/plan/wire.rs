//! Where each step finds its operands and leaves its value, and who frees which value.

use taskloom_core::plan::Layout;
use taskloom_core::plan::slots::{KEPT, Readers, Slots};

use super::reader::Reader;
use super::table::{self, COUNTED, FREES, Wiring};
use super::template::CONSTANT;

/// Who reads which value, by position.
struct Uses {
    starts: Vec<u32>,
    sources: Vec<u32>,
    counts: Vec<u32>,
    /// The last reader of each value in the static order, unless it is kept.
    last: Vec<u32>,
}

impl Uses {
    fn new(reader: &Reader<'_, '_>, layout: &Layout, keep: Option<&[u32]>) -> Self {
        let count = layout.order.len();
        let mut starts = Vec::with_capacity(count + 1);
        let mut sources = Vec::with_capacity(reader.sources.len());
        let mut counts = vec![0u32; count];
        let mut last = vec![KEPT; count];
        starts.push(0);
        for (place, &node) in layout.order.iter().enumerate() {
            for &source in reader.sources_of(node as usize) {
                let source = layout.position[source as usize];
                sources.push(source);
                counts[source as usize] += 1;
                last[source as usize] = place as u32;
            }
            starts.push(sources.len() as u32);
        }
        match keep {
            None => last.fill(KEPT),
            Some(nodes) => nodes
                .iter()
                .for_each(|&node| last[layout.position[node as usize] as usize] = KEPT),
        }
        Uses {
            starts,
            sources,
            counts,
            last,
        }
    }

    fn readers(&self) -> Readers<'_> {
        Readers {
            starts: &self.starts,
            sources: &self.sources,
            counts: &self.counts,
            last: &self.last,
        }
    }
}

/// Wires a plan for serial runs and for parallel ones. `keep` lists the registrations of values that are
/// kept, or is None for all; those that nobody reads are kept besides.
pub(super) fn wire(
    reader: &Reader<'_, '_>,
    layout: &Layout,
    keep: Option<&[u32]>,
    reuses_slots: bool,
) -> (Wiring, Wiring) {
    let count = layout.order.len();
    let uses = Uses::new(reader, layout, keep);
    let readers = uses.readers();
    let (in_order, side_by_side) = match reuses_slots {
        true => (Slots::in_order(&readers), Slots::side_by_side(&readers)),
        false => (Slots::one_to_one(count), Slots::one_to_one(count)),
    };
    let mut serial = Wires::new(reader, &in_order);
    let mut parallel = Wires::new(reader, &side_by_side);
    // The reader, by position, that was found last to have an operand of each value, plus one.
    let mut seen = Vec::new();
    for (place, &node) in layout.order.iter().enumerate() {
        let operands = reader.operands_of(node as usize);
        let repeats = operands.len() > reader.sources_of(node as usize).len();
        if repeats {
            seen.resize(count, 0);
        }
        for &operand in operands {
            if operand & CONSTANT != 0 {
                let constant = operand & !CONSTANT;
                serial.operands.push(in_order.count + constant);
                parallel.operands.push(side_by_side.count + constant);
                continue;
            }
            let source = layout.position[operand as usize] as usize;
            let is_again = repeats && std::mem::replace(&mut seen[source], place + 1) == place + 1;
            let (at_last, at_each) = match uses.last[source] {
                KEPT => (0, 0),
                _ if is_again => (0, 0),
                last => (
                    if last == place as u32 { FREES } else { 0 },
                    if uses.counts[source] == 1 {
                        FREES
                    } else {
                        COUNTED
                    },
                ),
            };
            serial.operands.push(in_order.of[source] | at_last);
            parallel.operands.push(side_by_side.of[source] | at_each);
        }
        let is_kept = uses.last[place] == KEPT;
        serial.result(in_order.of[place], is_kept);
        parallel.result(side_by_side.of[place], is_kept);
        if !is_kept && uses.counts[place] > 1 {
            parallel.readers.resize(side_by_side.count as usize, 0);
            parallel.readers[side_by_side.of[place] as usize] = uses.counts[place];
        }
    }
    (serial.finish(), parallel.finish())
}

/// A wiring that is being written.
struct Wires {
    operands: Vec<u32>,
    slots: u32,
    kept: Vec<u32>,
    readers: Vec<u32>,
}

impl Wires {
    fn new(reader: &Reader<'_, '_>, slots: &Slots) -> Self {
        Wires {
            operands: Vec::with_capacity(reader.operands.len() + slots.of.len()),
            slots: slots.count,
            kept: Vec::new(),
            readers: Vec::new(),
        }
    }

    /// The slot of a step's own value, behind its operands.
    fn result(&mut self, slot: u32, is_kept: bool) {
        let mut result = slot;
        if is_kept {
            self.kept.push(slot);
            result |= table::KEPT;
        }
        self.operands.push(result);
    }

    fn finish(self) -> Wiring {
        Wiring {
            operands: self.operands.into(),
            slots: self.slots,
            kept: self.kept.into(),
            readers: self.readers.into(),
        }
    }
}
