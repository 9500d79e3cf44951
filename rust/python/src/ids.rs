//! Ids that follow from what they name, by the hash that LangGraph takes (XXH3, 128 bits): a thread
//! that it stored finds its tasks and interrupts again under the ids they have there.

use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};
use twox_hash::XxHash3_128;

const DIGITS: &[u8; 16] = b"0123456789abcdef";

fn hex(hash: u128) -> [u8; 32] {
    let mut text = [0; 32];
    for (place, digit) in text.iter_mut().enumerate() {
        *digit = DIGITS[(hash >> (124 - 4 * place)) as usize & 0xF];
    }
    text
}

/// 32 hexadecimal digits that stand for `data`.
#[pyfunction]
pub fn _digest<'py>(py: Python<'py>, data: &[u8]) -> Bound<'py, PyString> {
    let text = hex(XxHash3_128::oneshot(data));
    PyString::new(py, std::str::from_utf8(&text).unwrap_or_default())
}

/// The bytes that a UUID's text stands for; None if it is none.
fn uuid_bytes(text: &str) -> Option<[u8; 16]> {
    let mut bytes = [0; 16];
    let mut digits = text.bytes().filter(|letter| *letter != b'-');
    for byte in &mut bytes {
        let (high, low) = (digits.next()?, digits.next()?);
        let high = char::from(high).to_digit(16)?;
        let low = char::from(low).to_digit(16)?;
        *byte = (high << 4 | low) as u8;
    }
    digits.next().is_none().then_some(bytes)
}

/// The id of the task that `parts` describe, in the superstep that starts from `checkpoint`.
#[pyfunction]
#[pyo3(signature = (checkpoint, *parts))]
pub fn _task_id<'py>(
    py: Python<'py>,
    checkpoint: &str,
    parts: &Bound<'py, PyTuple>,
) -> PyResult<Bound<'py, PyString>> {
    let mut data = Vec::with_capacity(256);
    match uuid_bytes(checkpoint) {
        Some(bytes) => data.extend_from_slice(&bytes),
        None => data.extend_from_slice(checkpoint.as_bytes()), // of a saver with ids of its own kind
    }
    for part in parts.iter_borrowed() {
        data.extend_from_slice(part.cast::<PyString>()?.to_str()?.as_bytes());
    }
    let digits = hex(XxHash3_128::oneshot(&data));
    let mut text = [b'-'; 36];
    for (group, place) in [
        (0..8, 0),
        (8..12, 9),
        (12..16, 14),
        (16..20, 19),
        (20..32, 24),
    ] {
        text[place..place + group.len()].copy_from_slice(&digits[group]);
    }
    Ok(PyString::new(
        py,
        std::str::from_utf8(&text).unwrap_or_default(),
    ))
}
