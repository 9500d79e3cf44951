//! The second pass of compiling: everything in the plan's order, and who frees which value.

use std::collections::HashMap;

use pyo3::ffi;
use pyo3::prelude::*;
use taskloom_core::plan::Layout;

use super::compile::Extra;
use super::reader::{CONSTANT, Reader};
use super::table::{COUNTED, DEFERRED, Kind, LAST, PLAIN, Policy, SLOT, SOLE, Step, Tables};
use super::template::Template;

pub(super) fn assemble(
    reader: Reader<'_, '_>,
    layout: &Layout,
    callables: Vec<Py<PyAny>>,
    policies: Vec<Policy>,
    kinds: Vec<Kind>,
    extra: &Extra,
    keep: Option<Vec<u32>>,
) -> Tables {
    let count = layout.order.len();
    // By position: how many nodes read the value, and which of them is last in the order.
    let mut readers = vec![0u32; count];
    let mut last = vec![u32::MAX; count];
    for (place, &node) in layout.order.iter().enumerate() {
        let own = reader.source_starts[node as usize] as usize
            ..reader.source_starts[node as usize + 1] as usize;
        for &source in &reader.sources[own] {
            let source = layout.position[source as usize] as usize;
            readers[source] += 1;
            last[source] = place as u32;
        }
    }
    match &keep {
        None => last.fill(u32::MAX),
        Some(nodes) => nodes
            .iter()
            .for_each(|&node| last[layout.position[node as usize] as usize] = u32::MAX),
    }
    let kept = (0..count as u32)
        .filter(|&place| last[place as usize] == u32::MAX)
        .collect();

    let windows = extra.windows.placed(&layout.position);
    let mut takes: HashMap<u32, Vec<u32>> = HashMap::new();
    for &(node, source) in &extra.takes {
        let place = layout.position[node as usize];
        let slots = takes.entry(place).or_default();
        slots.push(layout.position[source as usize]);
    }

    let mut held = callables;
    let mut names: Vec<*mut ffi::PyObject> =
        vec![std::ptr::null_mut(); if reader.names.is_empty() { 0 } else { count }];
    for (node, tuple) in reader.names {
        names[node as usize] = tuple.as_ptr();
        held.push(tuple.into_any().unbind());
    }
    let mut template_of = vec![
        PLAIN;
        if reader.templates.is_empty() {
            0
        } else {
            count
        }
    ];
    let mut templates: Vec<Box<[Template]>> = Vec::with_capacity(reader.templates.len());
    let slot_of = |operand: u32| match operand & CONSTANT {
        0 => layout.position[operand as usize],
        _ => count as u32 + (operand & !CONSTANT),
    };
    for (node, mut list) in reader.templates {
        template_of[node as usize] = templates.len() as u32;
        list.iter_mut()
            .for_each(|template| relocate(template, &slot_of));
        templates.push(list);
    }

    let mut steps = Vec::with_capacity(count);
    let mut operands = Vec::with_capacity(reader.operands.len());
    let mut freed = vec![u32::MAX; count];
    let mut widest = 0;
    for (place, &node) in layout.order.iter().enumerate() {
        let node = node as usize;
        let start = operands.len();
        let own = reader.operand_starts[node] as usize..reader.operand_starts[node + 1] as usize;
        for &operand in &reader.operands[own] {
            let slot = slot_of(operand);
            let flags = match operand & CONSTANT {
                0 if last[slot as usize] != u32::MAX && freed[slot as usize] != place as u32 => {
                    freed[slot as usize] = place as u32;
                    let in_parallel = if readers[slot as usize] == 1 {
                        SOLE
                    } else {
                        COUNTED
                    };
                    in_parallel
                        | if last[slot as usize] == place as u32 {
                            LAST
                        } else {
                            0
                        }
                }
                _ => 0,
            };
            operands.push((slot & SLOT) | flags);
        }
        let is_ordinary = kinds.get(place).is_none_or(|kind| *kind == Kind::Ordinary);
        let place = place as u32;
        let is_special =
            !is_ordinary || takes.contains_key(&place) || windows.members.contains_key(&place);
        let plain = if is_special { DEFERRED } else { PLAIN };
        let template = match template_of.get(node) {
            Some(&template) if template != PLAIN => template,
            _ => plain,
        };
        let length = operands.len() - start;
        widest = widest.max(
            templates
                .get(template as usize)
                .map_or(length, |list| list.len()),
        );
        steps.push(Step {
            callable: held[place as usize].as_ptr(),
            names: names.get(node).copied().unwrap_or(std::ptr::null_mut()),
            operands: start as u32,
            length: length as u32,
            positional: reader.positional[node],
            template,
        });
    }
    for (place, count) in readers.iter_mut().enumerate() {
        if last[place] == u32::MAX || *count == 1 {
            *count = 0;
        }
    }
    Tables {
        steps: steps.into(),
        operands: operands.into(),
        templates: templates.into(),
        policies: policies.into(),
        kinds: kinds.into(),
        takes,
        windows,
        readers: readers.into(),
        kept,
        constants: reader.constants.into(),
        held: held.into(),
        widest,
    }
}

/// From numbers of registration to slots.
fn relocate(template: &mut Template, slot_of: &impl Fn(u32) -> u32) {
    match template {
        Template::Slot(slot) => *slot = slot_of(*slot),
        Template::List(items) | Template::Tuple(items) => {
            items.iter_mut().for_each(|item| relocate(item, slot_of))
        }
        Template::Dict(items) => items.iter_mut().for_each(|(key, value)| {
            relocate(key, slot_of);
            relocate(value, slot_of);
        }),
    }
}
