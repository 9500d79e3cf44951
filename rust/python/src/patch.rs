//! How the bytes of a value differ from those of its last version.

use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// Bytes; below, a patch saves nothing worth having.
const SMALLEST: usize = 256;

/// What stands in place of the old head; the length of that; how many bytes after it are kept; what
/// comes then; how many bytes at the end are kept.
pub type Patch<'py> = (
    Bound<'py, PyBytes>,
    usize,
    usize,
    Bound<'py, PyBytes>,
    usize,
);

/// How many bytes a msgpack value spends on its own length.
fn head_size(raw: &[u8]) -> usize {
    match raw.first() {
        Some(0xD9 | 0xC4) => 2,               // str 8, bin 8
        Some(0xDA | 0xC5 | 0xDC | 0xDE) => 3, // str 16, bin 16, array 16, map 16
        Some(0xDB | 0xC6 | 0xDD | 0xDF) => 5, // their 32-bit forms
        _ => 1,
    }
}

/// A patch from `old` to `new`, or None if it would not be much smaller than `new`.
#[pyfunction]
pub fn _diff<'py>(py: Python<'py>, old: &[u8], new: &[u8]) -> Option<Patch<'py>> {
    if new.len() < SMALLEST || old.len() < SMALLEST {
        return None;
    }
    let old_head = head_size(old);
    let (head, body) = new.split_at_checked(head_size(new))?;
    let old_body = old.get(old_head..)?;
    let prefix = shared(old_body.chunks(CHUNK), body.chunks(CHUNK), |a, b| {
        a.iter().zip(b).take_while(|(a, b)| a == b).count()
    });
    let (rest, old_rest) = (body.get(prefix..)?, old_body.get(prefix..)?);
    let suffix = shared(old_rest.rchunks(CHUNK), rest.rchunks(CHUNK), |a, b| {
        let ends = a.iter().rev().zip(b.iter().rev());
        ends.take_while(|(a, b)| a == b).count()
    });
    let middle = rest.get(..rest.len() - suffix)?;
    if middle.len() * 2 >= new.len() {
        return None;
    }
    Some((
        PyBytes::new(py, head),
        old_head,
        prefix,
        PyBytes::new(py, middle),
        suffix,
    ))
}

/// Long enough for comparing whole chunks to be quick.
const CHUNK: usize = 64;

/// Over how many bytes two runs of chunks are alike; `within` counts them in the chunks that differ.
fn shared<'a>(
    one: impl Iterator<Item = &'a [u8]>,
    other: impl Iterator<Item = &'a [u8]>,
    within: impl Fn(&[u8], &[u8]) -> usize,
) -> usize {
    let mut alike = 0;
    for (a, b) in one.zip(other) {
        if a == b {
            alike += a.len();
        } else {
            return alike + within(a, b);
        }
    }
    alike
}

/// How msgpack begins a list of so many items.
fn array_head(items: u32) -> ([u8; 5], usize) {
    let [a, b, c, d] = items.to_be_bytes();
    match items {
        0..16 => ([0x90 | d, 0, 0, 0, 0], 1),
        16..65536 => ([0xDC, c, d, 0, 0], 3),
        _ => ([0xDD, a, b, c, d], 5),
    }
}

/// A patch from a list of `items` items, of so many bytes, to the list that has `added` more, of which
/// `raw` are the bytes; and how long the bytes of the whole list are then. None if it is too long.
pub fn extended<'py>(
    py: Python<'py>,
    items: usize,
    size: usize,
    added: usize,
    raw: &[u8],
) -> Option<(Patch<'py>, usize)> {
    let (items, added) = (u32::try_from(items).ok()?, u32::try_from(added).ok()?);
    let (head, length) = array_head(items.checked_add(added)?);
    let head = head.get(..length)?;
    let old_head = array_head(items).1;
    let tail = raw.get(array_head(added).1..)?;
    let kept = size.checked_sub(old_head)?;
    let patch = (
        PyBytes::new(py, head),
        old_head,
        kept,
        PyBytes::new(py, tail),
        0,
    );
    Some((patch, head.len() + kept + tail.len()))
}
