//! Who is there to take work: one word that participants change in named steps.
//!
//! Work that is put where others can take it must find takers, and a participant that finds nothing
//! must be able to leave or to sleep. So whoever offers work looks at the word *after* it made the work
//! visible, and whoever leaves or goes to sleep looks for work *after* it changed the word, both with
//! sequentially consistent fences between the two steps. Then either the one sees that help is needed,
//! or the other sees the work. The models below explore it.

use crate::sync::atomic::{
    AtomicU32,
    Ordering::{Relaxed, SeqCst},
};
use crate::sync::full_fence;

/// A ticket is queued: a job of the pool that says "join this run".
const QUEUED: u32 = 1 << 31;
/// The calling thread sleeps, or is about to.
const ASLEEP: u32 = 1 << 30;
/// The rest: how many workers have joined.
const JOINED: u32 = ASLEEP - 1;

pub struct Help {
    word: AtomicU32,
    /// How many workers may join by ticket.
    most: u32,
}

/// What is to be done for work that was offered.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub enum Call {
    /// Others see to it.
    Nobody,
    /// Wake the calling thread.
    Sleeper,
    /// Queue a ticket.
    Worker,
}

impl Help {
    pub fn new(most: usize) -> Self {
        Help {
            word: AtomicU32::new(0),
            most: (most as u32).min(JOINED),
        }
    }

    /// Whether work that was made visible before needs a taker. A fence must stand between the two,
    /// unless threads exclude each other anyhow.
    #[inline(always)]
    pub fn is_wanted(&self) -> bool {
        let word = self.word.load(Relaxed);
        word & ASLEEP != 0 || self.takes_ticket(word)
    }

    /// Whether the calling thread sleeps, or is about to.
    pub fn caller_sleeps(&self) -> bool {
        self.word.load(Relaxed) & ASLEEP != 0
    }

    fn takes_ticket(&self, word: u32) -> bool {
        word & QUEUED == 0 && (word & JOINED) < self.most
    }

    /// Decides who is called, once for each call.
    pub fn call(&self) -> Call {
        if self.word.load(Relaxed) & ASLEEP != 0 && self.wake_up() {
            return Call::Sleeper;
        }
        let queue = |word: u32| self.takes_ticket(word).then_some(word | QUEUED);
        match self.word.fetch_update(SeqCst, Relaxed, queue) {
            Ok(_) => Call::Worker,
            Err(_) => Call::Nobody,
        }
    }

    /// A worker took the ticket: it looks for work after this.
    pub fn take_ticket(&self) {
        // One less queued and one more joined, in one step.
        self.word.fetch_sub(QUEUED - 1, SeqCst);
        full_fence();
    }

    /// A worker joins without a ticket, or stays after it had left.
    pub fn join(&self) {
        self.word.fetch_add(1, SeqCst);
    }

    /// A worker found nothing: it leaves, and looks again after this.
    pub fn leave(&self) {
        self.word.fetch_sub(1, SeqCst);
        full_fence();
    }

    /// The calling thread found nothing: it looks again after this, and sleeps if there is nothing still.
    pub fn fall_asleep(&self) {
        self.word.fetch_or(ASLEEP, SeqCst);
        full_fence();
    }

    /// The calling thread is no longer asleep; whether it was until now.
    pub fn wake_up(&self) -> bool {
        self.word.fetch_and(!ASLEEP, SeqCst) & ASLEEP != 0
    }
}

#[cfg(all(test, loom))]
mod loom_models {
    use super::*;
    use crate::sync::Arc;
    use crate::sync::atomic::AtomicU32;
    use loom::thread;

    struct Scene {
        help: Help,
        work: AtomicU32,
    }

    impl Scene {
        fn new(most: usize) -> Arc<Self> {
            Arc::new(Scene {
                help: Help::new(most),
                work: AtomicU32::new(0),
            })
        }

        fn offer(&self) -> Option<Call> {
            self.work.fetch_add(1, Relaxed);
            full_fence();
            self.help.is_wanted().then(|| self.help.call())
        }

        fn has_work(&self) -> bool {
            self.work.load(Relaxed) > 0
        }
    }

    #[test]
    fn loom_work_offered_to_one_who_leaves_is_seen_or_gets_a_ticket() {
        loom::model(|| {
            let scene = Scene::new(1);
            scene.help.join();
            let other = Arc::clone(&scene);
            let leaver = thread::spawn(move || {
                other.help.leave();
                other.has_work()
            });
            let called = scene.offer();
            let seen = leaver.join().unwrap_or(false);
            assert!(seen || called == Some(Call::Worker));
        });
    }

    #[test]
    fn loom_work_offered_to_one_who_falls_asleep_is_seen_or_wakes_it() {
        loom::model(|| {
            let scene = Scene::new(0);
            let other = Arc::clone(&scene);
            let sleeper = thread::spawn(move || {
                other.help.fall_asleep();
                other.has_work()
            });
            let called = scene.offer();
            let seen = sleeper.join().unwrap_or(false);
            assert!(seen || called == Some(Call::Sleeper));
        });
    }

    #[test]
    fn loom_work_offered_while_a_ticket_is_taken_is_seen_or_gets_another() {
        loom::model(|| {
            let scene = Scene::new(2);
            assert_eq!(scene.help.call(), Call::Worker);
            let other = Arc::clone(&scene);
            let taker = thread::spawn(move || {
                other.help.take_ticket();
                other.has_work()
            });
            let called = scene.offer();
            let seen = taker.join().unwrap_or(false);
            assert!(seen || called == Some(Call::Worker));
        });
    }

    #[test]
    fn loom_two_offers_queue_one_ticket_and_wake_one_sleeper() {
        loom::model(|| {
            let scene = Scene::new(1);
            scene.help.fall_asleep();
            let other = Arc::clone(&scene);
            let offerer = thread::spawn(move || other.offer());
            let calls = [scene.offer(), offerer.join().ok().flatten()];
            let count = |wanted: Call| {
                calls
                    .iter()
                    .flatten()
                    .filter(|call| **call == wanted)
                    .count()
            };
            assert_eq!((count(Call::Sleeper), count(Call::Worker)), (1, 1));
        });
    }
}
