//! What kind of future it is, in four bytes.

use super::record::Record;
use super::{GENERATION, Object, coroutine};
use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering::Relaxed;
use taskloom_core::completion::State;

/// How many inputs there are, and what kind of future it is.
pub(super) struct Shape {
    /// Positional arguments and values of keywords.
    pub(super) inputs: u16,
    /// The fork generation, modulo 256.
    pub(super) generation: u8,
    /// `INLINE`, `PROMISE`, `KEYWORDS`, `COROUTINE` and `MANAGED` never change once the future is shared; the
    /// others are set later, and stay.
    flags: AtomicU8,
}

/// Runs on the thread that asks for the result, if it was not started yet.
pub(super) const INLINE: u8 = 1;
/// Made by `Future()`: nobody runs it, its owner sets the outcome.
pub(super) const PROMISE: u8 = 2;
/// The call has keywords; the tuple of their names stands before the inputs.
pub(super) const KEYWORDS: u8 = 4;
/// Where the `State` it ended with is kept, in two bits.
pub(super) const END: u8 = 8;
/// Its call makes a coroutine, which a task of ours runs.
pub(super) const COROUTINE: u8 = 32;
/// The garbage collector has been told of it.
pub(super) const TRACKED: u8 = 64;
/// Has a record from the start: run by `managed`.
pub(super) const MANAGED: u8 = 128;

/// How many slots a record takes.
const RECORD: usize = size_of::<Record>() / size_of::<Object>();
const _: () = assert!(
    size_of::<Record>() == RECORD * size_of::<Object>()
        && align_of::<Record>() <= align_of::<Object>()
);

impl Shape {
    #[inline]
    pub(super) fn new(inputs: u16, flags: u8) -> Self {
        Shape {
            inputs,
            generation: GENERATION.load(Relaxed) as u8,
            flags: AtomicU8::new(flags),
        }
    }

    #[inline]
    pub(super) fn has(&self, flag: u8) -> bool {
        self.flags.load(Relaxed) & flag != 0
    }

    /// The slots before the first input: the record if there is one, the names of keywords if there
    /// are any, and scratch, or whom to ask.
    #[inline]
    pub(super) fn before_inputs(&self) -> usize {
        let scratch = 1 + usize::from(self.has(COROUTINE)) * (coroutine::WORDS - 1);
        self.record() + usize::from(self.has(KEYWORDS)) + scratch
    }

    /// All slots.
    #[inline]
    pub(super) fn slots(&self) -> usize {
        self.before_inputs() + usize::from(self.inputs)
    }

    /// The slots that the record takes.
    #[inline]
    pub(super) fn record(&self) -> usize {
        if self.has(MANAGED) { RECORD } else { 0 }
    }

    /// Sets bits that were clear and returns what was set before. All callers are attached, so
    /// where one thread at a time is, no bus lock is needed.
    #[inline]
    pub(super) fn set(&self, bits: u8) -> u8 {
        if cfg!(Py_GIL_DISABLED) {
            self.flags.fetch_or(bits, Relaxed)
        } else {
            let before = self.flags.load(Relaxed);
            self.flags.store(before | bits, Relaxed);
            before
        }
    }

    /// Notes how it ended; for whoever claimed the future.
    #[inline]
    pub(super) fn set_end(&self, end: State) {
        self.set((end as u8 - State::Settling as u8) * END);
    }

    #[inline]
    pub(super) fn end(&self) -> State {
        match (self.flags.load(Relaxed) / END) & 3 {
            1 => State::Done,
            2 => State::Failed,
            _ => State::Cancelled,
        }
    }
}
