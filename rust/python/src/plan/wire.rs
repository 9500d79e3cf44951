//! Where each step finds its operands and leaves its value, and who frees which value.

use taskloom_core::plan::{Layout, Readers, Slots};

use super::reader::Reader;
use super::table::{COUNTED, FREES, KEPT, Wiring};
use super::template::CONSTANT;

/// Who reads which value, by position.
pub(super) struct Uses {
    starts: Vec<u32>,
    sources: Vec<u32>,
    counts: Vec<u32>,
    kept: Vec<bool>,
    /// The last reader of each value in the static order.
    last: Vec<u32>,
}

impl Uses {
    /// `keep` lists registrations, or is None for all; values that nobody reads are kept besides.
    pub(super) fn new(reader: &Reader<'_, '_>, layout: &Layout, keep: Option<&[u32]>) -> Self {
        let count = layout.order.len();
        let mut starts = Vec::with_capacity(count + 1);
        let mut sources = Vec::with_capacity(reader.sources.len());
        let mut counts = vec![0u32; count];
        let mut last = vec![0; count];
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
        let mut kept: Vec<bool> = match keep {
            None => vec![true; count],
            Some(_) => counts.iter().map(|&count| count == 0).collect(),
        };
        for &node in keep.unwrap_or_default() {
            kept[layout.position[node as usize] as usize] = true;
        }
        Uses {
            starts,
            sources,
            counts,
            kept,
            last,
        }
    }

    pub(super) fn readers(&self) -> Readers<'_> {
        Readers {
            starts: &self.starts,
            sources: &self.sources,
            counts: &self.counts,
            kept: &self.kept,
        }
    }
}

pub(super) fn wire(
    reader: &Reader<'_, '_>,
    layout: &Layout,
    uses: &Uses,
    slots: &Slots,
    serial: bool,
) -> Wiring {
    let count = layout.order.len();
    let mut operands = Vec::with_capacity(reader.operands.len() + count);
    let mut kept = Vec::new();
    let mut readers = Vec::new();
    // The reader, by position, that was found last to have an operand of each value, plus one.
    let mut seen = vec![0; count];
    for (place, &node) in layout.order.iter().enumerate() {
        let place = place as u32;
        for &operand in reader.operands_of(node as usize) {
            if operand & CONSTANT != 0 {
                operands.push(slots.count + (operand & !CONSTANT));
                continue;
            }
            let source = layout.position[operand as usize] as usize;
            let is_first = std::mem::replace(&mut seen[source], place + 1) != place + 1;
            let flags = match (is_first && !uses.kept[source], serial) {
                (false, _) => 0,
                (true, true) if uses.last[source] == place => FREES,
                (true, true) => 0,
                (true, false) if uses.counts[source] == 1 => FREES,
                (true, false) => COUNTED,
            };
            operands.push(slots.of[source] | flags);
        }
        let own = slots.of[place as usize];
        let is_kept = uses.kept[place as usize];
        if is_kept {
            kept.push(own);
        } else if !serial && uses.counts[place as usize] > 1 {
            readers.resize(slots.count as usize, 0);
            readers[own as usize] = uses.counts[place as usize];
        }
        operands.push(own | if is_kept { KEPT } else { 0 });
    }
    Wiring {
        operands: operands.into(),
        slots: slots.count,
        kept: kept.into(),
        readers: readers.into(),
    }
}
