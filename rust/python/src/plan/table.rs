//! What a run follows: per node one step, its operands in one flat array, and who frees which value.
//!
//! Values and constants share one array of slots, values first, so that gathering arguments is one
//! indexed load each. An operand is a slot with flags that say whether its reader frees it:
//!
//! - `LAST`: in the static order this is the last reader; a serial run frees here.
//! - `SOLE`: the value has one reader; a parallel run frees here.
//! - `COUNTED`: the value has several readers; a parallel run counts them down and the last one frees.
//!
//! A value that is kept has none of the flags. A node that reads a value twice has them on one operand.

use std::collections::HashMap;

use pyo3::ffi;
use pyo3::prelude::*;

use super::template::Template;
use super::window::Windows;

pub const LAST: u32 = 1 << 31;
pub const SOLE: u32 = 1 << 30;
pub const COUNTED: u32 = 1 << 29;
pub const SLOT: u32 = COUNTED - 1;

/// What a failed or skipped node does to the others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Policy {
    CancelDependents = 0,
    CancelRun = 1,
    Continue = 2,
}

impl Policy {
    pub fn from_number(number: u8) -> Self {
        match number {
            1 => Policy::CancelRun,
            2 => Policy::Continue,
            _ => Policy::CancelDependents,
        }
    }
}

/// How a node is run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Kind {
    /// Called by whoever has its turn.
    Ordinary = 0,
    /// Returns a future in place of its value, and takes the executor as a first argument.
    Deferred = 1,
    /// Called by the thread that called `run`.
    Caller = 2,
    /// Waits for sources that may be skipped: in place of their values it gets the class `Use`.
    Join = 3,
}

impl Kind {
    pub fn from_number(number: u8) -> Self {
        match number {
            1 => Kind::Deferred,
            2 => Kind::Caller,
            3 => Kind::Join,
            _ => Kind::Ordinary,
        }
    }
}

/// `template` of a step whose arguments are all plain, and which is simply called.
pub const PLAIN: u32 = u32::MAX;
/// `template` of a step whose arguments are all plain, but which is deferred, takes values, or is in a window.
pub const DEFERRED: u32 = u32::MAX - 1;

/// One node, as the loop reads it.
pub struct Step {
    /// Borrowed from [`Tables::held`].
    pub callable: *mut ffi::PyObject,
    /// The tuple of keyword names or null; borrowed likewise.
    pub names: *mut ffi::PyObject,
    /// Where its operands start and how many there are. Of a plain step they are its arguments,
    /// positional first; of a templated one the values that the templates read.
    pub operands: u32,
    pub length: u32,
    pub positional: u32,
    pub template: u32,
}

/// The binding's half of a plan. All numbers are positions in the plan's order.
pub struct Tables {
    pub steps: Box<[Step]>,
    pub operands: Box<[u32]>,
    pub templates: Box<[Box<[Template]>]>,
    pub policies: Box<[Policy]>,
    /// Empty if all are ordinary.
    pub kinds: Box<[Kind]>,
    /// The slots whose values a step takes: it is called with a list that owns its arguments, reversed.
    pub takes: HashMap<u32, Vec<u32>>,
    pub windows: Windows,
    /// Readers of each value that is freed by countdown; 0 elsewhere.
    pub readers: Box<[u32]>,
    /// The positions whose values a run keeps to its end.
    pub kept: Box<[u32]>,
    pub constants: Box<[Py<PyAny>]>,
    /// Keeps the callables and keyword names alive.
    pub held: Box<[Py<PyAny>]>,
    /// The most arguments that any step has.
    pub widest: usize,
}

// SAFETY: the raw pointers are to objects that `held` owns, and are used attached only.
unsafe impl Send for Tables {}
// SAFETY: as above; nothing changes after construction.
unsafe impl Sync for Tables {}

impl Tables {
    #[inline(always)]
    pub fn step(&self, node: u32) -> &Step {
        debug_assert!((node as usize) < self.steps.len());
        // SAFETY: nodes come from the plan that these tables were made for, which has as many.
        unsafe { self.steps.get_unchecked(node as usize) }
    }

    pub fn has_callers(&self) -> bool {
        self.kinds.contains(&Kind::Caller)
    }

    pub fn kind(&self, node: u32) -> Kind {
        self.kinds
            .get(node as usize)
            .copied()
            .unwrap_or(Kind::Ordinary)
    }

    #[inline(always)]
    pub fn operands_of(&self, step: &Step) -> &[u32] {
        let start = step.operands as usize;
        debug_assert!(start + step.length as usize <= self.operands.len());
        // SAFETY: the compiler wrote the step's range when it wrote its operands.
        unsafe {
            self.operands
                .get_unchecked(start..start + step.length as usize)
        }
    }
}
