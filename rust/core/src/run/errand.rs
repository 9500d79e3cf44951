//! Nodes for the calling thread alone. Whoever else finds one ready leaves it here; the calling thread takes
//! them before anything else, the first in the plan's order first.
//!
//! **None is forgotten.** Whoever leaves an errand L makes it visible and then looks for whom to tell. So does
//! everybody whom it might concern, the other way round, and of each two at least one sees what the other did:
//!
//! - The calling thread, about to sleep until there is work for anyone, says so (`Help::fall_asleep`) and looks
//!   for errands. L wakes it if it said so. Both change one word, and whoever is second sees what came before.
//! - The calling thread, about to wait for errands alone, resets their event and looks, with a sequentially
//!   consistent fence between, as L has between putting the errand and setting the event. Either it sees the
//!   errand, or the event is set after the reset, which ends the wait. The same holds for the end of the run,
//!   which is announced before the event is set.
//! - Who stops the run marks it and then gives all errands up, to be left out by whoever finds them. Under the
//!   lock either it finds the errand, or L comes after it, sees the mark, and gives the errand up itself.
//!
//! The models below explore each pair.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::latch::Event;
use crate::sync::atomic::{
    AtomicUsize,
    Ordering::{Relaxed, SeqCst},
};
use crate::sync::{Mutex, full_fence};

pub struct Errands {
    nodes: Mutex<BinaryHeap<Reverse<u32>>>,
    /// How many there are; written under the lock.
    count: AtomicUsize,
    /// Set when there is one, and at the end of the run: for a thread that waits for nothing else.
    event: Event,
}

impl Errands {
    pub fn none() -> Self {
        Errands {
            nodes: Mutex::new(BinaryHeap::new()),
            count: AtomicUsize::new(0),
            event: Event::new(),
        }
    }

    pub fn event(&self) -> &Event {
        &self.event
    }

    #[inline(always)]
    pub fn any(&self) -> bool {
        self.count.load(Relaxed) > 0
    }

    /// Whether the calling thread is to wait for the event: there is nothing for it now. It looks whether
    /// the run is over after this.
    pub fn is_to_wait(&self) -> bool {
        self.event.reset();
        full_fence();
        !self.any()
    }

    /// Ends a wait for errands; that the run is over has been announced before.
    pub fn end_wait(&self) {
        full_fence();
        self.event.set();
    }

    /// Makes an errand visible; whom to tell is looked for after this.
    pub fn put(&self, node: u32) {
        let mut nodes = self.nodes.lock();
        nodes.push(Reverse(node));
        self.count.store(nodes.len(), SeqCst);
        drop(nodes);
        full_fence();
    }

    #[cold]
    pub fn take(&self) -> Option<u32> {
        let mut nodes = self.nodes.lock();
        let Reverse(node) = nodes.pop()?;
        self.count.store(nodes.len(), SeqCst);
        Some(node)
    }

    /// Takes them from the calling thread; what was marked before is seen by who comes too late for this.
    pub fn take_all(&self) -> Vec<u32> {
        let mut nodes = self.nodes.lock();
        self.count.store(0, SeqCst);
        nodes.drain().map(|Reverse(node)| node).collect()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_first_in_the_order_of_the_plan_is_taken_first() {
        let errands = Errands::none();
        [5, 2, 9, 4].into_iter().for_each(|node| errands.put(node));
        let taken = std::iter::from_fn(|| errands.take());
        assert_eq!(taken.collect::<Vec<_>>(), [2, 4, 5, 9]);
        assert!(!errands.any());
    }
}

#[cfg(all(test, loom))]
mod loom_models {
    use super::*;
    use crate::run_help::Help;
    use crate::sync::Arc;
    use crate::sync::atomic::AtomicBool;
    use loom::thread;

    struct Scene {
        errands: Errands,
        help: Help,
        stopped: AtomicBool,
        over: AtomicBool,
    }

    impl Scene {
        fn new() -> Arc<Self> {
            Arc::new(Scene {
                errands: Errands::none(),
                help: Help::new(0),
                stopped: AtomicBool::new(false),
                over: AtomicBool::new(false),
            })
        }

        /// What `Run::leave_to_caller` does; the errands that it gives up, and whether it woke the caller.
        fn leave(&self, node: u32) -> (Vec<u32>, bool) {
            self.errands.put(node);
            if self.stopped.load(Relaxed) {
                return (self.errands.take_all(), false);
            }
            self.errands.event.set();
            (Vec::new(), self.help.wake_up())
        }

        /// What `Run::stop` does; the errands that it gives up.
        fn stop(&self) -> Vec<u32> {
            self.stopped.store(true, Relaxed);
            self.errands.take_all()
        }

        /// What the calling thread does that waits for errands and the end alone.
        fn attend(&self) -> Option<u32> {
            loop {
                if let Some(node) = self.errands.take() {
                    return Some(node);
                }
                if self.over.load(SeqCst) {
                    return None;
                }
                if self.errands.is_to_wait() && !self.over.load(SeqCst) {
                    let _ = self.errands.event.wait(None);
                }
            }
        }
    }

    #[test]
    fn loom_an_errand_left_to_one_who_falls_asleep_is_seen_or_wakes_it() {
        loom::model(|| {
            let scene = Scene::new();
            let other = Arc::clone(&scene);
            let sleeper = thread::spawn(move || {
                other.help.fall_asleep();
                other.errands.any()
            });
            let (_, woken) = scene.leave(3);
            let seen = sleeper.join().unwrap_or(false);
            assert!(seen || woken);
        });
    }

    #[test]
    fn loom_an_errand_ends_the_wait_for_errands() {
        loom::model(|| {
            let scene = Scene::new();
            let other = Arc::clone(&scene);
            let leaver = thread::spawn(move || other.leave(3));
            assert_eq!(scene.attend(), Some(3));
            assert!(leaver.join().is_ok());
        });
    }

    #[test]
    fn loom_the_end_of_the_run_ends_the_wait_for_errands() {
        loom::model(|| {
            let scene = Scene::new();
            let other = Arc::clone(&scene);
            let ender = thread::spawn(move || {
                other.over.store(true, SeqCst);
                other.errands.end_wait();
            });
            assert_eq!(scene.attend(), None);
            assert!(ender.join().is_ok());
        });
    }

    #[test]
    fn loom_an_errand_left_while_the_run_is_stopped_is_given_up_once() {
        loom::model(|| {
            let scene = Scene::new();
            let other = Arc::clone(&scene);
            let leaver = thread::spawn(move || other.leave(3).0);
            let mut given_up = scene.stop();
            given_up.extend(leaver.join().unwrap_or_default());
            assert_eq!(given_up, [3]);
        });
    }

    #[test]
    fn loom_an_errand_is_taken_or_given_up_but_not_both() {
        loom::model(|| {
            let scene = Scene::new();
            let _ = scene.leave(3);
            let other = Arc::clone(&scene);
            let stopper = thread::spawn(move || other.stop());
            let mut ended: Vec<u32> = scene.errands.take().into_iter().collect();
            ended.extend(stopper.join().unwrap_or_default());
            assert_eq!(ended, [3]);
            assert!(!scene.errands.any());
        });
    }
}
