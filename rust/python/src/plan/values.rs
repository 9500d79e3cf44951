//! The slots of a run: the values of its nodes, followed by the plan's constants.
//!
//! Who may touch a slot when: the node that owns it writes it once; the nodes that read it come after,
//! which the run's join counters (or the static order) see to; the last of them empties it. Only then, and not
//! before it has emptied what it read itself, does the next owner write it: `taskloom_core::plan::Slots` says
//! why no other order can come about. A kept value is read by handles once the run is over. Only attached
//! threads get here.

use std::cell::Cell;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicU32, Ordering::*};

use parking_lot::Mutex;
use pyo3::ffi;
use taskloom_core::run::State;

use super::table::{COUNTED, FREES, SLOT, Tables, Wiring};

pub struct Values {
    slots: Box<[Cell<*mut ffi::PyObject>]>,
    /// Readers still to come of the values that are counted; back at the start when they reach zero.
    readers: Box<[AtomicU32]>,
}

// SAFETY: the discipline above orders all access to a slot; the objects are touched attached only.
unsafe impl Send for Values {}
// SAFETY: as above.
unsafe impl Sync for Values {}

impl Values {
    pub fn new(tables: &Tables, serial: bool) -> Self {
        let wiring = tables.wiring(serial);
        let empty = (0..wiring.slots).map(|_| Cell::new(null_mut()));
        let constants = tables
            .constants
            .iter()
            .map(|constant| Cell::new(constant.as_ptr()));
        Values {
            slots: empty.chain(constants).collect(),
            readers: wiring
                .readers
                .iter()
                .map(|&count| AtomicU32::new(count))
                .collect(),
        }
    }

    /// The object in a slot, borrowed; null where there is none.
    #[inline(always)]
    pub fn get(&self, slot: u32) -> *mut ffi::PyObject {
        debug_assert!((slot as usize) < self.slots.len());
        // SAFETY: slots are numbered by the compiler that also counted them.
        unsafe { self.slots.get_unchecked(slot as usize) }.get()
    }

    /// Stores a node's value, which becomes the slot's own.
    #[inline(always)]
    pub fn set(&self, slot: u32, value: *mut ffi::PyObject) {
        debug_assert!((slot as usize) < self.slots.len());
        // SAFETY: as in `get`.
        unsafe { self.slots.get_unchecked(slot as usize) }.set(value);
    }

    /// Lets go of what a node has read, or will not read, as its operands' flags say.
    ///
    /// # Safety
    /// Attached; once per node and run; no use of the operands may follow, and the node's own value is not
    /// stored yet. The wiring is that for which the values were made.
    #[inline(always)]
    pub unsafe fn release<const SERIAL: bool>(&self, wiring: &Wiring, operands: &[u32]) {
        let frees = if SERIAL { FREES } else { FREES | COUNTED };
        for &operand in operands {
            if operand & frees != 0 {
                // SAFETY: the contract above.
                unsafe { self.release_one::<SERIAL>(wiring, operand) };
            }
        }
    }

    /// Lets go of one operand.
    ///
    /// # Safety
    /// As for `release`.
    #[inline(always)]
    unsafe fn release_one<const SERIAL: bool>(&self, wiring: &Wiring, operand: u32) {
        let slot = operand & SLOT;
        if !SERIAL && operand & COUNTED != 0 {
            let readers = &self.readers[slot as usize];
            // Release: this node's reading is over; Acquire: so are all others' when it is freed.
            if readers.fetch_sub(1, AcqRel) != 1 {
                return;
            }
            readers.store(wiring.readers[slot as usize], Relaxed);
        }
        let value = self.get(slot);
        self.set(slot, null_mut());
        // SAFETY: attached; the slot owned the reference, and nobody else reads it any more. It is null
        // where the node before was skipped or failed.
        unsafe { ffi::Py_XDECREF(value) };
    }

    /// Empties slots.
    ///
    /// # Safety
    /// Attached, and the run is over or never began.
    pub unsafe fn clear(&self, slots: &[u32]) {
        for &slot in slots {
            let value = self.get(slot);
            self.set(slot, null_mut());
            // SAFETY: attached; the slot owned the reference.
            unsafe { ffi::Py_XDECREF(value) };
        }
    }
}

/// What runs of one plan leave behind for the next of their kind, serial or parallel: the arrays that would
/// have to be allocated anew.
#[derive(Default)]
pub struct Spares([Mutex<Vec<(State, Values)>>; 2]);

impl Spares {
    /// More than a few at a time come only from many simultaneous runs.
    const MOST: usize = 8;

    pub fn take(&self, serial: bool) -> Option<(State, Values)> {
        self.0[usize::from(serial)].lock().pop()
    }

    /// The values must be empty, the state ready for use.
    pub fn give(&self, serial: bool, state: State, values: Values) {
        let mut spares = self.0[usize::from(serial)].lock();
        if spares.len() < Self::MOST {
            spares.push((state, values));
        }
    }
}
