//! The second pass of compiling: everything in the plan's order.

use std::collections::HashMap;
use std::ops::Range;

use pyo3::ffi;
use pyo3::prelude::*;
use taskloom_core::plan::Layout;

use super::compile::Extra;
use super::reader::Reader;
use super::table::{
    DEFERRED, FORWARDED, FORWARDING, Kind, PLAIN, Policy, Step, TAKEN, TAKING, Tables,
};
use super::template::{CONSTANT, Template};
use super::wire::wire;

pub(super) fn assemble(
    reader: Reader<'_, '_>,
    layout: &Layout,
    callables: Vec<Py<PyAny>>,
    policies: Vec<Policy>,
    kinds: Vec<Kind>,
    extra: &mut Extra,
    keep: Option<Vec<u32>>,
) -> Tables {
    let count = layout.order.len();
    let (mut serial, mut parallel) = wire(&reader, layout, keep.as_deref(), extra.reuses_slots);

    let windows = extra.windows.placed(&layout.position);
    let mut takes: HashMap<u32, Vec<u32>> = HashMap::new();
    let mut moves: HashMap<u32, Vec<u32>> = HashMap::new();
    for &(node, source, boxed) in &extra.takes {
        let place = layout.position[node as usize];
        let of_node = reader.operands_of(node as usize).iter();
        let found = of_node.take_while(|&&operand| operand != source).count();
        let ways = if boxed { &mut takes } else { &mut moves };
        ways.entry(place).or_default().push(found as u32);
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
    let mut place_of = vec![
        0;
        if reader.templates.is_empty() {
            0
        } else {
            count
        }
    ];
    for (node, mut list) in reader.templates {
        template_of[node as usize] = templates.len() as u32;
        let own = starts(&reader.operand_starts, node);
        for (place, &source) in reader.operands[own].iter().enumerate() {
            place_of[source as usize] = place as u32;
        }
        list.iter_mut()
            .for_each(|template| relocate(template, &place_of));
        templates.push(list);
    }

    let mut steps = Vec::with_capacity(count);
    let mut start = 0;
    let mut widest = 0;
    for (place, &node) in layout.order.iter().enumerate() {
        let length = starts(&reader.operand_starts, node).len();
        let node = node as usize;
        let is_ordinary = kinds.get(place).is_none_or(|kind| *kind == Kind::Ordinary);
        let place = place as u32;
        let is_special = !is_ordinary
            || takes.contains_key(&place)
            || extra.copies.contains_key(&place)
            || windows.members.contains_key(&place);
        let plain = match extra.forwards.get(&place) {
            _ if is_special => DEFERRED,
            Some(&argument) if argument < FORWARDED => FORWARDING - argument,
            Some(_) => DEFERRED,
            None if moves.contains_key(&place) => TAKING,
            None => PLAIN,
        };
        let template = match template_of.get(node) {
            Some(&template) if template != PLAIN => template,
            _ => plain,
        };
        widest = widest.max(
            templates
                .get(template as usize)
                .map_or(length, |list| list.len()),
        );
        steps.push(Step {
            callable: held[place as usize].as_ptr(),
            names: names.get(node).copied().unwrap_or(std::ptr::null_mut()),
            operands: start,
            length: length as u32,
            positional: reader.positional[node],
            template,
        });
        if template == TAKING {
            for found in moves.get(&place).into_iter().flatten() {
                serial.operands[(start + found) as usize] |= TAKEN;
                parallel.operands[(start + found) as usize] |= TAKEN;
            }
        }
        start += length as u32 + 1;
    }
    Tables {
        steps: steps.into(),
        serial,
        parallel,
        templates: templates.into(),
        policies: policies.into(),
        kinds: kinds.into(),
        takes,
        copies: std::mem::take(&mut extra.copies),
        forwards: std::mem::take(&mut extra.forwards),
        windows,
        constants: reader.constants.into(),
        held: held.into(),
        widest,
    }
}

fn starts(starts: &[u32], node: u32) -> Range<usize> {
    starts[node as usize] as usize..starts[node as usize + 1] as usize
}

/// From numbers of registration to places among a step's operands.
fn relocate(template: &mut Template, place_of: &[u32]) {
    match template {
        Template::Value(value) if *value & CONSTANT == 0 => *value = place_of[*value as usize],
        Template::Value(_) => {}
        Template::List(items) | Template::Tuple(items) => {
            items.iter_mut().for_each(|item| relocate(item, place_of))
        }
        Template::Dict(items) => items.iter_mut().for_each(|(key, value)| {
            relocate(key, place_of);
            relocate(value, place_of);
        }),
    }
}
