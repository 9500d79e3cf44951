//! loom explores every interleaving of these small programs.

use super::*;
use crate::sync::Arc;
use loom::cell::UnsafeCell;

/// Keeps the times at which somebody is to look.
#[derive(Default)]
struct Times(Mutex<Vec<u64>>);

impl Alarm for Times {
    type Entry = u64;

    fn set(&self, at: u64) -> Option<u64> {
        self.0.lock().push(at);
        Some(at)
    }

    fn take_back(&self, entry: u64) {
        self.0.lock().retain(|at| *at != entry);
    }
}

#[derive(Default)]
struct Both {
    note: Note<u64>,
    times: Times,
}

#[test]
fn what_is_taken_is_alive() {
    loom::model(|| {
        let both = Arc::new(Both::default());
        let subject = Arc::new(UnsafeCell::new(0));
        let (other, seen) = (Arc::clone(&both), Arc::clone(&subject));
        let timer = loom::thread::spawn(move || {
            // SAFETY: loom reports a write at the same time.
            let keep = |_: usize, _| seen.with(|cell| unsafe { *cell });
            other.note.take(9, &other.times, keep)
        });
        both.note.write(8, 1, &both.times);
        let told = both.note.wipe(8);
        // As if it were freed.
        // SAFETY: loom reports a read or write at the same time.
        subject.with_mut(|cell| unsafe { *cell = 1 });
        let taken = timer.join().ok().flatten();
        assert_eq!(taken, told.then_some(0));
    });
}

/// The entry for the first expires while the second is noted, which is due as early or earlier.
fn expires_meanwhile(first: u64, second: u64) {
    loom::model(move || {
        let both = Arc::new(Both::default());
        both.note.write(8, first, &both.times);
        let other = Arc::clone(&both);
        let timer = loom::thread::spawn(move || {
            other.times.take_back(first);
            let now = first;
            match other.note.look(first, now, &other.times) {
                Found::Due => other.note.take(now, &other.times, |subject, _| subject),
                Found::Nothing => None,
            }
        });
        let told = both.note.wipe(8);
        both.note.write(16, second, &both.times);
        let taken = timer.join().ok().flatten();
        assert_eq!(told, taken == Some(8));
        if taken != Some(16) {
            let times = both.times.0.lock();
            assert!(
                times.iter().any(|at| *at <= second),
                "nobody looks by {second}: {times:?}"
            );
        }
    });
}

#[test]
fn one_that_is_noted_while_the_entry_expires_is_looked_at_in_time() {
    expires_meanwhile(4, 6);
}

#[test]
fn an_earlier_one_that_is_noted_while_the_entry_expires_is_looked_at_in_time() {
    expires_meanwhile(4, 3);
}
