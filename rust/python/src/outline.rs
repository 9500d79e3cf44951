//! What a list of plain data held when it was last stored, to find out that it has only grown.
//!
//! A list that takes one message a step would be turned into bytes as a whole in every step. Its bytes
//! are those of its items one after the other; so if all that it held is there still, only what came
//! after it has to be. Lists and dicts may be changed in place, so none is trusted for being the same
//! object: the outline holds the text and numbers themselves, in the order in which they come, and
//! those are compared by address. It keeps them alive, so that none gets the address of another.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::critical_section::with_critical_section;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString};
use std::ptr;

/// Containers in containers; what is deeper is stored as a whole.
const DEEPEST: usize = 50;

/// Parts; what has more is stored as a whole.
const MOST: usize = 1 << 20;

enum Part {
    Scalar(Py<PyAny>),
    List(usize),
    /// Its keys and values come alternately.
    Dict(usize),
}

/// Why a walk ends early.
enum Stop {
    /// Something is not as it was.
    Changed,
    /// Something is no plain data, or there is too much of it.
    Unfit,
}

#[pyclass(module = "taskloom._taskloom")]
#[derive(Default)]
pub struct _Outline {
    parts: Vec<Part>,
    items: usize,
}

#[pymethods]
impl _Outline {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    /// Compares a list with what it was, and takes down what it is: the number of items that are as
    /// they were, if these are all that there were, else 0.
    pub fn grown(&mut self, value: &Bound<'_, PyList>) -> usize {
        let known = std::mem::take(&mut self.items);
        if known > 0 && known <= value.len() {
            match self.walk(value, 0, known) {
                Ok(()) => {
                    self.items = value.len();
                    return known;
                }
                Err(Stop::Changed) => {}
                Err(Stop::Unfit) => {
                    self.parts.clear();
                    return 0;
                }
            }
        }
        self.parts.clear();
        if self.walk(value, 0, 0).is_ok() {
            self.items = value.len();
        } else {
            self.parts.clear();
        }
        0
    }
}

impl _Outline {
    /// Compares the first items, so many, with the parts from `place` on, and takes down the others.
    fn walk(&mut self, value: &Bound<'_, PyList>, place: usize, known: usize) -> Result<(), Stop> {
        let mut place = place;
        for (number, item) in value.iter().enumerate() {
            if number == known && place != self.parts.len() {
                return Err(Stop::Changed);
            }
            self.visit(&item, &mut place, 0)?;
        }
        if place == self.parts.len() {
            Ok(())
        } else {
            Err(Stop::Changed)
        }
    }

    fn visit(
        &mut self,
        value: &Bound<'_, PyAny>,
        place: &mut usize,
        depth: usize,
    ) -> Result<(), Stop> {
        if let Some(Part::Scalar(known)) = self.parts.get(*place) {
            if known.as_ptr() != value.as_ptr() {
                return Err(Stop::Changed);
            }
            *place += 1;
            return Ok(());
        }
        if depth > DEEPEST || self.parts.len() > MOST {
            return Err(Stop::Unfit);
        }
        if let Ok(dict) = value.cast_exact::<PyDict>() {
            self.take(Part::Dict(dict.len()), place)?;
            return with_critical_section(dict, || self.visit_pairs(dict, place, depth + 1));
        }
        if let Ok(list) = value.cast_exact::<PyList>() {
            self.take(Part::List(list.len()), place)?;
            for item in list {
                self.visit(&item, place, depth + 1)?;
            }
            return Ok(());
        }
        let plain = value.is_exact_instance_of::<PyString>()
            || value.is_exact_instance_of::<PyInt>()
            || value.is_exact_instance_of::<PyFloat>()
            || value.is_exact_instance_of::<PyBool>()
            || value.is_exact_instance_of::<PyBytes>()
            || value.is_none();
        if !plain {
            return Err(Stop::Unfit);
        }
        self.take(Part::Scalar(value.clone().unbind()), place)
    }

    /// Visits keys and values in turn, quickly as long as they are text and numbers as before. To be
    /// called in a critical section of the dict.
    fn visit_pairs(
        &mut self,
        dict: &Bound<'_, PyDict>,
        place: &mut usize,
        depth: usize,
    ) -> Result<(), Stop> {
        let py = dict.py();
        let (mut next, mut key, mut value) = (0, ptr::null_mut(), ptr::null_mut());
        // SAFETY: it is a dict, which is locked (or the GIL is held), and the pointers are to locals.
        while unsafe { ffi::PyDict_Next(dict.as_ptr(), &mut next, &mut key, &mut value) } != 0 {
            for object in [key, value] {
                match self.parts.get(*place) {
                    Some(Part::Scalar(known)) if known.as_ptr() == object => *place += 1,
                    Some(Part::Scalar(_)) => return Err(Stop::Changed),
                    _ => {
                        // SAFETY: the dict holds both, and nothing has unlocked it since: what was
                        // visited before in this round is a key that is text.
                        let object = unsafe { Bound::from_borrowed_ptr(py, object) };
                        if object.as_ptr() == key && !object.is_exact_instance_of::<PyString>() {
                            return Err(Stop::Unfit);
                        }
                        self.visit(&object, place, depth)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Compares the next part with a container, or takes down what comes after the last part.
    fn take(&mut self, part: Part, place: &mut usize) -> Result<(), Stop> {
        match (self.parts.get(*place), &part) {
            (None, _) => self.parts.push(part),
            (Some(Part::Dict(known)), Part::Dict(length))
            | (Some(Part::List(known)), Part::List(length))
                if known == length => {}
            _ => return Err(Stop::Changed),
        }
        *place += 1;
        Ok(())
    }
}
