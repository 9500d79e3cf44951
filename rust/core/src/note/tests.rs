use super::*;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicU64};

/// Keeps the times at which somebody is to look.
#[derive(Default)]
struct Times(std::sync::Mutex<Vec<u64>>);

impl Times {
    fn now(&self) -> Vec<u64> {
        self.0.lock().map(|times| times.clone()).unwrap_or_default()
    }
}

impl Alarm for Times {
    type Entry = u64;

    fn set(&self, at: u64) -> Option<u64> {
        self.0.lock().ok()?.push(at);
        Some(at)
    }

    fn take_back(&self, entry: u64) {
        if let Ok(mut times) = self.0.lock() {
            times.retain(|at| *at != entry);
        }
    }
}

#[test]
fn one_entry_serves_all_that_are_due_no_earlier() {
    let (note, times) = (Note::default(), Times::default());
    for due in [50, 70, 50, 60] {
        note.write(8, due, &times);
        assert!(!note.wipe(8));
    }
    assert_eq!(times.now(), [50]);
}

#[test]
fn an_earlier_one_takes_the_place_of_the_entry() {
    let (note, times) = (Note::default(), Times::default());
    note.write(8, 50, &times);
    assert!(!note.wipe(8));
    note.write(16, 20, &times);
    assert_eq!(times.now(), [20]);
    // The first could not be taken back in time: it changes nothing.
    assert_eq!(note.look(50, 55, &times), Found::Nothing);
    assert_eq!(note.look(20, 21, &times), Found::Due);
}

#[test]
fn what_is_not_due_is_looked_at_again_when_it_is() {
    let (note, times) = (Note::default(), Times::default());
    note.write(8, 50, &times);
    assert!(!note.wipe(8));
    note.write(16, 90, &times);
    assert_eq!(note.look(50, 50, &times), Found::Nothing);
    assert_eq!(times.now(), [50, 90]);
    assert_eq!(note.look(90, 90, &times), Found::Due);
    assert_eq!(
        note.take(90, &times, |subject, due| (subject, due)),
        Some((16, 90))
    );
    assert!(!note.is_free());
    assert!(note.wipe(16));
    assert!(note.is_free());
}

#[test]
fn what_is_over_is_not_looked_at_again() {
    let (note, times) = (Note::default(), Times::default());
    note.write(8, 50, &times);
    assert!(!note.wipe(8));
    assert_eq!(note.look(50, 60, &times), Found::Nothing);
    assert_eq!(note.take(60, &times, |subject, _| subject), None);
    note.write(16, 70, &times);
    assert_eq!(times.now(), [50, 70]);
}

#[test]
fn what_turns_out_not_to_be_due_is_let_go_of() {
    let (note, times) = (Note::default(), Times::default());
    note.write(8, 50, &times);
    assert_eq!(note.take(40, &times, |subject, _| subject), None);
    assert!(!note.wipe(8));
}

/// A thread that is at one thing after another, while another takes whatever it can.
#[test]
fn nothing_is_taken_that_has_been_wiped() {
    let alive: [AtomicBool; 4] = [const { AtomicBool::new(false) }; 4];
    let (taken, told) = (AtomicU64::new(0), AtomicU64::new(0));
    let (note, times, over) = (Note::default(), Times::default(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(SeqCst) {
                let keep = |subject: usize, _| alive[subject / 8 - 1].load(SeqCst);
                if let Some(was_alive) = note.take(u64::MAX, &times, keep) {
                    assert!(was_alive);
                    taken.fetch_add(1, SeqCst);
                }
            }
        });
        for turn in 0..50_000_usize {
            let subject = 8 + turn % 4 * 8;
            alive[turn % 4].store(true, SeqCst);
            note.write(subject, turn as u64, &times);
            told.fetch_add(u64::from(note.wipe(subject)), SeqCst);
            alive[turn % 4].store(false, SeqCst);
        }
        over.store(true, SeqCst);
    });
    assert_eq!(taken.load(SeqCst), told.load(SeqCst));
}
