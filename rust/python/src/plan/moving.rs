//! How the last reference to a value gets into the call of the node that takes it.
//!
//! A vectorcall lends its arguments: the caller owns them to the end. What is called in C never has a
//! reference of its own, so there is nothing to hand over; the value is freed when the call is over. A
//! function in Python has one in its frame, and frees the value with `del` if that is the last one. There
//! are two ways to see to that:
//!
//! - *boxed*, anywhere: the arguments lie in a list, and a small function in Python calls on with
//!   `box.pop()`, for only the interpreter's own loop hands over what it calls with;
//! - *moved*, with a GIL: the reference is given up just before the call. The first thing that the
//!   interpreter does in the call of a Python function is to take a reference to each argument for its frame
//!   (`_PyEval_Vector` in `ceval.c`, from CPython 3.11 to 3.14), before any code or collection can run; and
//!   whatever becomes of the call, the frame gives each of them back once. If ours is the only one, the
//!   object's count is 0 in between, where nobody can look at it. (Only where 3.14 finds no memory for the
//!   references to more than eight arguments is there no frame; the object is then left behind.)
//!
//! Boxed costs a frame, a list and a method call, some 100 ns; moved costs nothing to speak of.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyFunction;

/// Whether this interpreter is one of those that the account above is true of.
const MOVES: bool = cfg!(all(not(Py_GIL_DISABLED), not(Py_3_15)));

/// Whether a reference that is given up before `function` is called, which is one in Python, moves into its
/// frame. `like` is another of which nobody can have replaced the call.
#[pyfunction]
pub fn _moves_into(function: &Bound<'_, PyFunction>, like: &Bound<'_, PyFunction>) -> bool {
    // SAFETY: attached, and live objects.
    let call = |function: &Bound<'_, PyFunction>| unsafe {
        ffi::PyVectorcall_Function(function.as_ptr()).map(|call| call as usize)
    };
    MOVES && call(function) == call(like)
}

/// Gives up a reference to an object that is among the arguments of a function in Python, which is
/// called right after.
///
/// # Safety
/// Attached, with a GIL; the caller owns the reference and does nothing between this and the call, but giving
/// up others. After the call the object may be gone.
#[cfg(not(Py_GIL_DISABLED))]
pub unsafe fn give_up(object: *mut ffi::PyObject) {
    // SAFETY: a live object, whose count other threads leave alone.
    unsafe {
        #[cfg(Py_3_12)]
        let count = &mut (*object).ob_refcnt.ob_refcnt;
        #[cfg(not(Py_3_12))]
        let count = &mut (*object).ob_refcnt;
        // From 3.14 on flags lie in the upper half.
        if *count as u32 == 1 {
            *count -= 1;
        } else {
            ffi::Py_DECREF(object);
        }
    }
}

/// Never called: nothing is moved without a GIL.
///
/// # Safety
/// None is needed.
#[cfg(Py_GIL_DISABLED)]
pub unsafe fn give_up(_object: *mut ffi::PyObject) {}
