//! What a run follows: per node one step, the slots of its operands in one flat array, and who frees which value.
//!
//! Values and constants share one array of slots, values first, so that gathering arguments is one
//! indexed load each. Serial and parallel runs lay values out differently, so each has a [`Wiring`] of its
//! own. An operand is a slot with flags that say whether its reader frees it:
//!
//! - `FREES`: this is the last reader in the static order, of a serial run, or the only one, of a parallel run.
//! - `COUNTED`: the value has several readers; a parallel run counts them down and the last one frees.
//!
//! A value that is kept has none of the flags. A node that reads a value twice has them on one operand.

use std::collections::HashMap;

use pyo3::ffi;
use pyo3::prelude::*;

use super::copying::Copies;
use super::template::Template;
use super::window::Windows;

pub const FREES: u32 = 1 << 31;
pub const COUNTED: u32 = 1 << 30;
/// Of an operand of a [`TAKING`] step: the reference moves from the slot into the call.
pub const TAKEN: u32 = 1 << 29;
/// Of the slot of a node's own value: it has it to the end of the run.
pub const KEPT: u32 = 1 << 31;
pub const SLOT: u32 = TAKEN - 1;

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

/// `template` of a step that is as a plain one, but stands for one of its arguments: this less its place.
pub const FORWARDING: u32 = DEFERRED - 1;
/// The places of arguments that a `template` tells.
pub const FORWARDED: u32 = 256;
/// `template` of a step that is as a plain one, but takes values, right from their slots.
pub const TAKING: u32 = FORWARDING - FORWARDED;

/// One node, as the loop reads it.
pub struct Step {
    /// Borrowed from [`Tables::held`].
    pub callable: *mut ffi::PyObject,
    /// The tuple of keyword names or null; borrowed likewise.
    pub names: *mut ffi::PyObject,
    /// Where its operands start and how many there are. Of a plain step they are its arguments,
    /// positional first; of a templated one the values that the templates read. Behind them comes where
    /// its own value goes.
    pub operands: u32,
    pub length: u32,
    pub positional: u32,
    pub template: u32,
}

impl Step {
    /// Whether its arguments are all plain, and it is simply called.
    #[inline(always)]
    pub fn is_direct(&self) -> bool {
        self.template == PLAIN || self.forwards().is_some()
    }

    /// The place of the argument that it stands for, if it is direct and does.
    #[inline(always)]
    pub fn forwards(&self) -> Option<u32> {
        let place = FORWARDING.wrapping_sub(self.template);
        (place < FORWARDED).then_some(place)
    }
}

/// Where values lie in the runs of one kind, serial or parallel.
pub struct Wiring {
    /// What [`Step::operands`] points into.
    pub operands: Box<[u32]>,
    /// How many slots there are for values; those of the constants follow.
    pub slots: u32,
    /// The slots of the values that a run keeps to its end.
    pub kept: Box<[u32]>,
    /// By slot, readers of the one value in it that is freed by countdown: no other takes it over then.
    pub readers: Box<[u32]>,
}

/// The binding's half of a plan. All numbers are positions in the plan's order.
pub struct Tables {
    pub steps: Box<[Step]>,
    pub serial: Wiring,
    pub parallel: Wiring,
    pub templates: Box<[Box<[Template]>]>,
    pub policies: Box<[Policy]>,
    /// Empty if all are ordinary.
    pub kinds: Box<[Kind]>,
    /// Which of its operands a step takes that is called with a list that owns its arguments, reversed.
    pub takes: HashMap<u32, Vec<u32>>,
    /// What steps with copies of their arguments call, and how those are made.
    pub copies: HashMap<u32, Py<Copies>>,
    /// Which of its arguments a step stands for, whatever it returns.
    pub forwards: HashMap<u32, u32>,
    pub windows: Windows,
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

    pub fn wiring(&self, serial: bool) -> &Wiring {
        match serial {
            true => &self.serial,
            false => &self.parallel,
        }
    }

    /// Where the value of a node goes in runs of one kind, and whether it stays there to the end.
    pub fn place_of(&self, serial: bool, node: u32) -> (u32, bool) {
        let (_, result) = self.wiring(serial).of(self.step(node));
        (result & SLOT, result & KEPT != 0)
    }
}

impl Wiring {
    /// The operands of a step, and where its value goes and whether it is kept.
    #[inline(always)]
    pub fn of(&self, step: &Step) -> (&[u32], &u32) {
        let (start, length) = (step.operands as usize, step.length as usize);
        debug_assert!(start + length < self.operands.len());
        // SAFETY: the compiler wrote the step's range and, behind it, the result when it wrote its operands.
        unsafe {
            let all = self.operands.get_unchecked(start..start + length + 1);
            let (operands, result) = all.split_at_unchecked(length);
            (operands, result.get_unchecked(0))
        }
    }

    #[inline(always)]
    pub fn operands_of(&self, step: &Step) -> &[u32] {
        self.of(step).0
    }
}
